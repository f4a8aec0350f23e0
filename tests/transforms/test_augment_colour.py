"""JPEG and colour changes: against Pillow and colorsys, and what they leave alone."""

from __future__ import annotations

import colorsys
import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from duchenne.errors import RecipeError
from duchenne.transforms.augment import _COLUMNS, _MORE_COLUMNS, Augment, _second_draws

torch.set_num_threads(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 8, c: int = 3, side: int = 24) -> torch.Tensor:
    """Blocks of colour, whole 8-bit numbers."""
    rng = np.random.default_rng(2)
    blocks = rng.integers(0, 256, (n, c, side // 8, side // 8), dtype=np.uint8)
    return torch.tensor(blocks.repeat(8, 2).repeat(8, 3) / 255, dtype=torch.float32)


def more(n: int) -> dict[str, np.ndarray]:
    """The second table of draws that a batch of n gets."""
    first = torch.rand((n, len(_COLUMNS)), generator=seeded())
    return dict(zip(_MORE_COLUMNS, _second_draws(first).numpy().T, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels: int) -> None:
    x, u = images(c=channels), more(8)
    y = Augment(jpeg=1, jpeg_quality=(20, 60))(x, seeded())
    for i in range(8):
        quality = 20 + int(u["jpeg_quality"][i] * 41)
        pixels = (x[i].numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
        stored = io.BytesIO()
        Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(stored, "JPEG", quality=quality)
        back = np.asarray(Image.open(stored), np.float32).reshape(pixels.shape)
        # The two libraries' decoders round and smooth colour differently.
        assert abs(y[i].numpy().transpose(1, 2, 0) * 255 - back).mean() < (0.6 if channels == 1 else 3)


def test_jpeg_takes_the_share_it_is_told() -> None:
    x = torch.rand(400, 1, 16, 16, generator=seeded(7))
    changed = (Augment(jpeg=0.5, jpeg_quality=(10, 10))(x, seeded()) != x).flatten(1).any(1).numpy()
    assert (changed == (more(400)["jpeg"] < 0.5)).all()
    assert 160 < changed.sum() < 240


def test_lower_quality_loses_more() -> None:
    x = torch.rand(8, 3, 32, 32, generator=seeded(7))
    lost = [float((Augment(jpeg=1, jpeg_quality=(q, q))(x, seeded()) - x).abs().mean()) for q in (10, 50, 95)]
    assert lost[0] > lost[1] > lost[2] > 0


def test_colours_are_colorsys() -> None:
    x, u = images(), more(8)
    y = Augment(hue=40, saturation=0.3, value=0.2)(x, seeded())
    for i in range(8):
        sign = {k: 2 * float(v[i]) - 1 for k, v in u.items()}
        for row, column in ((0, 0), (0, 8), (16, 8)):
            h, s, v = colorsys.rgb_to_hsv(*x[i, :, row, column].tolist())
            wanted = colorsys.hsv_to_rgb(
                (h + 40 / 360 * sign["hue"]) % 1,
                min(max(s + 0.3 * sign["saturation"], 0), 1),
                min(max(v + 0.2 * sign["value"], 0), 1),
            )
            assert y[i, :, row, column].tolist() == pytest.approx(wanted, abs=2e-5)


def test_grey_pixels_have_no_hue_and_a_whole_turn_is_none() -> None:
    grey = torch.rand(4, 1, 8, 8, generator=seeded()).expand(-1, 3, -1, -1)
    torch.testing.assert_close(Augment(hue=180)(grey, seeded()), grey, atol=1e-5, rtol=0)


def test_new_kinds_leave_the_draws_of_the_others() -> None:
    x = images(64)
    plain = Augment(flip=0.5, rotate=10)
    coloured = Augment(flip=0.5, rotate=10, hue=1e-6, jpeg=0.0)
    one, two = seeded(), seeded()
    for _ in range(3):  # nor do they take from the generator
        torch.testing.assert_close(plain(x, one), coloured(x, two), atol=1e-4, rtol=0)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=two))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 100), st.floats(0, 1), st.floats(0, 180))
def test_any_size_and_strength_stays_in_range(h: int, w: int, quality: int, share: float, hue: float) -> None:
    strong = Augment(jpeg=share, jpeg_quality=(1, quality), hue=hue, saturation=share, value=share)
    x = torch.rand(3, 3, h, w, generator=seeded())
    before = x.clone()
    y = strong(x, seeded(1))
    assert y.shape == x.shape
    assert (x == before).all()
    assert torch.isfinite(y).all()
    assert y.min() >= 0
    assert y.max() <= 1
    assert torch.equal(y, strong(x, seeded(1)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    assert Augment(jpeg=1, hue=20)(images().to(dtype), seeded()).dtype == dtype


@pytest.mark.parametrize("name", ["hue", "saturation", "value"])
def test_colours_of_grey_images_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=f"augment.{name} changes colours, but the images have 1 channel"):
        Augment(**{name: 0.5})(images(c=1), seeded())
    Augment(jpeg=1, flip=0.5).check_channels(1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jpeg", 1.5), ("hue", 181), ("saturation", -0.1), ("value", 2), ("jpeg_quality", (0, 50)),
        ("jpeg_quality", (60, 50)), ("jpeg_quality", (50, 101)), ("jpeg_quality", (50.0, 60)),
        ("jpeg_quality", (50,)),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"augment.{field}"):
        Augment(**{field: value})
