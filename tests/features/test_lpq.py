"""LPQ: against the pixel-by-pixel twin, by hand, and what a blur does to it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import per_pixel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duchenne.errors import DataError, RecipeError
from duchenne.features import LPQ
from duchenne.features.lpq import whitening


def textured(n: int, height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Images with structure of many sizes."""
    rng = np.random.default_rng(seed)
    out = np.zeros((n, height, width))
    for cells in (4, 9, 23):
        for image in out:
            noise = rng.normal(size=(cells, cells)).astype(np.float32)
            image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 40 * out, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("window", "rho"), [(3, 0.9), (5, 0.0), (7, 0.9), (9, 0.5)])
def test_codes_are_the_twins(window: int, rho: float) -> None:
    images = textured(3, 27, 31)
    codes = LPQ(window, rho).codes(images)
    for image, mine in zip(images, codes, strict=True):
        responses = per_pixel.lpq_responses(image, window, rho)
        limit = 1e-4 * window**2
        bits = np.unpackbits(mine[None], axis=0, bitorder="little").astype(bool)
        sure = np.abs(responses - limit) > 1e-2  # float32 rounding is below 1e-3
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(bits[sure], (responses > limit)[sure])


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (4, 4)])
def test_features_are_the_twins(grid: tuple[int, int]) -> None:
    images = textured(3, 26, 33, seed=1)
    mine = LPQ(grid=grid)(images)
    assert mine.dtype == np.float32
    for image, one in zip(images, mine, strict=True):
        np.testing.assert_allclose(one, per_pixel.lpq(image, grid=grid), rtol=1e-5, atol=1e-7)


def test_without_correlation_the_directions_are_the_frequencies() -> None:
    """With rho = 0 the 8 numbers are uncorrelated already: M M' is a multiple of the identity."""
    np.testing.assert_allclose(whitening(7, 0.0), np.eye(8), atol=1e-9)


def test_whitening_decorrelates() -> None:
    """The rows are orthonormal, and the covariance between numbers projected on them is 0."""
    rows = whitening(5, 0.9)
    np.testing.assert_allclose(rows @ rows.T, np.eye(8), atol=1e-9)
    side = np.arange(-2, 3)
    y, x = (v.ravel() for v in np.meshgrid(side, side, indexing="ij"))
    waves = np.exp(2j * np.pi / 5 * np.stack([x, y, x + y, x - y]))
    basis = np.concatenate([waves.real, waves.imag])
    covariance = basis @ 0.9 ** np.hypot(x[:, None] - x, y[:, None] - y) @ basis.T
    mixed = rows @ covariance @ rows.T
    assert np.abs(mixed - np.diag(np.diag(mixed))).max() < 1e-4 * np.diag(mixed).max()
    assert (np.diff(np.diag(mixed)) < 1e-3).all()  # largest first


def test_one_bright_pixel_by_hand() -> None:
    """rho = 0, M = 3: at offset (x, y) the bits are the signs of cos and sin of 2 pi u (x, y) / 3."""
    image = np.zeros((1, 5, 5), np.uint8)
    image[0, 2, 2] = 255
    codes = LPQ(3, 0.0, grid=(1, 1)).codes(image)[0]
    # The bright pixel is in the middle of the middle window: all cosines are 1, all sines 0.
    assert codes[1, 1] == 0b00001111
    # The window to its left sees it at (1, 0): of 120 degrees cos < 0 and sin > 0; of (0, a) cos 1, sin 0.
    assert codes[1, 0] == 0b11010010
    # The window above sees it at (0, 1): cosines 1, -, -, - from (a, 0) on: +, -, -, -; sines 0, +, +, -.
    assert codes[0, 1] == 0b01100001


def test_codes_barely_change_under_a_symmetric_blur() -> None:
    """The phase of a symmetric blur is 0 near frequency 0, so most bits stay; those of the pixels do not."""
    image = textured(1, 80, 90, seed=3)[0]
    noisy = np.clip(image.astype(int) + np.random.default_rng(0).integers(-30, 31, image.shape), 0, 255)
    sharp = noisy.astype(np.uint8)
    symmetric = cv2.GaussianBlur(sharp, (0, 0), 0.8)
    kernel = np.zeros((3, 3), np.float32)
    kernel[1, 2] = 1  # a shift by one pixel: not symmetric
    shifted = cv2.filter2D(sharp, -1, kernel)

    def kept(changed: npt.NDArray[np.uint8]) -> float:
        a, b = LPQ().codes(np.stack([sharp, changed]))[:, 2:-2, 2:-2]
        return 1 - float(np.unpackbits(a ^ b).mean())

    def local_patterns(a: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        middle = a[1:-1, 1:-1]
        around = [a[y : y + middle.shape[0], x : x + middle.shape[1]] for y in range(3) for x in range(3)]
        return np.stack([v >= middle for v in around])

    assert kept(symmetric) > 0.93
    assert kept(shifted) < kept(symmetric) - 0.1
    binary = float((local_patterns(sharp) == local_patterns(symmetric)).mean())
    assert kept(symmetric) > binary + 0.05


def test_brightness_and_contrast_do_not_matter() -> None:
    image = textured(1, 40, 40) // 3
    np.testing.assert_array_equal(LPQ().codes(image), LPQ().codes(image * 2 + 10))


@pytest.mark.parametrize("grey", [0, 1, 127, 255])
def test_flat_images_have_one_code(grey: int) -> None:
    flat = np.full((2, 20, 22), grey, np.uint8)
    assert (LPQ().codes(flat) == 0).all()
    x = LPQ(grid=(2, 2))(flat)
    assert np.isfinite(x).all()
    np.testing.assert_allclose(x.reshape(2, 4, 256)[:, :, 0], 0.25)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 4), st.integers(9, 40), st.integers(9, 40), st.sampled_from([3, 5, 7]),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_shape_and_sum(
    n: int, height: int, width: int, window: int, grid: tuple[int, int], root: bool, seed: int
) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, height, width), dtype=np.uint8)
    feature = LPQ(window, grid=grid, root=root)
    x = feature(images)
    assert x.shape == (n, feature.length)
    assert x.dtype == np.float32
    assert (x >= 0).all()
    if root:  # sqrt(D p): the mean square is the sum of p
        np.testing.assert_allclose((x**2).mean(1), np.ones(n), rtol=1e-5)
        x = x**2 / feature.length
    np.testing.assert_allclose(
        x.reshape(n, grid[0] * grid[1], 256).sum(2), 1 / (grid[0] * grid[1]), rtol=1e-5
    )


def test_an_image_alone_and_among_others_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images = textured(7, 30, 34, seed=5)
    monkeypatch.setattr("duchenne.features.histogram.CHUNK_PIXELS", 3 * 30 * 34)
    together = LPQ(grid=(2, 2))(images)
    alone = np.concatenate([LPQ(grid=(2, 2))(images[i : i + 1]) for i in range(7)])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": 8}, "window = 8: must be odd"),
        ({"window": 1}, "window = 1"),
        ({"window": 7.0}, "window = 7.0"),
        ({"rho": 1.0}, "rho = 1.0"),
        ({"rho": "high"}, "rho = 'high'"),
        ({"grid": [0, 4]}, "grid = 0"),
        ({"grid": [4]}, "grid"),
        ({"root": 1}, "root = 1"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        LPQ(**options)  # type: ignore[arg-type]


def test_images_that_do_not_fit_are_named() -> None:
    with pytest.raises(RecipeError, match=r"window = 21 is larger than the image \(20x40\)"):
        LPQ(21)(np.zeros((1, 20, 40), np.uint8))
    with pytest.raises(RecipeError, match=r"grid = \[4, 4\]: an image of 9x40 has 3x34 codes"):
        LPQ()(np.zeros((1, 9, 40), np.uint8))
    for wrong in (np.zeros((1, 20, 20, 3), np.uint8), np.zeros((1, 20, 20))):
        with pytest.raises(DataError, match="grey images"):
            LPQ()(wrong)
