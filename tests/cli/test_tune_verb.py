"""``duchenne tune`` and ``duchenne report`` on a search, as a user calls them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECIPE = """
id = "tiny"
title = "tiny"
[data]
name = "synthetic"
outputs = ["emotion"]
options = { n = 210, difficulty = "easy" }
[preprocess]
size = [12, 12]
[learner]
name = "scratch"
args = { hidden = [4] }
[optimizer]
name = "sgd"
[train]
epochs = 1
batch_size = 50
[tune]
trials = 2
[tune.space]
optimizer.lr = { low = 1e-3, high = 1.0, log = true }
learner.args.hidden = [[4], [8]]
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_from_the_space_to_a_trained_winner(call: Callable[..., Any], recipe: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    said = call("tune", recipe, "--runs", runs)
    assert said.code == 0, said.err
    assert said.out == f"{runs / 'tiny-search' / 'report' / 'index.html'}\n"
    assert "stage 2 random draws" in said.err
    assert "trial 1 complete" in said.err
    assert "optimizer.lr = " in said.err
    assert "best 0." in said.err
    assert (runs / "tiny-search" / "report" / "index.html").is_file()
    again = call("tune", recipe, "--runs", runs, "--trials", 3, "--json")
    found = again.json()
    assert again.err == ""
    assert (found["status"], len(found["trials"])) == ("finished", 3)
    assert found["best"]["value"] == max(t["value"] for t in found["trials"])
    trained = call("train", found["best_recipe"], "--runs", runs)
    assert trained.code == 0, trained.err
    assert (runs / "tiny-best" / "run.json").is_file()
    page = Path(found["report"])
    page.unlink()
    assert call("report", "tiny-search", "--runs", runs).out == f"{page}\n"
    assert page.is_file()


def test_method_and_pruner_are_chosen_by_name(call: Callable[..., Any], recipe: Path, tmp_path: Path) -> None:
    said = call(
        "tune", recipe, "--runs", tmp_path, "--method", "grid", "--pruner", "halving", "--name", "mine",
        "--set", "tune.space={optimizer.lr=[0.1]}", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert [t["stage"] for t in said.json()["trials"]] == ["grid"]
    assert (tmp_path / "mine" / "best.toml").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["demo"], 2, "recipe demo has no [tune]"),
        (["demo", "--method", "grid"], 2, "recipe demo has no [tune]"),
        (["no-such"], 2, "there is no recipe 'no-such'"),
        (["RECIPE", "--trials", 0], 2, "tune.trials = 0"),
        (["RECIPE", "--jobs", 0], 2, "--jobs 0"),
        (["RECIPE", "--method", "gird"], 2, "tune.method = 'gird'"),
        (["RECIPE", "--pruner", "median"], 2, "tune.pruner = 'median'"),
        (["RECIPE", "--storage", "mysql://u:secret@h/d"], 1, "the driver of this database is not installed"),
        (["RECIPE", "--set", "tune.space.optimizer.lr={low=1,high=0.1}"], 2, "optimizer.lr: low = 1 is"),
        (["RECIPE", "--set", "tune.space.optimizer.lrr=[1]"], 2, "did you mean 'lr'"),
        (["RECIPE", "--set", "tune.space={optimizer.lr=[3.3e38]}", "--method", "grid"], 1, "none of the 1"),
    ],
)  # fmt: skip
def test_bad_input(
    call: Callable[..., Any], recipe: Path, tmp_path: Path, arguments: list[Any], code: int, words: str
) -> None:
    said = call("tune", *(recipe if a == "RECIPE" else a for a in arguments), "--runs", tmp_path)
    assert said.code == code, said.err
    assert words in said.err
    assert "secret" not in said.err
    assert said.out == ""


def test_interrupted_it_says_how_to_go_on(call: Callable[..., Any], recipe: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "duchenne", "tune", str(recipe), "--runs", str(tmp_path), "--jobs", "2",
         "--set", "train.epochs=1000000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    folder, begun = tmp_path / "tiny-search", time.monotonic()
    while not (folder / "trials.jsonl").is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < 200
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: the whole group hears it
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "stopped; the same command goes on" in err
    assert "Traceback" not in err
    assert out == ""
    stopped = call(
        "tune", recipe, "--runs", tmp_path, "--set", "train.epochs=1000000", "--time-limit", 0, "--json"
    )
    assert stopped.json()["status"] == "stopped"
    assert not [t for t in stopped.json()["trials"] if t["state"] == "running"]
