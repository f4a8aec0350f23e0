"""The label CSVs of wang2020 for SFEW: which image carries which label; written, and read back."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import DataError, did_you_mean
from ..labels import canonical

COLUMNS = ("image", "label")
MAX_ROWS = 1_000_000  # a label file of SFEW has 891; a longer one by far is not one


@dataclass(frozen=True)
class LabelledFiles:
    """Files below a part's folder, as ``Angry/name.png``, and their class codes."""

    paths: tuple[str, ...]
    codes: tuple[int, ...]


def write_label_csv(file: Path, found: LabelledFiles, *, replace: bool = False) -> Path:
    """Write ``image,label`` rows, the label as the report's code.

    Raises:
        DataError: The file exists and is not to be replaced, or cannot be written.
    """
    try:
        with file.open("w" if replace else "x", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(zip(found.paths, found.codes, strict=True))
    except FileExistsError:
        raise DataError(f"{file} exists", "--replace writes over it") from None
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}") from None
    return file


def read_label_csv(file: Path, folder: Path, labels: Sequence[str]) -> LabelledFiles:
    """Read and check a label CSV.

    Args:
        file: Columns ``image`` (a path below `folder`) and ``label`` (a code, or a class name).
        folder: The part's folder of images.
        labels: The classes, in code order.

    Raises:
        DataError: The file cannot be read; or with file, row and field: a path that leads out of the folder,
            a file that is not there, a label that is none, an image that stands twice.
    """
    seen: dict[str, int] = {}
    codes: list[int] = []
    inside = folder.resolve()
    for row, line, cells in _rows(file):
        where = f"{file}, row {row} (line {line})"
        path = _path(where, cells[0], folder, inside)
        if path in seen:
            raise DataError(
                f"{where}, field 'image': '{path}' stands in row {seen[path]} already",
                "give each image one row",
            )
        seen[path] = row
        codes.append(_code(where, cells[1], labels))
    if not seen:
        raise DataError(f"{file} names no images", "delete it to have the labels taken from the folders")
    return LabelledFiles(tuple(seen), tuple(codes))


def _rows(file: Path) -> list[tuple[int, int, tuple[str, str]]]:
    """Number, line and the two cells of each row."""
    found: list[tuple[int, int, tuple[str, str]]] = []
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text)
            header = [name.strip() for name in next(reader, [])]
            for name in COLUMNS:
                if header.count(name) != 1:
                    raise DataError(
                        f"{file}, line 1: column '{name}' stands {header.count(name)} times in the header",
                        f"the header is {','.join(COLUMNS)}",
                    )
            image, label = (header.index(name) for name in COLUMNS)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{file}, row {len(found) + 1} (line {reader.line_num}): "
                        f"{len(cells)} fields instead of {len(header)}"
                    )
                if len(found) == MAX_ROWS:
                    raise DataError(f"{file} has over {MAX_ROWS:,} rows", "is this the right file?")
                found.append((len(found) + 1, reader.line_num, (cells[image].strip(), cells[label].strip())))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}", "save it as CSV in UTF-8") from error
    return found


def _path(where: str, text: str, folder: Path, inside: Path) -> str:
    """The path below the folder, checked to be a file inside it."""
    plain = PurePosixPath(text)
    shown = "".join(c if c.isprintable() else "?" for c in text[:80])
    outside = not text or "\0" in text or plain.is_absolute() or ".." in plain.parts
    try:
        path = folder / plain
        if outside or not path.resolve().is_relative_to(inside):
            raise DataError(
                f"{where}, field 'image': '{shown}' leads out of {folder}",
                "name files relative to the folder, as Angry/NAME.png",
            )
        is_file = path.is_file()
    except OSError:  # a name that is too long, a circle of links
        is_file = False
    if not is_file:
        raise DataError(
            f"{where}, field 'image': there is no file '{shown}' in {folder}",
            "take the row out, or delete the CSV to have the labels taken from the folders",
        )
    return plain.as_posix()


def _code(where: str, text: str, labels: Sequence[str]) -> int:
    """A label's code, from the code itself or from the class's name."""
    if text.isascii() and text.isdecimal() and len(text) < 4 and int(text) < len(labels):
        return int(text)
    name = canonical(text)
    if name in labels:
        return labels.index(name)
    shown = "".join(c if c.isprintable() else "?" for c in text[:40])
    known = ", ".join(f"{i} {label}" for i, label in enumerate(labels))
    todo = f"known: {known}" if not name or text.isdecimal() else did_you_mean(name, labels)
    raise DataError(f"{where}, field 'label': unknown label '{shown}'", todo)
