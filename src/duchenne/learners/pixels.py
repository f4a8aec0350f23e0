"""A FaceSet's pixels in the learner's shape, by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..transforms import Preprocess

# Pixels are brought to the net's shape once, in RAM, when they fit into this many bytes; else batch by batch.
SHAPED_LIMIT = 1 << 30


class ShapedPixels:
    """uint8 ``(n, h, w, c)`` (features: float32 ``(n, 1, 1, D)``) of chosen rows, made once where that fits.

    Args:
        faces: The samples.
        preprocess: Brings pixels to (h, w, c), and takes their features.
    """

    def __init__(self, faces: FaceSet, preprocess: Preprocess) -> None:
        self.faces = faces
        self.preprocess = preprocess
        shape = (len(faces), *preprocess.input_size, preprocess.input_channels)
        pixels = preprocess.features is None
        plain = pixels and preprocess.detail is None
        direct = plain and isinstance(faces.images, np.ndarray) and faces.images.shape[1:3] == shape[1:3]
        dtype = np.dtype(np.uint8 if pixels else np.float32)
        small = int(np.prod(shape)) * dtype.itemsize <= SHAPED_LIMIT
        self._shaped: npt.NDArray[Any] | None = None
        if small and not direct:
            self._shaped = np.empty(shape, dtype)
            for start in range(0, len(faces), 256):
                rows = np.arange(start, min(start + 256, len(faces)))
                self._shaped[rows] = preprocess.shape(faces.pixels(rows))

    def __getitem__(self, index: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        if self._shaped is not None:
            return self._shaped[index]
        return self.preprocess.shape(self.faces.pixels(index))
