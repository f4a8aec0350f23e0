"""Images from many files: checked up front, then memory-mapped from the cache, or decoded when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .cache import cached_arrays
from .decode import MIN_SIDE, decode_image, image_shape
from .faceset import Images

Array = npt.NDArray[Any]

_SKIP = "remove what is broken, or let data set 'folder' leave it out, by its option skip_broken = true"
CACHE_LIMIT = 1 << 30  # bytes; sets that are larger when decoded are decoded image by image, on each use
_NAMED = 5  # broken files named in one message


@dataclass(frozen=True)
class PathImages:
    """Images that are decoded when asked for."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Array:
        return decode_image(self.paths[index])


@dataclass(frozen=True)
class RaggedImages:
    """Images of different sizes in one flat array.

    Attributes:
        data: ``(sum of sizes,)`` uint8.
        offsets: ``(N + 1,)`` int64 into data.
        shapes: ``(N, 3)`` int64: height, width, and 1 for grey or 3 for RGB.
    """

    data: Array
    offsets: Array
    shapes: Array

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int, /) -> Array:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        height, width, channels = (int(v) for v in self.shapes[index])
        flat = self.data[self.offsets[index] : self.offsets[index + 1]]
        return flat.reshape((height, width) if channels == 1 else (height, width, channels))


@dataclass(frozen=True)
class ReadFiles:
    """What `read_files` gives: the good files' images, which files those are ``(M,)``, and notes."""

    images: Array | Images
    good: Array
    notes: tuple[str, ...]


class _TooLarge(Exception):
    """The decoded images exceed the cache's limit; carries which files are good."""

    def __init__(self, good: Array) -> None:
        super().__init__()
        self.good = good


def read_files(
    paths: Sequence[Path],
    *,
    skip_broken: bool = False,
    cache_dir: Path | None = None,
    cache_limit: int = CACHE_LIMIT,
    instead: str = _SKIP,
) -> ReadFiles:
    """Check all files and give their images.

    Args:
        paths: The files, in order.
        skip_broken: Leave broken files out (and note it) instead of raising.
        cache_dir: See `cache.cache_root`.
        cache_limit: Bytes of decoded pixels up to which they are cached.
        instead: What can be done about broken files of this data set but to mend them, for the message.

    Raises:
        DataError: Broken files, up to five by name, and how many there are.
    """
    try:
        if sum(_size(p) for p in paths) > cache_limit:
            # Compressed, they are over the limit already: not worth hashing.
            raise _TooLarge(_check_headers(paths, skip_broken, instead)[0])
        if not all(map(os.path.isfile, paths)):  # what is no file has no content to know it again by
            arrays, note = _decode_all(paths, skip_broken, cache_limit, instead), ""
        else:
            cached = cached_arrays(
                "images",
                paths,
                lambda: _decode_all(paths, skip_broken, cache_limit, instead),
                cache_dir=cache_dir,
                salt=f"skip_broken={skip_broken}",
            )
            arrays, note = dict(cached.arrays), cached.note
    except _TooLarge as large:
        kept = tuple(paths[i] for i in large.good)
        return ReadFiles(PathImages(kept), large.good, _skipped(paths, large.good))
    good = np.asarray(arrays["good"])
    notes = _skipped(paths, good) + ((note,) if note else ())
    return ReadFiles(_as_images(arrays), good, notes)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # reported with the other broken files


def _skipped(paths: Sequence[Path], good: Array) -> tuple[str, ...]:
    lost = sorted(set(range(len(paths))) - set(good.tolist()))
    if not lost:
        return ()
    names = ", ".join(paths[i].name for i in lost[:_NAMED]) + (" and others" if len(lost) > _NAMED else "")
    return (f"{len(lost):,} broken images were left out: {names}.",)


def _check_headers(
    paths: Sequence[Path], skip_broken: bool, instead: str
) -> tuple[Array, list[tuple[int, ...]]]:
    """Which files have a good header, and the shapes these announce."""
    good: list[int] = []
    shapes: list[tuple[int, ...]] = []
    broken: list[DataError] = []
    for i, path in enumerate(paths):
        try:
            shape = image_shape(path)
            if min(shape[:2]) < MIN_SIDE:
                raise DataError(
                    f"{path} is too small: {shape[1]}x{shape[0]}; the least is {MIN_SIDE}x{MIN_SIDE}"
                )
        except DataError as error:
            broken.append(error)
            continue
        good.append(i)
        shapes.append(shape)
    _refuse(broken, len(paths), skip_broken and bool(good), instead)
    return np.array(good, dtype=np.int64), shapes


def _refuse(broken: list[DataError], total: int, allowed: bool, instead: str) -> None:
    if not broken or allowed:
        return
    if len(broken) == 1 and total > 1:
        todo = f"{broken[0].todo}; or " if broken[0].todo else "mend it, or "
        raise DataError(broken[0].what, todo + instead)
    listed = "".join(f"\n    {error.what}" for error in broken[:_NAMED])
    more = f"\n    and {len(broken) - _NAMED:,} more" if len(broken) > _NAMED else ""
    raise DataError(
        f"{len(broken):,} of {total:,} images are broken:{listed}{more}",
        f"mend them, or {instead}",
    )


def _decode_all(paths: Sequence[Path], skip_broken: bool, limit: int, instead: str) -> dict[str, Array]:
    good, shapes = _check_headers(paths, skip_broken, instead)
    sizes = np.array([int(np.prod(s)) for s in shapes], dtype=np.int64)
    if sizes.sum() > limit:
        raise _TooLarge(good)
    data = np.empty(int(sizes.sum()), dtype=np.uint8)
    kept: list[int] = []
    final: list[tuple[int, int, int]] = []
    broken: list[DataError] = []
    offsets = [0]
    for i, shape in zip(good.tolist(), shapes, strict=True):
        try:
            image = decode_image(paths[i])
            if image.shape != shape:
                raise DataError(f"{paths[i]} is not of the size that its header says")
        except DataError as error:
            broken.append(error)
            continue
        data[offsets[-1] : offsets[-1] + image.size] = image.reshape(-1)
        offsets.append(offsets[-1] + image.size)
        final.append((shape[0], shape[1], 1 if len(shape) == 2 else 3))
        kept.append(i)
    _refuse(broken, len(paths), skip_broken and bool(kept), instead)
    return {
        "data": data[: offsets[-1]],
        "offsets": np.array(offsets, dtype=np.int64),
        "shapes": np.array(final, dtype=np.int64),
        "good": np.array(kept, dtype=np.int64),
    }


def _as_images(arrays: Mapping[str, Array]) -> Array | Images:
    """One array where all images have one shape, else ragged."""
    shapes = np.asarray(arrays["shapes"])
    if (shapes == shapes[0]).all():
        height, width, channels = (int(v) for v in shapes[0])
        shape = (len(shapes), height, width) if channels == 1 else (len(shapes), height, width, channels)
        return arrays["data"].reshape(shape)
    return RaggedImages(arrays["data"], np.asarray(arrays["offsets"]), shapes)
