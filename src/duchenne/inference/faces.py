"""What a face finder gives, and the finder for images that are faces already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Box = tuple[int, int, int, int]
# What a finder calls just before it searches, in C++ and without Python's lock: what is then begun in another
# thread goes on beside the search.
Meanwhile = Callable[[], None]

# Of two boxes that share more than this part of the smaller one, the less certain is the same face again.
# Non-maximum suppression by intersection over union leaves a small box within a large one standing.
_SAME_FACE = 0.5


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face on an image.

    Attributes:
        box: x, y, width, height in pixels, within the image.
        score: The detector's confidence in [0, 1]; None where it has none.
        crop: The face's pixels, uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, cut (and aligned) as the finder does.
        landmarks: ``(5, 2)`` float32, x and y in pixels of the image: the eye at its left, the eye at its
            right, the tip of the nose, the corner of the mouth at its left and at its right (as seen by the
            viewer); None where they are not known. They may lie outside the image.
    """

    box: Box
    score: float | None
    crop: Array
    landmarks: npt.NDArray[np.float32] | None = None


class FaceFinder(Protocol):
    """Finds the faces on an image. Several threads may ask one finder at once."""

    def find(self, image: Array) -> list[FoundFace]:
        """Faces on a uint8 image ``(H, W)`` or ``(H, W, 3)`` RGB, in a fixed order; none: an empty list.

        The finders of this package give the largest box first; equal ones from left to right, then from
        top to bottom.
        """
        ...


class WholeImage:
    """The finder for face crops: each image is one face."""

    def find(self, image: Array) -> list[FoundFace]:
        """The image itself, without a score."""
        return [FoundFace((0, 0, image.shape[1], image.shape[0]), None, image)]


def nothing() -> None:
    """For finders beside whose search nothing is to be done."""


def clipped(box: npt.NDArray[np.float64], image: Array) -> Box | None:
    """The box (x, y, width, height) in whole pixels within the image; None where nothing of it is there."""
    x, y, width, height = box.tolist()
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(image.shape[1], round(x + width)), min(image.shape[0], round(y + height))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def agreed(boxes: npt.NDArray[np.float64], certainty: npt.NDArray[np.float64]) -> list[tuple[int, float]]:
    """Which boxes to keep so that no face is there twice, the most certain first.

    Args:
        boxes: ``(N, 4)``: x, y, width, height.
        certainty: ``(N,)``; of several boxes of one face the one of highest certainty stays.

    Returns:
        Index of each box kept, and the sum of certainty of the boxes that it stands for.
    """
    kept: list[int] = []
    sums: list[float] = []
    for i in np.argsort(-certainty, kind="stable").tolist():
        same = [n for n, k in enumerate(kept) if _shared(boxes[i], boxes[k]) > _SAME_FACE]
        if same:
            sums[same[0]] += float(certainty[i])
        else:
            kept.append(i)
            sums.append(float(certainty[i]))
    return list(zip(kept, sums, strict=True))


def in_order(faces: list[FoundFace]) -> list[FoundFace]:
    """Largest box first, then from left to right, then from top to bottom."""
    return sorted(faces, key=lambda f: (-f.box[2] * f.box[3], f.box[0], f.box[1]))


def _shared(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Intersection over the smaller box's area."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return float(width * height / max(min(a[2] * a[3], b[2] * b[3]), 1e-9))
