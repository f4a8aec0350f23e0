"""A support vector machine as a learner: the contract, features, keeping, resuming, export, bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.svm import SVC

from duchenne.artifacts import Artifact, Card, save_artifact
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import DataError, DuchenneError, RecipeError, RunError
from duchenne.learners.arrayfile import read_arrays, write_arrays
from duchenne.learners.contract import Row, Storage
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.svm_learner import SVMLearner
from duchenne.recipe import Balance, Optimizer, Stop, Train
from duchenne.transforms import Preprocess

Faces = Callable[..., FaceSet]
PIXELS = Preprocess(size=(6, 6))
VECTORS = Preprocess(
    size=(12, 12),
    features=[  # type: ignore[arg-type]
        {"name": "lpq", "window": 3, "grid": [1, 2], "root": True},
        {"name": "phog", "levels": 1, "root": True},
    ],
)


def make(**changes: Any) -> SVMLearner:
    return SVMLearner(**({"args": {"C": [1.0, 10.0]}, "preprocess": PIXELS} | changes))


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_start(self, done: int, epochs: int, steps: int) -> None:
        self.heard.append(("start", done, epochs, steps))

    def on_batch(self, step: int) -> None:
        self.heard.append(("batch", step))

    def on_epoch(self, row: Row, history: list[Row], best: Row) -> None:
        self.heard.append(("epoch", row["epoch"]))


def test_it_learns_and_says_so(make_faces: Faces) -> None:
    faces, val, ear = make_faces(60), make_faces(30, 1), Ear()
    learner = make().fit(faces, val=val, listener=ear)
    assert learner.score(val) > 0.9
    (row,) = learner.history_
    codes, probs = val.hard("emotion"), learner.predict_proba(val)
    assert row["val_emotion_accuracy"] == pytest.approx(accuracy_score(codes, probs.argmax(1)))
    assert row["val_emotion_macro_f1"] == pytest.approx(f1_score(codes, probs.argmax(1), average="macro"))
    assert row["val_loss"] == pytest.approx(log_loss(codes, probs.astype(float)), rel=1e-3)
    assert row["train_emotion_accuracy"] == pytest.approx(learner.score(faces))
    assert 0 < row["support_vectors"] <= row["faces"] == 60
    assert learner.best_ == {
        "epoch": 1, "monitor": "val_emotion_accuracy", "value": row["val_emotion_accuracy"],
    }  # fmt: skip
    assert learner.finished_
    assert ear.heard == [("start", 0, 1, 1), ("batch", 1), ("epoch", 1)]


def test_decisions_on_images_are_scikit_learns(make_faces: Faces) -> None:
    faces, other = make_faces(60), make_faces(20, 1)
    learner = make(args={"kernel": "rbf", "C": 3.0, "gamma": 0.1}).fit(faces)
    x, z = (PIXELS(f.pixels(np.arange(len(f)))).reshape(len(f), -1).astype(float) for f in (faces, other))
    theirs = SVC(C=3.0, gamma=0.1, decision_function_shape="ovo").fit(x, faces.hard("emotion"))
    np.testing.assert_allclose(learner.svm_.decisions(z), theirs.decision_function(z), atol=2e-3)


def test_the_scikit_learn_contract() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (40, 6, 6), dtype=np.uint8)
    y = np.where(np.arange(40) % 2, "yes", "no")
    images[y == "yes", 0, 0] = 255
    learner = clone(make()).fit(images, y)
    assert learner.classes_.tolist() == ["no", "yes"]
    assert set(learner.predict(images)) <= {"no", "yes"}
    np.testing.assert_allclose(learner.predict_proba(images).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("preprocess", [PIXELS, VECTORS], ids=["pixels", "features"])
def test_saved_and_exported_it_answers_alike(
    make_faces: Faces, tmp_path: Path, kernel: str, preprocess: Preprocess
) -> None:
    faces, other = make_faces(60), make_faces(33, 1, side=15)
    learner = make(args={"kernel": kernel, "C": [1.0, 100.0]}, preprocess=preprocess).fit(faces)
    learner.save(tmp_path / "svm.safetensors")
    again = SVMLearner.load(tmp_path / "svm.safetensors")
    np.testing.assert_array_equal(again.logits(other)["emotion"], learner.logits(other)["emotion"])
    assert again.num_parameters_ == learner.num_parameters_ > 0
    assert again.preprocess == preprocess
    card = Card("svm", learner.outputs_, preprocess.to_json())
    save_artifact(tmp_path / "artifact", learner.to_onnx(), card)
    artifact = Artifact.load(tmp_path / "artifact", threads=1)
    assert artifact.preprocess == preprocess
    pixels = other.pixels(np.arange(len(other)))
    logits = artifact.logits(artifact.preprocess(pixels))["emotion"]
    np.testing.assert_allclose(logits, learner.logits(other)["emotion"], atol=1e-4)
    np.testing.assert_allclose(artifact.predict(pixels)["emotion"], learner.predict_proba(other), atol=1e-5)
    shaped = np.stack(list(preprocess.shape(list(pixels))))  # as the predictor does, one face after the other
    np.testing.assert_array_equal(artifact.predict(shaped)["emotion"], artifact.predict(pixels)["emotion"])
    if preprocess.features is not None:
        with pytest.raises(RecipeError, match="views 'flip'"):
            artifact.predict(pixels, views="flip")


def test_labels_without_faces_are_never_answered(make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces(60)
    two = faces.select(np.flatnonzero(faces.hard("emotion") != 1))
    learner = make().fit(two)
    assert set(learner.predict(faces)) == {"angry", "sad"}
    save_artifact(tmp_path, learner.to_onnx(), Card("svm", learner.outputs_, PIXELS.to_json()))
    probs = Artifact.load(tmp_path, threads=1).predict(faces.pixels(np.arange(60)))["emotion"]
    np.testing.assert_allclose(probs, learner.predict_proba(faces), atol=1e-5)
    assert probs[:, 1].max() < 1e-20


def test_the_seed_decides_and_a_run_is_resumed(make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces(60)
    storage = Storage(tmp_path, "tag")
    first = make(train=Train(seed=3)).fit(faces, storage=storage)
    again = make(train=Train(seed=3)).fit(faces)
    np.testing.assert_array_equal(first.logits(faces)["emotion"], again.logits(faces)["emotion"])
    ear = Ear()
    resumed = make(train=Train(seed=3)).fit(faces, storage=Storage(tmp_path, "tag", True), listener=ear)
    assert resumed.history_ == first.history_
    assert ear.heard == [("start", 1, 1, 1)]
    np.testing.assert_array_equal(resumed.logits(faces)["emotion"], first.logits(faces)["emotion"])
    assert SVMLearner.load(tmp_path / "best.safetensors").selection_ == first.selection_
    with pytest.raises(RunError, match="another recipe or other data"):
        make().fit(faces, storage=Storage(tmp_path, "other", True))


def test_a_limit_draws_faces_of_all_classes(make_faces: Faces) -> None:
    learner = make(args={"limit": 21}).fit(make_faces(90))
    assert learner.history_[0]["faces"] == 21
    assert learner.score(make_faces(30, 1)) > 0.8


def test_balance_is_weight(make_faces: Faces) -> None:
    faces = make_faces(60)
    few = faces.select(np.concatenate([np.flatnonzero(faces.hard("emotion") < 2), [2, 5, 8, 11]]))
    args = {"kernel": "linear", "C": 0.01}
    plain = make(args=args).fit(few)
    weighed = make(args=args, balance=Balance(class_weights="balanced")).fit(few)
    drawn = make(args=args, balance=Balance(oversample="largest")).fit(few)
    assert drawn.history_[0]["faces"] == len(few)
    x = PIXELS(few.pixels(np.arange(5))).reshape(5, -1)
    for other in (weighed, drawn):
        assert np.abs(other.svm_.decisions(x) - plain.svm_.decisions(x)).max() > 1e-3


def test_features_serve_other_learners(make_faces: Faces) -> None:
    learner = ScratchLearner(
        args={"hidden": [32]}, preprocess=VECTORS, optimizer=Optimizer(name="adam", lr=0.01),
        train=Train(epochs=40, batch_size=16),
    ).fit(make_faces(90))  # fmt: skip
    assert learner.net_.sizes[0] == VECTORS.features.length  # type: ignore[union-attr]
    assert learner.score(make_faces(90)) > 0.9


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"args": {"kernal": "rbf"}}, RecipeError, "learner.args.kernal"),
        ({"train": Train(epochs=3)}, RecipeError, "fitted once"),
        ({"train": Train(batch_size=7)}, RecipeError, "train.batch_size"),
        ({"stop": Stop(patience=3)}, RecipeError, "stop.patience"),
        ({"stop": Stop(monitor="val_x")}, RecipeError, "stop.monitor"),
        ({"start": Path("x")}, RecipeError, "start.run"),
        ({"args": {"limit": 2}}, DataError, "limit = 2"),
        ({"args": {"limit": 4}}, DataError, "single training face"),
    ],
)
def test_slips_are_named_before_anything_is_fitted(
    make_faces: Faces, changes: dict[str, Any], error: type[DuchenneError], said: str
) -> None:
    for act in ("check", "fit"):
        with pytest.raises(error, match=said):
            getattr(make(**changes), act)(make_faces(60))


@pytest.mark.parametrize("limit", [59, 58, 30, 7])
def test_limit_draws_so_many(make_faces: Faces, limit: int) -> None:
    learner = make(args={"limit": limit, "kernel": "linear", "C": 1.0}).fit(make_faces(60))
    assert learner.history_[0]["faces"] == limit


def test_outputs_that_it_cannot_learn_are_named(make_faces: Faces) -> None:
    with pytest.raises(RecipeError, match=r"emotion \(single\), au \(multi\)\n.*data.outputs"):
        make().fit(make_faces(30, au=True))
    with pytest.raises(RecipeError, match=r"data\.outputs"):
        make().fit(make_faces(30, au=True).keep_outputs(["au"]))


def test_damaged_files_are_named(make_faces: Faces, tmp_path: Path) -> None:
    learner = make(args={"kernel": "rbf"}).fit(make_faces(60))
    path = tmp_path / "svm.safetensors"
    learner.save(path)
    groups, facts = read_arrays(path, ("model",))
    groups["model"]["weights"] = groups["model"]["weights"][:-1]
    write_arrays(path, groups, facts)
    with pytest.raises(RunError, match="own description: 'weights'"):
        SVMLearner.load(path)
    write_arrays(path, groups, facts | {"learner": "trees"})
    with pytest.raises(RunError, match="of learner 'trees', not of 'svm'"):
        SVMLearner.load(path)
