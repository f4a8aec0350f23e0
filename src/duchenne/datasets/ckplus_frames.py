"""What the three layouts of CK+ give: frames by name, with their labels; and the parts of a frame's name."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from ..errors import DataError
from ..labels import Output

Array = npt.NDArray[Any]

IMAGES = "cohn-kanade-images"
# The 15 action units of chan2023, ascending; `CSV_UNITS` has them in the order of the report's own tables.
REPORT_UNITS = (
    "AU1", "AU2", "AU4", "AU6", "AU7", "AU11", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24", "AU25", "AU26",
    "AU27",
)  # fmt: skip
_NAMED = 5  # frames named in one sentence
# Subject, sequence, frame: S005_001_00000011.
_NAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})", re.ASCII)


class Name(NamedTuple):
    """A frame's name in parts: ``S005``, ``001``, ``00000011``."""

    subject: str
    sequence: str
    frame: str

    def __str__(self) -> str:
        return "_".join(self)


@dataclass(frozen=True)
class Frames:
    """N frames of one layout, in its order.

    Attributes:
        names: Unique.
        paths: Each frame's image, inside the data set's folder.
        outputs: What is annotated.
        targets: As of `FaceSet`.
        masks: As of `FaceSet`.
        group: Further columns of the CSV, ``(N,)`` str each.
        notes: What is to be said of them.
        missing: Names of what is labelled and has no image.
    """

    names: tuple[Name, ...]
    paths: tuple[Path, ...]
    outputs: tuple[Output, ...]
    targets: Mapping[str, Array]
    masks: Mapping[str, Array] = field(default_factory=dict)
    group: Mapping[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def parse_name(stem: str) -> Name | None:
    """The parts of a frame's name (a file's name without its ending), None where it is none."""
    found = _NAME.fullmatch(stem)
    return Name(*found.groups()) if found else None


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, stays in a folder (given resolved)."""
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # a circle of links, a name that is too long, a null byte
        return False


def shown(text: str, limit: int = 60) -> str:
    """Foreign text for a message: cut, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])


@contextmanager
def readable_csv(file: Path) -> Iterator[None]:
    """What reading a CSV raises, as DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror or error}", "check its name, and that it may be read"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}", "save it as CSV in UTF-8") from error


def check_width(where: str, cells: list[str], header: list[str]) -> None:
    """Raises DataError where a row has not a field a column."""
    if len(cells) != len(header):
        raise DataError(
            f"{where}: {len(cells)} fields instead of {len(header)}",
            "give it a field a column; a comma within a field stands in quotes",
        )


def missing_note(what: str, names: list[str], allowed: bool) -> tuple[str, ...]:
    """Name what has no image, as a note.

    Args:
        what: For example "233 of 560 rows of data_labels.csv".
        names: What is missing, in order.
        allowed: Whether that is no error.

    Raises:
        DataError: It is one.
    """
    if not names:
        return ()
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" * (len(names) > _NAMED))
    if not allowed:
        raise DataError(
            f"{what} have no image: {listed}",
            "get the images, or leave these out by --allow-missing (the loader's allow_missing = true, in "
            "a recipe data.options.allow_missing); all their names, under missing: duchenne data inspect "
            "ckplus --allow-missing --json",
        )
    return (f"{what} have no image and were left out: {listed}.",)
