"""The fast CSV reader against the obvious one, and every way a file can be wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.datasets.fer2013_csv import PIXELS, parse_pixels, read_fer2013_csv
from duchenne.errors import DataError


def _row(pixels: str | None = None, label: str = "3", usage: str = "Training") -> str:
    return f"{label},{pixels or ' '.join(['7'] * PIXELS)},{usage}"


def _file(tmp_path: Path, *rows: str, end: str = "\n", header: str = "emotion,pixels,Usage") -> Path:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(("\n".join([header, *rows]) + end).encode())
    return path


def _pixels(**changed: str) -> str:
    """2,304 sevens with some replaced: ``p5="256"`` is the fifth."""
    tokens = ["7"] * PIXELS
    for key, text in changed.items():
        tokens[int(key[1:]) - 1] = text
    return " ".join(tokens)


def test_reads_what_was_written(write_fer: Callable[..., Path], fer_pixels: np.ndarray) -> None:
    arrays = read_fer2013_csv(write_fer() / "fer2013" / "fer2013.csv")
    np.testing.assert_array_equal(arrays["pixels"], fer_pixels)
    np.testing.assert_array_equal(arrays["emotion"], np.arange(84) % 7)
    np.testing.assert_array_equal(arrays["usage"], [0] * 56 + [1] * 14 + [2] * 14)


def test_without_usage(write_fer: Callable[..., Path], fer_pixels: np.ndarray) -> None:
    arrays = read_fer2013_csv(write_fer(usage=False) / "fer2013" / "fer2013.csv")
    np.testing.assert_array_equal(arrays["pixels"], fer_pixels)
    assert len(arrays["usage"]) == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 256))
def test_every_value_is_parsed(seed: int, below: int) -> None:
    values = np.random.default_rng(seed).integers(0, below, PIXELS).tolist()
    out = np.zeros((2, PIXELS), dtype=np.uint8)
    fields = [" ".join(map(str, values)).encode(), " ".join(map(str, values[::-1])).encode()]
    assert parse_pixels(fields, out)
    np.testing.assert_array_equal(out, [values, values[::-1]])


@given(st.text(alphabet="0123456789 x\t-.", min_size=1, max_size=12), st.integers(0, PIXELS - 1))
def test_fast_and_slow_accept_the_same(token: str, at: int) -> None:
    """The fast path may refuse what the slow one takes, but never takes what int() reads otherwise."""
    tokens = ["7"] * PIXELS
    tokens[at] = token
    text = " ".join(tokens)
    out = np.zeros((1, PIXELS), dtype=np.uint8)
    fast = parse_pixels([text.encode()], out)
    parts = text.split()
    good = len(parts) == PIXELS and all(p.isdigit() and int(p) <= 255 for p in parts)
    assert not fast or good
    if fast:
        np.testing.assert_array_equal(out[0], [int(p) for p in parts])
    if good and "\t" not in text and "  " not in f" {text} " and max(map(len, parts)) <= 3:
        assert fast


def test_counts_do_not_cancel_between_rows() -> None:
    """A row short of one pixel followed by one with one too many is not taken for two good rows."""
    fields = [" ".join(["1"] * (PIXELS - 1)).encode(), " ".join(["1"] * (PIXELS + 1)).encode()]
    assert not parse_pixels(fields, np.zeros((2, PIXELS), dtype=np.uint8))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (_row(" ".join(["7"] * 2303)), "field 'pixels': 2,303 pixels instead of 2,304"),
        (_row(" ".join(["7"] * 2305)), "field 'pixels': 2,305 pixels instead of 2,304"),
        (_row(_pixels(p5="256")), "field 'pixels': pixel 5 is 256, beyond 255"),
        (_row(_pixels(p9="999")), "pixel 9 is 999"),
        (_row(_pixels(p9="1000")), "pixel 9 is 1000"),
        (_row(_pixels(p2304="x")), "field 'pixels': pixel 2304 is 'x', not a number"),
        (_row(_pixels(p1="-1")), "pixel 1 is '-1'"),
        (_row(label="7"), "field 'emotion': label '7' is not one of"),
        (_row(label=""), "field 'emotion': label ''"),
        (_row(usage="Trainig"), "field 'Usage': unknown part 'Trainig'"),
        ("3,7 7 7", "pixels instead of 2,304"),
        (_row() + ",more", "4 fields instead of 3"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    path = _file(tmp_path, *[_row()] * 40, row, *[_row()] * 40)
    with pytest.raises(DataError) as caught:
        read_fer2013_csv(path)
    assert f"{path}, row 41 (line 42)" in str(caught.value)
    assert said in str(caught.value)


def test_unknown_usage_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'Training'"):
        read_fer2013_csv(_file(tmp_path, _row(usage="Trainig")))


@pytest.mark.parametrize("keep", [100, 4000, 4608, 4610, 4615])
def test_a_cut_file_is_named_as_cut(tmp_path: Path, keep: int) -> None:
    path = _file(tmp_path, _row(), _row())
    text = path.read_bytes()
    path.write_bytes(text[: len(text) // 2 + 10 + keep])
    with pytest.raises(DataError, match=r"row 2 \(line 3\)(.|\n)*cut short"):
        read_fer2013_csv(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("emotion,pixels,Usage\n", "has a header but no rows"),
        (_row() + "\n", "line 1: no column 'emotion'"),
        ("emotion,Usage\n3,Training\n", "no column 'pixels'"),
        ("a\x1b[31mb\n", r"which reads 'a\?\[31mb'"),
    ],
)
def test_files_without_rows_or_header(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_fer2013_csv(path)


def test_a_binary_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(bytes(5 << 20))
    with pytest.raises(DataError, match="longer than any FER2013 row"):
        read_fer2013_csv(path)


def test_other_published_forms(tmp_path: Path) -> None:
    """icml_face_data.csv has other columns and spaces; also CR LF, quotes, BOM, no last newline."""
    one = ",".join(["2", "PrivateTest", _pixels(p1="0", p2304="255")])
    path = _file(tmp_path, one + "\r", one, header="\ufeffemotion, Usage, pixels\r", end="")
    arrays = read_fer2013_csv(path)
    assert arrays["pixels"].shape == (2, 48, 48)
    assert arrays["pixels"][1, 0, 0] == 0
    assert arrays["pixels"][1, 47, 47] == 255
    np.testing.assert_array_equal(arrays["usage"], [2, 2])
    quoted = _file(tmp_path, f'"4","{_pixels()}","Training"', header='"emotion","pixels","Usage"')
    assert read_fer2013_csv(quoted)["emotion"].tolist() == [4]


def test_odd_spacing_takes_the_slow_way(tmp_path: Path) -> None:
    arrays = read_fer2013_csv(_file(tmp_path, _row(_pixels(p3="  007 ", p4="\t12"))))
    assert arrays["pixels"][0, 0, :5].tolist() == [7, 7, 7, 12, 7]


@pytest.mark.real_data
def test_real_rows_equal_the_obvious_reader(data_dir: Path) -> None:
    path = data_dir / "fer2013" / "fer2013.csv"
    arrays = read_fer2013_csv(path)
    assert np.bincount(arrays["usage"]).tolist() == [28_709, 3_589, 3_589]
    chosen = set(np.random.default_rng(0).integers(0, 35_887, 300).tolist())
    with path.open() as file:
        next(file)
        for i, line in enumerate(file):
            if i in chosen:
                label, text, _ = line.split(",")
                assert arrays["emotion"][i] == int(label)
                assert arrays["pixels"][i].reshape(-1).tolist() == [int(t) for t in text.split()]


def test_a_compressed_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(gzip.compress(b"emotion,pixels,Usage\n"))
    with pytest.raises(DataError, match=r"compressed with gzip\n  unpack it first"):
        read_fer2013_csv(path)
