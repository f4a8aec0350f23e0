"""What the hand-made features share: checks of options and images, chunks, a histogram's last step."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, RecipeError

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Pixels that are worked on at a time, whatever the number of images: the largest temporary, 16 float32 planes
# of LPQ, then takes 8 MiB.
CHUNK_PIXELS = 1 << 17


def whole(where: str, value: Any, least: int, most: int) -> int:
    """A whole number in ``least..most``. Raises RecipeError naming `where`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RecipeError(f"{where} = {value!r}: must be a whole number from {least} to {most}")
    return value


def real(where: str, value: Any, least: float, most: float) -> float:
    """A number in ``least..most``. Raises RecipeError naming `where`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (isfinite(value) and least <= value <= most):
        raise RecipeError(f"{where} = {value!r}: must be a number from {least:g} to {most:g}")
    return float(value)


def flag(where: str, value: Any) -> bool:
    """True or false. Raises RecipeError naming `where`."""
    if not isinstance(value, bool):
        raise RecipeError(f"{where} = {value!r}: must be true or false")
    return value


def grey(images: npt.NDArray[Any]) -> Bytes:
    """The images, checked: uint8 ``(N, H, W)``. Raises DataError."""
    if images.dtype != np.uint8 or images.ndim != 3:
        raise DataError(
            f"features are taken of grey images, uint8 (N, H, W), not {images.dtype} {images.shape}"
        )
    return images


def chunks(images: Bytes) -> Iterator[slice]:
    """Slices of `images` that hold at most `CHUNK_PIXELS`, or one image."""
    step = max(1, CHUNK_PIXELS // max(1, images.shape[1] * images.shape[2]))
    for start in range(0, len(images), step):
        yield slice(start, min(start + step, len(images)))


def edges(side: int, cells: int) -> npt.NDArray[np.int64]:
    """Where `cells` parts of a side begin, ``i * side // cells``, and its end: ``(cells + 1,)``."""
    return np.arange(cells + 1, dtype=np.int64) * side // cells


def cell_map(height: int, width: int, rows: int, columns: int) -> npt.NDArray[np.int64]:
    """``(height, width)``: in which of ``rows * columns`` cells, counted row by row, a pixel lies."""
    row = np.repeat(np.arange(rows), np.diff(edges(height, rows)))
    column = np.repeat(np.arange(columns), np.diff(edges(width, columns)))
    return row[:, None] * columns + column[None, :]


def finished(counts: npt.NDArray[Any], root: bool) -> Floats:
    """Histograms ``(N, D)``, each made to sum to 1 (an empty one stays 0), as float32.

    Args:
        counts: 0 or more.
        root: Give ``sqrt(D * p)`` instead of p. Then dot products are those of the Hellinger (Bhattacharyya)
            kernel, and the mean square of each vector is 1 whatever its length, so that features of different
            lengths, one after the other, count by their lengths, and no statistics need be learned.
            Source: Arandjelovic & Zisserman 2012, "Three things everyone should know", section 3 (RootSIFT).
    """
    total = counts.sum(axis=1, keepdims=True)
    p = counts / np.where(total > 0, total, 1)
    return (np.sqrt(p * counts.shape[1]) if root else p).astype(np.float32)
