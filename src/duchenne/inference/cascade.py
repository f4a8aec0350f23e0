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
from .faces import FoundFace, agreed, clipped, in_order

Array = npt.NDArray[Any]

FILE = "haarcascade_frontalface_alt2.xml"

# Chosen on 7 photographs with 43 faces, among the four frontal cascades, 480,000 to 2.8 million pixels, steps
# of 1.05 and 1.1: 38 are found, with two boxes about nothing; without the mirror image at best 37 with three.
PIXELS = 1280 * 960  # larger photographs are searched at this size
STEP = 1.1  # from one size of the window to the next
# Windows that must agree on a face, in the image and its mirror image together.
WINDOWS = 12
# The smallest window: the cascade's own, and a part of the longer side (smaller ones cost most of the time).
_LEAST_WINDOW, _LEAST_PART = 20, 1 / 32


class Cascade:
    """Finds frontal faces; crops are squares about the box.

    Args:
        min_face: Faces narrower or lower than this many pixels of the image are left out.

    Raises:
        RunError: This OpenCV comes without the cascade.
    """

    def __init__(self, min_face: int = 0) -> None:
        self.min_face = min_face
        self._idle: deque[Any] = deque([_cascade()])  # a cascade keeps the image it looks at: one a call

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

    def _candidates(self, grey: Array, least: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Boxes ``(N, 4)`` and how many windows agree on each ``(N,)``, of the image and its mirror image."""
        try:
            cascade = self._idle.pop()
        except IndexError:
            cascade = _cascade()
        boxes, windows = [], []
        for mirrored in (False, True):
            seen = cv2.flip(grey, 1) if mirrored else grey
            found, counts = cascade.detectMultiScale2(seen, STEP, 1, minSize=(least, least))
            part = np.asarray(found, np.float64).reshape(-1, 4)
            if mirrored:
                part[:, 0] = grey.shape[1] - part[:, 0] - part[:, 2]
            boxes.append(part)
            windows.append(np.asarray(counts, np.float64).reshape(-1))
        self._idle.append(cascade)
        return np.concatenate(boxes), np.concatenate(windows)


def _cascade() -> Any:
    path = Path(cv2.__file__).parent / "data" / FILE
    cascade = cv2.CascadeClassifier(str(path)) if path.is_file() else None
    if cascade is None or cascade.empty():
        raise RunError(
            f"OpenCV {cv2.__version__} comes without {FILE}",
            "install opencv-python-headless>=4.8,<5, or `duchenne detector fetch` and --faces yunet",
        )
    return cascade
