"""A teacher: the loss by hand, labels matched by name, resuming, and teachers that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.special import log_softmax, softmax

from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import RecipeError, RunError
from duchenne.labels import Output
from duchenne.learners.contract import Storage
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.teacher import soft_targets, taught_places
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Optimizer, Teacher, Train
from duchenne.transforms import Preprocess

Faces = Callable[..., FaceSet]
Learner = Callable[..., TorchLearner]
TURNED = Output("emotion", "single", ("sad", "angry", "happy"))


@pytest.fixture
def teacher(make_faces: Faces, make_learner: Learner, tmp_path: Path) -> Path:
    """A checkpoint of a net that was trained on the faces."""
    make_learner(epochs=6, seed=5).fit(make_faces(60), storage=Storage(tmp_path / "taught-before"))
    return tmp_path / "taught-before" / "best.safetensors"


def relabelled(faces: FaceSet) -> FaceSet:
    """The same faces with the labels in another order."""
    codes = np.array([1, 2, 0])[faces.hard("emotion")]
    return from_arrays(np.asarray(faces.pixels()), {"emotion": codes}, outputs=(TURNED,))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_of_a_step_by_hand(
    make_faces: Faces, make_learner: Learner, teacher: Path, share: float
) -> None:
    """One epoch of one batch from known weights: the loss that moves them is in the gradient of the heads."""
    faces = make_faces(12)
    section = Teacher(run="t", share=share, temperature=0.5)
    settings = {"epochs": 1, "batch_size": 12, "optimizer": Optimizer(name="sgd", lr=0.1)}
    start = TorchLearner.load(teacher)
    fitted = make_learner(**settings, start=teacher, teacher=teacher, teaching=section).fit(faces)

    codes = faces.hard("emotion")
    logits = start.logits(faces)["emotion"].astype(np.float64)
    hard = np.eye(3)[codes]
    target = (1 - share) * hard + share * softmax(logits / 0.5, axis=1)
    # The gradient of cross-entropy by the logits is probabilities minus targets; the bias takes its mean.
    moved = -0.1 * (softmax(logits, axis=1) - target).mean(axis=0)
    bias = next(k for k in dict(start.net_.named_parameters()) if "emotion" in k and k.endswith("bias"))
    old, new = (dict(x.net_.named_parameters())[bias].detach().numpy() for x in (start, fitted))
    np.testing.assert_allclose(new - old, moved, atol=1e-6)
    # The history's figure is the loss of the labels alone, whatever the share.
    plain = -(hard * log_softmax(logits, axis=1)).sum(axis=1).mean()
    assert fitted.history_[0]["train_loss"] == pytest.approx(plain, rel=1e-5)


def test_soft_targets_follow_the_labels_not_their_order(make_faces: Faces, teacher: Path) -> None:
    faces, learner = make_faces(20), TorchLearner.load(teacher)
    turned = relabelled(faces)
    places = taught_places(learner.outputs_, turned.outputs, "t")
    assert places == {"emotion": [2, 0, 1]}
    found = soft_targets(learner, turned, places, Teacher(run="t", temperature=2.0))["emotion"]
    expected = softmax(learner.logits(faces)["emotion"] / 2, axis=1)[:, [2, 0, 1]]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert found.dtype == torch.float32


def test_a_teacher_alone_is_enough(make_faces: Faces, make_learner: Learner, teacher: Path) -> None:
    """Of wrong labels with share 1 the teacher's answers are learned, of share 0 the labels."""
    faces = make_faces(60)
    wrong = (faces.hard("emotion") + 1) % 3
    mislabelled = from_arrays(np.asarray(faces.pixels()), {"emotion": wrong}, outputs=faces.outputs)
    agreed = {}
    for share in (0.0, 1.0):
        learner = make_learner(epochs=12, teacher=teacher, teaching=Teacher(run="t", share=share))
        said = learner.fit(mislabelled).logits(faces)["emotion"].argmax(axis=1)
        agreed[share] = float((said == TorchLearner.load(teacher).logits(faces)["emotion"].argmax(1)).mean())
    assert agreed[1.0] > 0.9
    assert agreed[0.0] < 0.5


def test_mixup_blends_the_teachers_answers(make_faces: Faces, make_learner: Learner, teacher: Path) -> None:
    """With share 1 the labels must not matter, blended images or not."""
    from duchenne.transforms.augment import Augment

    faces = make_faces(40)
    other = from_arrays(
        np.asarray(faces.pixels()), {"emotion": (faces.hard("emotion") + 1) % 3}, outputs=faces.outputs
    )
    nets = [
        make_learner(teacher=teacher, teaching=Teacher(run="t", share=1.0), augment=Augment(mixup=0.4)).fit(f)
        for f in (faces, other)
    ]
    np.testing.assert_array_equal(*(n.logits(faces)["emotion"] for n in nets))


def test_resumed_equals_unbroken(
    make_faces: Faces, make_learner: Learner, teacher: Path, tmp_path: Path
) -> None:
    faces = make_faces(40)
    section = Teacher(run="t", share=0.6)

    def learner() -> TorchLearner:
        return make_learner(epochs=4, teacher=teacher, teaching=section)

    learner().fit(faces, storage=Storage(tmp_path / "whole"))
    learner().fit(faces, storage=Storage(tmp_path / "broken", deadline=0.0))
    learner().fit(faces, storage=Storage(tmp_path / "broken", resume=True))
    whole, broken = (load_file(tmp_path / n / "last.safetensors") for n in ("whole", "broken"))
    assert whole.keys() == broken.keys()
    assert all(whole[k].tobytes() == broken[k].tobytes() for k in whole)


def test_two_processes_equal_one(make_faces: Faces, make_learner: Learner, teacher: Path) -> None:
    faces = make_faces(21)
    nets = [
        make_learner(epochs=2, devices=n, teacher=teacher, teaching=Teacher(run="t")).fit(faces)
        for n in (1, 2)
    ]
    np.testing.assert_allclose(*(n.logits(faces)["emotion"] for n in nets), atol=1e-5)


def test_repeated_rows_have_their_faces_answers(
    make_faces: Faces, make_learner: Learner, teacher: Path
) -> None:
    """Oversampling repeats rows; each is taught what its own face was answered."""
    from duchenne.recipe import Balance

    faces = make_faces(30)
    learner = make_learner(
        epochs=8, teacher=teacher, teaching=Teacher(run="t", share=1.0), balance=Balance(oversample=25)
    ).fit(faces)
    said = learner.logits(faces)["emotion"].argmax(axis=1)
    assert (said == TorchLearner.load(teacher).logits(faces)["emotion"].argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (
            (Output("emotion", "single", ("angry", "happy")),),
            "the data has angry, happy, sad",
        ),
        ((Output("object", "single", ("angry", "happy", "sad")),), "no single-label output"),
        ((Output("emotion", "multi", ("angry", "happy", "sad")),), "no single-label output"),
    ],
)
def test_a_teacher_of_other_labels_is_refused(
    make_faces: Faces, outputs: tuple[Output, ...], said: str
) -> None:
    with pytest.raises(RunError, match=said):
        taught_places(outputs, make_faces(9).outputs, "t")


def test_what_does_not_fit_is_said_before_the_first_step(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    faces = make_faces(24)
    missing = make_learner(teacher=tmp_path / "gone.safetensors")
    ScratchLearner(
        args={"hidden": [4]}, preprocess=Preprocess(size=(12, 12)), train=Train(epochs=1, batch_size=8)
    ).fit(faces, storage=Storage(tmp_path / "np"))
    numpys = make_learner(teacher=tmp_path / "np" / "best.safetensors")
    for learner in (missing, numpys):
        for call in (learner.check, learner.fit):
            with pytest.raises(RunError):
                call(faces)


def test_a_share_out_of_range_is_refused() -> None:
    from duchenne.recipe import load_recipe

    with pytest.raises(RecipeError, match=r"teacher\.share"):
        load_recipe("demo", ["teacher.share=1.5"])


def test_settings_without_a_teacher_are_refused() -> None:
    """Unless the teacher was taken out by name, to compare."""
    from duchenne.recipe import load_recipe, parse_recipe

    with pytest.raises(RecipeError, match=r"teacher: share, temperature without a teacher: name its run"):
        load_recipe("demo", ["teacher.share=0.7", "teacher.temperature=2"])
    recipe = load_recipe("fer-flagship", ["teacher.run="])
    assert recipe.teacher.run == ""
    assert parse_recipe(recipe.to_dict(), "again") == recipe


def test_answers_that_are_not_finite_are_refused(make_faces: Faces, teacher: Path) -> None:
    """Of a temperature that float32 cannot divide by."""
    faces, learner = make_faces(6), TorchLearner.load(teacher)
    places = taught_places(learner.outputs_, faces.outputs, "t")
    with pytest.raises(RunError, match=r"not all finite at teacher\.temperature = 1e-45"):
        soft_targets(learner, faces, places, Teacher(run="t", temperature=1e-45))
