"""OpenCV's bundled frontal cascade: finds upright faces without any further file, and without landmarks.

Source: P. Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001;
the cascade is OpenCV's haarcascade_frontalface_default.xml.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import RunError
from .align import CASCADE_MARGIN, crop_by_box
from .faces import FoundFace, clipped, distinct, in_order

Array = npt.NDArray[Any]

FILE = "haarcascade_frontalface_default.xml"

# Chosen as YuNet's numbers are.
PIXELS = 1280 * 960
STEP = 1.1  # from one size of the window to the next
NEIGHBOURS = 8  # windows that agree on a face
_LEAST_WINDOW = 24  # pixels of the searched image; the cascade's own window


class Cascade:
    """Finds frontal faces; crops are squares about the box.

    Args:
        min_face: Faces narrower or lower than this many pixels of the image are left out.

    Raises:
        RunError: This OpenCV comes without the cascade.
    """

    def __init__(self, min_face: int = 0) -> None:
        self.min_face = min_face
        self._local = threading.local()  # a cascade keeps the image it looks at: one a thread
        self._cascade()

    def find(self, image: Array) -> list[FoundFace]:
        """Faces on a uint8 image, largest first; see `FaceFinder`."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        scale = min(1.0, (PIXELS / (height * width)) ** 0.5)
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        least = max(_LEAST_WINDOW, int(self.min_face * scale))
        if min(grey.shape) < least:
            return []
        found, _, weights = self._cascade().detectMultiScale3(
            grey, STEP, NEIGHBOURS, minSize=(least, least), outputRejectLevels=True
        )
        boxes = np.asarray(found, np.float64).reshape(-1, 4) / scale
        certainty = np.asarray(weights, np.float64).reshape(-1)
        faces = []
        for i in distinct(boxes, certainty):
            box = clipped(boxes[i], image)
            if box is not None and min(box[2:]) >= self.min_face:
                faces.append(FoundFace(box, None, crop_by_box(image, box, CASCADE_MARGIN)))
        return in_order(faces)

    def _cascade(self) -> Any:
        cascade = getattr(self._local, "cascade", None)
        if cascade is None:
            path = Path(cv2.__file__).parent / "data" / FILE
            cascade = cv2.CascadeClassifier(str(path)) if path.is_file() else None
            if cascade is None or cascade.empty():
                raise RunError(
                    f"OpenCV {cv2.__version__} comes without {FILE}",
                    "install opencv-python-headless>=4.8,<5, or `duchenne detector fetch` and --faces yunet",
                )
            self._local.cascade = cascade
        return cascade
