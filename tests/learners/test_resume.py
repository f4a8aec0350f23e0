"""A training that was stopped and resumed ends bit for bit as an unbroken one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from duchenne.datasets.faceset import FaceSet
from duchenne.errors import RunError
from duchenne.learners.checkpoint import load_checkpoint
from duchenne.learners.contract import Storage
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Optimizer, Schedule, Stop
from duchenne.transforms.augment import Augment

Faces = Callable[..., FaceSet]
Learner = Callable[..., TorchLearner]

DROPOUT: dict[str, Any] = {
    "model": "friv",
    "args": {"filters": [3, 4], "pools": ["max", "average"], "dense": 6},
}
CASES: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": Optimizer(name="sgd", lr=0.05, momentum=0.9, nesterov=True)},
    "plain sgd": {"optimizer": Optimizer(name="sgd", lr=0.05)},
    "adam, dropout, batch norm": {**DROPOUT, "optimizer": Optimizer(lr=0.01, eps=1e-7)},
    "adamw, ema, batch norm": {
        "args": {"filters": [4, 6]},
        "optimizer": Optimizer(name="adamw", lr=0.01, weight_decay=0.1),
        "ema": 0.9,
    },
    "precise norms": {**DROPOUT, "precise_norms": True, "augment": Augment(shift=0.2, brightness=0.3)},
    "everything": {
        **DROPOUT,
        "optimizer": Optimizer(name="adamw", lr=0.01, weight_decay=0.01),
        "augment": Augment(
            flip=0.5, shift=0.1, rotate=15, scale=0.1, brightness=0.2, contrast=0.2, erase=0.5
        ),
        "schedule": Schedule(name="one_cycle", warmup=0.3),
        "ema": 0.8,
        "stop": Stop(monitor="val_loss", patience=9),
    },
}


class Interrupt:
    """Ctrl-C at the end of an epoch, when its checkpoint is on disk; or in the middle of the next."""

    def __init__(self, epoch: int, step: int = 0) -> None:
        self.epoch, self.step, self.done = epoch, step, 0
        self.starts: list[int] = []

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        self.starts.append(epochs_done)

    def on_batch(self, step: int) -> None:
        if self.step and self.done == self.epoch and step == self.step:
            raise KeyboardInterrupt

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        self.done = row["epoch"]
        if not self.step and self.done == self.epoch:
            raise KeyboardInterrupt


def figures(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def assert_ends_alike(a: TorchLearner, b: TorchLearner, x: Path, y: Path) -> None:
    assert figures(a.history_) == figures(b.history_)
    assert a.best_ == b.best_
    for k, v in a.net_.state_dict().items():
        assert torch.equal(v, b.net_.state_dict()[k]), k
    for name in ("best", "last"):
        one, two = (load_checkpoint(p / f"{name}.safetensors") for p in (x, y))
        for group in ("model", "optimizer", "ema"):
            mine, other = getattr(one, group), getattr(two, group)
            assert mine.keys() == other.keys()
            assert all(torch.equal(mine[k], other[k]) for k in mine), f"{name}: {group}"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", [0, 3])
def test_resumed_equals_unbroken(
    make_faces: Faces, make_learner: Learner, tmp_path: Path, case: str, step: int
) -> None:
    faces, val = make_faces(), make_faces(20, seed=1)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = make_learner(epochs=5, **CASES[case]).fit(faces, val=val, storage=Storage(whole, "t"))
    stop = Interrupt(2, step)
    with pytest.raises(KeyboardInterrupt):
        make_learner(epochs=5, **CASES[case]).fit(faces, val=val, storage=Storage(broken, "t"), listener=stop)
    assert load_checkpoint(broken / "last.safetensors").facts["epoch"] == 2
    torch.manual_seed(1234)  # another process has other random state
    torch.rand(5)
    resumed = make_learner(epochs=5, **CASES[case])
    go_on = Interrupt(99)
    resumed.fit(faces, val=val, storage=Storage(broken, "t", resume=True), listener=go_on)
    assert go_on.starts == [2]
    assert_ends_alike(unbroken, resumed, whole, broken)


def test_the_deadline_ends_it_after_a_whole_epoch_and_it_goes_on(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    faces = make_faces()
    unbroken = make_learner(epochs=3).fit(faces, storage=Storage(tmp_path / "whole"))
    broken = tmp_path / "broken"
    learner = make_learner(epochs=3).fit(faces, storage=Storage(broken, deadline=0.0))
    assert (learner.n_iter_, learner.finished_) == (1, False)
    assert learner.reason_.startswith("time limit")
    learner.fit(faces, storage=Storage(broken, resume=True, deadline=3600.0))
    assert (learner.n_iter_, learner.finished_) == (3, True)
    assert_ends_alike(unbroken, learner, tmp_path / "whole", broken)


def test_resume_of_what_is_finished_or_not_begun(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    faces = make_faces()
    learner = make_learner(epochs=2).fit(faces, storage=Storage(tmp_path, resume=True))
    assert learner.n_iter_ == 2
    before = figures(learner.history_)
    again = make_learner(epochs=2).fit(faces, storage=Storage(tmp_path, resume=True))
    assert figures(again.history_) == before
    assert all(torch.equal(v, again.net_.state_dict()[k]) for k, v in learner.net_.state_dict().items())
    anew = make_learner(epochs=1).fit(faces, storage=Storage(tmp_path))  # without resume: from the start
    assert figures(anew.history_) == before[:1]


def test_early_stopping_is_remembered(make_faces: Faces, make_learner: Learner, tmp_path: Path) -> None:
    still = {"optimizer": Optimizer(name="sgd", lr=1e-12), "stop": Stop(patience=2), "epochs": 9}
    faces, val = make_faces(), make_faces(seed=1)
    make_learner(**still).fit(faces, val=val, storage=Storage(tmp_path))
    again = make_learner(**still).fit(faces, val=val, storage=Storage(tmp_path, resume=True))
    assert again.n_iter_ == 3
    assert again.finished_


# -- what does not fit --------------------------------------------------------------------------------------


@pytest.fixture
def begun(make_faces: Faces, make_learner: Learner, tmp_path: Path) -> Path:
    make_learner(epochs=1, ema=0.5).fit(make_faces(), storage=Storage(tmp_path, "mine"))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "tag", "message"),
    [
        ({"ema": 0.5}, "other", "of another recipe"),
        ({"ema": 0.5, "args": {"filters": [4, 7], "batch_norm": False}}, "mine", "the net has"),
        ({"ema": 0.5, "args": {"filters": [4], "batch_norm": False}}, "mine", "holds unknown"),
        ({"ema": 0.5, "args": {"filters": [4, 6, 8], "batch_norm": False}}, "mine", "lacks"),
    ],
)
def test_a_checkpoint_of_something_else(
    make_faces: Faces, make_learner: Learner, begun: Path, changes: dict[str, Any], tag: str, message: str
) -> None:
    with pytest.raises(RunError, match=message) as caught:
        make_learner(epochs=2, **changes).fit(make_faces(), storage=Storage(begun, tag, resume=True))
    assert "last.safetensors" in caught.value.what


def test_a_checkpoint_without_the_average_that_is_asked_for(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    make_learner(epochs=1).fit(make_faces(), storage=Storage(tmp_path))
    with pytest.raises(RunError, match="lacks 'module"):
        make_learner(epochs=2, ema=0.5).fit(make_faces(), storage=Storage(tmp_path, resume=True))


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_checkpoint_cut_short(make_faces: Faces, make_learner: Learner, begun: Path, name: str) -> None:
    path = begun / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(RunError, match=f"{name}.safetensors is damaged or cut short"):
        make_learner(epochs=2, ema=0.5).fit(make_faces(), storage=Storage(begun, "mine", resume=True))


def test_a_checkpoint_that_does_not_say_its_epoch(
    make_faces: Faces, make_learner: Learner, begun: Path
) -> None:
    state = load_checkpoint(begun / "last.safetensors")
    tensors = {f"{g}/{k}": v for g in ("model", "optimizer", "ema") for k, v in getattr(state, g).items()}
    save_file(tensors, begun / "last.safetensors", {"schema": "1", "facts": '{"tag": "mine"}'})
    with pytest.raises(RunError, match="does not say its 'epoch'"):
        make_learner(epochs=2, ema=0.5).fit(make_faces(), storage=Storage(begun, "mine", resume=True))


def test_a_save_that_fails_in_the_middle_keeps_what_was_there(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    """From the third epoch on nothing can be written: the state of the second stays and is gone on from."""

    class Blocker(Interrupt):
        def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
            if row["epoch"] == 2:
                (broken / ".last.safetensors.tmp").mkdir()

    faces, whole, broken = make_faces(), tmp_path / "whole", tmp_path / "broken"
    unbroken = make_learner(epochs=4).fit(faces, storage=Storage(whole))
    with pytest.raises(RunError, match=r"last\.safetensors cannot be written") as caught:
        make_learner(epochs=4).fit(faces, storage=Storage(broken), listener=Blocker(99))
    assert "untouched" in caught.value.todo
    assert load_checkpoint(broken / "last.safetensors").facts["epoch"] == 2
    (broken / ".last.safetensors.tmp").rmdir()
    resumed = make_learner(epochs=4).fit(faces, storage=Storage(broken, resume=True))
    assert_ends_alike(unbroken, resumed, whole, broken)
