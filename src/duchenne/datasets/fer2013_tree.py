"""FER2013 as Kaggle's folder tree: ``train/angry/*`` and ``test/angry/*``, one 48x48 grey image a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from ..labels import FER2013_EMOTIONS, canonical
from .decode import SUFFIXES
from .fer2013_csv import SIDE
from .files import read_files

Array = npt.NDArray[Any]


def load_tree(
    folder: Path, merged_test: str, cache_dir: Path | None
) -> tuple[Array, Array, Array, Array, tuple[str, ...]]:
    """Read the tree: pixels ``(N, 48, 48)``, emotion codes, parts, ids (paths within the tree) and notes.

    Raises:
        DataError: A folder of an unknown class, no images, broken images, or images that are not 48x48.
    """
    paths: list[Path] = []
    codes: list[int] = []
    parts: list[str] = []
    for name, part in (("train", "Training"), ("test", merged_test)):
        for sub in sorted(p for p in (folder / name).glob("*") if p.is_dir() and not p.name.startswith(".")):
            label = canonical(sub.name)
            if label not in FER2013_EMOTIONS:
                raise DataError(
                    f"{sub}: FER2013 has no class '{sub.name}'", did_you_mean(label, FER2013_EMOTIONS)
                )
            files = sorted(
                p for p in sub.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
            )
            paths += files
            codes += [FER2013_EMOTIONS.index(label)] * len(files)
            parts += [part] * len(files)
    if not paths:
        raise DataError(f"{folder} has folders but no images in them", "expected train/angry/*.png and so on")
    read = read_files(paths, cache_dir=cache_dir, instead="remove what is broken from its class folder")
    pixels = read.images
    if not isinstance(pixels, np.ndarray) or pixels.shape[1:] != (SIDE, SIDE):
        odd = next(p for i, p in enumerate(paths) if pixels[i].shape != (SIDE, SIDE))
        raise DataError(f"{odd} is not grey 48x48 as FER2013's faces are", "use the data set 'folder' for it")
    ids = np.array([p.relative_to(folder).as_posix() for p in paths])
    notes = ("Kaggle's folder tree: its test folder is PublicTest and PrivateTest merged.", *read.notes)
    return pixels, np.array(codes, dtype=np.int64), np.array(parts), ids, notes
