"""YuNet, the face detector with landmarks: its file, checked before each use, and the finder.

Source: W. Wu, H. Peng and S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
Research 20 (2023); the model is OpenCV zoo's face_detection_yunet_2023mar.onnx (MIT licence).
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..datasets.cache import cache_root
from ..datasets.decode import is_irregular
from ..errors import RunError
from .align import YUNET_MARGIN, crop_by_box, crop_by_eyes
from .faces import FoundFace, Meanwhile, agreed, clipped, in_order, nothing

Array = npt.NDArray[Any]

FILE = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
VARIABLE = "DUCHENNE_YUNET"
MAX_BYTES = 1 << 20  # the file has 232,589

# Chosen on 7 photographs with 43 faces by `benchmarks/detection.py --choose`: between 640x480 and 1280x960
# pixels searched, and scores of 0.6 to 0.7, all or all but one are found and nothing else is.
SCORE = 0.65
OVERLAP = 0.3  # intersection over union above which YuNet's own suppression drops a box; OpenCV's default
PIXELS = 960 * 720  # larger photographs are searched at this size: faces from 1/48 of their width
_LONGEST, _SHORTEST = 4096, 192  # of the longer side; small crops are enlarged, for faces of 10 px are missed
# Of the shorter side: on strips of a pixel or two OpenCV has given faces out of nothing, now and then.
_LOWEST = 8


def yunet_path() -> Path:
    """Where the file is looked for: $DUCHENNE_YUNET, else the cache's folder ``models``."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named else cache_root() / "models" / FILE


def has_yunet() -> bool:
    """Whether a file is there, or is said to be by the variable; `read_yunet` says whether it is good."""
    return bool(os.environ.get(VARIABLE, "")) or yunet_path().exists()


def read_yunet(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        RunError: It is missing, or another file than the one that was measured.
    """
    if is_irregular(path):
        raise RunError(
            f"the face detector {path} is not a regular file", f"unset ${VARIABLE}, or name a file"
        )
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RunError(
            f"the face detector {path} cannot be read: {error.strerror}",
            "`duchenne detector fetch` downloads it; `--faces cascade` needs no file",
        ) from None
    check_yunet(content, str(path))
    return content


def check_yunet(content: bytes, where: str) -> None:
    """Raise RunError where the bytes are not the pinned file's."""
    found = hashlib.sha256(content[: MAX_BYTES + 1]).hexdigest()
    if found != SHA256:
        raise RunError(
            f"{where} is not {FILE}: its sha256 is {found[:16]}..., not {SHA256[:16]}...",
            f"remove it (or unset ${VARIABLE}) and run `duchenne detector fetch`",
        )


class YuNet:
    """Finds faces with landmarks; crops are aligned by the eyes.

    Args:
        path: The file; default `yunet_path`.
        min_face: Faces whose box is narrower or lower than this many pixels of the image are left out.
        meanwhile: Called in the moment before each search; a copy does without.

    Raises:
        RunError: As `read_yunet`.
    """

    def __init__(self, path: Path | None = None, min_face: int = 0, meanwhile: Meanwhile = nothing) -> None:
        self.path = yunet_path() if path is None else path
        self.min_face = min_face
        self._meanwhile = meanwhile
        self._model = np.frombuffer(read_yunet(self.path), np.uint8)
        self._idle: deque[Any] = deque()  # a net keeps the size of its input: one a call

    def __reduce__(self) -> tuple[Any, ...]:
        return YuNet, (self.path.absolute(), self.min_face)  # OpenCV's own objects cannot be copied

    def find(self, image: Array) -> list[FoundFace]:
        """Faces on a uint8 image, largest first; see `FaceFinder`."""
        searched, ratio = _searched(image)
        if min(searched.shape[:2]) < _LOWEST:
            return []
        rows = self._detect(searched).astype(np.float64)
        rows = rows[np.isfinite(rows).all(1)]
        rows[:, :14:2] /= ratio[0]
        rows[:, 1:14:2] /= ratio[1]
        faces = []
        for i, _ in agreed(rows[:, :4], rows[:, 14]):
            box = clipped(rows[i, :4], image)
            if box is None or min(box[2:]) < self.min_face:
                continue
            landmarks = rows[i, 4:14].reshape(5, 2)
            crop = crop_by_eyes(image, landmarks)
            if crop is None:
                crop = crop_by_box(image, box, YUNET_MARGIN)
            score = float(f"{min(max(rows[i, 14], 0.0), 1.0):.4g}")
            faces.append(FoundFace(box, score, crop, landmarks.astype(np.float32)))
        return in_order(faces)

    def _detect(self, image: Array) -> npt.NDArray[np.float32]:
        """Rows of x, y, width, height, five landmarks, score."""
        try:
            net = self._idle.pop()
        except IndexError:
            settings = np.zeros(0, np.uint8)
            net = cv2.FaceDetectorYN.create("onnx", self._model, settings, (320, 320), SCORE, OVERLAP, 5000)
        net.setInputSize(image.shape[1::-1])
        self._meanwhile()
        rows: Any = net.detect(image)[1]
        self._idle.append(net)
        return np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)


def _searched(image: Array) -> tuple[Array, tuple[float, float]]:
    """The image as the net sees it, BGR, and its size over the image's, across and down."""
    height, width = image.shape[:2]
    scale = min(1.0, (PIXELS / (height * width)) ** 0.5, _LONGEST / max(height, width))
    scale = max(scale, _SHORTEST / max(height, width))
    if scale != 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = cv2.resize(image, size, interpolation=how)
    bgr = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    return bgr, (image.shape[1] / width, image.shape[0] / height)
