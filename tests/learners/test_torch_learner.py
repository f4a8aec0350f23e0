"""scikit-learn's contract, several outputs, saving and loading, and input that cannot be learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import DataError, DuchenneError, MissingExtraError, RecipeError, RunError
from duchenne.labels import Output
from duchenne.learners import LEARNERS, learner_class
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Optimizer, Train
from duchenne.transforms import Preprocess
from duchenne.transforms.augment import Augment

Faces = Callable[..., FaceSet]
Learner = Callable[..., TorchLearner]
NAMES = np.array(["angry", "happy", "sad"])


@pytest.fixture
def arrays(make_faces: Faces) -> tuple[Any, Any]:
    faces = make_faces(60)
    return np.asarray(faces.pixels()), NAMES[faces.hard("emotion")]


# -- the contract -------------------------------------------------------------------------------------------


def test_clone_and_parameters(make_learner: Learner, arrays: tuple[Any, Any]) -> None:
    learner = make_learner(seed=4).fit(*arrays)
    twin = clone(learner)
    assert not hasattr(twin, "net_")
    assert twin.get_params() == learner.get_params()
    assert set(twin.get_params()) == {
        "model", "args", "preprocess", "augment", "balance", "optimizer", "schedule", "loss", "stop", "train",
        "accelerator", "devices", "start", "start_train", "start_labels", "denoise",
        "teacher", "teaching",
    }  # fmt: skip
    np.testing.assert_array_equal(
        twin.fit(*arrays).predict_proba(arrays[0]), learner.predict_proba(arrays[0])
    )
    assert twin.set_params(train=Train(epochs=1)).train == Train(epochs=1)
    with pytest.raises(ValueError, match="epochs"):
        twin.set_params(epochs=1)
    assert is_classifier(twin)


def test_defaults_alone_are_enough() -> None:
    learner = TorchLearner(train=Train(epochs=1), accelerator="cpu")
    x = np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)
    assert learner.fit(x, [0, 1] * 3).predict(x).shape == (6,)


def test_cross_val_score(make_learner: Learner, arrays: tuple[Any, Any]) -> None:
    learner = make_learner(epochs=12, optimizer=Optimizer(lr=0.02))
    scores = cross_val_score(learner, *arrays, cv=StratifiedKFold(3), error_score="raise")
    assert scores.shape == (3,)
    assert scores.min() > 0.6  # chance is a third


def test_search_over_whole_sections(make_learner: Learner, arrays: tuple[Any, Any]) -> None:
    grid = {"optimizer": [Optimizer(name="sgd", lr=1e-12), Optimizer(lr=0.02)]}
    search = GridSearchCV(make_learner(epochs=12), grid, cv=2, error_score="raise").fit(*arrays)
    assert search.best_params_["optimizer"].lr == 0.02


@pytest.mark.parametrize(
    "values",
    [
        np.array(["sad", "angry", "happy"]),
        np.array([7, -2, 40]),
        np.array([2.0, 1.0, -1.0]),
        np.array(["b", "a", "c"], dtype=object),
    ],
)
def test_classes_of_any_sort_are_kept(
    make_learner: Learner, make_faces: Faces, values: Any, tmp_path: Path
) -> None:
    faces = make_faces(30)
    x, y = np.asarray(faces.pixels()), values[faces.hard("emotion")]
    learner = make_learner(epochs=12, optimizer=Optimizer(lr=0.03)).fit(x, y)
    np.testing.assert_array_equal(learner.classes_, np.sort(values))
    probs, said = learner.predict_proba(x), learner.predict(x)
    assert set(said.tolist()) <= set(values.tolist())
    np.testing.assert_array_equal(said, learner.classes_[probs.argmax(1)])
    assert learner.score(x, y) == accuracy_score(y, said) > 0.6
    learner.save(tmp_path / "x.safetensors")
    twin = TorchLearner.load(tmp_path / "x.safetensors")
    assert twin.classes_.tolist() == learner.classes_.tolist()
    assert twin.predict(x).tolist() == said.tolist()


def test_boolean_classes(make_learner: Learner, make_faces: Faces) -> None:
    faces = make_faces(30)
    said = make_learner().fit(np.asarray(faces.pixels()), faces.hard("emotion") == 1)
    assert said.classes_.tolist() == [False, True]
    assert said.predict(np.asarray(faces.pixels())).dtype == bool


def test_probabilities(make_learner: Learner, arrays: tuple[Any, Any]) -> None:
    learner = make_learner().fit(*arrays)
    probs = learner.predict_proba(arrays[0])
    assert probs.shape == (60, 3)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)
    assert (probs >= 0).all()
    one_by_one = np.concatenate([learner.predict_proba(arrays[0][i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(one_by_one, probs[:5], atol=1e-6)
    assert learner.predict_proba(arrays[0][:0]).shape == (0, 3)
    assert learner.predict(arrays[0][:0]).shape == (0,)


def test_more_images_than_a_batch(make_learner: Learner, arrays: tuple[Any, Any]) -> None:
    learner = make_learner(epochs=1).fit(*arrays)
    many = np.tile(arrays[0], (10, 1, 1))
    once = learner.predict_proba(arrays[0])
    np.testing.assert_allclose(learner.predict_proba(many), np.tile(once, (10, 1)), atol=1e-6)


def test_answers_are_softmax_of_the_net_in_evaluation_mode(
    make_learner: Learner, arrays: tuple[Any, Any]
) -> None:
    learner = make_learner(args={"filters": [4, 6]}).fit(*arrays)
    pre = learner.preprocess
    with torch.no_grad():
        z = learner.net_.eval()(torch.from_numpy(pre(arrays[0])))["class"]
    np.testing.assert_allclose(learner.predict_proba(arrays[0]), z.softmax(1), atol=1e-6)
    np.testing.assert_allclose(learner.logits(arrays[0])["class"], z, atol=1e-6)


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "logits", "score"])
@pytest.mark.parametrize("what", ["arrays", "faces"])
def test_not_fitted(
    make_learner: Learner, make_faces: Faces, arrays: tuple[Any, Any], ask: str, what: str
) -> None:
    args: tuple[Any, ...] = (make_faces(),) if what == "faces" else arrays if ask == "score" else arrays[:1]
    with pytest.raises(NotFittedError, match="call fit first"):
        getattr(make_learner(), ask)(*args)


def test_not_fitted_cannot_be_kept(make_learner: Learner, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        make_learner().save(tmp_path / "x.safetensors")
    with pytest.raises(NotFittedError):
        make_learner().to_onnx()
    assert not hasattr(make_learner(), "classes_")


# -- FaceSets -----------------------------------------------------------------------------------------------


def test_a_faceset_trains_as_its_arrays(make_learner: Learner, make_faces: Faces) -> None:
    faces, val = make_faces(), make_faces(20, seed=1)
    by_set = make_learner().fit(faces, val=val)
    x, y, vx, vy = (np.asarray(f) for s in (faces, val) for f in (s.pixels(), NAMES[s.hard("emotion")]))
    by_arrays = make_learner().fit(x, y, val=(vx, vy))
    np.testing.assert_array_equal(by_set.predict_proba(faces), by_arrays.predict_proba(x))
    np.testing.assert_array_equal(by_set.predict(faces), by_arrays.predict(x))
    assert by_set.best_["value"] == by_arrays.best_["value"]
    assert by_set.score(val) == by_arrays.score(vx, vy)


def test_several_outputs(make_learner: Learner, make_faces: Faces) -> None:
    faces = make_faces(60, au=True)
    learner = make_learner(epochs=15, optimizer=Optimizer(lr=0.02)).fit(faces, val=make_faces(30, 1, au=True))
    assert {k: v.tolist() for k, v in learner.classes_.items()} == {
        "emotion": ["angry", "happy", "sad"],
        "au": ["AU1", "AU12"],
    }
    probs, said = learner.predict_proba(faces), learner.predict(faces)
    assert list(probs) == list(said) == ["emotion", "au"]
    np.testing.assert_allclose(probs["emotion"].sum(1), 1, atol=1e-6)
    logits = learner.logits(faces)
    np.testing.assert_allclose(probs["au"], 1 / (1 + np.exp(-logits["au"])), atol=1e-6)
    np.testing.assert_array_equal(said["au"], probs["au"] > 0.5)
    assert ((faces.targets["au"] > 0.5) == said["au"]).mean() > 0.8
    assert learner.score(faces) == (said["emotion"] == NAMES[faces.hard("emotion")]).mean()
    au = {"val_au_binary_accuracy", "val_au_macro_f1", "val_au_loss"}
    assert au | {"val_emotion_accuracy", "val_loss"} <= set(learner.history_[0])
    assert learner.best_["monitor"] == "val_emotion_accuracy"


def test_action_units_alone(make_learner: Learner, make_faces: Faces) -> None:
    faces = make_faces(au=True).keep_outputs(["au"])
    learner = make_learner().fit(faces, val=faces)
    assert learner.predict(faces).shape == (37, 2)
    assert learner.predict(faces).dtype == bool
    assert learner.best_["monitor"] == "val_au_binary_accuracy"
    with pytest.raises(DataError, match="single-label"):
        learner.score(faces)


def test_not_annotated_rows_do_not_teach_nor_count(make_learner: Learner, make_faces: Faces) -> None:
    faces = make_faces(30)
    faces.targets["emotion"][[3, 9]] = -1
    known = faces.select(np.flatnonzero(faces.targets["emotion"] >= 0))
    a, b = (make_learner(batch_size=64).fit(f) for f in (faces, known))
    np.testing.assert_allclose(a.predict_proba(faces), b.predict_proba(faces), atol=1e-5)
    assert a.score(faces) == b.score(known)


def test_votes_train(make_learner: Learner, make_faces: Faces) -> None:
    faces = make_faces(30)
    votes = np.eye(3, dtype=np.float32)[faces.hard("emotion")] * 10
    voted = from_arrays(np.asarray(faces.pixels()), {"emotion": votes}, outputs=faces.outputs)
    a, b = (make_learner().fit(f) for f in (faces, voted))
    np.testing.assert_allclose(a.predict_proba(faces), b.predict_proba(faces), atol=1e-5)


def test_validation_with_other_labels_or_none(make_learner: Learner, make_faces: Faces) -> None:
    faces = make_faces()
    turned = from_arrays(
        np.asarray(faces.pixels()),
        faces.targets,
        outputs=Output("emotion", "single", ("sad", "happy", "angry")),
    )
    with pytest.raises(DataError, match="labels sad, happy, angry; trained are angry, happy, sad"):
        make_learner().fit(faces, val=turned)
    with pytest.raises(DataError, match="labels sad"):
        make_learner(epochs=1).fit(faces).score(turned)
    with pytest.raises(DataError, match="validation part is empty"):
        make_learner().fit(faces, val=faces.select([]))
    with pytest.raises(DataError, match="no output 'au'"):
        make_learner().fit(make_faces(au=True), val=faces)
    x = np.asarray(faces.pixels())
    with pytest.raises(DataError, match="classes that the training part does not have"):
        make_learner().fit(x, faces.hard("emotion"), val=(x[:3], [0, 1, 9]))


# -- what cannot be learned from ----------------------------------------------------------------------------


def test_training_parts_that_teach_nothing(make_learner: Learner, make_faces: Faces) -> None:
    faces = make_faces()
    with pytest.raises(DataError, match="fewer than two classes of 'emotion'"):
        make_learner().fit(faces.select(faces.hard("emotion") == 1))
    with pytest.raises(DataError, match="is empty"):
        make_learner().fit(faces.select([]))
    with pytest.raises(DataError, match="fewer than two classes"):
        make_learner().fit(np.zeros((4, 12, 12), np.uint8), ["a"] * 4)
    faces.targets["emotion"][:] = -1
    with pytest.raises(DataError, match="fewer than two classes"):
        make_learner().fit(faces)


def test_arrays_that_do_not_fit(make_learner: Learner) -> None:
    x = np.zeros((4, 12, 12), np.uint8)
    with pytest.raises(DataError, match=r"fit\(X, y\)"):
        make_learner().fit(x)
    with pytest.raises(DataError, match="3 rows for 4 images"):
        make_learner().fit(x, [0, 1, 0])
    with pytest.raises(DataError, match="not uint8"):
        make_learner().fit(x / 255.0, [0, 1, 0, 1])
    with pytest.raises(DataError, match="shape"):
        make_learner().fit(x[:, :, 0], [0, 1, 0, 1])


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "nothing"},
        {"args": {"depth": 3}},
        {"accelerator": "abacus"},
        {"devices": 0},
        {"devices": True},
        {"model": "friv", "args": {"filters": [2] * 4, "pools": ["max"] * 4}},
    ],
)
def test_settings_that_cannot_be(make_learner: Learner, make_faces: Faces, changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        make_learner(**changes).fit(make_faces())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_an_accelerator_that_is_not_there(make_learner: Learner, make_faces: Faces) -> None:
    with pytest.raises(RecipeError, match="no training on accelerator 'cuda'"):
        make_learner(accelerator="cuda").fit(make_faces())


# -- keeping ------------------------------------------------------------------------------------------------


def test_save_and_load(make_learner: Learner, make_faces: Faces, tmp_path: Path) -> None:
    faces = make_faces(au=True)
    pre = Preprocess(size=(10, 14), mean=(0.4,), std=(0.2,))
    learner = make_learner(preprocess=pre, args={"filters": [4, 6]}).fit(faces)
    learner.save(tmp_path / "net.safetensors")
    twin = TorchLearner.load(tmp_path / "net.safetensors")
    assert twin.preprocess == pre
    assert twin.outputs_ == learner.outputs_
    assert (twin.history_, twin.best_, twin.n_iter_) == (learner.history_, learner.best_, 3)
    for name, probs in learner.predict_proba(faces).items():
        np.testing.assert_array_equal(twin.predict_proba(faces)[name], probs)


def test_files_that_are_no_learner(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no checkpoint"):
        TorchLearner.load(tmp_path / "x.safetensors")
    save_file({"model/w": torch.zeros(1)}, tmp_path / "x.safetensors", {"schema": "1", "facts": "{}"})
    with pytest.raises(RunError, match="does not say its 'model'"):
        TorchLearner.load(tmp_path / "x.safetensors")


def test_the_table_of_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LEARNERS:
        assert {"fit", "predict", "predict_proba", "save", "load"} <= set(dir(learner_class(name)))
    with pytest.raises(RecipeError, match="did you mean 'torch'"):
        learner_class("torchh")
    monkeypatch.setitem(LEARNERS, "far", ("nosuchpackage.far", "Far"))
    with pytest.raises(MissingExtraError, match="nosuchpackage") as caught:
        learner_class("far")
    assert isinstance(caught.value, DuchenneError)
    monkeypatch.setitem(LEARNERS, "own", ("duchenne.learners.nowhere", "Own"))
    with pytest.raises(ModuleNotFoundError):  # a slip of ours is no missing extra
        learner_class("own")


def test_half_precision_of_gpus_is_not_silently_another_on_cpu(
    make_learner: Learner, make_faces: Faces
) -> None:
    with pytest.raises(RecipeError, match="'16-mixed' needs a GPU"):
        make_learner(train=Train(epochs=1, precision="16-mixed")).fit(make_faces())


def test_a_net_of_one_size_is_not_cropped(make_faces: Any, make_learner: Any) -> None:
    args = {"filters": [3], "pools": ["max"], "dense": 6}
    with pytest.raises(RecipeError, match=r"augment\.crop .*'friv'"):
        make_learner(model="friv", args=args, augment=Augment(crop=0.5)).fit(make_faces())
    learner = make_learner(augment=Augment(crop=0.5), epochs=1).fit(make_faces())
    assert learner.predict(make_faces()).shape == (len(make_faces()),)
