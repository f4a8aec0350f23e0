"""`duchenne train` as a process: killed, interrupted, out of space, and what it says."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from duchenne.experiment import Run

# Long enough an epoch for a kill to fall into it.
SLOW = (
    "train", "demo", "--set", "data.options.n=600", "--set", "train.epochs=60",
    "--set", "train.batch_size=32", "--set", "learner.args={filters=[8,16]}",
    "--set", "data.options.difficulty=easy", "--name", "slow",
)  # fmt: skip


def start(*arguments: object) -> subprocess.Popen[str]:
    """The verb as a process whose lines can be waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "duchenne", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_epoch(process: subprocess.Popen[str], epoch: int = 0) -> list[str]:
    """Read standard error until an epoch's line (0: any sign of training)."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith((f"epoch {epoch}/" if epoch else "epoch ", "going on after")):
            return lines
    raise AssertionError("no epoch: " + "".join(lines))


def learned(run: Run) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.history()]
    return rows, load_file(run.checkpoint("best"))


def test_killed_at_random_moments_it_ends_with_the_same_numbers(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    assert call(*SLOW, "--runs", tmp_path / "whole").code == 0
    chance = random.Random(8)
    broken = tmp_path / "broken"
    for attempt in range(3):
        process = start(*SLOW, "--runs", broken, "--resume")
        wait_for_epoch(process)
        time.sleep(chance.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was done before the kill"
        state = Run.open(broken / "slow").state
        assert state.status == "running"
        assert attempt <= state.epochs_done < 60
    answer = call(*SLOW, "--runs", broken, "--resume")
    assert answer.code == 0
    assert "going on after epoch" in answer.err
    one, other = Run.open(tmp_path / "whole" / "slow"), Run.open(broken / "slow")
    (rows, weights), (again, weights_again) = learned(one), learned(other)
    assert len(rows) == 60
    assert again == rows
    assert weights.keys() == weights_again.keys()
    assert all(torch.equal(weights[k], weights_again[k]) for k in weights)
    figures = [call("evaluate", "slow", "--runs", r, "--json").json() for r in (tmp_path / "whole", broken)]
    assert figures[0] == figures[1]
    predicted = [run.predictions_path("test").read_bytes() for run in (one, other)]
    assert predicted[0] == predicted[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_an_epoch_stops_the_run_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start(*SLOW, "--set", "train.epochs=500", "--runs", tmp_path)
    wait_for_epoch(process, 1)
    time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command with --resume goes on" in err
    assert "Traceback" not in err
    state = Run.open(tmp_path / "slow").state
    assert (state.status, state.reason) == ("stopped", "interrupted")
    assert state.epochs_done >= 1


def test_a_full_disk_is_said_and_what_was_trained_stays(
    shell: Callable[..., Any], call: Callable[..., Any], tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    assert call("train", "demo", *tiny, "--runs", tmp_path, "--time-limit", 0).code == 0
    path = tmp_path / "tiny" / "checkpoints" / "last.safetensors"
    before = path.read_bytes()

    def no_space() -> None:  # writing beyond this many bytes of a file fails, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    answer = shell("train", "demo", *tiny, "--runs", tmp_path, "--resume", preexec_fn=no_space)
    assert answer.code == 1
    assert "cannot be written" in answer.err
    assert "--resume" in answer.err
    assert "Traceback" not in answer.err
    assert path.read_bytes() == before
    assert not list((tmp_path / "tiny").rglob("*.tmp"))
    assert call("train", "demo", *tiny, "--runs", tmp_path, "--resume").code == 0
    assert Run.open(tmp_path / "tiny").state.status == "finished"


def test_the_end_is_said_in_words(call: Callable[..., Any], tmp_path: Path, tiny: tuple[str, ...]) -> None:
    answer = call("train", "demo", *tiny, "--runs", tmp_path)
    best = Run.open(tmp_path / "tiny").state.best
    end = f"best epoch {best['epoch']} ({best['monitor']} {best['value']:.4f})\n"
    assert answer.err.endswith(end)


def test_a_time_limit_leaves_a_stopped_run_that_resume_finishes(
    call: Callable[..., Any], tmp_path: Path, tiny: tuple[str, ...]
) -> None:
    answer = call("train", "demo", *tiny, "--runs", tmp_path, "--time-limit", 0, "--json")
    assert (answer.json()["status"], answer.json()["epochs_done"]) == ("stopped", 1)
    assert "time limit" in answer.json()["reason"]
    partial = call("evaluate", "tiny", "--runs", tmp_path, "--split", "val")
    assert "partial: 1 of 2 epochs" in partial.out
    answer = call("train", "demo", *tiny, "--runs", tmp_path, "--resume")
    assert answer.code == 0
    assert "going on after epoch 1 of 2" in answer.err
    assert answer.out == f"{tmp_path / 'tiny'}\n"
    assert "partial" not in call("evaluate", "tiny", "--runs", tmp_path, "--split", "val").out


def test_overrides_are_recorded_and_shown(
    call: Callable[..., Any], runs: Path, tiny: tuple[str, ...]
) -> None:
    sets = [tiny[i + 1] for i, word in enumerate(tiny) if word == "--set"]
    assert json.loads((runs / "tiny" / "run.json").read_text())["overrides"] == sets
    shown = call("recipes", "show", "demo", "--set", "train.epochs=2").json()
    assert shown["train"]["epochs"] == 2
    refused = call("train", "demo", "--name", "tiny", "--runs", runs, "--resume")
    assert refused.code == 1
    assert " ".join(sets) in refused.err


def test_an_existing_run_names_the_ways_out(
    call: Callable[..., Any], runs: Path, tiny: tuple[str, ...]
) -> None:
    answer = call("train", "demo", *tiny, "--runs", runs)
    assert answer.code == 1
    assert all(option in answer.err for option in ("--resume", "--force", "--name"))


def test_progress_is_a_line_an_epoch_on_standard_error(
    call: Callable[..., Any], runs: Path, tiny: tuple[str, ...]
) -> None:
    answer = call("train", "demo", *tiny, "--runs", runs, "--force")
    lines = [line for line in answer.err.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert "val: loss" in lines[0]
    assert answer.out == f"{runs / 'tiny'}\n"
