"""PHOG: against the pixel-by-pixel twin, by hand, and its length."""

from __future__ import annotations

import numpy as np
import per_pixel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duchenne.errors import DataError, RecipeError
from duchenne.features import PHOG


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize(("bins", "levels", "angle"), [(8, 3, 360), (9, 2, 180), (1, 0, 360), (20, 1, 180)])
def test_features_are_the_twins(bins: int, levels: int, angle: int, soft: bool) -> None:
    images = np.random.default_rng(bins).integers(0, 256, (3, 21, 29), dtype=np.uint8)
    images[0, 5:15, 5:20] = 255
    mine = PHOG(bins, levels, angle, soft)(images)
    for image, one in zip(images, mine, strict=True):
        # Steep angles stand exactly on a bin's edge; there float32 may fall to the other side.
        wanted = np.array(per_pixel.phog(image, bins, levels, angle, soft))
        moved = 0.5 * np.abs(one - wanted).sum()
        assert moved < (1e-5 if soft else 0.01)


@pytest.mark.parametrize(("turn", "degrees"), [(0, 0), (1, 270), (2, 180), (3, 90)])
def test_a_step_by_hand(turn: int, degrees: int) -> None:
    """Dark to bright: all weight is in the bins beside its direction (angles grow downwards)."""
    image = np.zeros((16, 16), np.uint8)
    image[:, 8:] = 200
    image = np.rot90(image, turn)  # counter-clockwise: right, up, left, down
    x = PHOG(bins=8, levels=0, soft=False)(image[None])[0]
    assert x[degrees // 45] == pytest.approx(1)
    halves = PHOG(bins=4, levels=0)(image[None])[0]  # middles are 45 degrees away on both sides
    assert sorted(halves.tolist()) == pytest.approx([0, 0, 0.5, 0.5])
    unsigned = PHOG(bins=2, levels=0, angle=180, soft=False)(image[None])[0]
    assert unsigned[degrees % 180 // 90] == pytest.approx(1)


def test_levels_and_cells_by_hand() -> None:
    """A step in the upper left quarter alone: level 0, then the first of four cells."""
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, 4:12, 4:12] = 255
    x = PHOG(bins=4, levels=1)(image)[0].reshape(5, 4)
    assert x[0].sum() == pytest.approx(0.5)
    np.testing.assert_allclose(x[1], x[0], rtol=1e-5)
    assert not x[2:].any()
    np.testing.assert_allclose(x[0], 0.125, rtol=0.05)  # a square has all directions alike


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 4), st.integers(8, 40), st.integers(8, 40), st.integers(1, 12), st.integers(0, 3),
    st.sampled_from([180, 360]), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_length_and_sum(
    n: int, height: int, width: int, bins: int, levels: int, angle: int, soft: bool, root: bool, seed: int
) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, height, width), dtype=np.uint8)
    feature = PHOG(bins, levels, angle, soft, root)
    x = feature(images)
    assert feature.length == bins * sum(4**level for level in range(levels + 1))
    assert x.shape == (n, feature.length)
    assert x.dtype == np.float32
    assert (x >= 0).all()
    p = x.astype(float) ** 2 / feature.length if root else x.astype(float)
    np.testing.assert_allclose(p.sum(1), np.ones(n), rtol=1e-5)
    # Each level holds all edges once.
    begin = 0
    for level in range(levels + 1):
        end = begin + bins * 4**level
        np.testing.assert_allclose(p[:, begin:end].sum(1), 1 / (levels + 1), rtol=1e-4)
        begin = end


@pytest.mark.parametrize("grey", [0, 127, 255])
@pytest.mark.parametrize("root", [True, False])
def test_flat_images_are_finite(grey: int, root: bool) -> None:
    x = PHOG(root=root)(np.full((2, 20, 22), grey, np.uint8))
    assert not x.any()
    assert np.isfinite(x).all()


def test_flat_images_among_others_change_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 22), dtype=np.uint8)
    images[1] = 90
    together = PHOG()(images)
    assert not together[1].any()
    np.testing.assert_array_equal(together[2], PHOG()(images[2:])[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"levels": -1}, "levels = -1"),
        ({"levels": 7}, "levels = 7"),
        ({"bins": 0}, "bins = 0"),
        ({"bins": True}, "bins = True"),
        ({"angle": 90}, "angle = 90: must be 180 or 360"),
        ({"soft": "yes"}, "soft = 'yes'"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        PHOG(**options)  # type: ignore[arg-type]


def test_images_that_do_not_fit_are_named() -> None:
    with pytest.raises(RecipeError, match="levels = 3: the finest level cuts each side into 8 parts"):
        PHOG(levels=3)(np.zeros((1, 7, 40), np.uint8))
    with pytest.raises(DataError, match="grey images"):
        PHOG()(np.zeros((1, 20, 20, 3), np.uint8))
