"""A training that was cut off at any moment goes on and ends with the very same numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duchenne.errors import DuchenneError, RunError
from duchenne.experiment.finish import ensure_artifact
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.recipe import Recipe

Make = Callable[..., Recipe]
Same = Callable[[Run, Run], None]


class Killed(BaseException):
    """Stands for kill -9: from then on nothing more reaches the disk."""


class Power:
    """Lets a number of file replacements happen, then no more: the instants between which a kill can fall."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = 10**6
        self.used = 0
        for owner, name in ((Path, "replace"), (Path, "rename"), (os, "replace")):
            patch.setattr(owner, name, self._guarded(getattr(owner, name)))

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def replace(*args: Any) -> Any:
            if self.left <= 0:
                raise Killed
            self.left -= 1
            self.used += 1
            return function(*args)

        return replace


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, tiny: Make) -> Run:
    return train(tiny("train.epochs=2"), runs=tmp_path_factory.mktemp("unbroken"))


def test_killed_between_any_two_file_replacements(
    tmp_path: Path, tiny: Make, unbroken: Run, assert_same_training: Same, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("train.epochs=2")
    with monkeypatch.context() as patch:
        power = Power(patch)
        train(recipe, runs=tmp_path / "whole")
        steps = power.used
    assert steps >= 10, "the replacements are not seen"
    for step in range(steps):
        runs = tmp_path / str(step)
        with monkeypatch.context() as patch:
            Power(patch).left = step
            with pytest.raises(Killed):
                train(recipe, runs=runs)
        run = train(recipe, runs=runs, resume=True)
        assert run.state.status == "finished", step
        assert_same_training(run, unbroken)


def test_a_figure_is_never_of_another_epoch_than_its_card_says(
    tmp_path: Path, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kill falls after best.safetensors of an epoch and before run.json of it.
    recipe = tiny("train.epochs=1")
    with monkeypatch.context() as patch:

        def on_epoch(*args: object) -> None:
            raise Killed

        patch.setattr("duchenne.experiment.train.Recorder.on_epoch", on_epoch)
        with pytest.raises(Killed):
            train(recipe, runs=tmp_path)
    run = Run.open(tmp_path / "tiny")
    assert run.state.epochs_done == 0
    card = ensure_artifact(run).card
    assert card.training["epoch"] == card.training["epochs_done"] == 1


class Interrupting:
    """A listener that presses Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        self.epoch, self.step = epoch, step
        self.done = 0
        self.started_after = -1

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        self.done = self.started_after = epochs_done

    def on_batch(self, step: int) -> None:
        if self.done + 1 == self.epoch and step == self.step:
            raise KeyboardInterrupt

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        self.done = row["epoch"]


def test_ctrl_c_in_an_epoch_stops_and_resume_goes_on_after_the_last_whole_one(
    tmp_path: Path, tiny: Make, trained_once: Run, assert_same_training: Same
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), runs=tmp_path, listener=Interrupting(2, 3))
    state = Run.open(tmp_path / "tiny").state
    assert (state.status, state.reason, state.epochs_done) == ("stopped", "interrupted", 1)
    listener = Interrupting(0, 0)
    run = train(tiny(), runs=tmp_path, resume=True, listener=listener)
    assert listener.started_after == 1
    assert_same_training(run, trained_once)


def test_a_time_limit_stops_after_an_epoch_and_resume_finishes(
    tmp_path: Path, tiny: Make, trained_once: Run, assert_same_training: Same
) -> None:
    run = train(tiny(), runs=tmp_path, deadline=0.0)
    assert (run.state.status, run.state.epochs_done) == ("stopped", 1)
    assert "time limit" in run.state.reason
    run = train(tiny(), runs=tmp_path, resume=True)
    assert run.state.status == "finished"
    assert_same_training(run, trained_once)


def test_resume_without_a_run_begins_one(
    tmp_path: Path, tiny: Make, trained_once: Run, assert_same_training: Same
) -> None:
    assert_same_training(train(tiny(), runs=tmp_path, resume=True), trained_once)


def test_resuming_another_recipe_is_refused(trained: Run, tiny: Make) -> None:
    before = {p: p.read_bytes() for p in trained.path.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match="another recipe or other --set values") as caught:
        train(tiny("optimizer.lr=0.5"), runs=trained.path.parent, name="tiny", resume=True)
    assert "overrides" in caught.value.todo
    assert {p: p.read_bytes() for p in trained.path.rglob("*") if p.is_file()} == before


def test_what_decides_no_learning_does_not_hinder_resuming(trained: Run, tiny: Make) -> None:
    run = train(tiny(title="other words"), runs=trained.path.parent, resume=True)
    assert run.state.status == "finished"


def test_resuming_on_changed_data_is_refused(
    tmp_path: Path, tiny: Make, face_folder: Callable[..., Path]
) -> None:
    names = {"happy": "happy", "sad": "sad"}
    root = face_folder(tmp_path / "faces", {"train": 6, "val": 4, "test": 4}, names)
    recipe = tiny("train.epochs=2", data={"name": "folder", "options": {"path": str(root)}})
    run = train(recipe, runs=tmp_path / "runs", deadline=0.0)
    next((root / "train" / "happy").glob("*.png")).unlink()
    before = run.state
    with pytest.raises(RunError, match="the data changed since run"):
        train(recipe, runs=tmp_path / "runs", resume=True)
    assert Run.open(run.path).state == before


@pytest.mark.parametrize("which", ["last", "best"])
@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_checkpoint_cut_short_is_named(trained: Run, tiny: Make, which: str, keep: int) -> None:
    path = trained.path / "checkpoints" / f"{which}.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DuchenneError, match=f"{which}.safetensors"):
        train(tiny(), runs=trained.path.parent, resume=True)
    assert Run.open(trained.path).state.status == "failed"


def test_a_checkpoint_of_another_run_is_refused(trained: Run, tmp_path: Path, tiny: Make) -> None:
    other = train(tiny("train.seed=5", "train.epochs=1"), runs=tmp_path / "others")
    trained.checkpoint("last").write_bytes(other.checkpoint("last").read_bytes())
    with pytest.raises(DuchenneError, match="another recipe"):
        train(tiny(), runs=trained.path.parent, resume=True)


def test_a_full_disk_keeps_the_epoch_before_and_resume_finishes(
    tmp_path: Path, tiny: Make, trained_once: Run, assert_same_training: Same, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        real = os.fsync
        calls = 0

        def fsync(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls > 8:  # within the second epoch's records
                raise OSError(28, "No space left on device")
            real(descriptor)

        patch.setattr(os, "fsync", fsync)
        with pytest.raises(RunError, match="No space left on device"):
            train(tiny(), runs=tmp_path)
    assert 1 <= Run.open(tmp_path / "tiny").state.epochs_done < 3
    assert not list((tmp_path / "tiny").rglob("*.tmp"))
    assert_same_training(train(tiny(), runs=tmp_path, resume=True), trained_once)
