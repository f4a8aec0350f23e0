"""A run that left samples out says which, also when it was stopped in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duchenne.build import build_learner
from duchenne.errors import RecipeError, TrainingError
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.recipe import Recipe

Make = Callable[..., Recipe]

BDR = ("denoise.name=bdr", "denoise.start=1", "denoise.rounds=2")
SCRATCH: dict[str, Any] = {
    "learner": {"name": "scratch", "args": {"hidden": [8]}}, "augment": {},
    "optimizer": {"name": "sgd", "lr": 0.05}, "train": {"epochs": 3, "batch_size": 32},
}  # fmt: skip


@pytest.mark.parametrize("fields", [{}, SCRATCH], ids=["torch", "scratch"])
def test_the_record(tiny: Make, tmp_path: Path, fields: dict[str, Any]) -> None:
    recipe = tiny(*BDR, **fields)
    run = train(recipe, runs=tmp_path)
    record = run.info("denoise")
    assert record["schema"] == 1
    assert [(r["round"], r["epoch"]) for r in record["rounds"]] == [(1, 1), (2, 2)]
    assert record["rounds"][0]["removed"]
    assert {"id", "label", "loss"} == set(record["rounds"][0]["removed"][0])
    assert record["rounds"][1]["n"] == 170 - len(record["rounds"][0]["removed"])
    assert all("train_loss_variance" in row for row in run.history())

    stopped = train(recipe, runs=tmp_path, name="stopped", deadline=0.0)
    assert (stopped.state.status, stopped.state.epochs_done) == ("stopped", 1)
    assert stopped.info("denoise")["rounds"] == record["rounds"][:1]
    resumed = train(recipe, runs=tmp_path, name="stopped", resume=True)
    assert resumed.info("denoise") == record


class Interrupt:
    """Presses Ctrl-C, or is killed without a word, after an epoch."""

    def __init__(self, epoch: int, error: type[BaseException]) -> None:
        self.epoch, self.error = epoch, error

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None: ...

    def on_batch(self, step: int) -> None: ...

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        if row["epoch"] == self.epoch:
            raise self.error


@pytest.mark.parametrize("fields", [{}, SCRATCH], ids=["torch", "scratch"])
def test_the_record_stands_after_an_interruption(tiny: Make, tmp_path: Path, fields: dict[str, Any]) -> None:
    recipe = tiny(*BDR, **fields)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, runs=tmp_path, name="broken", listener=Interrupt(1, KeyboardInterrupt))
    broken = Run.open(tmp_path / "broken")
    assert (broken.state.status, broken.state.reason) == ("stopped", "interrupted")
    rounds = broken.info("denoise")["rounds"]
    assert [r["round"] for r in rounds] == [1]
    whole = train(recipe, runs=tmp_path, name="broken", resume=True).info("denoise")["rounds"]
    assert len(whole) == 2
    assert whole[0] == rounds[0]


@pytest.mark.parametrize("fields", [{}, SCRATCH], ids=["torch", "scratch"])
def test_halt_ends_the_training(tiny: Make, tmp_path: Path, fields: dict[str, Any]) -> None:
    recipe = tiny(*BDR, "denoise.start=2", "denoise.halt=1000.0", **fields)
    run = train(recipe, runs=tmp_path, name="halted")
    # Not before a round was made, though every variance is below such a limit.
    assert (run.state.status, run.state.epochs_done) == ("finished", 2)
    assert run.state.reason == "the variance of the training losses is below denoise.halt = 1000"
    again = train(recipe, runs=tmp_path, name="halted", resume=True)
    assert (again.state.status, again.state.epochs_done, again.state.reason) == (
        "finished", 2, run.state.reason,
    )  # fmt: skip


def test_no_record_where_it_is_off(trained_once: Run) -> None:
    assert trained_once.info("denoise") == {}
    assert not (trained_once.path / "denoise.json").exists()


def test_a_refused_round_keeps_the_epochs_before(tiny: Make, tmp_path: Path) -> None:
    greedy = ("denoise.name=drop_largest", "denoise.start=2", "denoise.share=0.6")
    with pytest.raises(TrainingError, match=r"more than denoise\.max_share"):
        train(tiny(*greedy), runs=tmp_path, name="greedy")
    state = Run.open(tmp_path / "greedy").state
    assert (state.status, state.epochs_done) == ("failed", 1)
    assert "denoise.max_share" in state.reason


def test_learners_without_losses_refuse(tiny: Make) -> None:
    fields: dict[str, Any] = {"learner": {"name": "trees"}, "augment": {}, "optimizer": {}}
    with pytest.raises(RecipeError, match=r"denoise\.name = 'bdr': learner 'trees' has no such setting"):
        build_learner(tiny("denoise.name=bdr", **fields))
