"""A camera's frames, and whether a window can be shown."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator
from typing import Protocol, cast

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import RunError
from .videofile import Frame, quiet_decoder

_HELP = (
    "plug it in, name another one with --camera 1, or let `duchenne serve` show its page, which uses the "
    "browser's camera"
)


class Capture(Protocol):
    """What is used of ``cv2.VideoCapture``."""

    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]:
        """Whether there is a frame, and its pixels, BGR."""
        ...

    def release(self) -> None:
        """Let go of the camera."""
        ...


def open_camera(number: int) -> Capture:
    """Open a camera by its number.

    Raises:
        RunError: There is no such camera, it may not be used, or another program uses it.
    """
    with quiet_decoder():
        try:
            capture = cv2.VideoCapture(number)
        except cv2.error:
            capture = cv2.VideoCapture()
        if not capture.isOpened():
            raise RunError(f"camera {number} cannot be opened: it is absent, in use or not permitted", _HELP)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what is shown is now, not some frames ago
    return cast(Capture, capture)


def camera_frames(
    capture: Capture, name: str = "the camera", clock: Callable[[], float] = time.monotonic
) -> Generator[Frame, None, None]:
    """Yield frames as the camera gives them, with the time since the first one; closes the camera at the end.

    Raises:
        RunError: The camera gives no further frame.
    """
    start: float | None = None
    index = 0
    try:
        while True:
            ok, bgr = capture.read()
            if not ok or bgr is None or bgr.size == 0:
                raise RunError(f"{name} stopped giving frames after {index}" if start is not None else
                               f"{name} was opened but gives no frame", _HELP)  # fmt: skip
            now = clock()
            start = now if start is None else start
            grey = bgr.ndim == 2
            rgb = cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB)
            yield Frame(index, round(now - start, 4), np.asarray(rgb))
            index += 1
    finally:
        capture.release()


def has_window() -> bool:
    """Whether this OpenCV can show a window here: the headless build cannot, nor any without a display."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False  # asked without a display, some builds end the process
    found = [line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")]
    return bool(found) and "NONE" not in found[0]
