"""One-vs-rest trees as a learner: the contract, scikit-learn's answers, resuming, growing, bad input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.tree import DecisionTreeClassifier

from duchenne.artifacts import Artifact, Card, save_artifact
from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import DataError, DuchenneError, RecipeError, RunError
from duchenne.labels import Output
from duchenne.learners import tree_growth
from duchenne.learners.contract import Row, Storage, epoch_seed
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.tree import FIELDS
from duchenne.learners.tree_learner import TreeLearner
from duchenne.recipe import Balance, Stop, Train
from duchenne.transforms import Preprocess

Faces = Callable[..., FaceSet]
SMALL = Preprocess(size=(6, 6))


def make(**changes: Any) -> TreeLearner:
    args = {"max_depth": 4, "min_samples_leaf": 2} | changes.pop("args", {})
    return TreeLearner(**({"args": args, "preprocess": SMALL} | changes))


def spread(n: int = 120, seed: int = 0, labels: tuple[str, ...] = ("a", "b", "c", "d")) -> FaceSet:
    """Faces whose classes overlap, so that trees have something to get wrong."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % len(labels)
    images = rng.integers(0, 256, (n, 6, 6)).astype(np.uint8)
    images[:, 0, 0] = np.clip(60 * codes + rng.normal(0, 30, n), 0, 255)
    return from_arrays(
        images, {"emotion": codes}, outputs=[Output("emotion", "single", labels)], name="noisy"
    )


def arrays_of(learner: TreeLearner, label: str, output: str = "emotion") -> dict[str, Any]:
    labels = next(o.labels for o in learner.outputs_ if o.name == output)
    return learner.trees_[output][labels.index(label)].to_arrays()


def tree_seed(label: int) -> int:
    """The seed that the learner gives a tree of its first output: ties between splits fall alike."""
    return epoch_seed(0, 1, 1 + label)


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[f], other[f]) for f in FIELDS)


# -- the answers ------------------------------------------------------------------------------------------


def test_answers_as_scikit_learns_trees() -> None:
    faces = spread(400)
    learner = make(args={"min_samples_leaf": 1}).fit(faces)
    x = SMALL(faces.pixels()).reshape(len(faces), -1)
    logits = learner.logits(faces)["emotion"]
    for k in range(4):
        model = DecisionTreeClassifier(max_depth=4, random_state=tree_seed(k)).fit(
            x, faces.hard("emotion") == k
        )
        n, p = model.tree_.n_node_samples[model.apply(x)], model.predict_proba(x)[:, 1]
        np.testing.assert_allclose(logits[:, k], np.log((n * p + 1) / (n - n * p + 1)), atol=1e-5)
    np.testing.assert_allclose(learner.predict_proba(faces), softmax(logits, axis=1), atol=1e-6)
    odds = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(learner.predict_proba(faces), odds / odds.sum(1, keepdims=True), atol=1e-6)
    assert (learner.predict(faces) == learner.classes_[logits.argmax(axis=1)]).all()


def test_history_has_a_row_a_tree_and_its_figures_are_right() -> None:
    faces, val = spread(200), spread(60, seed=1)
    learner = make().fit(faces, val=val)
    rows = learner.history_
    assert [r["epoch"] for r in rows] == [1, 2, 3, 4]
    assert [r["class"] for r in rows] == ["a", "b", "c", "d"]
    for part, name in ((faces, "train"), (val, "val")):
        truth, logits = part.hard("emotion"), learner.logits(part)["emotion"]
        said = logits.argmax(axis=1)
        assert rows[-1][f"{name}_emotion_accuracy"] == pytest.approx(accuracy_score(truth, said))
        assert rows[-1][f"{name}_emotion_macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))
        probs = softmax(logits.astype(np.float64), axis=1)
        assert rows[-1][f"{name}_loss"] == pytest.approx(log_loss(truth, probs), rel=1e-5)
    assert rows[0]["depth"] == learner.trees_["emotion"][0].levels.max() <= 4
    assert rows[0]["leaves"] == learner.trees_["emotion"][0].is_leaf.sum()
    assert learner.best_ == {
        "epoch": 4, "monitor": "val_emotion_accuracy", "value": rows[-1]["val_emotion_accuracy"],
    }  # fmt: skip
    assert learner.score(val) == pytest.approx(rows[-1]["val_emotion_accuracy"])
    assert (learner.finished_, learner.n_iter_) == (True, 4)
    splits = sum(int((~t.is_leaf).sum()) for t in learner.trees_["emotion"])
    assert learner.num_parameters_ == 3 * splits + 4  # a tree has one leaf more than splits


def test_several_outputs(make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces(90, au=True)
    learner = make().fit(faces, val=make_faces(30, seed=1, au=True))
    assert [(r["output"], r["class"]) for r in learner.history_] == [
        ("emotion", "angry"), ("emotion", "happy"), ("emotion", "sad"), ("au", "AU1"), ("au", "AU12"),
    ]  # fmt: skip
    probs = learner.predict_proba(faces)
    tree = learner.trees_["au"][0]
    share = 1 / (1 + np.exp(-tree.answer(SMALL(faces.pixels()).reshape(90, -1)).astype(np.float64)))
    np.testing.assert_allclose(probs["au"][:, 0], share, atol=1e-6)
    assert learner.predict(faces)["au"].dtype == bool
    row = learner.history_[-1]
    assert row["val_loss"] == pytest.approx(row["val_emotion_loss"] + row["val_au_loss"])
    assert row["val_au_binary_accuracy"] > 0.9


def test_loss_of_units_that_are_annotated_in_part(make_faces: Faces) -> None:
    known = np.random.default_rng(0).random((90, 2)) < 0.6
    faces = dataclasses.replace(make_faces(90, au=True), masks={"au": known})
    learner = make().fit(faces)
    # By hand: the mean over a face's annotated units, then over the faces that have any.
    cells = np.logaddexp(0, np.where(faces.targets["au"] > 0, -1.0, 1.0) * learner.logits(faces)["au"])
    some = known.any(axis=1)
    assert 0 < some.sum() < 90
    mean = np.mean([row[k].mean() for row, k in zip(cells[some], known[some], strict=True)])
    assert learner.history_[-1]["train_au_loss"] == pytest.approx(mean, rel=1e-5)


def test_arrays_of_any_classes_and_a_clone() -> None:
    faces = spread(80)
    x, y = faces.pixels(), np.array([7, 3, 9, 1])[faces.hard("emotion")]
    learner = clone(make()).fit(x, y, val=(x, y))
    assert learner.classes_.tolist() == [1, 3, 7, 9]
    assert learner.score(x, y) > 0.5
    assert not hasattr(clone(learner), "trees_")


def test_the_seed_decides() -> None:
    faces = spread(200)
    args = {"max_features": 3}
    one, same, other = (make(args=args, train=Train(seed=s)).fit(faces) for s in (1, 1, 2))
    assert equal(arrays_of(one, "c"), arrays_of(same, "c"))
    assert not equal(arrays_of(one, "c"), arrays_of(other, "c"))


# -- weights ----------------------------------------------------------------------------------------------


def test_balanced_trees_as_scikit_learns_class_weight() -> None:
    faces = spread(150)
    tree = make(args={"class_weight": "balanced"}).fit(faces).trees_["emotion"][2]
    x = SMALL(faces.pixels()).reshape(len(faces), -1)
    settings = {"max_depth": 4, "min_samples_leaf": 2, "class_weight": "balanced"}
    model = DecisionTreeClassifier(random_state=tree_seed(2), **settings)
    want = model.fit(x, faces.hard("emotion") == 2).tree_
    np.testing.assert_array_equal(tree.feature, np.maximum(want.feature, -1))
    np.testing.assert_array_equal(tree.samples, want.n_node_samples)


def test_repeated_faces_are_faces_of_more_weight() -> None:
    faces = spread(120).select(np.r_[0:60, 60:120:4])  # class "a" is larger than the others
    learner = make(balance=Balance(oversample="largest")).fit(faces)
    codes = faces.hard("emotion")
    counts = np.bincount(codes)
    root = learner.trees_["emotion"][3]
    # All classes weigh as much as the largest: a quarter of the weight is of each class.
    share = counts.max() / (4 * counts.max())
    total = 4 * counts.max()
    np.testing.assert_allclose(
        root.logit[0], np.log((total * share + 1) / (total * (1 - share) + 1)), atol=1e-5
    )
    assert root.samples[0] == len(faces)


def test_faces_not_annotated_have_no_part() -> None:
    faces = spread(160)
    codes = faces.hard("emotion").copy()
    codes[:40] = -1
    partly = replace(faces, targets={"emotion": codes})
    learner, alone = make().fit(partly, val=partly), make().fit(faces.select(np.arange(40, 160)))
    for label in "abcd":
        assert equal(arrays_of(learner, label), arrays_of(alone, label))
    assert learner.history_[-1]["val_loss"] == pytest.approx(alone.history_[-1]["train_loss"])


def test_a_label_without_faces_is_a_leaf() -> None:
    faces = spread(90, labels=("a", "b", "c"))
    more = replace(faces, outputs=(Output("emotion", "single", ("a", "b", "c", "never")),))
    learner = make().fit(more)
    np.testing.assert_allclose(arrays_of(learner, "never")["logit"], [np.log(1 / 91)], rtol=1e-6)
    assert "never" not in learner.predict(more)


# -- keeping ----------------------------------------------------------------------------------------------


def test_saved_loaded_and_exported_alike(tmp_path: Path, make_faces: Faces) -> None:
    faces = make_faces(90, au=True)
    learner = make(args={"max_depth": 7}, preprocess=Preprocess(size=(6, 6), per_image=True)).fit(faces)
    learner.save(tmp_path / "trees.safetensors")
    again = TreeLearner.load(tmp_path / "trees.safetensors")
    for name, logits in learner.logits(faces).items():
        np.testing.assert_array_equal(again.logits(faces)[name], logits)
    assert again.history_ == learner.history_
    card = Card("trees", again.outputs_, again.preprocess.to_json())
    save_artifact(tmp_path / "artifact", again.to_onnx(), card)
    artifact = Artifact.load(tmp_path / "artifact")
    got = artifact.logits(artifact.preprocess(faces.pixels()))
    for name, logits in learner.logits(faces).items():
        np.testing.assert_allclose(got[name], logits, atol=1e-5)
    x, y = faces.pixels(), faces.hard("emotion") * 10
    make().fit(x, y).save(tmp_path / "arrays.safetensors")
    assert set(TreeLearner.load(tmp_path / "arrays.safetensors").predict(x)) == {0, 10, 20}


class Killed(Exception):
    """What ends a training in the middle."""


class KillAfter:
    def __init__(self, trees: int) -> None:
        self.trees, self.starts = trees, []

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        self.starts.append((epochs_done, epochs, steps_per_epoch))

    def on_batch(self, step: int) -> None:
        assert step == 1

    def on_epoch(self, row: Row, history: list[Row], best: Row) -> None:
        if row["epoch"] == self.trees:
            raise Killed


def without_time(history: list[Row]) -> list[Row]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_killed_and_resumed_at_the_next_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces, val = spread(150), spread(50, seed=1)
    whole = make().fit(faces, val=val)
    with pytest.raises(Killed):
        make().fit(faces, val=val, storage=Storage(tmp_path, "tag"), listener=KillAfter(2))
    half = TreeLearner.load(tmp_path / "best.safetensors")
    assert half.n_iter_ == 2
    assert half.score(val) == pytest.approx(whole.history_[1]["val_emotion_accuracy"])
    built = []
    before = tree_growth.Growth._build
    monkeypatch.setattr(
        tree_growth.Growth, "_build", lambda self, o, k: built.append(k) or before(self, o, k)
    )
    listener = KillAfter(99)
    going_on = Storage(tmp_path, "tag", resume=True)
    resumed = make().fit(faces, val=val, storage=going_on, listener=listener)
    assert built == [2, 3]
    assert listener.starts == [(2, 4, 1)]
    assert without_time(resumed.history_) == without_time(whole.history_)
    for label in "abcd":
        assert equal(arrays_of(resumed, label), arrays_of(whole, label))
    assert make().fit(faces, val=val, storage=going_on).n_iter_ == 4  # nothing left to do
    with pytest.raises(RunError, match="another recipe or other data"):
        make().fit(faces, val=val, storage=Storage(tmp_path, "other", resume=True))


def test_time_limit_ends_after_a_tree(tmp_path: Path) -> None:
    learner = make().fit(spread(), storage=Storage(tmp_path, "t", deadline=0.0))
    assert (learner.finished_, learner.n_iter_, learner.reason_) == (False, 1, "time limit of 0 s")
    assert learner.predict(spread()).shape == (120,)
    assert make().fit(spread(), storage=Storage(tmp_path, "t", resume=True)).finished_


def test_damaged_checkpoints(tmp_path: Path, make_faces: Faces) -> None:
    path = tmp_path / "t.safetensors"
    make().fit(spread()).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunError, match="damaged"):
        TreeLearner.load(path)
    ScratchLearner({"hidden": [4]}, SMALL, train=Train(epochs=1, batch_size=8)).fit(make_faces()).save(path)
    with pytest.raises(RunError, match="of learner 'scratch', not of 'trees'"):
        TreeLearner.load(path)


# -- growing ----------------------------------------------------------------------------------------------


def test_a_new_label_is_one_new_tree(tmp_path: Path) -> None:
    faces = spread(200)
    first = make().fit(faces.without_labels(["b"]))
    assert first.outputs_[0].labels == ("a", "c", "d")
    first.save(tmp_path / "three.safetensors")
    grown = make(start=tmp_path / "three.safetensors", start_train="head").fit(faces)
    anew = make(start=tmp_path / "three.safetensors", start_train="all").fit(faces)
    plain = make().fit(faces)
    for label in "acd":
        assert equal(arrays_of(grown, label), arrays_of(first, label))
        assert equal(arrays_of(anew, label), arrays_of(plain, label))
    assert equal(arrays_of(grown, "b"), arrays_of(plain, "b"))
    assert [r["built"] for r in grown.history_] == [0, 1, 0, 0]
    old = np.delete(grown.logits(faces)["emotion"], 1, axis=1)
    np.testing.assert_array_equal(old, first.logits(faces)["emotion"])


def test_growing_resumes_without_its_start(tmp_path: Path) -> None:
    faces = spread(200)
    start = tmp_path / "three.safetensors"
    first = make().fit(faces.without_labels(["a"]))
    first.save(start)
    whole = make(start=start, start_train="head").fit(faces)
    with pytest.raises(Killed):
        make(start=start, start_train="head").fit(faces, storage=Storage(tmp_path), listener=KillAfter(1))
    start.unlink()
    going_on = Storage(tmp_path, resume=True)
    resumed = make(start=start, start_train="head").fit(faces, storage=going_on)
    assert without_time(resumed.history_) == without_time(whole.history_)
    for label in "abcd":
        assert equal(arrays_of(resumed, label), arrays_of(whole, label))


def test_a_start_that_does_not_fit(tmp_path: Path) -> None:
    start = tmp_path / "t.safetensors"
    make().fit(spread()).save(start)
    with pytest.raises(RunError, match=r"preprocess\.size"):
        make(start=start, start_train="head", preprocess=Preprocess(size=(5, 6))).fit(spread())
    with pytest.raises(RunError, match="label"):
        make(start=start, start_train="head").check(spread().without_labels(["b"]))
    with pytest.raises(RecipeError, match=r"start\.train"):
        make(start_train="head").check(spread())
    with pytest.raises(RunError, match="no checkpoint"):
        make(start=tmp_path / "none.safetensors").check(spread())


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        {"max_depth": 0},
        {"max_depth": "deep"},
        {"max_depth": 2.5},
        {"max_depth": True},
        {"min_samples_leaf": 0},
        {"min_samples_leaf": 1.0},
        {"min_samples_leaf": float("nan")},
        {"min_samples_leaf": "few"},
        {"criterion": "mse"},
        {"criterion": 3},
        {"max_features": 0},
        {"max_features": 1.5},
        {"max_features": "all"},
        {"max_features": [3]},
        {"max_features": 37},
        {"class_weight": "even"},
        {"depth": 3},
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(args: dict[str, Any]) -> None:
    learner, faces = TreeLearner(args=args, preprocess=SMALL), spread()
    for act in (learner.check, learner.fit):
        with pytest.raises(RecipeError, match=rf"learner\.args\.{next(iter(args))}"):
            act(faces)


def test_settings_that_trees_have_not() -> None:
    cases = {
        r"train\.batch_size": {"train": Train(batch_size=7)},
        r"train\.ema": {"train": Train(ema=0.9)},
        r"train\.epochs": {"train": Train(epochs=3)},
        r"stop\.patience": {"stop": Stop(patience=2)},
        r"stop\.monitor": {"stop": Stop(monitor="val_emotion_acuracy")},
    }
    for field, settings in cases.items():
        with pytest.raises(RecipeError, match=field):
            make(**settings).check(spread(), spread())
    make(train=Train(epochs=4), stop=Stop(monitor="val_loss")).check(spread(), spread())


def test_faces_that_cannot_be_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = spread()
    with pytest.raises(DataError, match="fewer than two classes"):
        make().fit(faces.select(faces.hard("emotion") == 1))
    with pytest.raises(DataError, match="empty"):
        make().fit(faces.select(np.arange(0)))
    with pytest.raises(DataError, match="empty"):
        make().fit(faces, val=faces.select(np.arange(0)))
    with pytest.raises(DuchenneError, match="labels"):
        make().fit(faces, val=spread(labels=("a", "b", "c", "e")))
    with pytest.raises(DataError, match=r"120 faces x 268,435,456 inputs.*GiB"):
        make(preprocess=Preprocess(size=(16384, 16384))).check(faces)
