"""FER2013's CSV, read fast: digits become pixels by NumPy arithmetic on whole blocks of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean

Array = npt.NDArray[Any]

SIDE = 48  # pixels; every published FER2013 face is 48x48 (Goodfellow et al. 2013)
PIXELS = SIDE * SIDE
USAGES = ("Training", "PublicTest", "PrivateTest")  # the published names and order
_ROWS_PER_BLOCK = 32  # about 270 kB of text, so that a block and its temporaries stay in the L2 cache
_READ_BYTES = 1 << 18
_LONGEST_LINE = 64 * PIXELS
_SPACE, _ZERO = 32, 48


@dataclass(frozen=True)
class _Header:
    names: tuple[str, ...]
    emotion: int
    pixels: int
    usage: int | None


@dataclass(slots=True)
class _Row:
    number: int  # data row, 1-based
    line: int  # line of the file, 1-based
    fields: list[bytes]
    closed: bool  # the line ends in a line feed


def read_fer2013_csv(path: Path) -> dict[str, Array]:
    """Read and check a FER2013 CSV: columns ``emotion`` and ``pixels``, optional ``Usage``, in any order.

    Returns:
        ``pixels`` ``(N, 48, 48)`` uint8, ``emotion`` ``(N,)`` uint8 in 0..6, and ``usage`` ``(N,)`` uint8
        code into `USAGES` (``(0,)`` where the file has no such column).

    Raises:
        DataError: With file, row, line and field, at the first thing that is wrong.
    """
    lines = _lines(path)
    header = _read_header(path, next(lines, (b"", False))[0])
    # A good row has at least 2 bytes a pixel, so this always suffices; untouched pages take no memory.
    capacity = path.stat().st_size // (2 * PIXELS - 1) + 1
    pixels = np.empty((capacity, PIXELS), dtype=np.uint8)
    emotion: list[int] = []
    usage: list[int] = []
    _warm_allocator()
    block: list[_Row] = []
    done = 0
    for row in _rows(path, header, lines):
        block.append(row)
        emotion.append(_emotion(path, row, header))
        if header.usage is not None:
            usage.append(_usage(path, row, header))
        if len(block) == _ROWS_PER_BLOCK:
            done = _parse_block(path, block, header, pixels, done)
            block = []
    done = _parse_block(path, block, header, pixels, done)
    if not done:
        raise DataError(f"{path} has a header but no rows", "get the published fer2013.csv again")
    return {
        "pixels": pixels[:done].reshape(done, SIDE, SIDE),
        "emotion": np.array(emotion, dtype=np.uint8),
        "usage": np.array(usage, dtype=np.uint8),
    }


def _warm_allocator() -> None:
    """Free one large block, so that glibc keeps later ones of its size instead of unmapping them.

    Its thresholds grow with the first large block freed (mallopt(3), M_MMAP_THRESHOLD). Without this, each
    block's temporary arrays are mapped and cleared anew, which takes several times as long as the arithmetic.
    """
    np.empty(16 << 20, dtype=np.uint8)


def _lines(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield each line without its line feed, and whether it had one."""
    with path.open("rb", buffering=_READ_BYTES) as file:
        while line := file.readline(_LONGEST_LINE):
            closed = line.endswith(b"\n")
            if not closed and len(line) == _LONGEST_LINE:
                raise DataError(f"{path}: a line is longer than any FER2013 row", "is this the right file?")
            yield line[:-1] if closed else line, closed


def _read_header(path: Path, line: bytes) -> _Header:
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    if not text.strip():
        raise DataError(f"{path} is empty", "get the published fer2013.csv again")
    names = tuple(name.strip().strip('"').strip().lower() for name in text[:4096].split(","))
    for needed in ("emotion", "pixels"):
        if needed not in names:
            if line.startswith(b"\x1f\x8b"):
                raise DataError(
                    f"{path} is compressed with gzip",
                    f"unpack it first: mv {path.name} {path.name}.gz; gunzip {path.name}.gz",
                )
            plain = "".join(c if c.isprintable() else "?" for c in text[:60])
            shown = plain + ("..." if len(text) > 60 else "")
            raise DataError(
                f"{path}, line 1: no column '{needed}' in the header, which reads '{shown}'",
                "the first line must be the published header: emotion,pixels,Usage",
            )
    return _Header(
        names,
        names.index("emotion"),
        names.index("pixels"),
        names.index("usage") if "usage" in names else None,
    )


def _rows(path: Path, header: _Header, lines: Iterator[tuple[bytes, bool]]) -> Iterator[_Row]:
    number = 0
    for line_number, (line, closed) in enumerate(lines, start=2):
        if not line.strip():
            continue
        number += 1
        row = _Row(number, line_number, line.rstrip(b"\r").split(b","), closed)
        if len(row.fields) != len(header.names):
            if len(row.fields) > header.pixels:
                _parse_row(path, row, header)  # names missing pixels first, where that is the cause
            _fail(path, row, "", f"{len(row.fields)} fields instead of {len(header.names)}")
        yield row


def _fail(path: Path, row: _Row, field: str, what: str, todo: str = "") -> NoReturn:
    """Raise the DataError that names the place."""
    where = f"{path}, row {row.number} (line {row.line})" + (f", field '{field}'" if field else "")
    if not row.closed:
        todo = "the file ends in the middle of this row: it was cut short; get it again"
    raise DataError(f"{where}: {what}", todo or "correct the row, or get the published file again")


def _shown(value: bytes) -> str:
    return value[:20].decode("utf-8", "replace").strip()


def _emotion(path: Path, row: _Row, header: _Header) -> int:
    field = row.fields[header.emotion].strip(b' "')
    if len(field) == 1 and b"0" <= field <= b"6":
        return field[0] - _ZERO
    _fail(path, row, "emotion", f"label '{_shown(field)}' is not one of FER2013's codes 0 to 6")


def _usage(path: Path, row: _Row, header: _Header) -> int:
    assert header.usage is not None
    field = row.fields[header.usage].strip(b' "').decode("utf-8", "replace")
    if field in USAGES:
        return USAGES.index(field)
    _fail(path, row, "Usage", f"unknown part '{field[:20]}'", did_you_mean(field[:20], USAGES))


def _parse_block(path: Path, block: list[_Row], header: _Header, out: Array, done: int) -> int:
    """Parse the block's pixels into ``out[done:]`` and return the new number of rows done."""
    if not block:
        return done
    fields = [row.fields[header.pixels].strip(b' "') for row in block]
    target = out[done : done + len(block)]
    if not parse_pixels(fields, target):
        # Unusual spacing, or a fault: one row at a time reads the first and names the second.
        for i, row in enumerate(block):
            target[i] = _parse_row(path, row, header)
    return done + len(block)


def parse_pixels(fields: list[bytes], out: Array) -> bool:
    """Turn rows of "70 80 255 ..." into pixels, all at once.

    Args:
        fields: One text a row.
        out: ``(len(fields), 2304)`` uint8, written.

    Returns:
        False where any row is not exactly 2,304 numbers of 0 to 255 with one space between; ``out`` is then
        undefined.
    """
    # Three leading spaces let the characters 1, 2 and 3 places back exist for every character of a field.
    text = np.frombuffer(b"   " + b" ".join(fields) + b" ", dtype=np.uint8)
    value = text - _ZERO  # wraps for anything below '0'
    digit = value <= 9
    space = text == _SPACE
    if np.count_nonzero(digit) + np.count_nonzero(space) != len(text):
        return False
    # Every field must end at a pixel count that is a multiple of 2,304, with never two spaces in a row.
    ends = np.flatnonzero(space[3:])  # in the text without its leading spaces: one past a number
    stops = np.cumsum([len(field) + 1 for field in fields]) - 1
    if len(ends) != out.size or (ends[PIXELS - 1 :: PIXELS] != stops).any():
        return False
    if space[3] or (space[4:] & space[3:-1]).any():
        return False
    value &= -digit.view(np.uint8)  # spaces count as nought from here on
    pair = digit[1:] & digit[:-1]  # at i: the characters i and i + 1 are digits
    if (pair[2:] & pair[:-2]).any():  # four digits in a row
        return False
    # At each character: a hundred times the digit two back (where the one between is a digit too), ten times
    # the digit before, and the digit itself. Only the values at the last characters of numbers are taken.
    hundreds = value[:-3] & -pair[1:-1].view(np.uint8)
    if hundreds.max(initial=0) > 2:
        return False
    hundreds *= np.uint8(100)
    number = value[1:-2] * np.uint8(10)
    number += value[2:-1]
    number += hundreds
    if (number < hundreds).any():  # 256 to 299 wrapped around
        return False
    number.take(ends, out=out.reshape(-1), mode="clip")  # "raise" would copy the output
    return True


def _parse_row(path: Path, row: _Row, header: _Header) -> Array:
    """One row the slow way: tolerates any white space, and names the pixel that is wrong."""
    tokens = row.fields[header.pixels].strip(b' "').split()
    for i, token in enumerate(tokens):
        if not token.isdigit():
            _fail(path, row, "pixels", f"pixel {i + 1} is '{_shown(token)}', not a number from 0 to 255")
        if len(token) > 9 or int(token) > 255:
            _fail(path, row, "pixels", f"pixel {i + 1} is {_shown(token)}, beyond 255")
    if len(tokens) != PIXELS:
        _fail(path, row, "pixels", f"{len(tokens):,} pixels instead of {PIXELS:,} (48x48)")
    return np.array([int(token) for token in tokens], dtype=np.uint8)
