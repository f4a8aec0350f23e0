"""`data crop --square N --centre M`: frames of CK+ at full size, brought to chan2023's form."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from duchenne.cli.data import crop_command
from duchenne.datasets import load
from duchenne.datasets.ckplus_csv import CSV_UNITS
from duchenne.errors import RecipeError
from duchenne.inference import WholeImage
from duchenne.inference.crops import crop_folder
from duchenne.inference.squares import Square

APP = typer.Typer(pretty_exceptions_enable=False)
APP.command()(crop_command)


def ramp(height: int, width: int) -> Any:
    """Each pixel's grey is its column, then its row, on either half of the scale."""
    return np.add.outer(np.arange(height) % 2, np.arange(width) % 128).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "face", "kept"),
    [  # (height, width), the face's box, and by hand: the square's left edge + a rim of 90/480
        ((480, 640), (250, 100, 200, 200), (110 + 90, 90, 300, 300)),  # centre (350, 200): 110 to 590
        ((480, 640), (0, 0, 100, 100), (0 + 90, 90, 300, 300)),  # clamped at the left
        ((480, 720), (600, 300, 120, 120), (240 + 90, 90, 300, 300)),  # and at the right
        ((480, 640), None, (80 + 90, 90, 300, 300)),  # about the middle
        ((640, 480), (140, 400, 200, 200), (90, 160 + 90, 300, 300)),  # upright: clamped at the lower edge
    ],
)
def test_the_reports_crop_by_hand(size: tuple[int, int], face: Any, kept: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    box, pixels = Square(480, 300).cut(image, face)
    assert box == kept
    x, y, w, h = box
    np.testing.assert_array_equal(pixels, image[y : y + h, x : x + w])  # 480 high: nothing is resized


def test_a_frame_of_490_is_resized_to_480_first() -> None:
    image = np.random.default_rng(1).integers(0, 256, (490, 640, 3)).astype(np.uint8)
    box, pixels = Square(480, 300).cut(image, (220, 100, 200, 240))
    assert box == (75 + 92, 92, 306, 306)
    whole = cv2.resize(image[:, 75 : 75 + 490], (480, 480), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(pixels, whole[90:390, 90:390])
    assert Square(480).cut(image, None)[1].shape == (480, 480, 3)


@pytest.mark.parametrize("side", [48, 96, 300])
def test_small_frames_were_cut_to_the_face_before_and_stay_whole(side: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (side, side)).astype(np.uint8)
    box, pixels = Square(480, 300).cut(image, (0, 0, side // 2, side // 2))
    assert box == (0, 0, side, side)
    np.testing.assert_array_equal(pixels, image)


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), side=st.integers(1, 60), part=st.floats(0.01, 1),
    face=st.tuples(*[st.integers(0, 90)] * 4),
)  # fmt: skip
def test_the_box_lies_within_and_the_size_is_as_asked(
    height: int, width: int, side: int, part: float, face: tuple[int, int, int, int]
) -> None:
    centre = max(1, round(side * part))
    (x, y, w, h), pixels = Square(side, centre).cut(np.zeros((height, width), np.uint8), face)
    assert x >= 0
    assert y >= 0
    assert x + w <= width
    assert y + h <= height
    short = min(height, width)
    assert pixels.shape == ((short, short) if short <= centre else (centre, centre))


@pytest.mark.parametrize(("side", "centre"), [(0, None), (5000, None), (480, 481), (480, 0)])
def test_sides_out_of_range(side: int, centre: int | None) -> None:
    with pytest.raises(RecipeError, match="must be 1 to"):
        Square(side, centre)


@pytest.fixture
def ckplus(tmp_path: Path, drawn_photo: Callable[..., Any]) -> Path:
    """A ckplus folder of 6 drawn frames of 640x490 and a table; the last frame has no face."""
    folder = tmp_path / "full" / "ckplus"
    folder.mkdir(parents=True)
    with (folder / "data_labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("filepath", *CSV_UNITS, "high_level_emotion"))
        for i in range(6):
            path = f"cohn-kanade-images/S{i:03d}/001/S{i:03d}_001_00000009.png"
            emotion = ("negative", "positive", "surprise")[i % 3]
            writer.writerow((path, *[i % 2] * len(CSV_UNITS), emotion))
            (folder / path).parent.mkdir(parents=True)
            corners = [(60 + 70 * i, 150)] if i < 5 else []
            cv2.imwrite(str(folder / path), drawn_photo(*corners, size=(640, 490)))
    return folder


def test_full_frames_of_ckplus_become_those_of_the_report(ckplus: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "ckplus"
    arguments = [str(ckplus / "cohn-kanade-images"), str(out / "cohn-kanade-images")]
    said = CliRunner().invoke(APP, [*arguments, "--square", "480", "--centre", "300"])
    assert said.exit_code == 0
    assert "6 squares from 6 photographs" in said.stdout
    assert "1 have no face that was found" in said.stderr
    (out / "data_labels.csv").write_bytes((ckplus / "data_labels.csv").read_bytes())
    before, after = load("ckplus", ckplus.parent, by="frame"), load("ckplus", out.parent, by="frame")
    assert after.ids.tolist() == before.ids.tolist()
    np.testing.assert_array_equal(after.targets["au"], before.targets["au"])
    assert {after.image(i).shape for i in range(6)} == {(300, 300, 3)}
    with (out / "cohn-kanade-images" / "crops.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["source"])
    assert [bool(row["error"]) for row in rows] == [False] * 5 + [True]
    for i, row in enumerate(rows):
        face = 320 if i == 5 else 60 + 70 * i + 72  # the drawn face's centre, or the frame's
        want = min(max(face - 245, 0), 150) + 92
        assert abs(int(row["x"]) - want) < 30  # the finder's box is not centred on the drawing to the pixel
        assert (int(row["y"]), int(row["w"]), int(row["h"])) == (92, 306, 306)


def test_what_excludes_what(ckplus: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="exclude each other"):
        crop_folder(ckplus, tmp_path / "out", WholeImage(), 48, square=Square())
    said = CliRunner().invoke(APP, [str(ckplus), str(tmp_path / "out"), "--centre", "300"])
    assert isinstance(said.exception, RecipeError)
    assert "add --square" in str(said.exception)


def test_photographs_of_one_name_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), ramp(60, 80))
    done = crop_folder(tmp_path / "in", tmp_path / "out", WholeImage(), square=Square(48, 30))
    assert (done.faces, done.failed, done.faceless) == (2, 0, 0)
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
