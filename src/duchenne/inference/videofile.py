"""Frames of a video file, with their times; damaged, odd and dangerous files end in a clear sentence."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from ..datasets.decode import MAX_PIXELS, is_irregular
from ..errors import DataError, RecipeError
from .editlist import edited_seconds
from .sources import Source

Array = npt.NDArray[Any]

# Not .ts: in a folder it is more often a program than a film.
VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".mts")
)
FPS = 5.0  # frames looked at a second where nothing else is said
_PLAIN_FPS = 25.0  # where a file gives frames neither times nor a rate
_HEAD = 400  # bytes that tell the kind: two packets of an MPEG transport stream
_MOST_FPS = 1000.0
_SHORT = 0.5  # seconds missing at the end of a file that are no damage
_LOCK = threading.Lock()

# First bytes of pictures, and of the pictures that share MP4's container.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: .wmv
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG video
    b"OggS",
)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes:
        index: Counts all frames of the file from 0, whether looked at or not.
        time: Seconds from the start.
        image: uint8 ``(H, W, 3)`` RGB, upright; sizes may differ within a file.
        note: What is worth knowing, or None.
    """

    index: int
    time: float
    image: Array
    note: str | None = None


def is_video(source: Source) -> bool:
    """Whether a source is a file with a video in it: by its first bytes, else by the ending of its name."""
    if not isinstance(source.data, Path):
        return False
    try:
        with source.data.open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):  # the latter: no file's name
        head = b""
    if _is_container(head):
        return True
    if head.startswith(_PICTURES) or head[8:12] == b"WEBP":
        return False
    return source.data.suffix.lower() in VIDEO_SUFFIXES


def _is_container(head: bytes) -> bool:
    """Whether this is one of the containers that are opened.

    Others are never handed to the decoder: it also takes play lists and scripts, which name further files
    and addresses that it would read.
    """
    if head[4:8] in _MP4_BOXES:
        return head[8:12] not in _PICTURE_BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    # MPEG transport streams: a sync byte at the start of each packet of 188 (with a time stamp: 192) bytes.
    stream = any(
        len(head) > at + size and head[at] == head[at + size] == 0x47 for at, size in ((0, 188), (4, 192))
    )
    return stream or head.startswith(_STARTS)


class VideoFile:
    """A video file that is read once, from its start.

    Args:
        path: The file.
        every: Look at every n-th frame; default: see `fps`.
        fps: Look at this many frames a second, by the frames' times (fewer where the file has fewer).
        max_pixels: Larger frames are refused by the header, before one is decoded.

    Attributes:
        size: Width and height in pixels as the header says, upright.
        fps: Frames a second of the file as the header says; None where it says none.
        declared: Number of frames as the header says or suggests; None where it does not.
        seen: Number of frames gone over so far.
        broken: After the last frame: how the file broke off, or None.

    Raises:
        RecipeError: `every` or `fps` is out of range.
        DataError: There is no such file, it is no video, is damaged or too large.
        OSError: It cannot be read.
    """

    def __init__(
        self, path: Path | str, every: int | None = None, fps: float = FPS, max_pixels: int = MAX_PIXELS
    ) -> None:
        check_pace(every, fps)
        self.path = Path(path)
        self.seen = 0
        self.broken: str | None = None
        # No two frames are told apart by less than the shortest time between them.
        self._every, self._asked, self._max_pixels = every, min(fps, _MOST_FPS), max_pixels
        try:
            if is_irregular(path):
                raise DataError(f"{path} is not a regular file")
            opened = self.path.open("rb")
        except ValueError:  # a zero byte, or a half of a surrogate pair
            raise DataError(f"{str(path)!r} is no file's name") from None
        with opened as file:
            head = file.read(_HEAD)
            if not head:
                raise DataError(f"{path} is empty")
            if not _is_container(head):
                raise DataError(
                    f"{path} is not a video in a known format", "known: MP4, AVI, WebM, Matroska, MPEG"
                )
            self._capture = _open(self.path, file)
        if not self._capture.isOpened():
            raise DataError(
                f"{path} cannot be opened as a video: it holds no frames, is cut short, or is of a kind that "
                "this OpenCV cannot decode",
                "get the file again, or convert it to MP4 (ffmpeg -i FILE out.mp4)",
            )
        self.size = (
            _whole(self._capture, cv2.CAP_PROP_FRAME_WIDTH),
            _whole(self._capture, cv2.CAP_PROP_FRAME_HEIGHT),
        )
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = rate if math.isfinite(rate) and 0 < rate <= _MOST_FPS else None
        self.declared = _whole(self._capture, cv2.CAP_PROP_FRAME_COUNT) or None
        if self.size[0] * self.size[1] > max_pixels:
            self.close()
            raise DataError(
                f"{path} is too large: frames of {self.size[0]}x{self.size[1]}",
                f"the limit is {max_pixels / 1e6:g} million pixels",
            )

    @property
    def step(self) -> float:
        """Seconds from one frame that is looked at to the next, at most, by the file's rate."""
        rate = self.fps or _PLAIN_FPS
        return self._every / rate if self._every is not None else 1 / self._asked + 1 / rate

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()

    def frames(self) -> Generator[Frame, None, None]:
        """Yield the frames to look at, in order; what lies between them is not turned into pixels.

        Raises:
            DataError: The file holds no frame that can be decoded. Where it breaks off later, the frames
                before stand, and `broken` says so.
        """
        time, slot, given = 0.0, -1, 0
        while self._capture.grab():
            index, self.seen = self.seen, self.seen + 1
            time, note = self._time(time)
            now = index // self._every if self._every is not None else int(time * self._asked + 1e-6)
            if now == slot:
                continue
            ok, bgr = self._capture.retrieve()
            if not ok or bgr is None or bgr.size == 0 or bgr.shape[0] * bgr.shape[1] > self._max_pixels:
                continue
            slot, given = now, given + 1
            yield Frame(index, round(time, 4), _rgb(bgr), note)
        if not given:
            said = f"; its header says {self.declared} frames" if self.declared else ""
            raise DataError(f"{self.path} holds no frame that can be decoded{said}")
        self._end(time)

    def _time(self, last: float) -> tuple[float, str | None]:
        """Seconds of the frame that was grabbed; times that are none or do not rise are counted on."""
        index = self.seen - 1
        time = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if index == 0:
            return (time if math.isfinite(time) and time >= 0 else 0.0), None
        if math.isfinite(time) and time - last > 0.5 / _MOST_FPS:
            return time, None
        rate = self.fps or _PLAIN_FPS
        return (
            last + 1 / rate,
            f"the file gives this frame no time of its own: counted on at {rate:g} a second",
        )

    def _end(self, time: float) -> None:
        if self.declared is None:
            return
        rate = self.fps or _PLAIN_FPS
        missing, last = (self.declared - self.seen) / rate, (self.declared - 1) / rate
        if missing > _SHORT and time < last - _SHORT:
            shown = edited_seconds(self.path)  # the header counts what a trimmed film does not show, too
            if shown is not None and time >= shown - _SHORT:
                return
            self.broken = (
                f"{self.path} breaks off after frame {self.seen - 1} at {time:.2f} s: its header says "
                f"{self.declared} frames; the file is cut short or damaged"
            )


def check_pace(every: int | None, fps: float) -> None:
    """Raise RecipeError where `every` or `fps` is out of range."""
    if every is not None and every < 1:
        raise RecipeError(f"every must be at least 1, not {every}")
    if not (math.isfinite(fps) and fps > 0):
        raise RecipeError(f"fps must be above 0, not {fps:g}")


def _open(path: Path, file: BinaryIO) -> Any:
    """OpenCV's reader; OpenCV ends the process over a name that is no text, so it gets the open file's."""
    # An absolute path is never taken for an address or a pattern of file names.
    name = os.path.abspath(path)
    if not is_text(name):
        name = f"/proc/self/fd/{file.fileno()}"
        if not os.path.exists(name):
            raise DataError(f"{path}: OpenCV cannot open a file of this name", "rename it")
    with quiet_decoder():
        return cv2.VideoCapture(name, cv2.CAP_FFMPEG)


def is_text(name: str) -> bool:
    """Whether a file's name can be handed to OpenCV."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole(capture: Any, what: int) -> int:
    value = float(capture.get(what))
    return int(value) if math.isfinite(value) and 0 < value < 2**31 else 0


def _rgb(bgr: Array) -> Array:
    if bgr.ndim == 2:
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


@contextmanager
def quiet_decoder() -> Iterator[None]:
    """Keep OpenCV from writing to standard error what is said here in an exception or a record.

    FFmpeg's own level is read by OpenCV when it first opens a video, and stays; what the user has set stays.
    """
    with _LOCK:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's AV_LOG_QUIET
        logging = cv2.utils.logging
        before = logging.getLogLevel()
        if "OPENCV_LOG_LEVEL" not in os.environ:
            logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            logging.setLogLevel(before)
