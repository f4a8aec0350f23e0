"""Faces cut from photographs for training, by the same finder and crop as at prediction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import DataError, RecipeError, RunError
from .ahead import ahead
from .faces import FaceFinder, FoundFace
from .reading import read_image
from .records import CsvRows, csv_path
from .sources import Source, expand
from .squares import MAX_SIDE, Square

Array = npt.NDArray[Any]

# Not manifest.csv: the data set "folder" would read that one; the class folders say the classes.
MANIFEST = "crops.csv"
COLUMNS = ("path", "source", "error", "face", "x", "y", "w", "h", "detector_score", "landmarks")
_NO_FACE = "no face found: cut about the middle"


@dataclass(frozen=True)
class Cropped:
    """What `crop_folder` did.

    Attributes:
        manifest: One row a face, and one for a photograph without faces or with an error.
        photos: How many were looked at.
        faces: How many were written.
        failed: How many photographs could not be read.
        faceless: Of squares: how many lie about the photograph's middle, for no face was found.
    """

    manifest: Path
    photos: int
    faces: int
    failed: int
    faceless: int = 0


def crop_folder(
    photos: Path,
    out: Path,
    finder: FaceFinder,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    square: Square | None = None,
) -> Cropped:
    """Write one PNG a face, below the same sub-folders as its photograph, and a manifest of boxes.

    Args:
        photos: A folder; its class sub-folders are kept.
        out: A new or empty folder outside of `photos`.
        finder: See `make_finder`.
        size: Side of the PNGs in pixels; default: each face's own (48 to 448).
        progress: Told how many photographs are done, and of how many.
        square: Not the faces' own crops, but of each photograph this square about its largest face, under the
            photograph's own name; about its middle where no face is found, which the manifest says.

    Raises:
        RecipeError: A size out of range, or one beside a square.
        DataError: `photos` is no folder, or `out` lies within it.
        RunError: `out` is not empty, or cannot be written.
    """
    if size is not None and not 1 <= size <= MAX_SIDE:
        raise RecipeError(f"size must be 1 to {MAX_SIDE}, not {size}")
    if size is not None and square is not None:
        raise RecipeError("a size and a square exclude each other", "the square's own side is its size")
    photos, out = Path(photos), Path(out)
    if not photos.is_dir():
        raise DataError(f"{photos} is not a folder", "name the folder that holds the photographs")
    if out.resolve().is_relative_to(photos.resolve()):
        raise DataError(
            f"{out} lies within {photos}", "its crops would be photographs next time; name another"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is not empty", "name a new folder; nothing is written over")
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _write(photos, out, finder, size, progress, square)
    except OSError as error:
        raise RunError(
            f"{out} cannot be written: {error.strerror}", "free some space or name another"
        ) from None


def _write(
    photos: Path,
    out: Path,
    finder: FaceFinder,
    size: int | None,
    progress: Callable[[int, int], None] | None,
    square: Square | None,
) -> Cropped:
    done = faces = failed = faceless = 0
    sources = list(expand([photos]))
    part = out / f"{MANIFEST}.part"
    with part.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
        rows = CsvRows(file)
        rows.writerow(COLUMNS)
        for source, found, error in ahead(lambda s: _find(s, finder, size, square), iter(sources)):
            name = os.path.relpath(source.path or "", photos)
            for number, face in enumerate(found):
                path = _named(out, Path(name), f"-{number}" if square is None else "")
                names = csv_path(str(path.relative_to(out))), csv_path(name), csv_path(error)
                rows.writerow([*names, number, *face.box, *_facts(face)])
                ok, png = cv2.imencode(".png", face.crop if face.crop.ndim == 2 else face.crop[..., ::-1])
                with path.open("xb") as image:
                    image.write(png.tobytes() if ok else b"")
            if not found:
                rows.writerow(["", csv_path(name), csv_path(error), *[""] * 7])
            done, faces = done + 1, faces + len(found)
            failed, faceless = failed + (error not in (None, _NO_FACE)), faceless + (error == _NO_FACE)
            if progress is not None:
                progress(done, len(sources))
    part.replace(out / MANIFEST)
    return Cropped(out / MANIFEST, done, faces, failed, faceless)


def _find(
    source: Source, finder: FaceFinder, size: int | None, square: Square | None
) -> tuple[Source, list[FoundFace], str | None]:
    if source.error is not None:
        return source, [], source.error
    try:
        image = read_image(source)[0]
        found = finder.find(image)
    except DataError as error:
        return source, [], error.what
    except OSError as error:
        return source, [], str(error.strerror or error)
    if square is not None:
        face = max(found, key=lambda f: f.box[2] * f.box[3], default=None)
        box, pixels = square.cut(image, None if face is None else face.box)
        cut = FoundFace(box, None if face is None else face.score, pixels)
        return source, [cut], _NO_FACE if face is None else None
    return source, [_sized(face, size) for face in found], None


def _sized(face: FoundFace, size: int | None) -> FoundFace:
    if size is None or face.crop.shape[:2] == (size, size):
        return FoundFace(face.box, face.score, face.crop.copy(), face.landmarks)
    how = cv2.INTER_AREA if min(face.crop.shape[:2]) >= size else cv2.INTER_LINEAR
    crop = cv2.resize(face.crop, (size, size), interpolation=how)
    return FoundFace(face.box, face.score, crop, face.landmarks)


def _named(out: Path, photo: Path, mark: str) -> Path:
    """A free name for a face: photo.jpg becomes photo-0.png; a.jpg and a.png beside it stay apart."""
    folder = out / photo.parent
    if not folder.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{photo} lies outside of the folder of photographs")
    folder.mkdir(parents=True, exist_ok=True)
    return next(p for p in _names(folder, photo, mark) if not os.path.lexists(p))


def _names(folder: Path, photo: Path, mark: str) -> Iterator[Path]:
    yield folder / f"{photo.stem}{mark}.png"
    yield folder / f"{photo.stem}{photo.suffix.replace('.', '-')}{mark}.png"
    again = 2
    while True:
        yield folder / f"{photo.stem}{photo.suffix.replace('.', '-')}{mark}-{again}.png"
        again += 1


def _facts(face: FoundFace) -> list[str]:
    points = "" if face.landmarks is None else " ".join(f"{v:.1f}" for v in np.ravel(face.landmarks))
    return ["" if face.score is None else f"{face.score:g}", points]
