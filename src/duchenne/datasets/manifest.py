"""A user's CSV manifest: one row an image, with its targets and whatever else is known of it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from ..labels import Output, canonical

Array = npt.NDArray[Any]

_RESERVED = ("path", "split", "subject", "weight")
_MAX_CELL = 100_000  # characters; csv's own limit is 131,072


@dataclass
class Table:
    """What the manifest says, row by row (N rows)."""

    paths: list[str]
    lines: list[int]
    outputs: tuple[Output, ...]
    targets: dict[str, Array]
    masks: dict[str, Array] = field(default_factory=dict)
    split: Array | None = None
    subject: Array | None = None
    sample_weight: Array | None = None
    group: dict[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_manifest(path: Path, outputs: Sequence[str] | None, labels: Sequence[str] | None) -> Table:
    """Read and check a manifest.

    Args:
        path: The CSV. Column ``path`` is needed. ``split``, ``subject`` and ``weight`` are known by name;
            columns ``AU1`` and so on (0 to 1, empty where not annotated) make the multi-label output ``au``;
            the columns named in ``outputs`` are single-label outputs; every other column is a group
            attribute.
        outputs: Single-label columns; default: ``emotion``, where there is one.
        labels: Order of the first single-label output's labels; default: sorted.

    Raises:
        DataError: With file, row, line and column.
    """
    header, rows, lines = _rows(path)
    units = [name for name in header if canonical(name).startswith("AU") and canonical(name)[2:].isdigit()]
    singles = list(outputs) if outputs is not None else [n for n in ("emotion",) if n in header]
    singles = [name for name in singles if not (name == "au" and units)]
    for name in singles:
        if name not in header:
            raise DataError(f"{path} has no column '{name}'", did_you_mean(name, header))
    if not singles and not units:
        raise DataError(
            f"{path} has no target", "add a column emotion, or AU1, AU2 and so on, or name outputs"
        )
    columns = {name: [row[i].strip() for row in rows] for i, name in enumerate(header)}
    table = Table(columns["path"], lines, (), {})
    found: list[Output] = []
    for name in singles:
        order = labels if name == singles[0] else None
        output, codes = _single(path, name, columns[name], lines, order)
        found.append(output)
        table.targets[name] = codes
    if units:
        found.append(Output("au", "multi", tuple(canonical(u) for u in units)))
        grid = [_numbers(path, u, columns[u], lines, top=1.0) for u in units]
        values = np.stack(grid, axis=1)
        table.masks["au"] = ~np.isnan(values)
        table.targets["au"] = np.nan_to_num(values).astype(np.float32)
    table.outputs = tuple(found)
    if "split" in header:
        table.split = np.array(columns["split"])
    if "subject" in header:
        table.subject = np.array(columns["subject"])
        if (table.subject == "").any():
            raise _error(path, lines, int(np.argmax(table.subject == "")), "subject", "is empty")
    if "weight" in header:
        weight = _numbers(path, "weight", columns["weight"], lines, top=np.inf)
        table.sample_weight = np.nan_to_num(weight, nan=1.0).astype(np.float32)
    known = {*_RESERVED, *singles, *units}
    table.group = {name: np.array(columns[name]) for name in header if name not in known}
    return table


def _rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            if "path" not in header:
                raise DataError(
                    f"{path}, line 1: no column 'path'", "the header names path, emotion and so on"
                )
            if len({canonical(n) if canonical(n).startswith("AU") else n for n in header}) != len(header):
                raise DataError(f"{path}, line 1: a column stands twice in the header")
            rows: list[list[str]] = []
            lines: list[int] = []
            for row in reader:
                if not row:
                    continue
                rows.append(row)
                lines.append(reader.line_num)
                if len(row) != len(header):
                    raise _error(
                        path, lines, len(rows) - 1, "", f"{len(row)} fields instead of {len(header)}"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the manifest {path} cannot be read: {error}", "save it as CSV in UTF-8") from error
    if not rows:
        raise DataError(f"{path} names no images", "add a row for each image")
    return header, rows, lines


def _error(path: Path, lines: Sequence[int], row: int, column: str, what: str, todo: str = "") -> DataError:
    where = f"{path}, row {row + 1} (line {lines[row]})" + (f", field '{column}'" if column else "")
    return DataError(f"{where}: {what}", todo)


def row_error(path: Path, table: Table, row: int, column: str, what: str, todo: str = "") -> DataError:
    """The error that names a row of the manifest."""
    return _error(path, table.lines, row, column, what, todo)


def _single(
    path: Path, name: str, cells: list[str], lines: list[int], order: Sequence[str] | None
) -> tuple[Output, Array]:
    """One single-label output; empty cells are not annotated (-1)."""
    names = tuple(order) if order is not None else tuple(sorted(set(cells) - {""}))
    codes = {label: i for i, label in enumerate(names)}
    for row, cell in enumerate(cells):
        if cell and cell not in codes:
            raise _error(path, lines, row, name, f"unknown label '{cell[:40]}'", did_you_mean(cell, names))
    return Output(name, "single", names), np.array([codes.get(c, -1) for c in cells], dtype=np.int64)


def _numbers(path: Path, name: str, cells: list[str], lines: list[int], top: float) -> Array:
    """Numbers from 0 to top; nan where the cell is empty."""
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if not cell:
            continue
        try:
            value = float(cell)
        except ValueError:
            value = np.nan
        if not 0 <= value <= top or value == np.inf:
            wanted = "a number of 0 or more" if top == np.inf else f"a number from 0 to {top:g}"
            raise _error(path, lines, row, name, f"'{cell[:40]}' is not {wanted}")
        values[row] = value
    return values
