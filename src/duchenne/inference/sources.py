"""From what a user names (files, folders, patterns, standard input) to single images, in a fixed order."""

from __future__ import annotations

import errno
import glob
import os
import select
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..datasets.decode import MAX_PIXELS, SUFFIXES, UNREAD_SUFFIXES, decode_opened, is_irregular
from ..errors import DataError

# More bytes than the largest image that is decoded: 64 million pixels of three bytes.
_MAX_BYTES = 256 << 20
_PATIENCE = 5  # seconds for a pipe's first bytes


@dataclass(frozen=True, eq=False)
class Source:
    """One image to predict.

    Attributes:
        path: The name in the record; None where there is none.
        data: A file, an encoded file's bytes, or uint8 ``(H, W)`` or ``(H, W, 3)`` RGB; None with an error.
        error: Why there is no image; the record then says so.
    """

    path: str | None
    data: Path | bytes | npt.NDArray[Any] | None = None
    error: str | None = None


def as_source(
    image: Source | Path | str | bytes | bytearray | memoryview | npt.NDArray[Any] | Image.Image,
) -> Source:
    """Wrap one image. Raises TypeError for anything that can be none.

    An image of Pillow's is read here: who gives it may close its file before the next one is taken.
    """
    if isinstance(image, Source):
        return image
    if isinstance(image, (str, Path)):
        return Source(str(image), Path(image))
    if isinstance(image, np.ndarray) and image.ndim in (2, 3):
        height, width = image.shape[:2]
        if height * width > MAX_PIXELS:  # before it is copied
            return Source(None, error=f"the image is too large: {width}x{height}")
    if isinstance(image, (bytes, np.ndarray)):
        return Source(None, image)
    if isinstance(image, (bytearray, memoryview)):
        return Source(None, bytes(image))
    if isinstance(image, Image.Image):
        try:
            return Source(None, decode_opened(image))
        except DataError as error:
            return Source(None, error=error.what)
    kind = type(image).__name__
    raise TypeError(f"an image is a path, bytes, a uint8 array or an image of Pillow's, not {kind}")


def check_several(images: Any) -> None:
    """Raise TypeError for a single image where several are asked for.

    Text, bytes, an open file and an array can be gone through too, and would become an image a letter, a
    line or a row. An array ``(N, H, W)`` or ``(N, H, W, 3)`` is several images, and so is one of names (a
    table's column). A dict gives its keys alone.
    """
    if isinstance(images, Mapping):
        raise TypeError("predict takes a list of images, not a dict; take its values() or its keys()")
    single = isinstance(images, (str, bytes, bytearray, memoryview, Path, Source)) or hasattr(images, "read")
    if isinstance(images, np.ndarray):
        names = images.ndim == 1 and images.dtype.kind in "OU"
        single = (images.ndim < 3 and not names) or (images.ndim == 3 and images.shape[2] in (1, 3, 4))
    if single or not isinstance(images, Iterable):
        raise TypeError(f"predict takes several images, not one {type(images).__name__}; put it into a list")


def expand(
    paths: Iterable[str | Path], stdin: BinaryIO | None = None, suffixes: frozenset[str] = SUFFIXES
) -> Iterator[Source]:
    """Yield the images that the paths name, in the order named; only what is no regular file is read.

    Args:
        paths: Each a file; a folder (all image files below it, sorted by name, hidden ones and each folder's
            second visit left out; a folder whose name ends in .jpg is a folder); a pattern with ``*``, ``?``,
            ``[...]`` or ``**`` that is no file's name; or ``-``: one encoded image on standard input.
            Pictures in formats that are not read (HEIC, AVIF, JPEG XL) are named too: their records say so.
        stdin: Read instead of standard input.
        suffixes: Which files of a folder are meant, by their ending.

    Yields:
        At least one source a path: what is missing or empty becomes a source with an error.
    """
    for named in paths:
        text = str(named)
        if text == "-":
            yield _standard_input(stdin)
        elif os.path.isdir(text):
            yield from _folder(text, suffixes)
        elif os.path.lexists(text) or not glob.has_magic(text):
            yield _file(text)
        else:
            yield from _pattern(text, suffixes)


def _pattern(text: str, suffixes: frozenset[str]) -> Iterator[Source]:
    """What a shell would have made of the pattern; below ``**`` only image files, as below a folder."""
    deep = "**" in text
    found = [p for p in sorted(_matches(text)) if not deep or _is_image(p, suffixes)]
    for path in found:
        if not os.path.isdir(path):
            yield _entry(path) if deep else _file(path)
        elif not deep:  # "**" has given its files already
            yield from _folder(path, suffixes)
    if not found:
        yield Source(text, error=f"no image file matches '{text}'" if deep else f"no file matches '{text}'")


def _matches(text: str) -> set[str]:
    """As ``glob.glob(text, recursive=True)``, which never ends where links lead back up: each ``**`` meets
    each real folder once."""
    before, star, after = _at_deep(text)
    if not star:
        return set(glob.glob(text))
    found: set[str] = set()
    for top in glob.glob(before) if before else [""]:
        for path in _below(top or os.curdir):
            path = path if top else os.path.relpath(path)
            if after and os.path.isdir(path):
                start = "" if path == os.curdir and not top else os.path.join(glob.escape(path), "")
                found |= _matches(start + after)
            elif not after:
                found.add(path)
    return found


def _at_deep(text: str) -> tuple[str, bool, str]:
    """What stands before the first part ``**`` of a pattern, whether there is one, and what stands behind."""
    parts = (text if os.sep == "/" else text.replace(os.sep, "/")).split("/")
    if "**" not in parts:
        return text, False, ""
    at = parts.index("**")
    before = "/".join(parts[:at]) or ("/" if at else "")
    while parts[at + 1 : at + 2] == ["**"]:  # the same again
        at += 1
    return before, True, "/".join(parts[at + 1 :]).lstrip("/")


def _below(top: str) -> Iterator[str]:
    """A folder and all that is in it at any depth, hidden ones left out; each real folder once."""
    seen: set[tuple[int, int]] = set()
    stack = [top]
    while stack:
        path = stack.pop()
        try:
            if os.path.isdir(path):
                status = os.stat(path)
                if (key := (status.st_dev, status.st_ino)) in seen:
                    continue
                seen.add(key)
                names = sorted(os.listdir(path), reverse=True)
                stack += [os.path.join(path, name) for name in names if not name.startswith(".")]
        except OSError:
            pass  # as glob does: what may not be listed holds nothing
        yield path


def _file(path: str) -> Source:
    """A file the user named; a pipe can be read once only, so it is read here."""
    if os.path.isfile(path):
        return Source(path, Path(path))
    if os.path.islink(path) and not os.path.exists(path):
        return Source(path, error=f"{path} is a link that leads to no file")
    try:
        os.stat(path)
    except PermissionError as error:
        return Source(path, error=f"{path} cannot be read: {error.strerror}")
    except (OSError, ValueError):
        return Source(path, error=f"{path or repr(path)} does not exist")
    try:
        with open(path, "rb", opener=_at_once) as pipe:
            return _read(path, path, pipe)
    except OSError as error:
        return Source(path, error=f"{path} cannot be read: {error.strerror}")


def _at_once(path: str, flags: int) -> int:
    """Open a pipe without waiting longer than `_PATIENCE` for somebody to write to it."""
    waits = getattr(os, "O_NONBLOCK", 0)
    file = os.open(path, flags | waits)
    if waits:
        if not select.select([file], [], [], _PATIENCE)[0]:
            os.close(file)
            raise TimeoutError(errno.ETIMEDOUT, f"nobody wrote to it within {_PATIENCE} seconds")
        os.set_blocking(file, True)
    return file


def _is_image(path: str, suffixes: frozenset[str]) -> bool:
    return os.path.splitext(path)[1].lower() in suffixes | UNREAD_SUFFIXES


def _standard_input(stdin: BinaryIO | None) -> Source:
    stream = sys.stdin.buffer if stdin is None else stdin
    if stream.isatty():
        return Source("-", error="'-' reads an image from standard input, which is a terminal")
    return _read("-", "standard input", stream)


def _read(path: str, what: str, stream: BinaryIO) -> Source:
    data = stream.read(_MAX_BYTES + 1)
    if not data:
        return Source(path, error=f"{what} is empty")
    if len(data) > _MAX_BYTES:
        return Source(path, error=f"{what} holds more than {_MAX_BYTES >> 20} MiB")
    return Source(path, data)


def _folder(top: str, suffixes: frozenset[str]) -> Iterator[Source]:
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
        stack += [p for p in below if os.path.isdir(p) or _is_image(p, suffixes)]
    if not found:
        yield Source(top, error=f"{top} holds no image files ({' '.join(sorted(suffixes))})")


def _entry(path: str) -> Source:
    """A file met in a folder: a pipe or a device there would never end."""
    if is_irregular(path):
        return Source(path, error=f"{path} is not a regular file")
    return _file(path)
