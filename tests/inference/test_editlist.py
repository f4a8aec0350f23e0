"""Films that a phone has trimmed: their edit list shows fewer frames than the header counts."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.inference.editlist import edited_seconds
from duchenne.inference.videofile import VideoFile

FPS = 25


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """100 frames of 25 a second, each of its own grey, as OpenCV writes them."""
    path = tmp_path_factory.mktemp("film") / "plain.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (64, 48))
    for i in range(100):
        writer.write(np.full((48, 64, 3), 50 + 2 * i, np.uint8))
    writer.release()
    return path.read_bytes()


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += size


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def put(data: bytes, place: tuple[bytes, ...], new: bytes) -> bytes:
    """The boxes with one of them replaced."""
    return b"".join(
        box(kind, content if kind != place[0] else put(content, place[1:], new) if place[1:] else new)
        for kind, content in boxes(data)
    )


def trimmed(film: bytes, rows: list[tuple[int, float]], version: int = 0) -> bytes:
    """The film with an edit list: (frames, first second) each."""
    top = dict(boxes(film))
    scale = struct.unpack_from(">I", dict(boxes(top[b"moov"]))[b"mvhd"], 12)[0]
    media = dict(boxes(dict(boxes(dict(boxes(top[b"moov"]))[b"trak"]))[b"mdia"]))
    unit = struct.unpack_from(">I", media[b"mdhd"], 12)[0]
    entry = ">QqI" if version else ">IiI"
    table = b"".join(
        struct.pack(entry, frames * scale // FPS, round(start * unit) if start >= 0 else -1, 0x10000)
        for frames, start in rows
    )
    edts = box(b"elst", struct.pack(">II", version << 24, len(rows)) + table)
    return put(film, (b"moov", b"trak", b"edts"), edts)


@pytest.mark.parametrize("version", [0, 1])
def test_a_trimmed_film_is_whole(tmp_path: Path, film: bytes, version: int) -> None:
    path = tmp_path / "trimmed.mp4"
    path.write_bytes(trimmed(film, [(50, 1.6)], version))
    assert edited_seconds(path) == pytest.approx(2.0, abs=0.01)
    video = VideoFile(path, every=1)
    frames = list(video.frames())
    assert (video.declared, len(frames)) == (100, 50)
    assert abs(float(frames[0].image.mean()) - (50 + 2 * 40)) < 4  # it begins where it was trimmed
    assert video.broken is None


def test_lists_of_several_pieces_and_of_the_rest(tmp_path: Path, film: bytes) -> None:
    path = tmp_path / "a.mp4"
    for rows, seconds in (
        ([(25, 0.0), (50, 2.0)], 3.0),
        ([(10, -1.0), (50, 0.4)], 2.0),  # an empty piece first
        ([(0, 1.0)], None),  # the rest, of unsaid length
        ([], None),
    ):
        path.write_bytes(trimmed(film, rows))
        assert edited_seconds(path) == (None if seconds is None else pytest.approx(seconds, abs=0.01))


def test_a_film_that_is_shorter_than_its_list_is_broken(tmp_path: Path, film: bytes) -> None:
    """The header counts 100 frames and the list shows 90; the decoder gives those of the list's end alone."""
    path = tmp_path / "cut.mp4"
    path.write_bytes(trimmed(film, [(90, 2.0)]))
    video = VideoFile(path, every=1)
    list(video.frames())
    assert video.broken is not None
    assert "its header says 100 frames" in video.broken


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_damage_is_no_error(
    tmp_path_factory: pytest.TempPathFactory, film: bytes, noise: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.mp4"
    whole = trimmed(film, [(50, 1.6)])
    at = max(0, len(whole) - at)
    for damaged in (noise, whole[:at], whole[:at] + noise + whole[at + len(noise) :]):
        path.write_bytes(damaged)
        seconds = edited_seconds(path)
        assert seconds is None or seconds >= 0
    assert edited_seconds(path.with_name("none.mp4")) is None
