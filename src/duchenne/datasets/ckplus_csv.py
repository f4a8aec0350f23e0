"""chan2023's own table of CK+: ``data_labels.csv``, one row a peak frame, 3 emotions and 15 action units.

Source: chan2023, section 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import DataError, did_you_mean
from ..labels import Output, canonical
from .ckplus_frames import (
    REPORT_UNITS,
    Frames,
    Name,
    check_width,
    inside,
    missing_note,
    parse_name,
    readable_csv,
    shown,
)

CSV = "data_labels.csv"
HIGH_EMOTIONS = ("negative", "positive", "surprise")
# The file's own order of columns, by which chan2023's figures 10 to 12 number the units 0..14.
CSV_UNITS = (
    "AU17", "AU1", "AU2", "AU25", "AU27", "AU4", "AU7", "AU23", "AU24", "AU6", "AU12", "AU15", "AU14", "AU11",
    "AU26",
)  # fmt: skip
MAX_ROWS = 100_000  # the report's has 560
_PATH, _EMOTION = "filepath", "high_level_emotion"
_NAMED_IN = ("subject", "sequence", "image_index", "file_prefix")  # each may stand there, and must agree
_BITS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}

Row = tuple[str, dict[str, str]]  # where it stands, for messages, and its cells by column


def read_csv(folder: Path, allow_missing: bool) -> Frames:
    """Read and check the table.

    Columns ``filepath`` (below the folder), ``high_level_emotion`` and the 15 units (0 or 1) are needed;
    ``subject``, ``sequence``, ``image_index`` and ``file_prefix`` must agree with the path where they are
    there; any other column is a group attribute.

    Args:
        folder: The data set's folder, which holds the table and the images.
        allow_missing: Leave out the rows without an image, with a note, instead of raising.

    Raises:
        DataError: With file, row and field: an unknown or missing column, a value that is not 0 or 1, an
            emotion outside the three, a path out of the folder or without a frame's name, a row that stands
            twice; rows without an image; no row with one.
    """
    file = folder / CSV
    rows = list(_rows(file))
    home = folder.resolve()
    seen: dict[Name, int] = {}
    names: list[Name] = []
    paths: list[Path] = []
    kept: list[int] = []
    lost: list[Name] = []
    codes = np.empty(len(rows), dtype=np.int64)
    units = np.empty((len(rows), len(REPORT_UNITS)), dtype=np.float32)
    for i, (where, row) in enumerate(rows):
        name, path = _frame(where, row, folder, home)
        if name in seen:
            raise DataError(
                f"{where}, field '{_PATH}': {name} stands in row {seen[name] + 1} already",
                "give each frame one row",
            )
        seen[name] = i
        emotion = canonical(row[_EMOTION])
        if emotion not in HIGH_EMOTIONS:
            raise DataError(
                f"{where}, field '{_EMOTION}': unknown emotion '{shown(row[_EMOTION])}'",
                did_you_mean(emotion, HIGH_EMOTIONS),
            )
        codes[i] = HIGH_EMOTIONS.index(emotion)
        units[i] = _units(where, row)
        if path.is_file():
            names.append(name)
            paths.append(path)
            kept.append(i)
        else:
            lost.append(name)
    if not kept:
        raise DataError(
            f"{file} has {len(rows):,} rows, and zero of their images are in {folder}",
            f"the first is {rows[0][1][_PATH]}: put the images there",
        )
    rows_lost = [f"{name} (row {seen[name] + 1})" for name in lost]
    extra = [c for c in rows[0][1] if c not in (_PATH, _EMOTION, *_NAMED_IN, *REPORT_UNITS)]
    return Frames(
        names=tuple(names),
        paths=tuple(paths),
        outputs=(Output("emotion", "single", HIGH_EMOTIONS), Output("au", "multi", REPORT_UNITS)),
        targets={"emotion": codes[kept], "au": units[kept]},
        group={c: np.array([rows[i][1][c] for i in kept]) for c in extra},
        notes=missing_note(f"{len(lost):,} of {len(rows):,} rows of {CSV}", rows_lost, allow_missing),
        missing=tuple(map(str, lost)),
    )


def missing_rows(folder: Path) -> tuple[str, ...]:
    """All frames that ``data_labels.csv`` names and whose image is not there, in the file's order.

    Args:
        folder: The data set's folder.

    Raises:
        DataError: As `read_csv`, but for rows without an image.
    """
    home = folder.resolve()
    found = (_frame(where, row, folder, home) for where, row in _rows(folder / CSV))
    return tuple(str(name) for name, path in found if not path.is_file())


def _rows(file: Path) -> Iterator[Row]:
    number = 0
    with readable_csv(file), file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.reader(text)
        header = _header(file, next(reader, []))
        for cells in reader:
            if not cells:
                continue
            number += 1
            where = f"{file}, row {number} (line {reader.line_num})"
            check_width(where, cells, header)
            if number > MAX_ROWS:
                raise DataError(f"{file} has over {MAX_ROWS:,} rows", "is this the right file?")
            yield where, {c: cell.strip() for c, cell in zip(header, cells, strict=True)}
    if not number:
        raise DataError(f"{file} names no images", "add a row for each frame")


def _header(file: Path, cells: list[str]) -> list[str]:
    """Column names, action units as ``AU1``."""
    if not cells:
        needed = ", ".join((_PATH, _EMOTION, *CSV_UNITS))
        raise DataError(f"{file}, line 1: no columns", f"name them there: {needed}")
    header = []
    for cell in cells:
        name = canonical(cell)
        is_unit = name.startswith("AU") or cell.strip().startswith("AU")
        if is_unit and name not in REPORT_UNITS:
            raise DataError(
                f"{file}, line 1: unknown action unit column '{shown(cell)}'",
                f"the units are {', '.join(REPORT_UNITS)}; others are only in CK+'s own FACS files",
            )
        header.append(name if is_unit else cell.strip())
    for name in (_PATH, _EMOTION, *REPORT_UNITS):
        if name not in header:
            raise DataError(f"{file}, line 1: no column '{name}'", did_you_mean(name, header))
    for name in header:
        if header.count(name) > 1:
            raise DataError(
                f"{file}, line 1: column '{shown(name)}' stands {header.count(name)} times",
                "keep one of them",
            )
    return header


def _frame(where: str, row: dict[str, str], folder: Path, home: Path) -> tuple[Name, Path]:
    """The row's frame and its image's path; what else the row says of them must agree."""
    text = row[_PATH]
    plain = PurePosixPath(text)
    path = folder / plain
    if not text or "\0" in text or plain.is_absolute() or ".." in plain.parts or not inside(path, home):
        raise DataError(
            f"{where}, field '{_PATH}': '{shown(text)}' leads out of {folder}",
            "name images relative to the folder, inside it",
        )
    name = parse_name(plain.stem)
    if name is None:
        raise DataError(
            f"{where}, field '{_PATH}': '{shown(text)}' is no frame's name",
            "frames are named SUBJECT_SEQUENCE_FRAME.png, as S005_001_00000011.png",
        )
    said = (name.subject, str(int(name.sequence)), str(int(name.frame)), str(name))
    for column, value in zip(_NAMED_IN, said, strict=True):
        cell = row.get(column, value)
        if cell != value and (column in ("subject", "file_prefix") or cell.lstrip("0") != value.lstrip("0")):
            raise DataError(
                f"{where}, field '{column}': '{shown(cell)}', but the image is {name}", "mend one of them"
            )
    return name, path


def _units(where: str, row: dict[str, str]) -> list[float]:
    values = []
    for unit in REPORT_UNITS:
        value = _BITS.get(row[unit])
        if value is None:
            raise DataError(
                f"{where}, field '{unit}': '{shown(row[unit])}' is neither 0 nor 1",
                "1 where the unit is seen, else 0",
            )
        values.append(value)
    return values
