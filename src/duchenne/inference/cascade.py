"""OpenCV's bundled frontal cascade: finds upright faces without any further file, and without landmarks.

Source: P. Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001;
the cascade is R. Lienhart's, which OpenCV brings (`FILE`).
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import RunError
from .align import CASCADE_MARGIN, crop_by_box
from .faces import FoundFace, Meanwhile, agreed, clipped, in_order, nothing

Array = npt.NDArray[Any]
Boxes = npt.NDArray[np.float64]

FILE = "haarcascade_frontalface_alt2.xml"

# Chosen on 7 photographs with 43 faces, among the four frontal cascades, 480,000 to 2.8 million pixels, steps
# of 1.05 to 1.2: 38 are found, with two boxes about nothing; without the mirror image at best 37 with two.
PIXELS = 1280 * 960  # larger photographs are searched at this size
STEP = 1.15  # from one size of the window to the next; 1.1 finds the same for a third more time
# Windows that must agree on a face, in the image and its mirror image together.
WINDOWS = 10
# The mirror image is searched about what the image itself gave: this part of the box on each side of it, by
# windows of so many times its size. The whole mirror image finds the same for twice the time.
_ROUND, _LEAST_TIMES, _MOST_TIMES = 0.4, 0.6, 1.7
# The smallest window: the cascade's own, and a part of the longer side (smaller ones cost most of the time).
_LEAST_WINDOW, _LEAST_PART = 20, 1 / 32


class Cascade:
    """Finds frontal faces; crops are squares about the box.

    Args:
        min_face: Faces narrower or lower than this many pixels of the image are left out.
        meanwhile: Called in the moment before each search; a copy does without.

    Raises:
        RunError: This OpenCV comes without the cascade.
    """

    def __init__(self, min_face: int = 0, meanwhile: Meanwhile = nothing) -> None:
        self.min_face = min_face
        self._meanwhile = meanwhile
        self._idle: deque[Any] = deque([_cascade()])  # a cascade keeps the image it looks at: one a call

    def __reduce__(self) -> tuple[Any, ...]:
        return Cascade, (self.min_face,)  # OpenCV's own objects cannot be copied

    def find(self, image: Array) -> list[FoundFace]:
        """Faces on a uint8 image, largest first; see `FaceFinder`."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        scale = min(1.0, (PIXELS / (height * width)) ** 0.5)
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        least = max(_LEAST_WINDOW, int(max(grey.shape) * _LEAST_PART), int(self.min_face * scale))
        if min(grey.shape) < least:
            return []
        boxes, windows = self._candidates(grey, least)
        boxes /= scale
        faces = []
        for i, total in agreed(boxes, windows):
            box = clipped(boxes[i], image) if total >= WINDOWS else None
            if box is not None and min(box[2:]) >= self.min_face:
                faces.append(FoundFace(box, None, crop_by_box(image, box, CASCADE_MARGIN)))
        return in_order(faces)

    def _candidates(self, grey: Array, least: int) -> tuple[Boxes, Boxes]:
        """Boxes ``(N, 4)`` and how many windows agree on each ``(N,)``, of the image and its mirror image."""
        try:
            cascade = self._idle.pop()
        except IndexError:
            cascade = _cascade()
        self._meanwhile()
        boxes, windows = _windows(cascade, grey, least)
        parts = [_about(box, grey.shape, least) for box in (boxes[i] for i, _ in agreed(boxes, windows))]
        if sum((right - left) * (low - top) for left, top, right, low, *_ in parts) > grey.size:
            parts = [(0, 0, grey.shape[1], grey.shape[0], least, max(grey.shape))]
        for left, top, right, low, smallest, largest in parts:
            found, counts = _windows(cascade, cv2.flip(grey[top:low, left:right], 1), smallest, largest)
            found[:, 0] = right - found[:, 0] - found[:, 2]
            found[:, 1] += top
            boxes, windows = np.concatenate([boxes, found]), np.concatenate([windows, counts])
        self._idle.append(cascade)
        return boxes, windows


def _cascade() -> Any:
    path = Path(cv2.__file__).parent / "data" / FILE
    cascade = cv2.CascadeClassifier(str(path)) if path.is_file() else None
    if cascade is None or cascade.empty():
        raise RunError(
            f"OpenCV {cv2.__version__} comes without {FILE}",
            "install opencv-python-headless>=4.8,<5, or `duchenne detector fetch` and --faces yunet",
        )
    return cascade


def _windows(cascade: Any, grey: Array, least: int, most: int = 0) -> tuple[Boxes, Boxes]:
    """Boxes ``(N, 4)`` from `least` to `most` pixels wide (0: any), and how many windows agree on each."""
    if min(grey.shape) < least:
        return np.zeros((0, 4)), np.zeros(0)
    found, counts = cascade.detectMultiScale2(grey, STEP, 1, minSize=(least, least), maxSize=(most, most))
    return np.asarray(found, np.float64).reshape(-1, 4), np.asarray(counts, np.float64).reshape(-1)


def _about(box: Boxes, shape: tuple[int, ...], least: int) -> tuple[int, int, int, int, int, int]:
    """Left, top, right, lower end of what is searched about a box, and the windows' least and most width."""
    x, y, width, height = box
    left, top = max(0, int(x - _ROUND * width)), max(0, int(y - _ROUND * height))
    right = min(shape[1], int(x + (1 + _ROUND) * width))
    low = min(shape[0], int(y + (1 + _ROUND) * height))
    return left, top, right, low, max(least, int(_LEAST_TIMES * width)), int(_MOST_TIMES * width)
