"""A FaceSet's pixels in the learner's shape, by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..transforms import Preprocess

# Pixels are brought to the net's shape once, in RAM, when they fit into this many bytes; else batch by batch.
SHAPED_LIMIT = 1 << 30


class ShapedPixels:
    """uint8 ``(n, h, w, c)`` of chosen rows, shaped once where that fits into memory.

    Args:
        faces: The samples.
        preprocess: Brings pixels to (h, w, c).
    """

    def __init__(self, faces: FaceSet, preprocess: Preprocess) -> None:
        self.faces = faces
        self.preprocess = preprocess
        height, width = preprocess.size
        direct = isinstance(faces.images, np.ndarray) and faces.images.shape[1:3] == (height, width)
        small = len(faces) * height * width * preprocess.channels <= SHAPED_LIMIT
        self._shaped: npt.NDArray[np.uint8] | None = None
        if small and not direct:
            self._shaped = np.empty((len(faces), height, width, preprocess.channels), np.uint8)
            for start in range(0, len(faces), 256):
                rows = np.arange(start, min(start + 256, len(faces)))
                self._shaped[rows] = preprocess.shape(faces.pixels(rows))

    def __getitem__(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        if self._shaped is not None:
            return self._shaped[index]
        return self.preprocess.shape(self.faces.pixels(index))
