"""CK+48: class folders of 981 small frames, the last three of each of the 327 sequences with an emotion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError, did_you_mean
from ..labels import Output, canonical
from .ckplus_frames import Frames, Name, inside, parse_name
from .decode import SUFFIXES

FOLDER = "CK+48"
# CK+'s codes 1..7, its neutral left out.
CK48_EMOTIONS = ("angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
CK48_FRAMES = 981  # as given out


def read_ck48(folder: Path) -> Frames:
    """Read the class folders.

    Args:
        folder: The data set's folder, which holds ``CK+48``.

    Returns:
        Output ``emotion`` of 7 classes, in code order, then by name.

    Raises:
        DataError: An unknown class folder, a file that is not named as a frame, a frame in two classes or
            twice, a class without images, a link that leads out.
    """
    top = folder / FOLDER
    home = top.resolve()
    classes: dict[str, Path] = {}
    for sub in sorted(p for p in top.iterdir() if p.is_dir() and p.name[0] != "."):
        label = canonical(sub.name)
        if label not in CK48_EMOTIONS:
            raise DataError(f"{sub}: CK+48 has no class '{sub.name}'", did_you_mean(label, CK48_EMOTIONS))
        if label in classes:
            raise DataError(f"{top}: '{classes[label].name}' and '{sub.name}' are the same class")
        classes[label] = sub
    found: dict[Name, Path] = {}
    codes: list[int] = []
    for code, label in enumerate(CK48_EMOTIONS):
        paths = sorted(classes[label].iterdir()) if label in classes else []
        for path in (p for p in paths if p.suffix.lower() in SUFFIXES and p.name[0] != "."):
            name = parse_name(path.stem)
            if name is None:
                raise DataError(
                    f"{path} is not named as a frame",
                    "names are as S010_004_00000017.png: subject, sequence, frame",
                )
            if name in found:
                raise DataError(f"{name} stands twice: {found[name]} and {path}", "keep one of them")
            if not inside(path, home):
                raise DataError(f"{path} is a link that leads out of {top}", "copy the file into the folder")
            found[name] = path
            codes.append(code)
    if not found:
        raise DataError(f"zero images found in the class folders of {top}", "get CK+48 again, whole")
    lacking = [label for code, label in enumerate(CK48_EMOTIONS) if code not in codes]
    if lacking:
        raise DataError(f"{top} has no images of class '{lacking[0]}'", "get CK+48 again, whole")
    notes: tuple[str, ...] = ()
    if len(found) != CK48_FRAMES:
        notes = (f"{FOLDER} holds {len(found):,} images, not the usual {CK48_FRAMES}.",)
    return Frames(
        names=tuple(found),
        paths=tuple(found.values()),
        outputs=(Output("emotion", "single", CK48_EMOTIONS),),
        targets={"emotion": np.array(codes, dtype=np.int64)},
        notes=notes,
    )
