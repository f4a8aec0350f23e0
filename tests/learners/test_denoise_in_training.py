"""Samples that a training leaves out: which, from when on, over interruptions, in both kinds of learners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duchenne.datasets.faceset import FaceSet
from duchenne.denoise import VARIANCE
from duchenne.errors import TrainingError
from duchenne.learners.arrayfile import read_arrays
from duchenne.learners.contract import Storage
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Balance, Denoise, Optimizer, Train
from duchenne.transforms import Preprocess

Faces = Callable[..., FaceSet]
Make = Callable[..., Any]

BDR = Denoise(name="bdr", start=2, rounds=2, max_share=0.5)


@pytest.fixture(params=["torch", "scratch"])
def make(request: pytest.FixtureRequest, make_learner: Callable[..., TorchLearner]) -> Make:
    """A learner of either kind, of a tiny net with dropout."""

    def scratch(epochs: int = 5, **changes: Any) -> ScratchLearner:
        settings: dict[str, Any] = {
            "args": {"hidden": [8], "dropout": 0.1},
            "preprocess": Preprocess(size=(12, 12)),
            "optimizer": Optimizer(name="sgd", lr=0.05, momentum=0.5),
            "train": Train(epochs=epochs, batch_size=8),
        }
        return ScratchLearner(**{**settings, **changes})

    def torch(epochs: int = 5, **changes: Any) -> TorchLearner:
        return make_learner(epochs=epochs, **changes)

    return torch if request.param == "torch" else scratch


class Stop:
    """Ctrl-C when an epoch's checkpoint is on disk."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None: ...

    def on_batch(self, step: int) -> None: ...

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        if row["epoch"] == self.epoch:
            raise KeyboardInterrupt


def figures(learner: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in learner.history_]


def flipped(faces: FaceSet, rows: list[int]) -> FaceSet:
    codes = faces.hard("emotion").copy()
    codes[rows] = (codes[rows] + 1) % 3
    return replace(faces, targets={"emotion": codes})


def test_planted_flips_go(make: Make, make_faces: Faces) -> None:
    rows = [3, 17, 40, 77, 90]
    faces = flipped(make_faces(n=120), rows)
    learner = make(epochs=16, denoise=Denoise(name="drop_largest", start=15, share=10 / 120)).fit(faces)
    gone = {one["id"] for record in learner.denoised_ for one in record["removed"]}
    assert len(gone & set(faces.ids[rows].tolist())) >= 4


def test_only_the_following_epochs_change(make: Make, make_faces: Faces) -> None:
    faces = make_faces(n=60)
    plain, cleaned = make().fit(faces), make(denoise=BDR).fit(faces)
    assert plain.denoised_ == []
    without = [{k: v for k, v in row.items() if k != VARIANCE} for row in figures(cleaned)]
    assert without[:2] == figures(plain)[:2]
    assert without[2] != figures(plain)[2]
    assert [r["epoch"] for r in cleaned.denoised_] == [2, 3]
    assert all(VARIANCE in row for row in cleaned.history_)
    assert all(VARIANCE not in row for row in plain.history_)


def test_the_learning_rate_keeps_its_time(make: Make, make_faces: Faces) -> None:
    """Epoch for epoch the schedule goes on as if nothing was left out."""
    from duchenne.recipe import Schedule

    faces, schedule = make_faces(n=64), Schedule(name="epoch_decay", rate=0.5)
    dropped = Denoise(name="drop_largest", start=1, rounds=2, share=0.15, max_share=0.5)
    learner = make(denoise=dropped, schedule=schedule).fit(faces)
    assert [row["lr"] for row in learner.history_] == [0.05 * 0.5**e for e in range(5)]


def test_interrupted_and_resumed(make: Make, make_faces: Faces, tmp_path: Path) -> None:
    faces, val = make_faces(n=60), make_faces(n=20, seed=1)
    whole = make(denoise=BDR).fit(faces, val=val, storage=Storage(tmp_path / "a", "tag"))
    for epoch in (1, 2, 3):
        folder = tmp_path / f"b{epoch}"
        with pytest.raises(KeyboardInterrupt):
            make(denoise=BDR).fit(faces, val=val, storage=Storage(folder, "tag"), listener=Stop(epoch))
        again = make(denoise=BDR).fit(faces, val=val, storage=Storage(folder, "tag", resume=True))
        assert figures(again) == figures(whole)
        assert again.denoised_ == whole.denoised_
        one, two = (
            read_arrays(p / "last.safetensors", ("model", "optimizer", "ema"))
            for p in (tmp_path / "a", folder)
        )
        assert one[1]["denoised"] == two[1]["denoised"] == whole.denoised_
        for group, arrays in one[0].items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, two[0][group][name])


def test_losses_are_the_ones_of_training(make: Make, make_faces: Faces) -> None:
    """Without dropout and before the first update the loss of a batch is the net's own."""
    faces = make_faces(n=8, au=True, sample_weight=np.array([1, 1, 1, 1, 1, 1, 0.5, 0]))
    changes: dict[str, Any] = {"denoise": Denoise(name="drop_largest", start=1, share=0.15)}
    if make.__name__ == "scratch":
        changes["args"] = {"hidden": [8]}
    learner = make(epochs=1, **changes).fit(faces)
    probs = (
        make(epochs=1, **changes, optimizer=Optimizer(name="sgd", lr=1e-12)).fit(faces).predict_proba(faces)
    )
    codes, units = faces.hard("emotion"), faces.targets["au"]
    said = np.where(units > 0.5, probs["au"], 1 - probs["au"])
    losses = -np.log(probs["emotion"][np.arange(8), codes]) - np.log(said).mean(axis=1)
    (record,) = learner.denoised_
    assert record["n"] == 7  # the last one has no weight
    assert record["m1"] == pytest.approx(losses[:7].mean(), rel=1e-4)
    assert record["variance"] == learner.history_[0][VARIANCE] == pytest.approx(losses[:7].var(), rel=1e-3)
    (gone,) = record["removed"]
    worst = int(losses[:7].argmax())
    assert gone["id"] == faces.ids[worst]
    assert gone["loss"] == pytest.approx(losses[worst], rel=1e-4)


def test_repeated_faces_and_faces_without_label(make: Make, make_faces: Faces) -> None:
    faces = make_faces(n=60)
    codes = faces.hard("emotion").copy()
    codes[::7] = -1
    codes[codes == 2] = np.where(np.arange((codes == 2).sum()) < 5, 2, 0)
    faces = replace(faces, targets={"emotion": codes})
    kwargs = {"balance": Balance(oversample="largest"), "denoise": replace_start(BDR, 1)}
    learner = make(**kwargs).fit(faces)
    gone = [one["id"] for record in learner.denoised_ for one in record["removed"]]
    assert gone
    assert len(set(gone)) == len(gone)
    assert not set(gone) & set(faces.ids[codes == -1].tolist())
    assert learner.denoised_[0]["n"] == int((codes >= 0).sum())


def replace_start(section: Denoise, start: int) -> Denoise:
    return section.model_copy(update={"start": start})


def test_what_is_refused(make: Make, make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces(n=60)
    greedy = Denoise(name="drop_largest", start=2, share=0.4)
    storage = Storage(tmp_path, "tag")
    with pytest.raises(TrainingError, match=r"more than denoise\.max_share = 0\.25"):
        make(denoise=greedy).fit(faces, storage=storage)
    _, facts = read_arrays(tmp_path / "last.safetensors", ("model", "optimizer", "ema"))
    assert facts["epoch"] == 1
    everything = Denoise(name="drop_largest", start=1, share=0.98, max_share=0.99)
    with pytest.raises(TrainingError, match="the last face of class"):
        make(denoise=everything).fit(faces)
