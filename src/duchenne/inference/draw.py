"""Pictures with boxes and labels drawn, one an image, each under a name of its own in one folder."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import DataError, RunError
from ..labels import Output
from .reading import read_image
from .records import UNSURE, Face, Record
from .sources import Source

Array = npt.NDArray[Any]

_COLOUR, _GREY, _INK = (0, 160, 60), (110, 110, 110), (255, 255, 255)
_LEAST_SIZE = 0.4  # of letters, in OpenCV's units; smaller ones cannot be read
_OVER_BOX = 1.25  # lines may be so much wider than their box before they are made smaller
_QUALITY = 92  # of the JPEG
_LONGEST_SIDE = 65_000  # JPEG's limit is 65,535
_LONGEST_STEM = 100  # characters of four bytes at most: file systems take 255 bytes


def draw_faces(image: Array, faces: Sequence[Face], outputs: Sequence[Output]) -> Array:
    """Draw each face's box and what is said of it: the label and score of every single-label output, with
    the output's name where there are several.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)`` RGB; left as it is.
        faces: Of a record.
        outputs: The model's.

    Returns:
        uint8 ``(H, W, 3)`` RGB.
    """
    done = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else np.array(image, order="C")
    size = max(_LEAST_SIZE, min(done.shape[:2]) / 1000)
    colours = [_GREY if UNSURE in face["labels"].values() else _COLOUR for face in faces]
    for face, colour in zip(faces, colours, strict=True):
        x, y, width, height = face["box"]
        cv2.rectangle(done, (x, y), (x + width - 1, y + height - 1), colour, max(1, round(3 * size)))
    for face, colour in zip(faces, colours, strict=True):  # above the lines of all boxes
        lines = {o.name: f"{face['labels'][o.name]} {face['outputs'][o.name][0]['score']:.2f}"
                 for o in outputs if o.name in face["labels"]}  # fmt: skip
        if len(lines) > 1:
            lines = {name: f"{name} {line}" for name, line in lines.items()}
        _write(done, list(lines.values()), face["box"], size, colour)
    return done


def _write(
    image: Array, lines: list[str], box: Sequence[int], size: float, colour: tuple[int, int, int]
) -> None:
    """Lines above the box, or below it where there is no room above; within the image's width if they can.

    They are smaller where they would be much wider than the box: faces of a group stand side by side.
    """
    font = cv2.FONT_HERSHEY_SIMPLEX
    shown = [_plain(line) for line in lines]
    if not shown:
        return
    x, top, bottom = box[0], box[1], box[1] + box[3]
    widest = max(cv2.getTextSize(line, font, size, 1)[0][0] for line in shown)
    size = max(_LEAST_SIZE, size * min(1.0, _OVER_BOX * box[2] / max(widest, 1)))
    thick = max(1, round(1.5 * size))
    sizes = [cv2.getTextSize(line, font, size, thick)[0] for line in shown]
    pad = max(2, round(5 * size))
    row = max(h for _, h in sizes) + 2 * pad
    width = max(w for w, _ in sizes) + 2 * pad
    left = max(0, min(x, image.shape[1] - width))
    start = top - row * len(shown)
    if start < 0:
        start = min(bottom, image.shape[0] - row * len(shown))
    cv2.rectangle(image, (left, start), (left + width - 1, start + row * len(shown) - 1), colour, cv2.FILLED)
    for number, line in enumerate(shown):
        place = (left + pad, start + (number + 1) * row - pad)
        cv2.putText(image, line, place, font, size, _INK, thick, cv2.LINE_AA)


def _plain(text: str) -> str:
    """OpenCV's letters are ASCII: accents are taken off, others become '?'."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode().replace("\n", " ")


class DrawingFolder:
    """Writes drawn pictures into a new or empty folder.

    Args:
        folder: Is made where it is not there.
        outputs: The model's.

    Raises:
        RunError: It is not empty, or cannot be written.
    """

    def __init__(self, folder: Path, outputs: Sequence[Output]) -> None:
        self._folder = folder
        self._outputs = outputs
        self._taken: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RunError(f"{folder} is not empty", "name a new folder; nothing is written over")
        except OSError as error:
            raise RunError(f"{folder} cannot be written: {error.strerror}") from None

    def write(self, source: Source, record: Record) -> Path | None:
        """Draw a source's record; returns the picture's path, or None where there is no image.

        The picture is named after the source alone, never after its folders: a/b.png becomes b.jpg, and a
        second b.png becomes b-2.jpg. The source is read once more; a pipe's bytes are still held.

        Raises:
            RunError: The picture cannot be written.
        """
        if record["error"] is not None or source.data is None:
            return None
        try:
            image = read_image(source)[0]
        except (DataError, OSError):
            return None  # it went away since it was predicted
        drawn = draw_faces(image, record["faces"], self._outputs)
        path = self.reserve(record["path"], ".jpg")
        if (over := max(drawn.shape[:2]) / _LONGEST_SIDE) > 1:
            drawn = cv2.resize(drawn, None, fx=1 / over, fy=1 / over, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        try:
            with path.open("xb") as file:  # never through a link, never over a file
                file.write(jpeg.tobytes())
        except OSError as error:
            if not isinstance(error, FileExistsError):
                with suppress(OSError):
                    path.unlink()  # a half of a picture
            raise RunError(f"{path} cannot be written: {error.strerror}", "free some space") from None
        return path

    def reserve(self, path: str | None, suffix: str) -> Path:
        """A file in the folder for a source's name, that no other call was given."""
        stem = {None: "image", "-": "stdin"}.get(path) or os.path.splitext(os.path.basename(str(path)))[0]
        # Not all that one system takes for a name is one on another.
        stem = re.sub(r'[<>:"/\\|?*]', "_", "".join(c if c.isprintable() else "_" for c in stem))
        stem = stem.strip(". ")[:_LONGEST_STEM] or "image"
        while len(stem.encode()) > 2 * _LONGEST_STEM:
            stem = stem[:-1]
        name, number = stem, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name.casefold())
        return self._folder / f"{name}{suffix}"
