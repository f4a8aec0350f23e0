"""CIFAR-10 in its published binary form; the pickled form is never opened.

Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images"; the form of the files:
https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from ..labels import Output
from .cache import cached_arrays
from .faceset import FaceSet
from .splits import assign_split

Array = npt.NDArray[Any]

CIFAR10_OBJECTS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SIDE = 32  # pixels
RECORD = 1 + 3 * SIDE * SIDE  # bytes: the label, then the red, the green and the blue plane, row by row
BATCH = 10_000  # images in each published file
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILE = "test_batch.bin"
META_FILE = "batches.meta.txt"
FOLDER, PICKLED, ARCHIVE = "cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10-binary.tar.gz"
PARTS = ("Training", "Test")
DEFAULT_SPLIT: Mapping[str, str | float] = {"train": "Training", "val": 0.1, "test": "Test"}
LAYOUT = f"""\
CIFAR-10's binary version, {ARCHIVE}, is at https://www.cs.toronto.edu/~kriz/cifar.html.
  Unpack it as
    DATA/cifar10/{FOLDER}/data_batch_1.bin ... data_batch_5.bin, {TEST_FILE}, {META_FILE}
  and name DATA with --data or $DUCHENNE_DATA."""


def load_cifar10(
    root: Path,
    *,
    split: Mapping[str, str | float] | None = None,
    first: int | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> FaceSet:
    """Load CIFAR-10: 60,000 colour images of 32x32 with 10 objects, for nets that are tried before faces.

    Args:
        root: The data folder (holding ``cifar10/cifar-10-batches-bin/``), or one of those two folders.
        split: "train", "val" and "test", each a part ("Training", "Test"), or, for val and test, a share of
            the train part to cut from it (seeded, stratified by class). Default: a tenth of Training is val.
        first: Only the first so many images of Training; the others are not loaded.
        seed: Of the cut shares.
        cache_dir: See `cache.cache_root`.

    Returns:
        One output ``object``. Ids are ``train00000`` and ``test00000`` and so on, in the files' order.

    Raises:
        DataError: The data are missing (says how to get them) or broken (says where).
    """
    split = DEFAULT_SPLIT if split is None else split
    for value in split.values():
        if isinstance(value, str) and value not in PARTS:
            raise DataError(f"cifar10 has no part '{value}'", did_you_mean(value, PARTS))
    folder = _find(Path(root))
    _check_meta(folder / META_FILE)
    files = [folder / name for name in (*TRAIN_FILES, TEST_FILE)]
    for path in files:
        _count(path)  # says where to get what is missing, before the cache looks at it
    cached = cached_arrays("cifar10", files, lambda: read_batches(files), cache_dir=cache_dir)
    counts = np.asarray(cached.arrays["counts"])
    rows = _rows(counts, first)
    is_test = rows >= counts[:-1].sum()
    part = np.where(is_test, PARTS[1], PARTS[0])
    number = np.where(is_test, rows - counts[:-1].sum(), rows)
    ids = np.char.add(np.where(is_test, "test", "train"), np.char.mod("%05d", number))
    codes = np.asarray(cached.arrays["label"], dtype=np.int64)[rows]
    notes = [cached.note] if cached.note else []
    if (counts != BATCH).any():
        held = tuple(counts.tolist())
        notes.append(f"{folder.name} holds {held} images a file, not the published {BATCH:,}.")
    return FaceSet(
        name="cifar10",
        images=cached.arrays["pixels"],
        ids=ids,
        outputs=(Output("object", "single", CIFAR10_OBJECTS),),
        targets={"object": codes},
        split=assign_split(part, codes, np.ones(len(rows), dtype=bool), split, seed),
        part=part,
        rows=rows,
        notes=tuple(notes),
    )


def read_batches(files: Sequence[Path]) -> dict[str, Array]:
    """Read and check files of 3,073-byte records.

    Returns:
        ``pixels`` ``(N, 32, 32, 3)`` uint8 RGB, ``label`` ``(N,)`` uint8 in 0..9, both in the files' order,
        and ``counts`` ``(len(files),)`` int64, the images of each file.

    Raises:
        DataError: A file is missing, cut, too large or empty, or a label is none of the ten (file, row).
    """
    counts = [_count(path) for path in files]
    pixels = np.empty((sum(counts), SIDE, SIDE, 3), dtype=np.uint8)
    label = np.empty(sum(counts), dtype=np.uint8)
    done = 0
    for path, count in zip(files, counts, strict=True):
        records = np.fromfile(path, dtype=np.uint8, count=count * RECORD)
        if records.size != count * RECORD:
            raise DataError(f"{path} grew shorter while it was read", "read it again when it is complete")
        records = records.reshape(count, RECORD)
        wrong = np.flatnonzero(records[:, 0] >= len(CIFAR10_OBJECTS))
        if len(wrong):
            raise DataError(
                f"{path}, row {wrong[0] + 1}: label {records[wrong[0], 0]} is not one of CIFAR-10's 0 to 9",
                "get the published file again; CIFAR-100's files have another form",
            )
        label[done : done + count] = records[:, 0]
        planes = records[:, 1:].reshape(count, 3, SIDE, SIDE)
        pixels[done : done + count] = planes.transpose(0, 2, 3, 1)
        done += count
    return {"pixels": pixels, "label": label, "counts": np.array(counts, dtype=np.int64)}


def _rows(counts: Array, first: int | None) -> Array:
    """Which rows are loaded: all, or the first of Training and all of Test."""
    trained, total = int(counts[:-1].sum()), int(counts.sum())
    if first is None:
        return np.arange(total)
    if not 1 <= first <= trained:
        raise DataError(f"cifar10, option first = {first}: Training has images 1 to {trained:,}")
    return np.concatenate([np.arange(first), np.arange(trained, total)])


def _find(root: Path) -> Path:
    names = (*TRAIN_FILES, TEST_FILE)
    for folder in (root / "cifar10" / FOLDER, root / FOLDER, root / "cifar10", root):
        if any((folder / name).is_file() for name in names):
            return folder
    for folder in (root / "cifar10", root):
        if (folder / PICKLED).is_dir() or folder.name == PICKLED:
            raise DataError(
                f"{root} holds CIFAR-10 as Python pickles ({PICKLED}), which can run code: they stay shut",
                f"the binary version is needed: {LAYOUT}",
            )
        if (folder / ARCHIVE).is_file():
            raise DataError(f"{folder / ARCHIVE} is not unpacked", f"unpack it there: tar -xzf {ARCHIVE}")
    missing = root if not root.is_dir() else root / "cifar10" / FOLDER
    raise DataError(f"CIFAR-10 is not in {root}: no {missing} with its files", LAYOUT)


def _check_meta(path: Path) -> None:
    """The folder's label names must be CIFAR-10's, in their order: codes would else mean other things."""
    try:
        with path.open("rb") as file:
            text = file.read(1 << 12).decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", LAYOUT) from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    for row, (found, known) in enumerate(zip(names, CIFAR10_OBJECTS, strict=False), start=1):
        if found != known:
            shown = "".join(c if c.isprintable() else "?" for c in found[:30])
            raise DataError(f"{path}, row {row}: label '{shown}' instead of '{known}'", LAYOUT)
    if len(names) != len(CIFAR10_OBJECTS):
        raise DataError(f"{path} names {len(names)} labels instead of {len(CIFAR10_OBJECTS)}", LAYOUT)


def _count(path: Path) -> int:
    """Number of images in a file, from its size alone."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", LAYOUT) from error
    count, left = divmod(size, RECORD)
    if left or not count:
        raise DataError(
            f"{path} has {size:,} bytes, which is not a number of whole images ({RECORD:,} bytes each)",
            f"it was cut short, or is another file: get the published one, of {BATCH * RECORD:,} bytes",
        )
    if count > BATCH:
        raise DataError(
            f"{path} has {size:,} bytes; the published file has {BATCH * RECORD:,}", "is this the right file?"
        )
    return count
