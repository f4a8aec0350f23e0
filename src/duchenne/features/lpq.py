"""LPQ, local phase quantisation: codes of local Fourier phase, which a symmetric blur barely changes.

Source: Ojansivu & Heikkila 2008, "Blur insensitive texture classification using local phase quantization",
ICISP, LNCS 5099, sections 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import RecipeError
from .histogram import Bytes, Floats, cell_map, chunks, finished, flag, grey, real, whole

CODES = 256

# A response below this, in grey levels a pixel of the window, counts as 0: in flat places float32 rounding
# (about 1e-5 in this unit) would otherwise choose the codes.
FLAT = 1e-4

# Breaks ties among equal variances of the whitening, so that its directions are defined.
# Source: the factors of the authors' own program, lpq.m.
UNTIE = 1 + 1e-6 * np.array([7, 6, 5, 4, 3, 2, 1, 0], np.float64)


@dataclass(frozen=True)
class LPQ:
    """Histograms of LPQ codes over a grid of blocks.

    At each pixel whose window lies inside the image, the Fourier transform of the window at the frequencies
    (a, 0), (0, a), (a, a), (a, -a), a = 1/M, gives 8 numbers (4 real, then 4 imaginary parts). The window is
    uniform (the paper's first form; no Gaussian). They are decorrelated, and their signs are the code's bits.
    A bit is 1 where its number is above 0 by more than rounding (`FLAT`), so flat places have code 0.

    Attributes:
        window: M, pixels, odd, 3 to 51.
        rho: Correlation of neighbouring pixels that the decorrelation assumes, 0 to 0.999; at 0 all pixels
            are taken as independent. Source: section 2.2 (0.9).
        grid: Rows and columns of blocks that the map of codes is cut into, each 1 to 32; block i of g along a
            side of s codes begins at ``i * s // g``.
        root: Hellinger form, see `histogram.finished`.
    """

    window: int = 7
    rho: float = 0.9
    grid: tuple[int, int] = (4, 4)
    root: bool = False

    def __post_init__(self) -> None:
        whole("features.lpq.window", self.window, 3, 51)
        if self.window % 2 == 0:
            raise RecipeError(
                f"features.lpq.window = {self.window}: must be odd, for a window has a middle pixel",
                f"take {self.window - 1} or {self.window + 1}",
            )
        object.__setattr__(self, "rho", real("features.lpq.rho", self.rho, 0, 0.999))
        if not isinstance(self.grid, list | tuple) or len(self.grid) != 2:
            raise RecipeError(f"features.lpq.grid = {self.grid!r}: must be [rows, columns]")
        object.__setattr__(self, "grid", tuple(whole("features.lpq.grid", g, 1, 32) for g in self.grid))
        flag("features.lpq.root", self.root)

    @property
    def length(self) -> int:
        """D, numbers an image: 256 a block."""
        return CODES * self.grid[0] * self.grid[1]

    def check_size(self, height: int, width: int) -> None:
        """Raises RecipeError where images of that size are too small."""
        if min(height, width) < self.window:
            raise RecipeError(
                f"features.lpq.window = {self.window} is larger than the image ({height}x{width})",
                "take a smaller window, or a larger preprocess.size",
            )
        rows, columns = height - self.window + 1, width - self.window + 1
        if rows < self.grid[0] or columns < self.grid[1]:
            raise RecipeError(
                f"features.lpq.grid = {list(self.grid)}: an image of {height}x{width} has {rows}x{columns} "
                f"codes with a window of {self.window}",
                "take fewer blocks, a smaller window, or a larger preprocess.size",
            )

    def __call__(self, images: npt.NDArray[Any]) -> Floats:
        """Features of images.

        Args:
            images: uint8 ``(N, H, W)``.

        Returns:
            ``(N, D)`` float32, blocks row by row, 256 bins each; each vector sums to 1 (or `root`).

        Raises:
            DataError: Not grey uint8 images.
            RecipeError: The images are too small for window or grid.
        """
        images = grey(images)
        n, height, width = images.shape
        self.check_size(height, width)
        blocks = self.grid[0] * self.grid[1]
        cells = cell_map(height - self.window + 1, width - self.window + 1, *self.grid)
        share = np.bincount(cells.ravel(), minlength=blocks)[:, None]
        out = np.empty((n, self.length), np.float32)
        for part in chunks(images):
            codes = self._codes(images[part])
            k = len(codes)
            index = codes + (cells * CODES + np.arange(k)[:, None, None] * self.length)
            counts = np.bincount(index.ravel(), minlength=k * self.length).reshape(k, blocks, CODES)
            out[part] = finished((counts / share).reshape(k, -1), self.root)
        return out

    def codes(self, images: npt.NDArray[Any]) -> Bytes:
        """The codes themselves: uint8 ``(N, H - M + 1, W - M + 1)``; arguments and errors as a call."""
        images = grey(images)
        n, height, width = images.shape
        self.check_size(height, width)
        out = np.empty((n, height - self.window + 1, width - self.window + 1), np.uint8)
        for part in chunks(images):
            out[part] = self._codes(images[part])
        return out

    def _codes(self, images: Bytes) -> Bytes:
        """Codes of a few images, all at once: one below the other they are one tall image, whose rows near a
        seam are cut off as those near an edge are.
        """
        n, height, width = images.shape
        reach = self.window // 2
        tall = np.ascontiguousarray(images).reshape(n * height, width)
        ones, cosine, sine = _waves(self.window)

        def filtered(x: Floats, y: Floats) -> Any:
            return cv2.sepFilter2D(tall, cv2.CV_32F, x, y, borderType=cv2.BORDER_REPLICATE)

        cc, ss = filtered(cosine, cosine), filtered(sine, sine)
        cs, sc = filtered(cosine, sine), filtered(sine, cosine)
        # e^(i(x + y)) and e^(i(x - y)), by the real and imaginary parts of e^(ix) and e^(iy).
        real_parts = filtered(cosine, ones), filtered(ones, cosine), cc - ss, cc + ss
        imaginary = filtered(sine, ones), filtered(ones, sine), sc + cs, sc - cs
        codes = np.zeros(tall.shape, np.uint8)
        mixed, bit = np.empty(tall.shape, np.float32), np.empty(tall.shape, bool)
        for i, row in enumerate(whitening(self.window, self.rho)):
            mixed.fill(-FLAT * self.window**2)
            # A plane at a time: BLAS is slower at so thin a product. Half of the weights are 0.
            for weight, plane in zip(row, real_parts + imaginary, strict=True):
                if weight:
                    cv2.scaleAdd(plane, float(weight), mixed, dst=mixed)
            np.greater(mixed, 0, out=bit)
            codes |= bit.view(np.uint8) << np.uint8(i)
        inner: Bytes = codes.reshape(n, height, width)[:, reach : height - reach, reach : width - reach]
        return inner


def _waves(window: int) -> tuple[Floats, Floats, Floats]:
    """Along a side: ones, cosine and sine of one period over the window.

    F(u, x) = sum over y of f(x - y) e^(-2 pi i u y): with o = -y, f(x + o) is weighed by e^(+2 pi i u o).
    """
    phase = 2 * np.pi * np.arange(-(window // 2), window // 2 + 1) / window
    ones = np.ones(window, np.float32)
    return ones, np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)


def whitening(window: int, rho: float) -> npt.NDArray[np.float64]:
    """``(8, 8)``: rows are the directions onto which the 8 numbers are projected, largest variance first.

    With the pixels of a window correlated as rho ** (their distance), the covariance of the 8 numbers is
    D = M C M'; rows are the right singular vectors of D. The sign of each is chosen so that its first entry
    that is not near 0 is positive. Lengths do not matter, for only signs are kept.

    Source: section 2.2, equations 8 to 11.
    """
    side = np.arange(-(window // 2), window // 2 + 1)
    y, x = (v.ravel() for v in np.meshgrid(side, side, indexing="ij"))
    phase = 2 * np.pi / window * np.stack([x, y, x + y, x - y])
    matrix = np.concatenate([np.cos(phase), np.sin(phase)])
    distance = np.hypot(x[:, None] - x[None, :], y[:, None] - y[None, :])
    covariance = matrix @ np.power(rho, distance) @ matrix.T
    _, _, rows = np.linalg.svd(UNTIE[:, None] * covariance * UNTIE[None, :])
    first = np.argmax(np.abs(rows) > 1e-3, axis=1)
    signs: npt.NDArray[np.float64] = np.sign(rows[np.arange(8), first])
    # Real and imaginary parts are uncorrelated; what rounding leaves between them is dropped.
    return np.where(np.abs(rows) > 1e-9, signs[:, None] * rows, 0.0)
