"""Augment: each operation against a hand-made twin on one image, and what the draws depend on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from duchenne.errors import RecipeError
from duchenne.transforms.augment import _COLUMNS, Augment

torch.set_num_threads(1)
ALL = Augment(flip=0.5, shift=0.1, rotate=20, scale=0.2, brightness=0.4, contrast=0.4, erase=0.5)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int = 16, c: int = 1, h: int = 24, w: int = 20) -> torch.Tensor:
    """Smooth noise, so that interpolation errors stay small."""
    noise = np.random.default_rng(1).random((n, c, h, w))
    smooth = [[cv2.GaussianBlur(plane, (0, 0), 1.5) for plane in image] for image in noise]
    x = torch.tensor(np.array(smooth), dtype=torch.float32)
    return (x - x.min()) / (x.max() - x.min())


def draws(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The uniform numbers that a batch of n gets."""
    drawn = torch.rand((n, len(_COLUMNS)), generator=seeded(seed)).numpy()
    return dict(zip(_COLUMNS, drawn.T, strict=True))


def test_nothing_asked_nothing_done() -> None:
    x = batch()
    assert Augment().is_identity
    assert Augment()(x, seeded()) is x
    assert not Augment(flip=0.5).is_identity
    assert not ALL.is_identity


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_dtype_range_and_input_kept(channels: int, dtype: torch.dtype) -> None:
    x = batch(64, channels).to(dtype)
    before = x.clone()
    y = ALL(x, seeded())
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert y.min() >= 0
    assert y.max() <= 1
    assert (x == before).all()
    assert ALL(x[:0], seeded()).shape == x[:0].shape


def test_only_the_generator_counts() -> None:
    x = batch()
    state = torch.random.get_rng_state()
    first = ALL(x, seeded(3))
    assert (torch.random.get_rng_state() == state).all()
    torch.rand(7)
    assert (ALL(x, seeded(3)) == first).all()
    assert (ALL(x, seeded(4)) != first).any()
    generator = seeded(3)
    assert (ALL(x, generator) == first).all()
    assert (ALL(x, generator) != first).any()  # the next batch gets new draws


def test_each_image_gets_its_own_draw() -> None:
    x = batch(1).expand(8, -1, -1, -1)
    y = ALL(x, seeded()).reshape(8, -1)
    assert len(torch.unique(y, dim=0)) == 8


def test_flip_twice_is_the_identity_and_flip_once_a_mirror() -> None:
    x = batch(c=3)
    once = Augment(flip=1)(x, seeded())
    assert (once == torch.tensor(x.numpy()[..., ::-1].copy())).all()
    assert (Augment(flip=1)(once, seeded()) == x).all()
    half = Augment(flip=0.5)(batch(400), seeded())
    flipped = (half != batch(400)).flatten(1).any(1)
    assert (flipped.numpy() == (draws(400)["flip"] < 0.5)).all()
    assert 160 < int(flipped.sum()) < 240


def test_flip_inside_the_warp_is_the_same_mirror() -> None:
    x = batch()
    warped = Augment(flip=1, rotate=1e-9)(x, seeded())
    torch.testing.assert_close(warped, x.flip(3), atol=1e-5, rtol=0)


def test_switching_one_kind_on_leaves_the_others_draws() -> None:
    x = batch(64)
    alone = Augment(flip=0.5)(x, seeded())
    with_brightness = Augment(flip=0.5, brightness=1e-9)(x, seeded())
    torch.testing.assert_close(alone, with_brightness)


@pytest.mark.parametrize("padding", ["border", "reflection", "zeros"])
def test_each_shown_pixel_comes_from_where_the_formula_says(padding: str) -> None:
    x, u = batch(8, 3), draws(8)
    shown = Augment(flip=0.5, shift=0.2, rotate=40, scale=0.3, padding=padding)(x, seeded())
    n, _, h, w = x.shape
    grid = np.empty((n, h, w, 2), np.float32)
    for i in range(n):
        sign = {k: 2 * float(v[i]) - 1 for k, v in u.items()}
        angle, scale = math.radians(40 * sign["rotate"]), 1 + 0.3 * sign["scale"]
        for row in range(h):
            for column in range(w):
                dx = column - (w - 1) / 2 - 0.2 * w * sign["shift_x"]
                dy = row - (h - 1) / 2 - 0.2 * h * sign["shift_y"]
                source_x = (math.cos(angle) * dx + math.sin(angle) * dy) / scale
                source_y = (-math.sin(angle) * dx + math.cos(angle) * dy) / scale
                mirror = -1 if u["flip"][i] < 0.5 else 1
                grid[i, row, column] = mirror * source_x / ((w - 1) / 2), source_y / ((h - 1) / 2)
    twin = F.grid_sample(x, torch.tensor(grid), padding_mode=padding, align_corners=True)
    torch.testing.assert_close(shown, twin, atol=2e-4, rtol=0)


def test_warp_is_opencvs() -> None:
    x, u = batch(8, 1, 48, 48), draws(8)
    y = Augment(shift=0.1, rotate=30, scale=0.2)(x, seeded())
    for i in range(8):
        angle, scale = -30 * (2 * u["rotate"][i] - 1), 1 + 0.2 * (2 * u["scale"][i] - 1)
        matrix = cv2.getRotationMatrix2D((23.5, 23.5), float(angle), float(scale))
        matrix[:, 2] += 0.1 * 48 * (2 * np.array([u["shift_x"][i], u["shift_y"][i]]) - 1)
        theirs = cv2.warpAffine(x[i, 0].numpy(), matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE)
        assert abs(y[i, 0].numpy() - theirs).max() < 0.03  # OpenCV interpolates in steps of 1/32 pixel


def test_brightness_and_contrast_are_pillows() -> None:
    pixels = (batch(8, 3).numpy().transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
    x, u = torch.tensor(pixels.transpose(0, 3, 1, 2) / 255, dtype=torch.float32), draws(8)
    for name, enhance in (("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast)):
        y = Augment(**{name: 0.5})(x, seeded()).numpy().transpose(0, 2, 3, 1) * 255
        for i in range(8):
            theirs = enhance(Image.fromarray(pixels[i])).enhance(0.5 + float(u[name][i]))
            assert abs(y[i] - np.asarray(theirs)).max() < 1.6  # Pillow rounds to whole numbers twice


def test_erase_fills_one_box_with_the_mean() -> None:
    x, u = batch(200, 2, 24, 20), draws(200)
    ends = set()
    y = Augment(erase=0.5, erase_area=(0.05, 0.1))(x, seeded())
    for i in range(200):
        changed = (y[i] != x[i]).all(0).numpy()
        assert changed.any() == (u["erase"][i] < 0.5)
        if not changed.any():
            continue
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert changed.sum() == len(rows) * len(columns)
        assert np.ptp(rows) + 1 == len(rows)
        assert np.ptp(columns) + 1 == len(columns)
        assert 0.03 < changed.mean() < 0.13  # sides are rounded to whole pixels
        ends |= {("row", rows[0]), ("row", rows[-1]), ("column", columns[0]), ("column", columns[-1])}
        torch.testing.assert_close(y[i][:, rows[0], columns[0]], x[i].mean((1, 2)))
    assert ends >= {("row", 0), ("row", 23), ("column", 0), ("column", 19)}  # it reaches every edge


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0, 1),
    st.floats(0, 180),
    st.floats(0, 0.99),
    st.floats(0, 1),
)
def test_any_size_and_strength_stays_in_range(
    h: int, w: int, share: float, rotate: float, scale: float, area: float
) -> None:
    strong = Augment(share, share, rotate, scale, share, share, share, (0.01, max(area, 0.01)))
    y = strong(torch.rand(3, 1, h, w, generator=seeded()), seeded(1))
    assert y.shape == (3, 1, h, w)
    assert torch.isfinite(y).all()
    assert y.min() >= 0
    assert y.max() <= 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip", 1.5), ("flip", -0.1), ("shift", float("nan")), ("rotate", 181), ("scale", 1.0),
        ("brightness", "x"), ("contrast", float("inf")), ("erase", True), ("erase_area", (0.3, 0.2)),
        ("erase_area", (0.0, 0.2)),
        ("erase_area", (0.1,)), ("padding", "wrap"), ("mixup", -0.1), ("mixup", 11),
        ("crop", 0.0), ("crop", 1.1),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"augment.{field}"):
        Augment(**{field: value})


@pytest.mark.parametrize("bad", [torch.zeros(2, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.uint8)])
def test_other_tensors_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="a batch is float"):
        ALL(bad, seeded())


def test_mix_blends_with_another_image_of_the_batch() -> None:
    x = torch.randn(6, 2, 5, 4)
    augment = Augment(mixup=0.4)
    assert augment.is_identity  # the images themselves are not changed by it
    mixed, order, share = augment.mix(x, seeded(3))
    assert sorted(order.tolist()) == list(range(6))
    assert 0.5 <= share <= 1
    for i in range(6):
        torch.testing.assert_close(mixed[i], share * x[i] + (1 - share) * x[order[i]])
    again = augment.mix(x, seeded(3))
    assert again[2] == share
    assert torch.equal(again[0], mixed)


def test_shares_of_mix_are_those_of_the_beta_distribution() -> None:
    """E of the larger of b and 1 - b, b of Beta(1, 1): 3/4; for a large alpha all are near 1/2."""
    x, generator = torch.zeros(2, 1), seeded()
    uniform = [Augment(mixup=1.0).mix(x, generator)[2] for _ in range(2000)]
    assert np.mean(uniform) == pytest.approx(0.75, abs=0.01)
    near_half = [Augment(mixup=10.0).mix(x, generator)[2] for _ in range(200)]
    assert np.mean(near_half) < 0.62


def test_crop_is_one_window_of_all_images_and_comes_last() -> None:
    x = batch(8, 2, 24, 20)
    whole, window = ALL(x, seeded(5)), replace(ALL, crop=0.75)(x, seeded(5))
    assert window.shape == (8, 2, 18, 15)
    places = [
        (top, left)
        for top in range(7)
        for left in range(6)
        if torch.equal(whole[:, :, top : top + 18, left : left + 15], window)
    ]
    assert len(places) == 1


def test_crop_reaches_every_place() -> None:
    ramp = torch.arange(30.0).reshape(1, 1, 5, 6).expand(4, 1, 5, 6) / 30
    generator = seeded()
    corners = {round(float(Augment(crop=0.6)(ramp, generator)[0, 0, 0, 0]) * 30) for _ in range(300)}
    assert corners == {6 * top + left for top in range(3) for left in range(3)}  # 3x4 of 5x6
