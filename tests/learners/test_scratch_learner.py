"""The NumPy engine as a learner: the same contract as the torch learner, export, resume, refusals."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file

from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import DataError, RecipeError, RunError, TrainingError
from duchenne.learners.contract import Storage
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.torch_learner import TorchLearner
from duchenne.learners.tree_learner import TreeLearner
from duchenne.recipe import Balance, Loss, Optimizer, Schedule, Stop, Train
from duchenne.transforms import Preprocess

Faces = Callable[..., FaceSet]


def scratch(**changes: Any) -> ScratchLearner:
    """A tiny net on 12x12 pixels; keywords replace its settings, `epochs` and so on those of `train`."""
    train = {k: changes.pop(k) for k in ("epochs", "batch_size", "seed") if k in changes}
    settings: dict[str, Any] = {
        "args": {"hidden": [10, 6], "dropout": 0.1},
        "preprocess": Preprocess(size=(12, 12), mean=(0.4,), std=(0.3,)),
        "optimizer": Optimizer(name="sgd", lr=0.05, momentum=0.9),
        "train": Train(**{"epochs": 4, "batch_size": 8, **train}),
    }
    return ScratchLearner(**{**settings, **changes})


def figures(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_it_learns_and_answers_like_any_learner(make_faces: Faces) -> None:
    faces, val = make_faces(60), make_faces(30, seed=1)
    learner = scratch(epochs=30).fit(faces, val=val)
    assert learner.score(val) > 0.9  # how bright a face is tells its class
    assert learner.classes_.tolist() == ["angry", "happy", "sad"]
    probs = learner.predict_proba(val)
    assert probs.shape == (30, 3)
    assert np.allclose(probs.sum(axis=1), 1, atol=1e-6)
    assert (learner.predict(val) == learner.classes_[probs.argmax(axis=1)]).all()
    best = learner.history_[learner.best_["epoch"] - 1]
    assert learner.best_["value"] == best["val_emotion_accuracy"] == pytest.approx(learner.score(val))
    assert learner.sample_losses_.shape == (60,)
    assert learner.num_parameters_ == 144 * 10 + 10 + 10 * 6 + 6 + 6 * 3 + 3


def test_history_rows_have_the_keys_of_the_torch_learner(make_faces: Faces, make_learner: Any) -> None:
    faces = make_faces(24, au=True)
    ours = scratch(epochs=1).fit(faces, val=faces).history_[0]
    theirs: TorchLearner = make_learner(epochs=1).fit(faces, val=faces)
    assert ours.keys() == theirs.history_[0].keys()


def test_arrays_of_classes_of_any_kind(make_faces: Faces) -> None:
    images = np.asarray(make_faces(30).images)
    y = np.where(images.mean(axis=(1, 2)) > 120, 7, 3)
    learner = scratch(epochs=20).fit(images, y, val=(images, y))
    assert set(learner.predict(images).tolist()) <= {3, 7}
    assert learner.score(images, y) > 0.8


@pytest.mark.parametrize("kind", ["several outputs", "votes", "leaky", "deep", "linear"])
def test_exported_net_gives_the_same_logits(make_faces: Faces, tmp_path: Path, kind: str) -> None:
    faces = make_faces(26, au=kind == "several outputs")
    args = {
        "leaky": {"hidden": [9], "activation": "leaky_relu", "slope": 0.2},
        "deep": {"hidden": [9, 8, 7, 6], "dropout": 0.5},
        "linear": {"hidden": []},
    }.get(kind, {"hidden": [10, 6]})
    if kind == "votes":
        votes = np.random.default_rng(0).integers(1, 9, (26, 3)).astype(np.float32)
        faces = from_arrays(np.asarray(faces.images), {"emotion": votes}, outputs=faces.outputs, name="votes")
    learner = scratch(args=args).fit(faces)
    session = onnxruntime.InferenceSession(learner.to_onnx(), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == [o.name for o in faces.outputs]
    x = learner._preprocess(faces.pixels(np.arange(26)))
    for name, theirs in zip(learner.logits(faces), session.run(None, {"images": x}), strict=True):
        assert np.abs(learner.logits(faces)[name] - theirs).max() < 1e-5
    for batch in (1, 7):
        assert session.run(None, {"images": x[:batch]})[0].shape[0] == batch


@pytest.mark.parametrize("optimizer", [Optimizer(name="sgd", lr=0.05, momentum=0.9), Optimizer(lr=0.01)])
@pytest.mark.parametrize("step", [0, 3])
def test_resumed_equals_unbroken(make_faces: Faces, tmp_path: Path, optimizer: Optimizer, step: int) -> None:
    faces, val = make_faces(), make_faces(20, seed=1)
    more: dict[str, Any] = {
        "optimizer": optimizer, "loss": Loss(l2=0.01), "schedule": Schedule(name="epoch_decay", rate=0.9),
    }  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = scratch(epochs=6, **more).fit(faces, val=val, storage=Storage(whole, "t"))
    with pytest.raises(KeyboardInterrupt):
        scratch(epochs=6, **more).fit(
            faces, val=val, storage=Storage(broken, "t"), listener=Interrupt(2, step)
        )
    resumed = scratch(epochs=6, **more).fit(faces, val=val, storage=Storage(broken, "t", resume=True))
    assert figures(resumed.history_) == figures(unbroken.history_)
    assert resumed.best_ == unbroken.best_
    for name in ("best", "last"):
        a, b = (load_file(p / f"{name}.safetensors") for p in (whole, broken))
        assert a.keys() == b.keys()
        assert all((a[k] == b[k]).all() for k in a)


class Interrupt:
    """Ctrl-C after an epoch, or in the middle of the next."""

    def __init__(self, epoch: int, step: int) -> None:
        self.epoch, self.step, self.done = epoch, step, 0

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        assert (epochs_done, steps_per_epoch) == (0, 5)  # 37 faces, 8 a batch

    def on_batch(self, step: int) -> None:
        if self.step and self.done == self.epoch and step == self.step:
            raise KeyboardInterrupt

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        self.done = row["epoch"]
        if not self.step and self.done == self.epoch:
            raise KeyboardInterrupt


def test_a_finished_training_resumed_is_itself(make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces()
    storage = Storage(tmp_path, "t", resume=True)
    first = scratch().fit(faces, val=faces, storage=storage)
    again = scratch().fit(faces, val=faces, storage=storage)
    assert again.n_iter_ == 4
    assert again.finished_
    assert (again.logits(faces)["emotion"] == first.logits(faces)["emotion"]).all()


def test_the_deadline_leaves_a_resumable_training(make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces()
    cut = scratch().fit(faces, val=faces, storage=Storage(tmp_path, "t", deadline=0))
    assert (cut.n_iter_, cut.finished_, cut.reason_) == (1, False, "time limit of 0 s")
    whole = scratch().fit(faces, val=faces, storage=Storage(tmp_path, "t", resume=True))
    assert (whole.n_iter_, whole.finished_) == (4, True)


@pytest.mark.parametrize(("deadline", "epochs"), [(100.0, 1), (151.0, 2), (1000.0, 4)])
def test_no_epoch_is_begun_that_would_pass_the_deadline(
    make_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadline: float, epochs: int
) -> None:
    class Slow:
        """Each epoch seems to take 75 seconds."""

        now = 0.0

        def on_start(self, *_: Any) -> None: ...

        def on_epoch(self, *_: Any) -> None: ...

        def on_batch(self, step: int) -> None:
            self.now += 75.0 if step == 1 else 0.0

    clock = Slow()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    learner = scratch().fit(make_faces(24), storage=Storage(tmp_path, deadline=deadline), listener=clock)
    assert (learner.n_iter_, learner.finished_) == (epochs, epochs == 4)


def test_early_stopping_keeps_the_best_epoch(make_faces: Faces) -> None:
    faces, val = make_faces(), make_faces(20, seed=1)
    learner = scratch(epochs=60, stop=Stop(patience=3)).fit(faces, val=val)
    assert learner.n_iter_ < 60
    assert learner.n_iter_ == learner.best_["epoch"] + 3
    assert learner.reason_ == "no better val_emotion_accuracy for 3 epochs"
    assert learner.score(val) == pytest.approx(learner.best_["value"])


def test_save_and_load(make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces(30, au=True)
    learner = scratch().fit(faces, val=faces)
    learner.save(tmp_path / "x.safetensors")
    twin = ScratchLearner.load(tmp_path / "x.safetensors")
    assert twin.outputs_ == learner.outputs_
    assert twin.history_ == learner.history_
    for name, logits in learner.logits(faces).items():
        assert (twin.logits(faces)[name] == logits).all()


def test_a_checkpoint_of_another_net_is_named(make_faces: Faces, tmp_path: Path) -> None:
    faces, path = make_faces(), tmp_path / "last.safetensors"
    scratch(epochs=2).fit(faces, val=faces, storage=Storage(tmp_path, "t"))
    other = scratch(epochs=4, args={"hidden": [10, 7]})
    with pytest.raises(RunError, match=r"linear1\.weight.*\(10, 6\).*\(10, 7\)"):
        other.fit(faces, val=faces, storage=Storage(tmp_path, "t", resume=True))
    with pytest.raises(RunError, match="another recipe or other data"):
        scratch().fit(faces, val=faces, storage=Storage(tmp_path, "u", resume=True))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match="damaged or cut short"):
        scratch().fit(faces, val=faces, storage=Storage(tmp_path, "t", resume=True))
    save_file({"model/linear0.weight": np.zeros((2, 2), np.float32)}, path, {"schema": "1", "facts": "{}"})
    with pytest.raises(RunError, match="does not say its"):
        ScratchLearner.load(path)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"args": {"hidden": [0]}}, r"learner\.args\.hidden"),
        ({"args": {"hidden": ["many"]}}, r"learner\.args\.hidden"),
        ({"args": {"hidden": "512"}}, r"learner\.args\.hidden"),
        ({"args": {"hidden": 512}}, r"learner\.args\.hidden"),
        ({"args": {"hidden": [10**12]}}, r"learner\.args\.hidden: \[1000000000000\] .* GiB of memory"),
        ({"args": {"hidden": [10**20, 3]}}, r"learner\.args\.hidden: .* GiB of memory"),
        ({"args": {"hidden": [8], "dropout": 1.0}}, r"learner\.args\.dropout"),
        ({"args": {"hidden": [8], "dropout": "much"}}, r"learner\.args\.dropout"),
        ({"args": {"hidden": [8], "init": "zeros"}}, r"learner\.args\.init"),
        ({"args": {"hiden": [8]}}, "did you mean|no such argument"),
        ({"optimizer": Optimizer(name="adamw")}, r"optimizer\.name = 'adamw'"),
        ({"optimizer": Optimizer(name="sgd", weight_decay=0.1)}, r"optimizer\.weight_decay"),
        ({"loss": Loss(l1=0.1)}, r"loss\.l1"),
        ({"loss": Loss(weights={"mood": 1.0})}, "no output 'mood'"),
        ({"train": Train(ema=0.9)}, r"train\.ema"),
        ({"train": Train(precision="bf16-mixed")}, r"train\.precision"),
        ({"batch_size": 38}, r"train\.batch_size = 38 is larger than the training part \(37 faces\)"),
        ({"stop": Stop(monitor="val_los")}, r"stop\.monitor"),
    ],
)
def test_settings_that_cannot_be(make_faces: Faces, changes: dict[str, Any], what: str) -> None:
    faces = make_faces()
    for act in (lambda: scratch(**changes).fit(faces, val=faces), lambda: scratch(**changes).check(faces)):
        with pytest.raises(RecipeError, match=what):
            act()


def test_one_class_and_no_faces(make_faces: Faces) -> None:
    faces = make_faces(30)
    with pytest.raises(DataError, match="fewer than two classes"):
        scratch().fit(faces.select(np.flatnonzero(faces.hard("emotion") == 1)))
    with pytest.raises(DataError, match="is empty"):
        scratch().fit(faces.select(np.empty(0, np.int64)))


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_classes_that_are_no_numbers_are_refused(make_faces: Faces, odd: float) -> None:
    images = make_faces(8).pixels()
    with pytest.raises(DataError, match="nan or infinite"):
        scratch().fit(images, np.array([0, 1, 0, 1, 0, 1, 0, odd]))


@pytest.mark.parametrize("learner", ["torch", "trees"])
def test_a_checkpoint_of_another_learner_is_named(
    make_faces: Faces, make_learner: Any, tmp_path: Path, learner: str
) -> None:
    path, faces = tmp_path / "x.safetensors", make_faces(12)
    other = (
        TreeLearner(preprocess=Preprocess(size=(12, 12))) if learner == "trees" else make_learner(epochs=1)
    )
    other.fit(faces).save(path)
    with pytest.raises(RunError, match=f"of learner '{learner}', not of 'scratch'"):
        ScratchLearner.load(path)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_answers_alike_and_is_its_own(make_faces: Faces, twin: Callable[[Any], Any]) -> None:
    faces = make_faces(24)
    args = {"hidden": [10, 6], "dropout": 0.1, "activation": "leaky_relu", "slope": 0.3}
    learner = scratch(args=args, epochs=1).fit(faces)
    before = learner.logits(faces)["emotion"]
    copied = twin(learner)
    assert (copied.logits(faces)["emotion"] == before).all()
    # Its layers still work on its one array of weights, and not on that of the first.
    copied.net_.values[:] = 0
    assert not copied.logits(faces)["emotion"].any()
    assert (learner.logits(faces)["emotion"] == before).all()


def test_nan_pixels_are_refused() -> None:
    images = np.full((8, 12, 12), np.nan, np.float32)
    with pytest.raises(DataError, match="uint8"):
        scratch().fit(images, np.arange(8) % 2)


def test_divergence_is_told_and_the_best_epoch_kept(make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces(64)
    scratch(epochs=1).fit(faces, val=faces, storage=Storage(tmp_path, "t"))
    kept = (tmp_path / "best.safetensors").read_bytes()
    wild = scratch(
        epochs=40, optimizer=Optimizer(name="sgd", lr=1e20), args={"hidden": [10, 6], "dropout": 0.0}
    )
    with pytest.raises(TrainingError, match="in epoch"):
        wild.fit(faces, val=faces, storage=Storage(tmp_path / "wild", "t"))
    with pytest.raises(TrainingError, match=r"the checkpoint of epoch \d+ is kept"):
        scratch(
            epochs=40,
            args={"hidden": [10, 6], "dropout": 0.0},
            optimizer=Optimizer(name="sgd", lr=0.05, momentum=0.9),
            schedule=Schedule(name="exponential", rate=50.0, every=1),
        ).fit(faces, val=faces, storage=Storage(tmp_path, "t", resume=True))
    assert (tmp_path / "best.safetensors").read_bytes() == kept


def test_balanced_weights_raise_a_rare_class(make_faces: Faces) -> None:
    faces = make_faces(60)
    codes = faces.hard("emotion")
    rare = faces.select(np.concatenate([np.flatnonzero(codes == 0), np.flatnonzero(codes == 1)[:2]]))
    plain = scratch(epochs=2, seed=3).fit(rare).predict_proba(rare)[:, 1].mean()
    raised = scratch(epochs=2, seed=3, balance=Balance(class_weights="balanced")).fit(rare)
    assert raised.predict_proba(rare)[:, 1].mean() > plain


def test_training_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from duchenne.learners.scratch_learner import ScratchLearner\n"
        "x = np.random.default_rng(0).integers(0, 255, (20, 48, 48), dtype=np.uint8)\n"
        "from duchenne.recipe import Train\n"
        "train = Train(epochs=1, batch_size=5)\n"
        "ScratchLearner(args={'hidden': [4]}, train=train).fit(x, np.arange(20) % 2)\n"
        "assert 'torch' not in sys.modules and 'cv2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
