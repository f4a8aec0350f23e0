"""Beginning from trained weights: old labels bit for bit, new ones initialised, the head alone; bad files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file

from duchenne.datasets.faceset import FaceSet
from duchenne.errors import RecipeError, RunError
from duchenne.labels import Output
from duchenne.learners.contract import Storage
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.start import Slots, Trained, label_places, side_by_side, take_over
from duchenne.learners.torch_learner import TorchLearner
from duchenne.learners.torch_start import begin_from
from duchenne.recipe import Optimizer, Train
from duchenne.transforms import Preprocess

Array = npt.NDArray[Any]
Faces = Callable[..., FaceSet]
Learner = Callable[..., TorchLearner]

FRIV: dict[str, Any] = {"model": "friv", "args": {"filters": [3, 4], "pools": ["max", "average"], "dense": 6}}


def scratch(**changes: Any) -> ScratchLearner:
    train = {k: changes.pop(k) for k in ("epochs", "batch_size", "seed") if k in changes}
    settings: dict[str, Any] = {
        "args": {"hidden": [7, 5], "dropout": 0.2},
        "preprocess": Preprocess(size=(12, 12)),
        "optimizer": Optimizer(name="sgd", lr=0.05, momentum=0.9),
        "train": Train(**{"epochs": 2, "batch_size": 8, **train}),
    }
    return ScratchLearner(**{**settings, **changes})


@pytest.fixture
def two_and_au(make_faces: Faces) -> FaceSet:
    """Faces of `angry` and `sad` (not `happy`, which stands between them), with action units."""
    return make_faces(60, au=True).without_labels(["happy"])


def arrays_of(path: Path) -> dict[str, Array]:
    return {k.partition("/")[2]: v for k, v in load_file(path).items() if k.startswith("model/")}


def same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# -- what is taken over -------------------------------------------------------------------------------------


def test_scratch_keeps_old_columns_of_several_outputs(
    make_faces: Faces, two_and_au: FaceSet, tmp_path: Path
) -> None:
    old = scratch().fit(two_and_au, storage=Storage(tmp_path))
    new = scratch(seed=9, start=tmp_path / "best.safetensors")
    new.outputs_ = make_faces(au=True).outputs
    net, fresh = new._make_net(), new._make_net().parameters()
    new._begin(net)
    before, after = old.net_.parameters(), net.parameters()
    for name in ("linear0.weight", "linear0.bias", "linear1.weight", "linear1.bias"):
        assert same(before[name], after[name])
    # angry, sad | AU1, AU12 before; angry, happy, sad | AU1, AU12 now
    for name in ("linear2.weight", "linear2.bias"):
        assert same(after[name][..., [0, 2, 3, 4]], before[name])
        assert same(after[name][..., 1], fresh[name][..., 1])
    assert fresh["linear2.weight"][:, 1].any()


def test_torch_keeps_old_rows_of_several_outputs(
    make_faces: Faces, make_learner: Learner, two_and_au: FaceSet, tmp_path: Path
) -> None:
    make_learner(**FRIV).fit(two_and_au, storage=Storage(tmp_path))
    before = arrays_of(tmp_path / "best.safetensors")
    new = make_learner(**FRIV, seed=9)
    new.outputs_ = make_faces(au=True).outputs
    net = new._make_net()
    fresh = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    facts = {"model": "friv", "preprocess": Preprocess(size=(12, 12)).to_json()}
    begin_from(net, tmp_path / "best.safetensors", facts, new.outputs_)
    after = {k: v.numpy() for k, v in net.state_dict().items()}
    for name in set(after) - {"head.heads.emotion.weight", "head.heads.emotion.bias"}:
        assert same(after[name], before[name]), name
    assert any(name.endswith("running_var") for name in after)
    for name in ("head.heads.emotion.weight", "head.heads.emotion.bias"):
        assert same(after[name][[0, 2]], before[name])
        assert same(after[name][1], fresh[name][1])


def test_an_output_that_the_checkpoint_has_not_begins_as_initialised(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    make_learner().fit(make_faces(), storage=Storage(tmp_path))
    before = arrays_of(tmp_path / "best.safetensors")
    new = make_learner(seed=9)
    new.outputs_ = make_faces(au=True).outputs
    net = new._make_net()
    fresh = net.state_dict()["head.heads.au.weight"].numpy().copy()
    facts = {"model": "smallnet", "preprocess": Preprocess(size=(12, 12)).to_json()}
    begin_from(net, tmp_path / "best.safetensors", facts, new.outputs_)
    after = {k: v.numpy() for k, v in net.state_dict().items()}
    assert same(after["head.heads.au.weight"], fresh)
    assert same(after["head.heads.emotion.weight"], before["head.heads.emotion.weight"])


def test_a_net_that_pools_begins_for_images_of_another_size(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    faces = make_faces()
    make_learner().fit(faces, storage=Storage(tmp_path / "small"))
    start = tmp_path / "small" / "best.safetensors"
    held, large = Optimizer(name="sgd", lr=1e-12), Preprocess(size=(20, 20), detail=(12, 12))
    learner = make_learner(start=start, preprocess=large, optimizer=held, epochs=1)
    learner.check(faces)
    learner.fit(faces, storage=Storage(tmp_path / "large"))
    before = arrays_of(start)
    for name, array in arrays_of(tmp_path / "large" / "best.safetensors").items():
        np.testing.assert_allclose(array, before[name], atol=1e-9, err_msg=name)


def test_the_grown_net_answers_for_old_labels_as_before(make_faces: Faces, tmp_path: Path) -> None:
    """Independent of arrays' names: logits of the old labels are the same before the first update."""
    faces = make_faces(60)
    old = scratch(args={"hidden": [7]}).fit(faces.without_labels(["sad"]), storage=Storage(tmp_path))
    new = scratch(args={"hidden": [7]}, start=tmp_path / "best.safetensors")
    new.outputs_ = faces.outputs
    new.net_ = new._make_net()
    new._begin(new.net_)
    new.n_iter_ = 0
    np.testing.assert_array_equal(new.logits(faces)["emotion"][:, :2], old.logits(faces)["emotion"])


def test_labels_are_matched_by_name_whatever_their_order() -> None:
    old = (Output("a", "single", ("x", "y")), Output("b", "multi", ("1", "2")))
    new = (Output("b", "multi", ("0", "2", "1")), Output("a", "single", ("y", "z", "x")))
    trained = Trained(Path("c"), {}, old)
    assert label_places(trained, new) == {"a": [2, 0], "b": [2, 1]}
    assert side_by_side(trained, new) == [5, 3, 2, 1]


def test_take_over_leaves_the_new_net_alone() -> None:
    fresh = {"w": np.zeros((2, 3), np.float32)}
    trained = Trained(Path("c"), {"w": np.ones((2, 2), np.float32)}, ())
    taken = take_over(fresh, trained, {"w": Slots(1, [2, 0])})
    np.testing.assert_array_equal(taken["w"], [[1, 0, 1], [1, 0, 1]])
    assert not fresh["w"].any()


# -- training ---------------------------------------------------------------------------------------------


def test_scratch_head_only_leaves_the_body(make_faces: Faces, tmp_path: Path) -> None:
    faces, val = make_faces(60), make_faces(30, seed=1)
    scratch().fit(faces.without_labels(["happy"]), storage=Storage(tmp_path / "old"))
    start = tmp_path / "old" / "best.safetensors"
    for optimizer in (Optimizer(name="sgd", lr=0.05, momentum=0.9), Optimizer(lr=0.01)):
        new = scratch(start=start, start_train="head", optimizer=optimizer, epochs=3)
        new.fit(faces, val=val, storage=Storage(tmp_path / "new"))
        before = arrays_of(start)
        for file in ("best", "last"):
            after = arrays_of(tmp_path / "new" / f"{file}.safetensors")
            assert [k for k in before if same(before[k], after[k])] == [
                "linear0.bias", "linear0.weight", "linear1.bias", "linear1.weight",
            ]  # fmt: skip
            assert not np.array_equal(after["linear2.weight"][:, [0, 2]], before["linear2.weight"])


def test_torch_head_only_leaves_the_body(make_faces: Faces, make_learner: Learner, tmp_path: Path) -> None:
    faces, val = make_faces(60), make_faces(30, seed=1)
    make_learner(**FRIV).fit(faces.without_labels(["happy"]), storage=Storage(tmp_path / "old"))
    start = tmp_path / "old" / "best.safetensors"
    adamw = Optimizer(name="adamw", lr=0.01, weight_decay=0.3)
    new = make_learner(**FRIV, start=start, start_train="head", optimizer=adamw, ema=0.5)
    new.fit(faces, val=val, storage=Storage(tmp_path / "new"))
    before = arrays_of(start)
    for file in ("best", "last"):
        after = arrays_of(tmp_path / "new" / f"{file}.safetensors")
        moved = {k for k in after if not same(before[k], after[k])}
        assert moved == {"head.heads.emotion.weight", "head.heads.emotion.bias"}
        assert not np.array_equal(
            after["head.heads.emotion.weight"][[0, 2]], before["head.heads.emotion.weight"]
        )


@pytest.mark.parametrize("kind", ["scratch", "torch"])
def test_all_weights_move_and_the_start_matters(
    make_faces: Faces, make_learner: Learner, tmp_path: Path, kind: str
) -> None:
    make: Callable[..., Any] = scratch if kind == "scratch" else make_learner
    faces = make_faces(60)
    make(seed=3).fit(faces.without_labels(["happy"]), storage=Storage(tmp_path))
    start = tmp_path / "best.safetensors"
    make(start=start).fit(faces, storage=Storage(tmp_path / "grown"))
    make().fit(faces, storage=Storage(tmp_path / "anew"))
    old, grown, anew = (
        arrays_of(p / "last.safetensors") for p in (tmp_path, tmp_path / "grown", tmp_path / "anew")
    )
    first = next(k for k in sorted(old) if k.endswith("weight"))
    assert not same(old[first], grown[first])
    assert not same(anew[first], grown[first])


class Interrupt:
    """Ctrl-C after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        pass

    def on_batch(self, step: int) -> None:
        pass

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        if row["epoch"] == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("which", ["all", "head"])
@pytest.mark.parametrize("kind", ["scratch", "torch"])
def test_resumed_equals_unbroken_even_without_the_start(
    make_faces: Faces, make_learner: Learner, tmp_path: Path, kind: str, which: str
) -> None:
    faces, val = make_faces(60), make_faces(30, seed=1)

    def make(**changes: Any) -> Any:
        if kind == "scratch":
            return scratch(**changes)
        return make_learner(**FRIV, optimizer=Optimizer(lr=0.01), ema=0.8, **changes)

    make().fit(faces.without_labels(["happy"]), storage=Storage(tmp_path))
    start = tmp_path / "best.safetensors"
    grown = {"start": start, "start_train": which, "epochs": 4}
    whole, broken = Storage(tmp_path / "whole"), Storage(tmp_path / "broken")
    unbroken = make(**grown).fit(faces, val=val, storage=whole)
    with pytest.raises(KeyboardInterrupt):
        make(**grown).fit(faces, val=val, storage=broken, listener=Interrupt(2))
    start.unlink()
    resumed = make(**grown).fit(faces, val=val, storage=replace(broken, resume=True))
    assert resumed.n_iter_ == 4
    for row, twin in zip(unbroken.history_, resumed.history_, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {
            k: v for k, v in twin.items() if k != "seconds"
        }
    for name in ("best", "last"):
        one, two = (load_file(s.folder / f"{name}.safetensors") for s in (whole, broken))
        assert one.keys() == two.keys()
        assert all(same(one[k], two[k]) for k in one)


# -- what does not fit ------------------------------------------------------------------------------------


@pytest.fixture
def checkpoints(make_faces: Faces, make_learner: Learner, tmp_path: Path) -> dict[str, Path]:
    faces = make_faces(au=True)
    scratch(epochs=1).fit(faces, storage=Storage(tmp_path / "scratch"))
    make_learner(epochs=1).fit(faces, storage=Storage(tmp_path / "torch"))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((tmp_path / "torch" / "best.safetensors").read_bytes()[:-9])
    return {k: tmp_path / k / "best.safetensors" for k in ("scratch", "torch", "none")} | {"broken": broken}


@pytest.mark.parametrize(
    ("kind", "of", "changes", "faces", "words"),
    [
        ("scratch", "torch", {}, {}, ["learner.name = 'torch'", "'scratch'"]),
        ("torch", "scratch", {}, {}, ["learner.name = 'scratch'", "'torch'"]),
        ("scratch", "none", {}, {}, ["there is no checkpoint"]),
        ("torch", "broken", {}, {}, ["damaged or cut short"]),
        ("scratch", "scratch", {"preprocess": Preprocess(size=(12, 12), mean=(0.5,))}, {},
         ["preprocess.mean = [0.0]", "[0.5]"]),
        ("scratch", "scratch", {"preprocess": Preprocess(size=(16, 16))}, {},
         ["preprocess.size = [12, 12]"]),
        ("torch", "torch", {"preprocess": Preprocess(size=(12, 12), per_image=True)}, {},
         ["preprocess.per_image = False"]),
        ("torch", "torch", {"model": "friv", "args": FRIV["args"]}, {},
         ["learner.model = 'smallnet'", "'friv'"]),
        ("scratch", "scratch", {"args": {"hidden": [7, 6]}}, {}, ["'linear1.weight' is (7, 5)", "(7, 6)"]),
        ("scratch", "scratch", {"args": {"hidden": [7, 5, 5]}}, {},
         ["has no array 'linear3.weight'", "(5, 5)"]),
        ("scratch", "scratch", {"args": {"hidden": [7]}}, {}, ["an array 'linear2.bias' of shape (5,)"]),
        ("torch", "torch", {"args": {"filters": [4, 8], "batch_norm": False}}, {},
         ["'body.2.weight' is (6, 4, 3, 3)", "(8, 4, 3, 3)"]),
        ("torch", "torch", {"args": {"filters": [4], "batch_norm": False}}, {},
         ["'head.heads.emotion.weight' is (3, 6)", "(3, 4)"]),
        ("torch", "torch", {"args": {"filters": [4, 6], "batch_norm": True}}, {},
         ["has no array 'body.1.weight'"]),
        ("scratch", "scratch", {}, {"without": "happy"}, ["label(s) happy of 'emotion'", "only angry, sad"]),
        ("torch", "torch", {}, {"without": "sad"}, ["label(s) sad of 'emotion'"]),
        ("torch", "torch", {}, {"outputs": ["emotion"]}, ["multi-label output 'au'"]),
    ],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit(
    make_faces: Faces, make_learner: Learner, checkpoints: dict[str, Path], kind: str, of: str,
    changes: dict[str, Any], faces: dict[str, Any], words: list[str],
) -> None:  # fmt: skip
    make: Callable[..., Any] = scratch if kind == "scratch" else make_learner
    data = make_faces(au=True)
    data = data.without_labels([faces["without"]]) if "without" in faces else data
    data = data.keep_outputs(faces.get("outputs", ["emotion", "au"]))
    learner = make(start=checkpoints[of], **changes)
    for call in (learner.check, learner.fit):
        with pytest.raises(RunError) as caught:
            call(data)
        for word in words:
            assert word in caught.value.what
    assert not hasattr(learner, "net_")


@pytest.mark.parametrize("kind", ["scratch", "torch"])
@pytest.mark.parametrize(("which", "word"), [("head", "needs a trained body"), ("tail", "'all' or 'head'")])
def test_a_head_needs_a_body(
    make_faces: Faces, make_learner: Learner, kind: str, which: str, word: str
) -> None:
    make: Callable[..., Any] = scratch if kind == "scratch" else make_learner
    learner = make(start_train=which)
    for call in (learner.check, learner.fit):
        with pytest.raises(RecipeError, match=word):
            call(make_faces())


def test_a_frozen_body_gives_the_same_features_in_training(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    """With batch norms held and no dropout, the head's first losses are those of the old net's features."""
    normed = {"args": {"filters": [4, 6], "batch_norm": True}}
    faces = make_faces(40)
    old = make_learner(**normed).fit(faces, storage=Storage(tmp_path))
    still = Optimizer(name="sgd", lr=1e-30)
    start = tmp_path / "best.safetensors"
    new = make_learner(**normed, start=start, start_train="head", optimizer=still, epochs=1).fit(faces)
    logits = torch.from_numpy(old.logits(faces)["emotion"])
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(faces.hard("emotion")))
    assert new.history_[0]["train_loss"] == pytest.approx(float(expected), rel=1e-5)
