"""Finders: drawn faces found where they are, none twice, in order; which one "auto" is; photographs."""

from __future__ import annotations

import csv
import hashlib
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duchenne.artifacts import Artifact
from duchenne.datasets.decode import decode_image
from duchenne.errors import RecipeError, RunError
from duchenne.inference import FINDERS, MIN_FACE, Predictor, WholeImage, detector_in_use, make_finder
from duchenne.inference.cascade import Cascade
from duchenne.inference.faces import agreed, clipped
from duchenne.inference.yunet import FILE, SHA256, YuNet

DrawnPhoto = Callable[..., Any]


def centre(box: tuple[int, int, int, int]) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


@pytest.mark.parametrize("grey", [False, True])
def test_the_cascade_finds_drawn_faces_where_they_are(drawn_photo: DrawnPhoto, grey: bool) -> None:
    image = drawn_photo((20, 60), (220, 120))
    found = Cascade().find(image[..., 0] if grey else image)
    assert len(found) == 2
    for face, corner in zip(sorted(found, key=lambda f: f.box[0]), ((20, 60), (220, 120)), strict=True):
        x, y = centre(face.box)
        assert abs(x - corner[0] - 72) < 15
        assert abs(y - corner[1] - 72) < 15
        assert face.score is None
        assert face.landmarks is None
        assert face.crop.shape[:2] == face.crop.shape[1::-1]
        assert face.crop.ndim == image.ndim - grey


def test_largest_first_and_small_ones_left_out(drawn_photo: DrawnPhoto) -> None:
    image = drawn_photo((20, 60), size=(500, 300))
    small = cv2.resize(image[60:204, 20:164], (72, 72), interpolation=cv2.INTER_AREA)
    image[100:172, 300:372] = small
    widths = [f.box[2] for f in Cascade().find(image)]
    assert len(widths) == 2
    assert widths[0] > 1.5 * widths[1]
    assert len(Cascade(min_face=widths[1] + 20).find(image)) == 1


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (19, 400, 3), (2000, 9), (3, 70_000)])
def test_the_cascade_takes_any_size(shape: tuple[int, ...]) -> None:
    assert Cascade().find(np.full(shape, 90, np.uint8)) == []


def test_threads_may_share_a_finder(drawn_photo: DrawnPhoto) -> None:
    finder = Cascade()
    images = [drawn_photo((x, 60), size=(400 + x, 300)) for x in range(0, 160, 10)]
    alone = [[f.box for f in finder.find(i)] for i in images]
    with ThreadPoolExecutor(4) as pool:
        assert [[f.box for f in found] for found in pool.map(finder.find, images)] == alone


def test_agreed_keeps_the_surest_of_each_face() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [3, 3, 4, 4], [8, 0, 10, 10], [50, 50, 5, 5]], float)
    assert agreed(boxes, np.array([1.0, 3, 2, 4, 1])) == [(3, 4.0), (1, 6.0), (4, 1.0)]
    assert agreed(np.zeros((0, 4)), np.zeros(0)) == []


def test_boxes_are_clipped_to_the_image() -> None:
    image = np.zeros((20, 30), np.uint8)
    assert clipped(np.array([-5.2, 3, 10, 100]), image) == (0, 3, 5, 17)
    assert clipped(np.array([4.4, 4.6, 2, 2]), image) == (4, 5, 2, 2)
    assert clipped(np.array([30, 3, 10, 10]), image) is None
    assert clipped(np.array([-9, -9, 9.2, 9.2]), image) is None


# -- by name ------------------------------------------------------------------------------------------


def test_finders_by_name(tmp_path: Path) -> None:
    assert list(FINDERS) == ["auto", "yunet", "cascade", "whole"]
    assert isinstance(make_finder("whole"), WholeImage)
    assert isinstance(make_finder("cascade", 5), Cascade)
    own = WholeImage()
    assert make_finder(own) is own
    with pytest.raises(RecipeError, match="did you mean 'cascade'"):
        make_finder("cascad")
    with pytest.raises(RecipeError, match="min_face"):
        make_finder("cascade", -1)
    with pytest.raises(RunError, match=r"yunet_2023mar.onnx cannot be read(.|\n)*duchenne detector fetch"):
        make_finder("yunet")


def test_what_goes_on_meanwhile_begins_before_each_search(drawn_photo: DrawnPhoto) -> None:
    begun: list[int] = []
    finder = make_finder("cascade", meanwhile=lambda: begun.append(1))
    assert not begun
    image = drawn_photo((60, 60))
    with_it = finder.find(image)
    assert begun == [1]
    assert [f.box for f in with_it] == [f.box for f in Cascade(min_face=MIN_FACE).find(image)]
    pickle.loads(pickle.dumps(finder)).find(image)  # a copy does without
    assert begun == [1]


def test_a_predictor_has_its_net_opened_beside_the_first_search(
    model: Path, drawn_photo: DrawnPhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Artifact] = []
    monkeypatch.setattr(Artifact, "begin", lambda self: begun.append(self))
    predictor = Predictor(Artifact.load(model, wait=False), faces="cascade")
    assert not begun
    predictor.finder.find(drawn_photo((60, 60)))
    assert begun == [predictor.artifact]


def test_auto_without_the_file_is_the_cascade(model: Path) -> None:
    assert isinstance(make_finder(), Cascade)
    assert detector_in_use().name == "cascade"
    assert "duchenne detector fetch" in detector_in_use().why
    assert isinstance(Predictor.load(model).finder, Cascade)


@pytest.mark.parametrize("content", [b"", b"no net", b"x" * (2 << 20)])
def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / FILE).write_bytes(content)
    monkeypatch.setenv("DUCHENNE_CACHE", str(tmp_path))
    for name in ("auto", "yunet"):
        with pytest.raises(RunError, match=r"its sha256 is .*\n.*duchenne detector fetch"):
            make_finder(name)
    with pytest.raises(RunError, match="sha256"):
        detector_in_use()


def test_a_named_file_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUCHENNE_YUNET", str(tmp_path / "none.onnx"))
    with pytest.raises(RunError, match=r"none.onnx cannot be read"):
        make_finder("auto")


# -- with the file, and on photographs ----------------------------------------------------------------


@pytest.mark.real_data
def test_the_pinned_file_is_this_one(yunet: Path) -> None:
    assert hashlib.sha256(yunet.read_bytes()).hexdigest() == SHA256


@pytest.mark.real_data
def test_auto_takes_the_file_from_the_cache(
    yunet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(yunet, tmp_path / "models" / FILE)
    monkeypatch.setenv("DUCHENNE_CACHE", str(tmp_path))
    assert isinstance(make_finder(), YuNet)
    assert detector_in_use().name == "yunet"


@pytest.mark.real_data
def test_yunet_finds_drawn_faces_with_landmarks(yunet: Path, drawn_photo: DrawnPhoto) -> None:
    finder = YuNet(yunet)
    found = finder.find(drawn_photo((20, 60), (220, 120)))
    assert len(found) == 2
    for face in found:
        assert face.score is not None
        assert 0.65 <= face.score <= 1
        assert face.landmarks is not None
        left, right, nose, *mouth = face.landmarks
        assert left[0] < nose[0] < right[0]
        assert left[1] < nose[1] < min(m[1] for m in mouth)
        assert mouth[0][0] < mouth[1][0]
    assert len(finder.find(drawn_photo((20, 60))[..., 0])) == 1
    for shape in ((1, 1), (8, 8, 3), (3, 70_000), (70_000, 9)):
        assert finder.find(np.full(shape, 90, np.uint8)) == []


@pytest.mark.real_data
def test_strips_too_low_for_a_face_are_not_searched(yunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = YuNet(yunet)
    asked: list[tuple[int, ...]] = []

    def detect(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        asked.append(image.shape)
        return np.array([[9, 0, 40, 3, *range(10), 0.96]], np.float32)

    monkeypatch.setattr(finder, "_detect", detect)
    assert finder.find(np.full((3, 70_000), 90, np.uint8)) == []
    assert finder.find(np.full((70_000, 9), 90, np.uint8)) == []
    assert asked == []
    assert len(finder.find(np.full((90, 4000), 90, np.uint8))) == 1
    assert asked == [(90, 4000, 3)]


@pytest.mark.real_data
def test_yunet_takes_large_and_small_pictures(yunet: Path, drawn_photo: DrawnPhoto, drawn_face: Any) -> None:
    finder = YuNet(yunet)
    image = drawn_photo((100, 60))
    (at_size,) = finder.find(image)
    (at_triple,) = finder.find(cv2.resize(image, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC))
    np.testing.assert_allclose(np.array(at_triple.box) / 6, at_size.box, atol=8)
    assert at_triple.crop.shape[0] <= 448
    small = cv2.resize(drawn_face, (48, 48), interpolation=cv2.INTER_AREA)
    assert len(finder.find(small)) == 1


def counts(finder: Any, photos: Path) -> tuple[int, int, int]:
    """Boxes, faces that are there, and pairs of boxes of which one holds the other's middle."""
    boxes = faces = twice = 0
    for row in csv.DictReader((photos / "faces.csv").read_text().splitlines()):
        found = [f.box for f in finder.find(decode_image(photos / row["photo"]))]
        boxes += len(found)
        faces += int(row["faces"])
        for i, a in enumerate(found):
            for j, b in enumerate(found):
                x, y = centre(b)
                twice += i != j and a[0] < x < a[0] + a[2] and a[1] < y < a[1] + a[3]
    return boxes, faces, twice


@pytest.mark.real_data
def test_yunet_finds_all_faces_on_photographs(photos: Path, yunet: Path) -> None:
    boxes, faces, twice = counts(YuNet(yunet), photos)
    assert boxes == faces == 43
    assert twice == 0


@pytest.mark.real_data
def test_the_cascade_finds_most_faces_on_photographs(photos: Path, yunet: Path) -> None:
    """A box of the cascade that none of YuNet's (which finds all) overlaps is about no face."""
    cascade, sure = Cascade(), YuNet(yunet)
    hits = false = 0
    for row in csv.DictReader((photos / "faces.csv").read_text().splitlines()):
        image = decode_image(photos / row["photo"])
        truth = [centre(f.box) for f in sure.find(image)]
        for x, y, w, h in (f.box for f in cascade.find(image)):
            inside = sum(x < cx < x + w and y < cy < y + h for cx, cy in truth)
            hits += inside > 0
            false += inside == 0
    assert hits >= 38
    assert false <= 3
    assert counts(cascade, photos)[2] == 0
