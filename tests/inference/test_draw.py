"""Drawn pictures: what is on them, and that names neither collide nor leave the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duchenne.errors import RunError
from duchenne.inference import Predictor, Source
from duchenne.inference.draw import DrawingFolder, draw_faces
from duchenne.labels import Output

OUTPUTS = (Output("emotion", "single", ("happy", "sad")),)


def face(box: list[int], label: str = "happy") -> Any:
    outputs = {"emotion": [{"label": "happy", "score": 0.75}, {"label": "sad", "score": 0.25}]}
    labels = {"emotion": label}
    return {"box": box, "detector_score": None, "landmarks": None, "labels": labels, "outputs": outputs}


@pytest.mark.parametrize("box", [[30, 40, 50, 60], [0, 0, 8, 8], [0, 0, 200, 150], [190, 140, 10, 10]])
def test_the_box_is_drawn_and_the_image_left_alone(box: list[int]) -> None:
    image = np.zeros((150, 200), np.uint8)
    drawn = draw_faces(image, [face(box)], OUTPUTS)
    assert drawn.shape == (150, 200, 3)
    assert not image.any()
    x, y, _, h = box
    green = (drawn == (0, 160, 60)).all(-1)
    assert green[y : y + h, x].sum() > 0.8 * h
    other = draw_faces(image, [face(box, "unsure")], OUTPUTS)
    assert (other != drawn).any()
    assert not draw_faces(image, [], OUTPUTS).any()


def test_names_stay_apart_and_inside(tmp_path: Path) -> None:
    png = cv2.imencode(".png", np.zeros((20, 20), np.uint8))[1].tobytes()
    folder = DrawingFolder(tmp_path / "out", OUTPUTS)
    names = [
        "a/b.png", "c/b.jpg", "B.png", "../../up.png", "/etc/passwd", "..", "-", None, "x" * 400 + ".png",
        "é" * 300, "a\nb\x1b.png", "\udcff.png", "con:.png", ".hidden.png", "b-2.png",
    ]  # fmt: skip
    paths = []
    for name in names:
        record: Any = {"path": name, "error": None, "note": None, "faces": [face([2, 2, 9, 9])]}
        paths.append(folder.write(Source(name, png), record))
    assert all(p is not None and p.is_file() for p in paths)
    assert len(set(paths)) == len(names) == len(list((tmp_path / "out").iterdir()))
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert [p.name for p in paths[:4] if p] == ["b.jpg", "b-2.jpg", "B-3.jpg", "up.jpg"]
    failed: Any = {"path": "x", "error": "no image", "note": None, "faces": []}
    assert folder.write(Source("x", png), failed) is None


def test_a_full_disk_leaves_no_half_of_a_picture(tmp_path: Path, small_files: None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    record: Any = {"path": "a.png", "error": None, "note": None, "faces": []}
    with pytest.raises(RunError, match=r"a\.jpg cannot be written: File too large"):
        DrawingFolder(tmp_path / "out", OUTPUTS).write(Source("a.png", noise), record)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(RunError, match="is not empty"):
        DrawingFolder(tmp_path, OUTPUTS)
    with pytest.raises(RunError, match="cannot be written"):
        DrawingFolder(tmp_path / "photo.jpg" / "x", OUTPUTS)


def test_drawn_from_a_prediction(model: Path, tmp_path: Path, drawn_photo: Callable[..., Any]) -> None:
    image = drawn_photo((20, 60), (220, 120))
    cv2.imwrite(str(tmp_path / "p.png"), image)
    predictor = Predictor.load(model, threads=1)
    source = Source(str(tmp_path / "p.png"), tmp_path / "p.png")
    (record,) = predictor.predict([source])
    path = DrawingFolder(tmp_path / "out", predictor.artifact.outputs).write(source, record)
    drawn = cv2.imread(str(path))[..., ::-1].astype(int)
    changed = np.abs(drawn - image).max(-1) > 30
    for f in record["faces"]:
        x, y, _, h = f["box"]
        assert changed[y + h // 2, max(0, x - 2) : x + 3].any()
    assert not changed[250:, :200].any()


def test_of_several_outputs_each_line_says_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda image, line, *rest: written.append(line))
    one = face([30, 40, 50, 60])
    draw_faces(np.zeros((150, 200), np.uint8), [one], OUTPUTS)
    assert written == ["happy 0.75"]
    votes = Output("votes", "single", ("neutral", "happy"))
    one["labels"]["votes"] = "neutral"
    one["outputs"]["votes"] = [{"label": "neutral", "score": 0.6}, {"label": "happy", "score": 0.4}]
    draw_faces(np.zeros((150, 200), np.uint8), [one], (*OUTPUTS, votes))
    assert written[1:] == ["emotion happy 0.75", "votes neutral 0.60"]


def test_neighbours_lines_leave_each_other_room() -> None:
    votes = Output("votes", "single", ("happy", "sad"))
    faces = [face([x, 400, 200, 250]) for x in (300, 620, 940)]
    for one in faces:
        one["labels"]["votes"] = "happy"
        one["outputs"]["votes"] = one["outputs"]["emotion"]
    green = (draw_faces(np.zeros((1200, 1600), np.uint8), faces, (*OUTPUTS, votes)) == (0, 160, 60)).all(-1)
    for x in (300, 620, 940):
        assert green[300:400, x : x + 200].any()
        assert not green[:400, x + 280 : x + 315].any()
    assert not green[410:640, 310:490].any()  # the box's inside stays free
