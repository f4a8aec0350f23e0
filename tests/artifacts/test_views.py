"""Views: against crops, mirrors and means written out by hand."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from duchenne.artifacts import VIEWS, average_views
from duchenne.errors import RecipeError


def predict(x: Any) -> dict[str, Any]:
    """Not symmetric and not linear, so that no view can stand for another."""
    ramp = np.arange(x[0].size, dtype=np.float32).reshape(x.shape[1:]) / x[0].size
    s = (x * ramp).sum(axis=(1, 2, 3))
    return {"emotion": np.stack([np.sin(s), np.cos(s)], axis=1).astype(np.float32)}


def images(n: int = 3, c: int = 1, h: int = 16, w: int = 24) -> Any:
    return np.random.default_rng(0).random((n, c, h, w), dtype=np.float32)


def test_single_is_the_prediction_itself() -> None:
    x = images()
    assert average_views(predict, x)["emotion"].tolist() == predict(x)["emotion"].tolist()


def test_flip_is_the_mean_of_two() -> None:
    x = images()
    mirrored = x.copy()
    for i in range(24):
        mirrored[..., i] = x[..., 23 - i]
    want = (predict(x)["emotion"] + predict(mirrored)["emotion"]) / 2
    np.testing.assert_allclose(average_views(predict, x, "flip")["emotion"], want, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_ten_crop_is_the_mean_of_ten(channels: int) -> None:
    x = images(c=channels)
    total = np.zeros((3, 2))
    for top, left in [(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)]:  # 7/8 of 16 x 24 is 14 x 21
        crops = x[:, :, top : top + 14, left : left + 21]
        big = np.stack([cv2.resize(i.transpose(1, 2, 0), (24, 16)).reshape(16, 24, channels) for i in crops])
        big = np.ascontiguousarray(big.transpose(0, 3, 1, 2))
        total += predict(big)["emotion"] + predict(big[..., ::-1])["emotion"]
    got = average_views(predict, x, "ten-crop")["emotion"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, total / 10, atol=1e-6)


@pytest.mark.parametrize("views", sorted(VIEWS))
@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_tiny_images_have_all_views(views: str, side: int) -> None:
    seen = list(VIEWS[views](images(h=side, w=side)))
    assert len(seen) == {"single": 1, "flip": 2, "ten-crop": 10}[views]
    assert all(v.shape == (3, 1, side, side) and v.flags.c_contiguous for v in seen)


def test_a_flat_image_is_the_same_in_every_view() -> None:
    for view in VIEWS["ten-crop"](np.full((1, 1, 7, 7), 0.3, np.float32)):
        np.testing.assert_allclose(view, 0.3, rtol=1e-6)


def test_unknown_view() -> None:
    with pytest.raises(RecipeError, match="did you mean 'ten-crop'"):
        average_views(predict, images(), "tencrop")
