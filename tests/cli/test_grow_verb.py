"""`duchenne grow` and `duchenne growth` as a user calls them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

# A recipe on the NumPy engine: fractions of a second, and an export without torch.
TEXT = """
id = "nt"
title = "no torch"
[data]
name = "synthetic"
outputs = ["emotion"]
without = {without}
options = {{ n = 240, difficulty = "easy" }}
[preprocess]
size = [24, 24]
[learner]
name = "scratch"
args = {{ hidden = [24] }}
[optimizer]
name = "sgd"
lr = 0.02
[train]
epochs = 2
batch_size = 16
[evaluate]
splits = ["val", "test"]
[evaluate.groups]
{groups}
"""
OLD = 'old = ["neutral", "sad", "surprise", "fear", "disgust", "angry"]'


@pytest.fixture(scope="module")
def base_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the recipes and the run "base" of all synthetic emotions but `happy`."""
    from duchenne.experiment.evaluate import evaluate
    from duchenne.experiment.train import train
    from duchenne.recipe import load_recipe

    folder = tmp_path_factory.mktemp("grow")
    (folder / "six.toml").write_text(TEXT.format(without='["happy"]', groups=OLD))
    (folder / "all.toml").write_text(TEXT.format(without="[]", groups=OLD + '\nnew = ["happy"]'))
    for name, file in (("base", "six"), ("nothing", "all")):
        evaluate(train(load_recipe(folder / f"{file}.toml"), runs=folder / "runs", name=name))
    return folder


@pytest.fixture
def folder(base_once: Path, tmp_path: Path) -> Path:
    """A copy of it, to be written to."""
    shutil.copytree(base_once, tmp_path / "grow")
    return tmp_path / "grow"


def test_grow_says_what_it_began_from_and_what_became_of_the_old_classes(call: Call, folder: Path) -> None:
    runs = folder / "runs"
    said = call("grow", "base", "--class", "happy", "--runs", runs, "--epochs", 3)
    assert said.code == 0, said.err
    assert f"of {runs / 'base'} (finished, 2 of 2 epochs)" in said.err
    assert "3 of 3 epochs" in said.err
    old, new, path = said.out.splitlines()
    assert old.startswith("old classes, validation (")
    assert "% before, " in old
    assert new.startswith("happy, validation (")
    assert path == str(runs / "base-grown-happy")
    again = call("grow", "base", "--class", "happy", "--runs", runs, "--epochs", 3)
    assert again.code == 1
    assert "--resume goes on with it, --force starts it over" in again.err


def test_grow_json_and_its_record_in_the_report(call: Call, folder: Path) -> None:
    runs = folder / "runs"
    said = call("grow", runs / "base", "--class", "happy", "--runs", runs, "--train", "head", "--json")
    assert said.code == 0, said.err
    facts = said.json()
    assert (facts["class"], facts["start_run"], facts["start_epoch"]) == (
        "happy", "base", json.loads((runs / "base" / "run.json").read_text())["best"]["epoch"],
    )  # fmt: skip
    counts = facts["validation"]
    assert counts["old_classes"]["n"] + counts["new_class"]["n"] == 35
    assert 0 <= counts["old_classes"]["after"] <= 1
    assert call("report", "base-grown-happy", "--runs", runs).code == 0
    page = (runs / "base-grown-happy" / "report" / "index.html").read_text()
    assert facts["start_sha256"] in page


def test_growth_writes_a_result_and_the_page(call: Call, folder: Path) -> None:
    runs = folder / "runs"
    for which in ("all", "head"):
        grown = call(
            "grow", "base", "--class", "happy", "--runs", runs, "--train", which, "--name", which,
            "--set", "evaluate.splits=['val', 'test']",
        )  # fmt: skip
        assert grown.code == 0, grown.err
        assert call("evaluate", which, "--runs", runs).code == 0
    to = ("--runs", runs, "--results", folder / "results", "--page-file", folder / "results.md")
    said = call("growth", "base", "all", "head", "--against", "nothing", "--id", "happy", *to)
    assert said.code == 0, said.err
    result = json.loads((folder / "results" / "happy.json").read_text())
    accuracies, costs = result["tables"]
    assert [row[0] for row in accuracies["rows"]] == ["base", "all", "head", "nothing"]
    metrics = json.loads((runs / "head" / "metrics" / "val.json").read_text())["outputs"]["emotion"]
    right = accuracies["rows"][2][accuracies["columns"].index("all, val (%)")]
    assert right == pytest.approx(100 * metrics["accuracy"], abs=0.006)
    assert accuracies["rows"][0][accuracies["columns"].index("new class, val (%)")] is None
    updates = costs["columns"].index("updates")
    faces = json.loads((runs / "nothing" / "data.json").read_text())["splits"]["train"]
    assert costs["rows"][3][updates] == 2 * -(-faces // 16)
    assert costs["rows"][0][updates] < costs["rows"][3][updates]  # fewer faces
    assert "### happy" in (folder / "results.md").read_text()
    wrong = call("growth", "nothing", "head", "--against", "nothing", "--id", "x", *to)
    assert wrong.code == 1
    assert "started from 'base', not from nothing" in wrong.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("bass", "--class", "happy"), 1, ["bass is not a run folder", "runs there: base, nothing"]),
        (("base", "--class", "sad"), 1, ["knows the class 'sad'"]),
        (("base", "--class", "hapy"), 1, ["no class 'hapy'", "did you mean 'happy'?"]),
        (("base", "--class", "happy", "--train", "tail"), 2, ["start.train = 'tail'"]),
        (("base", "--class", "happy", "--epochs", "0"), 2, ["--epochs"]),
        (("base", "--class", "happy", "--name", "base", "--force"), 1, ["cannot start from itself"]),
        (("base", "--class", "happy", "--resume", "--force"), 2, ["give one of the two"]),
        (("base", "--class", "happy", "--set", "train.epoch=3"), 2, ["did you mean 'epochs'?"]),
        (("base", "--class", "happy", "--set", "data.name=nowhere"), 1, ["no data set 'nowhere'"]),
    ],
)
def test_what_cannot_be_grown(
    call: Call, folder: Path, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    said = call("grow", *arguments, "--runs", folder / "runs")
    assert said.code == code, said.err
    for word in words:
        assert word in said.err
    assert "Traceback" not in said.err
    assert sorted(p.name for p in (folder / "runs").iterdir()) == ["base", "nothing"]
