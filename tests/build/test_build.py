"""Every packaged recipe becomes objects that train: one small epoch of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from duchenne.artifacts import FLAGSHIP, Card, packaged_model
from duchenne.build import build_faces, build_learner, build_preprocess
from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.cifar10 import CIFAR10_OBJECTS
from duchenne.datasets.ckplus_csv import HIGH_EMOTIONS
from duchenne.datasets.ckplus_frames import REPORT_UNITS
from duchenne.datasets.faceset import FaceSet
from duchenne.datasets.sfew import SFEW_EMOTIONS, SHAPE
from duchenne.errors import DataError, DuchenneError, RecipeError
from duchenne.labels import FER2013_EMOTIONS, FERPLUS_EMOTIONS, Output
from duchenne.recipe import Recipe, load_recipe, recipe_ids
from duchenne.transforms import Preprocess

# Data set -> shape of its images, and the labels of each output that a recipe may name.
SHAPES: dict[str, tuple[tuple[int, ...], dict[str, tuple[str, ...]]]] = {
    "fer2013": ((48, 48), {"emotion": FER2013_EMOTIONS, "ferplus": FERPLUS_EMOTIONS}),
    "cifar10": ((32, 32, 3), {"object": CIFAR10_OBJECTS}),
    "sfew": (SHAPE, {"emotion": SFEW_EMOTIONS}),
    "ckplus": ((48, 48), {"emotion": HIGH_EMOTIONS, "au": REPORT_UNITS}),
}


def small(name: str) -> tuple[Recipe, FaceSet]:
    """The recipe with one epoch, and a few faces of its data set's shape."""
    data = load_recipe(name).data
    if data.name in SHAPES:
        shape, known = SHAPES[data.name]
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (14, *shape), dtype=np.uint8)
        outputs, targets = [], {}
        for o in data.outputs:
            labels = known[o]
            outputs.append(Output(o, "multi" if o == "au" else "single", labels))
            codes = np.arange(14) % len(labels)
            shares = rng.random((14, len(labels))).astype(np.float32)
            targets[o] = {"au": (shares > 0.5).astype(np.float32), "ferplus": shares}.get(o, codes)
        faces = from_arrays(images, targets, outputs=outputs).without_labels(data.without)
        # From initial weights, without a teacher: both are other recipes' runs, or others' weights.
        nets = [
            "train.epochs=1",
            "train.batch_size=7",
        ]  # trees are one a label; neither these nor SVMs have batches
        sets = [] if load_recipe(name).learner.name in ("trees", "svm") else nets
        if load_recipe(name).learner.args.get("pretrained"):
            sets = [*sets, "learner.args.pretrained=false"]
        if load_recipe(name).balance.oversample not in (None, "largest"):
            sets = [*sets, "balance.oversample=6"]
        return load_recipe(name, [*sets, "start={}", "teacher={}"]), faces
    recipe = load_recipe(name, ["train.epochs=1", "train.batch_size=16", "data.options.n=60"])
    return recipe, build_faces(recipe, None).where("train")


@pytest.mark.parametrize("name", recipe_ids())
def test_packaged_recipe_trains(name: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    recipe, faces = small(name)
    learner = build_learner(recipe, accelerator="cpu")
    learner.fit(faces)
    row = learner.history_[0]
    if recipe.learner.name == "trees":
        assert learner.n_iter_ == faces.outputs[0].num_classes
    else:
        assert learner.n_iter_ == 1
        assert recipe.learner.name == "svm" or row["lr"] <= recipe.optimizer.lr
    outputs = [o.name for o in learner.outputs_]
    assert outputs == list(recipe.data.outputs)
    assert {f"train_{o}_macro_f1" for o in outputs} <= set(row)
    assert np.isfinite(row["train_loss"])
    probs = learner.predict_proba(faces)
    for o in learner.outputs_:
        p = probs[o.name] if len(outputs) > 1 else probs
        assert p.shape == (len(faces), o.num_classes)
    if name in ("demo", "kontogouris-fer-fcn"):  # and the seed of the recipe decides
        again = build_learner(recipe, accelerator="cpu").fit(faces).predict_proba(faces)
        np.testing.assert_equal(again, probs)
    torch.set_num_threads(before)


def test_recipes_that_begin_from_the_packaged_model_have_its_shape(tmp_path: Path) -> None:
    """A retrained packaged model of another shape must not leave them behind."""
    begun = [name for name in recipe_ids() if load_recipe(name).start.run == FLAGSHIP]
    packaged = packaged_model()
    assert begun
    assert packaged is not None
    shown = Preprocess.from_json(Card.load(packaged / "card.json").preprocess)
    for name in begun:
        assert build_preprocess(load_recipe(name)) == shown  # another size would begin, and answer worse
        build_learner(load_recipe(name), accelerator="cpu", runs=tmp_path).check(small(name)[1])


def test_every_setting_reaches_the_learner() -> None:
    sets = [
        "augment.rotate=7", "balance.class_weights=balanced", "optimizer.lr=0.5", "schedule.floor=0.25",
        "loss.l1=0.125", "stop.patience=4", "train.ema=0.75", "preprocess.mean=[0.5]",
        "learner.args.filters=[3]",
    ]  # fmt: skip
    recipe = load_recipe("demo", sets)
    learner = build_learner(recipe, accelerator="cpu", devices=3)
    assert learner.augment.rotate == 7
    assert learner.balance.class_weights == "balanced"
    assert (learner.optimizer.lr, learner.schedule.floor, learner.loss.l1) == (0.5, 0.25, 0.125)
    assert (learner.stop.patience, learner.train.ema) == (4, 0.75)
    assert learner.args["filters"] == [3]
    assert learner.preprocess == build_preprocess(recipe)
    assert build_preprocess(recipe).mean == (0.5,)
    assert (learner.accelerator, learner.devices) == ("cpu", 3)
    fields: dict[str, Any] = learner.get_params()
    assert [k for k, v in fields.items() if v is None] == [
        "start",
        "teacher",
    ]  # nothing else was left to a default


def test_only_the_named_outputs_are_loaded() -> None:
    recipe = load_recipe("demo", ["data.options.n=20", 'data.outputs=["au"]'])
    assert [o.name for o in build_faces(recipe, None).outputs] == ["au"]
    everything = load_recipe("demo", ["data.options.n=20", "data.outputs=[]"])
    assert {"emotion", "au"} <= {o.name for o in build_faces(everything, None).outputs}


@pytest.mark.parametrize(
    ("override", "kind", "message"),
    [
        ("data.name=fer2012", DataError, "fer2013"),
        ('data.outputs=["emotions"]', DataError, "emotion"),
        ('data.without=["hapy"]', DataError, "did you mean 'happy'"),
        ("data.options.name=x", RecipeError, "data.options.name"),
        ("data.options.root=x", RecipeError, "data.options.root"),
        ("data.options.nn=3", RecipeError, "'synthetic' has no such option: 'nn'"),
    ],
)
def test_data_that_cannot_be_named(override: str, kind: type[DuchenneError], message: str) -> None:
    with pytest.raises(kind, match=message):
        build_faces(load_recipe("demo", ["data.options.n=20", override]), None)


def test_labels_that_the_recipe_leaves_out() -> None:
    sets = ["data.options.n=60", 'data.without=["happy", "sad"]']
    faces = build_faces(load_recipe("demo", sets), None)
    whole = build_faces(load_recipe("demo", sets[:1]), None)
    assert set(whole.outputs[0].labels) - set(faces.outputs[0].labels) == {"happy", "sad"}
    counts = whole.class_counts("emotion")
    assert len(faces) == len(whole) - counts["happy"] - counts["sad"]
    assert len(faces.outputs) == 2
    # The first single-label output of those that the recipe names is meant.
    with pytest.raises(DataError, match="no single-label output"):
        build_faces(load_recipe("demo", [*sets, 'data.outputs=["au"]']), None)


def test_a_data_folder_that_is_not_there(tmp_path: Path) -> None:
    for root in (None, tmp_path / "none", tmp_path):
        with pytest.raises(DataError):
            build_faces(load_recipe("friv-model1"), root)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.name=torchh", "did you mean 'torch'"),
        ("preprocess.mean=[0.1, 0.2]", "preprocess.mean"),
        ("augment.scale=0.995", "augment.scale"),
    ],
)
def test_names_and_values_that_the_rooms_below_refuse(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_learner(load_recipe("demo", [override]))


def test_what_trees_have_not_is_refused() -> None:
    for field in (
        "optimizer.lr=0.5", "schedule.name=cosine", "augment.flip=0.5", "loss.l2=0.1", "learner.model=friv",
        "train.ema=0.5", "train.batch_size=64", "stop.patience=3",
    ):  # fmt: skip
        with pytest.raises(RecipeError, match=field.partition("=")[0].replace(".", r"\.")):
            build_learner(load_recipe("fer-trees", [field])).check(small("fer-trees")[1])
    with pytest.raises(RecipeError, match="runs in one process on the CPU"):
        build_learner(load_recipe("fer-trees"), devices=2)
    learner = build_learner(load_recipe("fer-trees", ["train.seed=5", "balance.class_weights=balanced"]))
    assert (learner.train.seed, learner.balance.class_weights) == (5, "balanced")
    assert learner.args["max_depth"] == 10
