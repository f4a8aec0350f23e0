"""PHOG, pyramid of histograms of oriented gradients: edge orientations over ever finer cells.

Source: Bosch, Zisserman & Munoz 2007, "Representing shape with a spatial pyramid kernel", CIVR, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import RecipeError
from .histogram import Bytes, Floats, cell_map, chunks, finished, flag, grey, whole

MAX_LEVELS = 6

# Canny's thresholds from the image itself: the upper one is the magnitude that 70% of the pixels stay below,
# the lower one 0.4 of it. Source: MATLAB, edge(I, 'canny'), with which the paper's own program was written.
NOT_EDGES = 0.7
LOW_TO_HIGH = 0.4


@dataclass(frozen=True)
class PHOG:
    """Histograms of gradient orientation at edge pixels, over a pyramid of cells.

    Edges are Canny's, found on Sobel 3x3 derivatives without smoothing; each edge pixel counts by its
    gradient magnitude. Level l cuts each side into 2 ** l parts.

    Attributes:
        bins: K, bins of orientation, 1 to 360.
        levels: L, the finest level, 0 to 6; 0 is the whole image alone.
        angle: 360: directions; 180: a direction and its opposite are one orientation.
        soft: Share each pixel between the two nearest bins, by its distance to their middles, as SIFT does;
            false: all to the bin it lies in.
        root: Hellinger form, see `histogram.finished`.
    """

    bins: int = 8
    levels: int = 3
    angle: int = 360
    soft: bool = True
    root: bool = False

    def __post_init__(self) -> None:
        whole("features.phog.bins", self.bins, 1, 360)
        whole("features.phog.levels", self.levels, 0, MAX_LEVELS)
        if isinstance(self.angle, bool) or self.angle not in (180, 360):
            raise RecipeError(f"features.phog.angle = {self.angle!r}: must be 180 or 360 (degrees)")
        flag("features.phog.soft", self.soft)
        flag("features.phog.root", self.root)

    @property
    def length(self) -> int:
        """D, numbers an image: K * sum of 4 ** l for l = 0..L."""
        return self.bins * sum(1 << (2 * level) for level in range(self.levels + 1))

    def check_size(self, height: int, width: int) -> None:
        """Raises RecipeError where images of that size are too small."""
        if min(height, width) < max(3, 2**self.levels):
            raise RecipeError(
                f"features.phog.levels = {self.levels}: the finest level cuts each side into "
                f"{2**self.levels} parts, but the image is {height}x{width} (and Sobel's mask is 3x3)",
                "take fewer levels, or a larger preprocess.size",
            )

    def __call__(self, images: npt.NDArray[Any]) -> Floats:
        """Features of images.

        Args:
            images: uint8 ``(N, H, W)``.

        Returns:
            ``(N, D)`` float32: level by level from the whole image on, cells row by row, K bins each. Each
            vector sums to 1 (or `root`); without any edge it is 0.

        Raises:
            DataError: Not grey uint8 images.
            RecipeError: The images are too small for the levels.
        """
        images = grey(images)
        n, height, width = images.shape
        self.check_size(height, width)
        side = 2**self.levels
        cells = cell_map(height, width, side, side).ravel()
        out = np.empty((n, self.length), np.float32)
        for part in chunks(images):
            out[part] = self._some(images[part], cells)
        return out

    def _some(self, images: Bytes, cells: npt.NDArray[np.int64]) -> Floats:
        """Features of a few images; `cells` is the finest level's cell of each pixel ``(H * W,)``."""
        k, side = self.bins, 2**self.levels
        pixels, dx, dy, counts = [], [], [], []
        for image in images:
            gx, gy, at = gradients_at_edges(image)
            pixels.append(at)
            dx.append(gx.ravel()[at])
            dy.append(gy.ravel()[at])
            counts.append(len(at))
        x, y = (np.concatenate(v).astype(np.float32) for v in (dx, dy))
        # The first bin begins at 0 degrees (dark to bright, left to right); angles grow towards the bottom.
        turn = np.arctan2(y, x) / np.float32(np.deg2rad(self.angle))
        place = ((turn - np.floor(turn)) * k).astype(np.float32)
        cell = cells[np.concatenate(pixels)] + np.repeat(np.arange(len(images)) * side * side, counts)
        finest = self._binned(
            cell * k, place, np.hypot(x, y).astype(np.float32), len(images) * side * side * k
        )
        level = finest.reshape(len(images), side, side, k)
        pyramid = [level.reshape(len(images), -1)]
        while side > 1:
            side //= 2
            level = level.reshape(len(images), side, 2, side, 2, k).sum(axis=(2, 4))
            pyramid.append(level.reshape(len(images), -1))
        return finished(np.concatenate(pyramid[::-1], axis=1), self.root)

    def _binned(
        self, start: npt.NDArray[np.int64], place: Floats, weight: Floats, total: int
    ) -> npt.NDArray[Any]:
        """Sums ``(total,)`` of weights by bin: `start` is a cell's first bin, `place` in [0, K] within it."""
        if not self.soft:
            # Rounding can bring a place just below K up to K.
            return np.bincount(start + np.minimum(place.astype(np.int64), self.bins - 1), weight, total)
        lower = np.floor(place - np.float32(0.5))
        right = (place - np.float32(0.5) - lower) * weight
        low = lower.astype(np.int64)
        sums = np.bincount(start + low % self.bins, weight - right, total)
        sums += np.bincount(start + (low + 1) % self.bins, right, total)
        return sums


def gradients_at_edges(image: Bytes) -> tuple[Any, Any, npt.NDArray[np.int64]]:
    """Sobel derivatives int16 ``(H, W)`` along x and y, and the flat numbers of the edge pixels."""
    image = np.ascontiguousarray(image)
    dx, dy = (cv2.Sobel(image, cv2.CV_16S, *order, ksize=3) for order in ((1, 0), (0, 1)))
    squared = dx.astype(np.int32) ** 2 + dy.astype(np.int32) ** 2
    rank = min(int(NOT_EDGES * squared.size), squared.size - 1)
    high = float(np.sqrt(np.partition(squared, rank, axis=None)[rank]))
    found = cv2.Canny(dx, dy, LOW_TO_HIGH * high, high, L2gradient=True)
    return dx, dy, np.flatnonzero(found)
