"""Preprocess with features in the pixels' place: shapes, sameness, cards in both directions, slips."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from duchenne.datasets.arrays import from_arrays
from duchenne.errors import RecipeError
from duchenne.features import Features
from duchenne.labels import Output
from duchenne.learners.pixels import ShapedPixels
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Train, load_recipe, parse_recipe
from duchenne.transforms import Preprocess
from duchenne.transforms.augment import Augment

TABLES: list[dict[str, Any]] = [
    {"name": "lpq", "window": 5, "grid": [2, 2], "root": True},
    {"name": "phog", "bins": 6, "levels": 1},
]
LENGTH = 4 * 256 + 6 * 5
FEATURES = Features.from_json(TABLES)


def make(**changes: Any) -> Preprocess:
    return Preprocess(**{"size": (24, 20), "features": FEATURES, **changes})


def images(n: int = 5, side: int = 30) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_vectors_are_those_of_the_grey_resized_pixels() -> None:
    preprocess, x = make(mean=(0.5,), std=(2.0,)), images()
    grey = np.stack([cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in x])
    small = np.stack([cv2.resize(g, (20, 24), interpolation=cv2.INTER_AREA) for g in grey])
    shaped = preprocess.shape(x)
    assert shaped.shape == (5, 1, 1, LENGTH)
    assert shaped.dtype == np.float32
    np.testing.assert_array_equal(shaped[:, 0, 0], FEATURES(small))
    done = preprocess(x)
    assert done.shape == (5, LENGTH, 1, 1)
    np.testing.assert_allclose(done[:, :, 0, 0], (FEATURES(small) - 0.5) / 2, rtol=1e-6)
    assert (preprocess.input_channels, preprocess.input_size) == (LENGTH, (1, 1))
    plain = Preprocess(size=(24, 20), channels=3)
    assert (plain.input_channels, plain.input_size) == (3, (24, 20))


def test_shaping_twice_changes_nothing() -> None:
    preprocess, x = make(), images()
    once = preprocess.shape(x)
    np.testing.assert_array_equal(preprocess.shape(once), once)
    np.testing.assert_array_equal(preprocess(once), preprocess(x))
    one_by_one = preprocess.shape(list(x))
    np.testing.assert_array_equal(one_by_one, once)


def test_torch_gives_the_same_bits() -> None:
    preprocess, x = make(mean=(0.1,), std=(0.3,)), images()
    tensor = torch.from_numpy(preprocess.shape(x))
    np.testing.assert_array_equal(preprocess.normalise(preprocess.scale(tensor)).numpy(), preprocess(x))


def test_cards_are_read_in_both_directions() -> None:
    card = json.loads(json.dumps(make().to_json()))
    assert Preprocess.from_json(card) == make() == make(features=TABLES)
    assert "features" not in Preprocess().to_json()  # as versions before features write and read it
    assert Preprocess.from_json(Preprocess().to_json()) == Preprocess() == Preprocess(features=())  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="no feature 'hog'"):
        Preprocess.from_json(card | {"features": [{"name": "hog"}]})


def test_it_says_what_it_is() -> None:
    said = make(std=(0.5,)).describe()
    assert said.startswith("24x20 grey")
    assert "lpq (1024 numbers" in said
    assert "over 0.5" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 3}, "preprocess.channels = 3"),
        ({"per_image": True}, "preprocess.per_image = true"),
        ({"size": (4, 20)}, "window = 5 is larger than the image"),
        ({"features": "lpq"}, "list of tables"),
        ({"features": [{"name": "lpq", "window": 6}]}, "window = 6: must be odd"),
    ],
)
def test_slips_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        make(**changes)


def test_a_recipe_without_features_keeps_its_fingerprint() -> None:
    assert load_recipe("friv-model1").fingerprint() == "dd3855cc"
    raw = {
        "id": "x", "title": "t", "data": {"name": "synthetic"}, "learner": {"name": "svm"},
        "preprocess": {"features": TABLES},
    }  # fmt: skip
    with_features = parse_recipe(raw, "x")
    without = parse_recipe({**raw, "preprocess": {"features": []}}, "x")
    assert with_features.fingerprint() != without.fingerprint()
    assert without.fingerprint() == parse_recipe({**raw, "preprocess": {}}, "x").fingerprint()
    again = parse_recipe(with_features.to_dict(), "copy")
    assert again.fingerprint() == with_features.fingerprint()


def test_vectors_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = Features.__call__
    monkeypatch.setattr(Features, "__call__", lambda self, x: calls.append(len(x)) or whole(self, x))
    faces = from_arrays(
        np.ascontiguousarray(images(9, 24)[..., 0]), np.arange(9) % 2,
        outputs=[Output("emotion", "single", ("a", "b"))],
    )  # fmt: skip
    pixels = ShapedPixels(faces, make())
    for _ in range(3):
        np.testing.assert_array_equal(pixels[np.arange(9)], pixels[np.arange(9)])
    assert calls == [9]
    # Where they do not fit, batch by batch.
    monkeypatch.setattr("duchenne.learners.pixels.SHAPED_LIMIT", 8 * LENGTH)
    np.testing.assert_array_equal(ShapedPixels(faces, make())[np.array([3])], pixels[np.array([3])])


def test_a_torch_net_takes_vectors_and_refuses_to_augment_them() -> None:
    args: dict[str, Any] = {"model": "mlp", "args": {"hidden": [8]}, "preprocess": make()}
    learner = TorchLearner(**args, train=Train(epochs=1, batch_size=4), accelerator="cpu")
    learner.fit(images(9), np.arange(9) % 2)
    assert learner.num_parameters_ == (LENGTH * 8 + 8) + (8 * 2 + 2)
    assert np.isfinite(learner.predict_proba(images(3))).all()
    augmented = TorchLearner(**args, augment=Augment(flip=0.5), accelerator="cpu")
    with pytest.raises(RecipeError, match="augment changes images"):
        augmented.fit(images(9), np.arange(9) % 2)
