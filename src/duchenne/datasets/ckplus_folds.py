"""Folds of CK+ given by hand: a CSV that says in which fold each subject, or each frame, is held out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .ckplus_frames import Name, check_width, readable_csv, shown

MAX_ROWS = 100_000


def read_folds(file: Path, names: Sequence[Name], k: int, by_subject: bool) -> npt.NDArray[np.int64]:
    """Read each frame's fold.

    Args:
        file: Columns ``fold`` (0 to k - 1) and ``subject`` (S005), or ``id`` (S005_001_00000011).
        names: The frames; each must have a fold. Rows of other subjects or frames are ignored.
        k: Number of folds, each of which must hold a frame.
        by_subject: Refuse a subject in two folds.

    Raises:
        DataError: With file, row and field.
    """
    key, rows = _rows(file)
    fold_of: dict[str, tuple[int, str]] = {}
    person: dict[str, tuple[int, str]] = {}
    for where, who, cell in rows:
        if not (cell.isascii() and cell.isdecimal() and len(cell) < 4 and int(cell) < k):
            raise DataError(
                f"{where}, field 'fold': '{shown(cell)}' is not a fold from 0 to {k - 1}",
                "number the folds from 0, or set the option folds to how many there are",
            )
        subject, fold = who.split("_")[0], int(cell)
        if by_subject and person.setdefault(subject, (fold, where))[0] != fold:
            other, first = person[subject]
            raise DataError(
                f"{where}, field 'fold': subject {shown(subject)} is in fold {fold}, and in fold {other} by "
                f"{first.rpartition(', ')[2]}",
                "give each subject one fold; frames are divided freely with by = 'frame'",
            )
        if who in fold_of:
            raise DataError(
                f"{where}, field '{key}': '{shown(who)}' stands in "
                f"{fold_of[who][1].rpartition(', ')[2]} already",
                "keep one of the rows",
            )
        fold_of[who] = fold, where
    result = np.empty(len(names), dtype=np.int64)
    for i, name in enumerate(names):
        who = name.subject if key == "subject" else str(name)
        if who not in fold_of:
            raise DataError(f"{file} gives {key} {who} no fold", "add a row for it")
        result[i] = fold_of[who][0]
    empty = sorted(set(range(k)) - set(result.tolist()))
    if empty:
        raise DataError(
            f"{file} leaves fold {empty[0]} of {k} without frames", "set the option folds to its folds"
        )
    return result


def _rows(file: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """The column that says who, and for each row: where it stands, who, which fold."""
    found: list[tuple[str, str, str]] = []
    with readable_csv(file), file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.reader(text)
        header = [name.strip() for name in next(reader, [])]
        keys = [name for name in ("subject", "id") if name in header]
        if "fold" not in header or len(keys) != 1 or len(set(header)) != len(header):
            raise DataError(
                f"{file}, line 1: the header is not 'subject,fold' or 'id,fold'",
                f"it is '{shown(','.join(header))}': name these two columns there",
            )
        for cells in reader:
            if not cells:
                continue
            where = f"{file}, row {len(found) + 1} (line {reader.line_num})"
            check_width(where, cells, header)
            if len(found) == MAX_ROWS:
                raise DataError(f"{file} has over {MAX_ROWS:,} rows", "is this the right file?")
            row = dict(zip(header, (c.strip() for c in cells), strict=True))
            found.append((where, row[keys[0]], row["fold"]))
    return keys[0], found
