"""How much of an MP4 film its edit list shows: phones trim a film so, and leave the frames in the file.

Source: ISO/IEC 14496-12, sections 4.2 (boxes), 8.2.2 (mvhd), 8.4.3 (hdlr) and 8.6.6 (elst).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# A film's own tables; a larger one is not looked at (an hour has about 1 MB).
_MOST = 64 << 20


def edited_seconds(path: Path) -> float | None:
    """Seconds that the edit list of the first video track shows; None where there is none, or no MP4."""
    try:
        with path.open("rb") as file:
            moov = _moov(file)
        return None if moov is None else _seconds(moov)
    except (OSError, struct.error, ValueError):
        return None  # cut short or damaged: the decoder says so


def _moov(file: BinaryIO) -> bytes | None:
    """What the top-level box "moov" holds."""
    at = 0
    while len(head := file.read(16)) >= 8:
        size, kind = struct.unpack(">I4s", head[:8])
        begin = 8
        if size == 1:
            (size,) = struct.unpack(">Q", head[8:16])
            begin = 16
        if kind == b"moov":
            if not begin <= size <= _MOST:
                return None
            file.seek(at + begin)
            return file.read(size - begin)
        if size < begin:  # to the end of the file, or damaged
            return None
        at += size
        file.seek(at)
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _inside(data: bytes, *kinds: bytes) -> bytes:
    """Content of the first box of each kind, one within the other. Raises ValueError where one is missing."""
    for kind in kinds:
        data = next((content for found, content in _boxes(data) if found == kind), b"")
        if not data:
            raise ValueError(f"no box {kind!r}")
    return data


def _seconds(moov: bytes) -> float | None:
    header = _inside(moov, b"mvhd")
    (scale,) = struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)
    for kind, track in _boxes(moov):
        if kind == b"trak" and _inside(track, b"mdia", b"hdlr")[8:12] == b"vide":
            table = _inside(track, b"edts", b"elst")
            (count,) = struct.unpack_from(">I", table, 4)
            entry = struct.Struct(">QqI" if table[0] == 1 else ">IiI")
            rows = [entry.unpack_from(table, 8 + i * entry.size) for i in range(count)]
            shown = [duration for duration, start, _ in rows if start >= 0]
            # A length of 0 is "the rest", as in films that are written while they are sent.
            return sum(shown) / scale if scale and shown and all(shown) else None
    return None
