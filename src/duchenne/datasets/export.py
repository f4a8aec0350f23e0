"""Write a FaceSet as PNG files with a manifest that `folder` reads back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from ..errors import DataError
from .faceset import FaceSet

MANIFEST = "manifest.csv"


def export_faces(faces: FaceSet, folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write each face as a lossless PNG, and ``manifest.csv`` (path, labels, AUs, split, subject, groups).

    Args:
        faces: What to write; votes are written as their largest class.
        folder: Made if it is missing; empty otherwise.
        progress: Told (written, all).

    Returns:
        The manifest's path.

    Raises:
        DataError: The folder holds something already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DataError(f"{folder} is not empty, and its files would be replaced", "name another folder")
        columns = _columns(faces)
        with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", *columns])
            for i in range(len(faces)):
                # Ids may be paths of another tree: numbered names stay inside the folder.
                name = f"{i:06d}.png"
                Image.fromarray(faces.image(i)).save(folder / name)
                writer.writerow([name, *(column[i] for column in columns.values())])
                if progress is not None:
                    progress(i + 1, len(faces))
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from None
    return folder / MANIFEST


def _columns(faces: FaceSet) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for output in faces.outputs:
        if output.kind == "single":
            columns[output.name] = ["" if c < 0 else output.labels[c] for c in faces.hard(output.name)]
            continue
        mask = faces.masks.get(output.name)
        for j, label in enumerate(output.labels):
            values = faces.targets[output.name][:, j]
            columns[label] = [
                f"{v:.4g}" if mask is None or mask[i, j] else "" for i, v in enumerate(values.tolist())
            ]
    columns["split"] = [str(s) for s in faces.split]
    if faces.subject is not None:
        columns["subject"] = [str(s) for s in faces.subject]
    columns |= {name: [str(v) for v in values] for name, values in faces.group.items()}
    return columns
