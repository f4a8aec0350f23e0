"""OpenCV with one thread a call, while several images are looked at side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_LOCK = threading.Lock()
_held: list[int] = []  # of each that is inside: how many threads OpenCV had before the first of them


@contextmanager
def side_by_side() -> Iterator[None]:
    """Let each of OpenCV's calls use one thread: where each CPU has an image of its own, more are in the way.

    It holds for the whole process, until the last of those who are inside leaves; then OpenCV has as many
    threads as before the first came.
    """
    with _LOCK:
        _held.append(_held[0] if _held else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _LOCK:
            before = _held.pop()
            if not _held:
                cv2.setNumThreads(before)
