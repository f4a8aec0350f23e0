"""Preprocess: against OpenCV and Pillow, NumPy against torch, and every way it can be misused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from duchenne.datasets.arrays import from_arrays
from duchenne.errors import DataError, RecipeError
from duchenne.labels import Output
from duchenne.learners.pixels import ShapedPixels
from duchenne.transforms import Preprocess

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 48, 48), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)


def test_images_in_shape_already_are_not_copied() -> None:
    assert np.shares_memory(Preprocess().shape(GREY), GREY)
    assert np.shares_memory(Preprocess(channels=3).shape(COLOUR), COLOUR)


def test_default_is_pixels_over_255() -> None:
    x = Preprocess()(GREY)
    assert x.dtype == np.float32
    assert x.shape == (5, 1, 48, 48)
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x[:, 0], GREY / 255, atol=1e-7)
    assert Preprocess()(np.full((1, 48, 48), 255, np.uint8)).max() == 1.0


def test_rgb_becomes_channels_first() -> None:
    x = Preprocess(channels=3)(COLOUR)
    assert x.shape == (5, 3, 48, 48)
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x, COLOUR.transpose(0, 3, 1, 2) / 255, atol=1e-7)


def test_grey_by_rec_601_as_pillow_does() -> None:
    mine = Preprocess().shape(COLOUR)[0, ..., 0].astype(int)
    assert abs(mine - np.asarray(Image.fromarray(COLOUR[0]).convert("L")).astype(int)).max() <= 1
    red, green, blue = (np.full((1, 2, 2, 3), 0, np.uint8) for _ in range(3))
    red[..., 0], green[..., 1], blue[..., 2] = 255, 255, 255
    p = Preprocess(size=(2, 2))
    assert [int(p.shape(i)[0, 0, 0, 0]) for i in (red, green, blue)] == [76, 150, 29]  # .299 .587 .114


def test_grey_is_repeated_into_rgb() -> None:
    out = Preprocess(channels=3, size=(48, 48)).shape(GREY)
    assert (out == GREY[..., None]).all()
    resized = Preprocess(channels=3, size=(24, 20)).shape(GREY)
    assert resized.shape == (5, 24, 20, 3)
    assert (resized[..., 0] == resized[..., 2]).all()


def test_auto_is_area_when_shrinking_and_bilinear_when_enlarging() -> None:
    means = GREY.reshape(5, 24, 2, 24, 2).mean((2, 4))
    assert abs(Preprocess(size=(24, 24)).shape(GREY)[..., 0] - means).max() <= 0.5
    large = cv2.resize(GREY[0], (100, 96), interpolation=cv2.INTER_LINEAR)
    assert (Preprocess(size=(96, 100)).shape(GREY)[0, ..., 0] == large).all()
    mixed = cv2.resize(GREY[0], (24, 96), interpolation=cv2.INTER_LINEAR)
    assert (Preprocess(size=(96, 24)).shape(GREY)[0, ..., 0] == mixed).all()
    named = cv2.resize(GREY[0], (24, 24), interpolation=cv2.INTER_LINEAR)
    assert (Preprocess(size=(24, 24), interpolation="bilinear").shape(GREY)[0, ..., 0] == named).all()


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(48, 48), (30, 40), (64, 64)])
def test_a_batch_and_single_images_give_the_same_bits(images: Any, channels: int, size: Any) -> None:
    p = Preprocess(size=size, channels=channels, mean=(0.4,), std=(0.2,))
    together = p(images)
    assert (p(list(images)) == together).all()
    assert (np.concatenate([p(images[i : i + 1]) for i in range(5)]) == together).all()
    assert (p([i[..., None] for i in images] if images.ndim == 3 else images) == together).all()


def test_images_of_many_sizes_and_none() -> None:
    many = [RNG.integers(0, 256, s, dtype=np.uint8) for s in ((1, 1), (500, 3), (48, 48, 3), (7, 9, 1))]
    assert Preprocess()(many).shape == (4, 1, 48, 48)
    assert Preprocess()([]).shape == (0, 1, 48, 48)
    assert Preprocess(channels=3)(GREY[:0]).shape == (0, 3, 48, 48)


@pytest.mark.parametrize("channels", [1, 3])
def test_torch_gives_the_same_bits(channels: int) -> None:
    p = Preprocess(
        channels=channels, mean=(0.485, 0.456, 0.406)[:channels], std=(0.229, 0.224, 0.225)[:channels]
    )
    pixels = p.shape(COLOUR)
    theirs = p.normalise(p.scale(torch.from_numpy(pixels)))
    assert theirs.dtype == torch.float32
    assert (theirs.numpy() == p(COLOUR)).all()
    expected = (pixels.transpose(0, 3, 1, 2) / 255 - np.reshape(p.mean, (1, -1, 1, 1))) / np.reshape(
        p.std, (1, -1, 1, 1)
    )
    np.testing.assert_allclose(p(COLOUR), expected, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_per_image(channels: int) -> None:
    p = Preprocess(channels=channels, per_image=True)
    images = np.concatenate([COLOUR, COLOUR // 20 + 200, np.full((1, 48, 48, 3), 17, np.uint8)])
    x = p(images)
    wide = p.scale(p.shape(images)).astype(np.float64)
    centred = wide - wide.mean((1, 2, 3), keepdims=True)
    floor = 1 / np.sqrt(wide[0].size)
    expected = centred / np.maximum(wide.std((1, 2, 3), keepdims=True), floor)
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert (x[-1] == 0).all()
    theirs = p.normalise(p.scale(torch.from_numpy(p.shape(images))))
    np.testing.assert_allclose(theirs.numpy(), x, atol=1e-6)


@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.sampled_from([1, 3]),
    st.sampled_from(["auto", "area", "bilinear"]),
    st.floats(-2, 2),
    st.floats(1e-3, 10),
)
def test_json_gives_back_an_equal_object(
    size: tuple[int, int], channels: int, how: str, mean: float, std: float
) -> None:
    import json

    p = Preprocess(size, channels, (mean,), (std,), interpolation=how)
    again = Preprocess.from_json(json.loads(json.dumps(p.to_json(), allow_nan=False)))
    assert again == p
    assert hash(again) == hash(p)
    assert p.describe().endswith(".")


@pytest.mark.parametrize("side", [7, 48, 50, 64, 200])
def test_enlarged_images_show_no_more_than_small_ones(side: int) -> None:
    p = Preprocess(size=(64, 64), detail=(48, 40))
    image = RNG.integers(0, 256, (side, side), dtype=np.uint8)
    shrink = cv2.INTER_AREA if side >= 48 else cv2.INTER_LINEAR
    small = cv2.resize(image, (40, 48), interpolation=shrink)
    want = cv2.resize(small, (64, 64), interpolation=cv2.INTER_LINEAR)[..., None]
    for images in ([image], image[None], [cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)]):
        np.testing.assert_array_equal(p.shape(images), want[None])
    shaped = p.shape([image])
    assert p.shape(shaped) is shaped  # not blurred again
    assert p.input_size == (64, 64)
    again = Preprocess.from_json(p.to_json())
    assert again == p
    assert "64x64 grey enlarged from 48x40, " in p.describe()
    assert "detail" not in Preprocess().to_json()  # versions from before it read the card


def test_a_data_set_of_the_nets_size_is_enlarged_from_small_too() -> None:
    """In training as in prediction, whether its pixels lie in one array or not, and fit into RAM or not."""
    p = Preprocess(size=(16, 16), detail=(8, 8))
    images = RNG.integers(0, 256, (5, 16, 16), dtype=np.uint8)
    faces = from_arrays(images, np.arange(5) % 2, outputs=[Output("emotion", "single", ("a", "b"))])
    np.testing.assert_array_equal(ShapedPixels(faces, p)[np.arange(5)], p.shape(list(images)))


def test_describe_says_what_is_done() -> None:
    assert Preprocess().describe() == "48x48 grey, auto interpolation, pixels in [0, 1]."
    said = Preprocess((224, 200), 3, (0.5,), (0.25,)).describe()
    assert said == "224x200 RGB, auto interpolation, pixels in [0, 1], less 0.5, over 0.25."
    assert "standardised" in Preprocess(per_image=True).describe()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", (48,)), ("size", (0, 48)), ("size", (48.5, 48)), ("size", 48), ("size", (48, 10**9)),
        ("size", (float("inf"), 1)), ("channels", 2), ("channels", "1"), ("channels", True),
        ("mean", (0.0, 0.0)), ("mean", (float("nan"),)), ("mean", ()), ("mean", ("0",)), ("mean", 0.5),
        ("std", (0.0,)), ("std", (-1.0,)), ("std", (float("inf"),)), ("std", (None,)),
        ("detail", (48,)), ("detail", (49, 48)), ("detail", (0, 8)), ("detail", 40), ("detail", (8.5, 8)),
        ("per_image", 1), ("interpolation", "cubic"), ("interpolation", None),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"preprocess.{field}"):
        Preprocess(**{field: value})


def test_per_image_and_mean_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match="per_image replaces"):
        Preprocess(mean=(0.5,), per_image=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2"), ({"interpolaton": "area"}, "did you mean 'interpolation'"),
        ({"mean": None}, "preprocess.mean"),
    ],
)  # fmt: skip
def test_a_bad_card_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Preprocess.from_json({**Preprocess().to_json(), **change})
    card = Preprocess().to_json()
    del card["std"]
    with pytest.raises(RecipeError, match="missing std"):
        Preprocess.from_json(card)


@pytest.mark.parametrize(
    "bad",
    [
        GREY.astype(np.uint16), GREY / 255, GREY > 100, GREY[0], COLOUR[..., :2],
        np.zeros((2, 0, 4), np.uint8), [np.zeros((0, 4), np.uint8)], [np.zeros((4, 4, 4), np.uint8)],
        [GREY[0].astype(np.float32)], [GREY[0], GREY],
    ],
)  # fmt: skip
def test_other_pixels_are_refused(bad: Any) -> None:
    with pytest.raises(DataError, match=r"uint8|shape"):
        Preprocess()(bad)


def test_prediction_needs_no_torch() -> None:
    code = (
        "import sys, duchenne.transforms; sys.exit(bool({'torch', 'kornia', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
