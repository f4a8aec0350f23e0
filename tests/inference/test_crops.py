"""`data crop`: the predictor's own crops, class folders kept, nothing written over."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from duchenne.cli.data import crop_command
from duchenne.datasets.decode import decode_image
from duchenne.errors import DataError, RecipeError, RunError
from duchenne.inference import WholeImage
from duchenne.inference.cascade import Cascade
from duchenne.inference.crops import COLUMNS, crop_folder


@pytest.fixture
def photos_of_classes(tmp_path: Path, drawn_photo: Callable[..., Any]) -> Path:
    top = tmp_path / "photos"
    for name, corners in (
        ("happy/a.png", [(20, 60), (220, 120)]), ("happy/a.jpg", [(20, 60)]), ("sad/b.png", [(100, 100)]),
        ("sad/none.png", []),
    ):  # fmt: skip
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(top / name), drawn_photo(*corners))
    (top / "sad/broken.png").write_bytes(b"no image")
    return top


def test_one_png_a_face_and_a_manifest(photos_of_classes: Path, tmp_path: Path) -> None:
    done = crop_folder(photos_of_classes, tmp_path / "out", Cascade(), size=48)
    assert (done.photos, done.faces, done.failed) == (5, 4, 1)
    with done.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png"))
    # Which of a.png and a.jpg is named first is the order of the folder; none is lost.
    assert len(written) == 4
    assert {Path(p).parent.name for p in written} == {"happy", "sad"}
    assert sorted(r["path"] for r in rows if r["path"]) == written
    by_source = {r["source"]: r for r in rows}
    assert "not an image" in by_source["sad/broken.png"]["error"]
    assert by_source["sad/none.png"]["path"] == by_source["sad/none.png"]["error"] == ""
    for row in rows:
        if row["path"]:
            assert Path(row["path"]).parent == Path(row["source"]).parent
            faces = Cascade().find(decode_image(photos_of_classes / row["source"]))
            face = faces[int(row["face"])]
            assert [int(row[k]) for k in "xywh"] == list(face.box)
            want = cv2.resize(face.crop, (48, 48), interpolation=cv2.INTER_AREA)
            assert np.array_equal(cv2.imread(str(tmp_path / "out" / row["path"]))[..., ::-1], want)


def test_nothing_is_written_over(photos_of_classes: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        crop_folder(photos_of_classes, tmp_path / "full", WholeImage())
    with pytest.raises(RunError, match="is not empty"):
        crop_folder(photos_of_classes, tmp_path / "full/x", WholeImage())
    with pytest.raises(DataError, match="lies within"):
        crop_folder(photos_of_classes, photos_of_classes / "out", WholeImage())
    with pytest.raises(DataError, match="is not a folder"):
        crop_folder(tmp_path / "none", tmp_path / "out", WholeImage())
    with pytest.raises(RecipeError, match="size"):
        crop_folder(photos_of_classes, tmp_path / "out", WholeImage(), size=0)
    assert not (tmp_path / "out").exists()


def test_the_verb(photos_of_classes: Path, tmp_path: Path) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(crop_command)
    said = CliRunner().invoke(app, [str(photos_of_classes), str(tmp_path / "out"), "--faces", "whole"])
    assert said.exit_code == 3
    assert "4 faces from 4 photographs" in said.stdout
    assert "1 files could not be read" in said.stderr
    (photos_of_classes / "sad/broken.png").unlink()
    said = CliRunner().invoke(app, [str(photos_of_classes), str(tmp_path / "out2"), "--size", "32"])
    assert said.exit_code == 0
    assert all(cv2.imread(str(p)).shape == (32, 32, 3) for p in (tmp_path / "out2").rglob("*.png"))


def test_the_manifest_holds_no_formula_and_one_row_a_face(
    tmp_path: Path, drawn_photo: Callable[..., Any]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ["=1+1.png", "a\rb.png", "@x.png"]
    for name in names:
        (photos / name).write_bytes(cv2.imencode(".png", drawn_photo((20, 60)))[1].tobytes())
    (photos / "-broken.png").write_bytes(b"no image")
    done = crop_folder(photos, tmp_path / "out", Cascade())
    with done.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert not [cell for row in rows for cell in row.values() if cell.startswith(tuple("=+-@"))]
    for row in rows:
        assert (photos / row["source"]).is_file()
        assert not row["path"] or (tmp_path / "out" / row["path"]).is_file()
