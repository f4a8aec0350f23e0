"""From what a user names (files, folders, patterns, standard input) to single images, in a fixed order."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

# What OpenCV reads, by the file name's ending; other files in a folder are passed over.
IMAGE_SUFFIXES = frozenset(
    {
        ".bmp",
        ".dib",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)

# An image file of more bytes is refused: 64 million pixels of three bytes, uncompressed, and some.
_MAX_STDIN = 256 << 20


@dataclass(frozen=True, eq=False)
class Source:
    """One image to predict.

    Attributes:
        path: The name in the record; None where there is none.
        data: A file, an encoded file's bytes, or uint8 pixels ``(H, W)`` or ``(H, W, 3)`` RGB; None with an error.
        error: Why there is no image; the record then says so.
    """

    path: str | None
    data: Path | bytes | npt.NDArray[Any] | None = None
    error: str | None = None


def as_source(image: Source | Path | str | bytes | npt.NDArray[Any]) -> Source:
    """Wrap one image. Raises TypeError for anything that can be none."""
    if isinstance(image, Source):
        return image
    if isinstance(image, (str, Path)):
        return Source(str(image), Path(image))
    if isinstance(image, (bytes, np.ndarray)):
        return Source(None, image)
    raise TypeError(f"an image is a path, bytes or a uint8 array, not {type(image).__name__}")


def expand(paths: Iterable[str | Path], stdin: BinaryIO | None = None) -> Iterator[Source]:
    """Yield the images that the paths name, in the order named; nothing is read but ``-``.

    Args:
        paths: Each a file; a folder (all image files below it, sorted by name, hidden ones and each folder's
            second visit left out; a folder whose name ends in .jpg is a folder); a pattern with ``*``, ``?``,
            ``[...]`` or ``**`` that is no file's name; or ``-``: one encoded image on standard input.
        stdin: Read instead of standard input.

    Yields:
        At least one source a path: what is missing or empty becomes a source with an error.
    """
    for named in paths:
        text = str(named)
        if text == "-":
            yield _standard_input(stdin)
        elif os.path.isdir(text):
            yield from _folder(text)
        elif os.path.lexists(text) or not glob.has_magic(text):
            yield _file(text)
        else:
            found = sorted(glob.glob(text, recursive=True))
            for path in found:
                if os.path.isdir(path):
                    # "**" also gives what lies below the folder.
                    yield from () if "**" in text else _folder(path)
                elif "**" not in text or _is_image(path):
                    yield _file(path)
            if not found:
                yield Source(text, error=f"no file matches '{text}'")


def _file(path: str) -> Source:
    return Source(path, Path(path)) if os.path.exists(path) else Source(path, error=f"{path} does not exist")


def _is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def _standard_input(stdin: BinaryIO | None) -> Source:
    stream = sys.stdin.buffer if stdin is None else stdin
    if stream.isatty():
        return Source("-", error="'-' reads an image from standard input, which is a terminal")
    data = stream.read(_MAX_STDIN + 1)
    if not data:
        return Source("-", error="standard input is empty")
    if len(data) > _MAX_STDIN:
        return Source("-", error=f"standard input holds more than {_MAX_STDIN >> 20} MiB")
    return Source("-", data)


def _folder(top: str) -> Iterator[Source]:
    """All images below a folder, sorted; symlinked folders are followed, each real folder once."""
    seen: set[tuple[int, int]] = set()
    found = False
    stack = [top]
    while stack:
        path = stack.pop()
        if not os.path.isdir(path):
            found = True
            yield _entry(path)
            continue
        try:
            status = os.stat(path)
            names = sorted(os.listdir(path), reverse=True)
        except OSError as error:
            found = True
            yield Source(path, error=f"{path} cannot be read: {error.strerror}")
            continue
        if (key := (status.st_dev, status.st_ino)) in seen:
            continue
        seen.add(key)
        below = [os.path.join(path, name) for name in names if not name.startswith(".")]
        stack += [p for p in below if os.path.isdir(p) or _is_image(p)]
    if not found:
        yield Source(top, error=f"{top} holds no image files ({' '.join(sorted(IMAGE_SUFFIXES))})")


def _entry(path: str) -> Source:
    """A file met in a folder: a pipe or a device there would never end."""
    if os.path.exists(path) and not os.path.isfile(path):
        return Source(path, error=f"{path} is not a regular file")
    return _file(path)
