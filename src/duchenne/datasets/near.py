"""Near duplicates: images that look the same though their bytes differ, found by one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from .faceset import Images

Array = npt.NDArray[Any]
Method = Literal["thumbnail", "dhash"]

THUMBNAIL = 16  # pixels a side
# Set by looking at 40 of FER2013's pairs per band: from 0.96 to 0.965 all but two were one photograph,
# cropped, scaled, lit or watermarked anew; from 0.93 to 0.935 one in five showed different people.
CORRELATION = 0.96
# Bits of 64 that may differ. Looser than the correlation is strict: at 2 bits one FER2013 pair in four is
# already of different people, since all its faces are cropped alike.
HAMMING = 1
_BLOCK = 2048
_MAX_PAIRS = 1_000_000  # kept; beyond it pairs are only counted


@dataclass(frozen=True)
class Pairs:
    """Near pairs.

    Attributes:
        first: ``(P,)`` int64, the smaller index of each pair.
        second: ``(P,)`` int64.
        score: ``(P,)`` float32: correlation, or 64-bit Hamming distance.
        total: How many there are; more than P only where memory was limited.
    """

    first: Array
    second: Array
    score: Array
    total: int


def default_threshold(method: Method) -> float:
    """The threshold that a method uses unless told: least correlation, or most differing bits."""
    return CORRELATION if method == "thumbnail" else float(HAMMING)


def thumbnail(image: Array, width: int, height: int) -> Array:
    """Grey thumbnail by area averaging, ``(height, width)`` float32."""
    grey = image if image.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def describe(images: Images | Array, rows: Array, method: Method) -> Array:
    """Unit vectors ``(N, D)`` float32 whose dot products compare images; all zero for a flat image.

    "thumbnail": 16x16 pixels less their mean, so that the dot product is the correlation. "dhash": 64 signs
    of the differences between neighbours in a 9x8 thumbnail, so that it is 1 - (differing bits) / 32.
    """
    width, height = (THUMBNAIL, THUMBNAIL) if method == "thumbnail" else (9, 8)
    out = np.zeros((len(rows), THUMBNAIL * THUMBNAIL if method == "thumbnail" else 64), dtype=np.float32)
    for i, row in enumerate(rows.tolist()):
        small = thumbnail(np.asarray(images[row]), width, height)
        if small.max() - small.min() < 1e-3:
            continue
        if method == "thumbnail":
            flat = small.reshape(-1) - small.mean()
            out[i] = flat / np.linalg.norm(flat)
        else:
            out[i] = np.where(small[:, 1:] > small[:, :-1], 0.125, -0.125).reshape(-1)
    return out


def near_pairs(
    vectors: Array,
    method: Method,
    threshold: float,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """All pairs at least as alike as the threshold says, block by block.

    Args:
        vectors: Of `describe`.
        method: What the vectors are.
        threshold: Least correlation, or most differing bits.
        progress: Called with rows done and all rows.
    """
    least = threshold if method == "thumbnail" else 1 - threshold / 32 - 1e-4
    found: list[tuple[Array, Array, Array]] = []
    total = kept = 0
    for top in range(0, len(vectors), _BLOCK):
        for left in range(top, len(vectors), _BLOCK):
            alike = vectors[top : top + _BLOCK] @ vectors[left : left + _BLOCK].T
            hits = alike >= least
            if left == top:
                hits = np.triu(hits, 1)
            flat = np.flatnonzero(hits)
            total += len(flat)
            if not len(flat) or kept >= _MAX_PAIRS:
                continue
            i, j = np.unravel_index(flat, alike.shape)
            found.append((i + top, j + left, alike[i, j]))
            kept += len(flat)
        if progress is not None:
            progress(min(top + _BLOCK, len(vectors)), len(vectors))
    if not found:
        none = np.zeros(0, dtype=np.int64)
        return Pairs(none, none, np.zeros(0, dtype=np.float32), 0)
    first, second, score = (np.concatenate(column) for column in zip(*found, strict=True))
    if method == "dhash":
        score = np.rint((1 - score) * 32)
    return Pairs(first, second, score.astype(np.float32), total)
