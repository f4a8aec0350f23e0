"""Videos to records: tracks, smoothed scores, endings, bounded memory, timelines, drawn videos, a camera."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from duchenne.errors import RecipeError, RunError
from duchenne.inference import (
    FoundFace,
    Predictor,
    VideoSettings,
    csv_columns,
    predict_frames,
    predict_video,
)  # fmt: skip
from duchenne.inference import video as video_module
from duchenne.inference.camera import camera_frames, has_window, open_camera
from duchenne.inference.timeline import Timeline, TimelineCsv, timeline_columns
from duchenne.inference.timeline_picture import draw_timeline, label_colours
from duchenne.inference.video import ending, predict_live
from duchenne.inference.video_files import DrawnVideo, VideoCsvWriter, shown_face, video_columns
from duchenne.inference.videofile import Frame, VideoFile
from duchenne.labels import Output


class BrightBlocks:
    """Finds drawn faces: on these made videos all else is dark."""

    def find(self, image: Any) -> list[FoundFace]:
        mask = cv2.morphologyEx((image.max(2) > 40).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9)))
        rows = cv2.connectedComponentsWithStats(mask)[2][1:]
        boxes = [(int(x), int(y), int(w), int(h)) for x, y, w, h, area in rows if area > 400]
        return [FoundFace(b, 0.9, image[b[1] : b[1] + b[3], b[0] : b[0] + b[2]]) for b in sorted(boxes)]


@pytest.fixture
def predictor(model: Path) -> Predictor:
    return Predictor.load(model, 1, faces=BrightBlocks())


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory, drawn_face: Any) -> Path:
    """2 s at 25 frames a second: one face walks right, another comes at 1 s."""
    path = tmp_path_factory.mktemp("film") / "two people.avi"
    file = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
    face = np.maximum(cv2.resize(drawn_face, (64, 64)), 90)
    for i in range(50):
        image = np.zeros((240, 320, 3), np.uint8)
        image[20:84, 10 + 4 * i : 74 + 4 * i] = face[..., None]
        if i >= 25:
            image[150:214, 200:264] = 255 - face[..., None] // 2
        file.write(image)
    file.release()
    return path


def test_records_of_a_video(predictor: Predictor, film: Path) -> None:
    records = list(predict_video(predictor, film))
    assert [r["frame"] for r in records] == list(range(0, 50, 5))
    assert [r["time"] for r in records] == pytest.approx([i / 5 for i in range(10)])
    assert {(r["path"], r["error"], r["note"]) for r in records} == {(str(film), None, None)}
    assert [[f["track"] for f in r["faces"]] for r in records] == [[1]] * 5 + [[1, 2]] * 5
    frames = list(VideoFile(film).frames())
    plain = list(predictor.predict([f.image for f in frames]))
    for record, want in zip(records, plain, strict=True):
        for face, same in zip(record["faces"], want["faces"], strict=True):
            assert {k: face[k] for k in same} == same  # raw scores and labels are those of a photograph
            assert set(face) - set(same) == {"track", "smoothed", "steady"}
            assert set(face["steady"]) == {"emotion"}
            for name, scores in face["smoothed"].items():
                assert sorted(s["label"] for s in scores) == sorted(s["label"] for s in face["outputs"][name])
                values = [s["score"] for s in scores]
                assert values == sorted(values, reverse=True)
            assert sum(s["score"] for s in face["smoothed"]["emotion"]) == pytest.approx(1, abs=1e-5)
    first = records[5]["faces"][1]
    assert first["smoothed"] == first["outputs"]  # a face's first frame has nothing to be smoothed with
    json.dumps(records, allow_nan=False)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, None), (3, 1), (64, 4)])
def test_batches_and_threads_change_nothing(
    predictor: Predictor, film: Path, batch_size: int, workers: int | None
) -> None:
    settings = VideoSettings(every=4)
    want = list(predict_video(predictor, film, settings))
    got = list(predict_video(predictor, film, settings, batch_size=batch_size, workers=workers))
    assert [r["frame"] for r in got] == list(range(0, 50, 4))
    for a, b in zip(got, want, strict=True):
        assert [(f["track"], f["box"], f["steady"]) for f in a["faces"]] == [
            (f["track"], f["box"], f["steady"]) for f in b["faces"]
        ]
        for x, y in zip(a["faces"], b["faces"], strict=True):
            assert {s["label"]: s["score"] for s in x["smoothed"]["emotion"]} == pytest.approx(
                {s["label"]: s["score"] for s in y["smoothed"]["emotion"]}, abs=1e-5
            )


def test_only_so_many_frames_are_held(
    predictor: Predictor, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0

    class Counted(VideoFile):
        def frames(self) -> Any:
            nonlocal taken
            for frame in super().frames():
                taken += 1
                yield frame

    monkeypatch.setattr(video_module, "VideoFile", Counted)
    settings = VideoSettings(every=1)
    for given, (frame, _) in enumerate(
        predict_frames(predictor, film, settings, batch_size=4, workers=2, pixels=True)
    ):
        assert frame is not None
        assert frame.image.shape == (240, 320, 3)
        assert taken <= given + 4 + 2 + 2
    for frame, _ in predict_frames(predictor, film, settings):
        assert frame is not None
        assert frame.image.size == 0


def test_a_video_that_breaks_off_ends_with_a_record_that_says_so(
    predictor: Predictor, film: Path, tmp_path: Path
) -> None:
    data = film.read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    *good, last = predict_video(predictor, tmp_path / "cut.avi")
    assert good
    assert all(r["error"] is None and r["faces"] for r in good)
    assert last["error"] is not None
    assert "its header says 50 frames" in last["error"]
    assert (last["frame"], last["time"], last["faces"]) == (good[-1]["frame"], good[-1]["time"], [])


def test_a_bad_video_is_one_record(predictor: Predictor, film: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("text " * 200)
    (tmp_path / "start.avi").write_bytes(film.read_bytes()[:300])
    for name, why in [("text.mp4", "is not a video"), ("start.avi", ""), ("none.mp4", "No such file")]:
        (record,) = predict_video(predictor, tmp_path / name)
        assert record["error"] is not None
        assert name in record["error"]
        assert why in record["error"]
        assert (record["frame"], record["time"], record["faces"]) == (None, None, [])


def test_no_permission_is_one_record(
    predictor: Predictor, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    (record,) = predict_video(predictor, film)
    assert record["error"] == f"{film} cannot be read: Permission denied"


def test_values_out_of_range(predictor: Predictor, film: Path) -> None:
    for bad in ({"every": 0}, {"fps": 0.0}, {"smooth": -1.0}, {"margin": 2.0}, {"max_gap": -1.0}):
        with pytest.raises(RecipeError, match="must be"):
            VideoSettings(**bad)  # type: ignore[arg-type]
    # Said at the call, not when the first record is asked for.
    for bad in ({"views": "flop"}, {"batch_size": 0}, {"abstain": 1.5}, {"workers": 0}):
        for path in (film, film.with_name("missing.mp4")):
            with pytest.raises(RecipeError, match=r"must be|did you mean 'flip'"):
                predict_video(predictor, path, **bad)
    with pytest.raises(RecipeError, match="did you mean 'flip'"):
        predict_live(predictor, iter(()), "camera", views="flop")


def test_csv_has_the_photographs_columns_first(predictor: Predictor, film: Path) -> None:
    outputs = predictor.artifact.outputs
    out = io.StringIO()
    writer = VideoCsvWriter(out, outputs)
    (photo,) = predictor.predict([np.zeros((50, 50, 3), np.uint8)])
    records = list(predict_video(predictor, film))
    for record in (photo, *records, ending(film, "broke")):
        writer.write(record)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert list(rows[0]) == video_columns(outputs)
    assert video_columns(outputs)[: len(csv_columns(outputs))] == csv_columns(outputs)
    assert len(rows) == 1 + 15 + 1
    assert rows[0]["frame"] == rows[0]["track"] == ""
    assert rows[-1]["error"] == "broke"
    row, face = rows[-2], records[-1]["faces"][1]
    assert (row["frame"], row["time"], row["track"], row["face"]) == ("45", "1.8", "2", "1")
    assert row["emotion_steady"] == face["steady"]["emotion"]
    for s in face["smoothed"]["emotion"]:
        assert float(row[f"emotion.{s['label']}.smoothed"]) == s["score"]


def test_timeline_table_and_picture(predictor: Predictor, film: Path) -> None:
    outputs = predictor.artifact.outputs
    out, timeline = io.StringIO(), Timeline(outputs)
    table = TimelineCsv(out, outputs)
    records = list(predict_video(predictor, film))
    for record in (*records, ending(film, "broke", None)):
        table.write(record)
        timeline.write(record)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert list(rows[0]) == timeline_columns(outputs)
    assert [(r["time"], r["track"]) for r in rows[-2:]] == [("1.8", "1"), ("1.8", "2")]
    assert {k: len(v) for k, v in timeline.lanes.items()} == {1: 10, 2: 5}
    picture = Image.open(io.BytesIO(draw_timeline(timeline, "a film")))
    colours = {c for _, c in picture.convert("RGB").getcolors(1 << 20) or []}
    for label in timeline.labels():
        rgb = tuple(int(label_colours(timeline.output.labels)[label][i : i + 2], 16) for i in (1, 3, 5))
        assert rgb in colours
    empty = Image.open(io.BytesIO(draw_timeline(Timeline(outputs), "nobody\n" * 99)))
    assert empty.size[0] == picture.size[0]


def test_a_long_timeline_keeps_a_bounded_number_of_points(predictor: Predictor) -> None:
    outputs = (Output("emotion", "single", ("happy", "sad")),)
    timeline = Timeline(outputs)
    scores = [{"label": "happy", "score": 0.75}, {"label": "sad", "score": 0.25}]
    for i in range(20_000):
        label = "happy" if i < 10_000 else "sad"
        face: Any = {
            "track": 1 if i < 15_000 else 2,
            "smoothed": {"emotion": scores},
            "steady": {"emotion": label},
        }
        timeline.write({"path": "x", "frame": i, "time": i / 5, "error": None, "note": None, "faces": [face]})
    assert sum(map(len, timeline.lanes.values())) <= 2050
    lane = timeline.lanes[1]
    switch = min(point for point, (label, _) in lane.items() if label == "sad") * timeline.step
    assert switch == pytest.approx(2000, abs=timeline.step)
    assert max(lane) * timeline.step == pytest.approx(3000, abs=2 * timeline.step)
    assert len(draw_timeline(timeline, "long")) > 1000


def test_many_faces_and_many_labels_still_make_a_picture() -> None:
    labels = tuple(f"label {i}" for i in range(30))
    timeline = Timeline((Output("au", "multi", labels),))
    for i in range(60):
        face: Any = {
            "track": i + 1,
            "smoothed": {"au": [{"label": labels[i % 30], "score": 0.9}]},
            "steady": {},
        }
        timeline.write({**ending("x", ""), "time": float(i), "faces": [face]})
    picture = Image.open(io.BytesIO(draw_timeline(timeline, "crowd")))
    assert picture.size[1] < 2600  # 24 lanes are drawn


def test_a_drawn_video_shows_boxes_at_its_pace(predictor: Predictor, film: Path, tmp_path: Path) -> None:
    drawn = DrawnVideo(tmp_path / "out.mp4", predictor.artifact.outputs)
    for frame, record in predict_frames(predictor, film, pixels=True):
        assert frame is not None
        drawn.write(frame, record)
    drawn.close()
    video = VideoFile(tmp_path / "out.mp4", every=1)
    frames = list(video.frames())
    assert (len(frames), video.fps, video.size) == (10, pytest.approx(5, abs=0.01), (320, 240))
    green = [int((f.image.astype(int)[..., 1] - f.image.astype(int)[..., 0] > 60).sum()) for f in frames]
    assert min(green) > 200  # boxes and the labels' ground; the film itself is grey
    again = DrawnVideo(tmp_path / "out.mp4", predictor.artifact.outputs)
    again.write(frames[0], ending(film, "x"))
    with pytest.raises(RunError, match="cannot be written as a video"):
        again.close()


def test_a_full_disk_leaves_no_half_of_a_video(
    predictor: Predictor, tmp_path: Path, small_files: None, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn = DrawnVideo(tmp_path / "out.mp4", predictor.artifact.outputs)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 120, 160, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        drawn.write(Frame(i, i / 10, image), ending("x", ""))
    with pytest.raises(RunError, match=r"out\.mp4 cannot be written: its frames did not arrive"):
        drawn.close()
    assert list(tmp_path.glob("*.mp4")) == []
    assert "Failed to write" not in capfd.readouterr().err


def test_what_is_shown_is_the_steady_label() -> None:
    scores: Any = [{"label": "happy", "score": 0.52}, {"label": "sad", "score": 0.48}]
    face: Any = {
        "box": [0, 0, 9, 9], "detector_score": None, "landmarks": None, "labels": {"emotion": "happy"},
        "outputs": {"emotion": scores}, "track": 7, "smoothed": {"emotion": scores},
        "steady": {"emotion": "sad"},
    }  # fmt: skip
    shown = shown_face(face)
    assert shown["labels"] == {"emotion": "7: sad"}
    assert shown["outputs"]["emotion"][0] == {"label": "sad", "score": 0.48}


class FakeCamera:
    """Gives so many frames and then none."""

    def __init__(self, images: Iterator[Any]) -> None:
        self._images, self.released = images, False

    def read(self) -> tuple[bool, Any]:
        image = next(self._images, None)
        return image is not None, image

    def release(self) -> None:
        self.released = True


def test_a_camera_is_answered_frame_by_frame(predictor: Predictor, film: Path) -> None:
    images = [f.image[..., ::-1] for f in VideoFile(film).frames()]
    camera, ticks = FakeCamera(iter(images)), iter(np.arange(100, 200, 0.2).tolist())
    frames = camera_frames(camera, "camera 0", lambda: next(ticks))
    answers = predict_live(predictor, frames, "camera 0")
    got = [next(answers) for _ in range(10)]  # what came before the end stays
    with pytest.raises(RunError, match="camera 0 stopped giving frames after 10"):
        next(answers)
    assert camera.released
    assert [f.index for f, _ in got] == list(range(10))


def test_a_camera_is_read_no_further_than_asked(predictor: Predictor, film: Path) -> None:
    images = [f.image[..., ::-1] for f in VideoFile(film).frames()]
    ticks = iter(np.arange(100, 200, 0.2).tolist())
    left = iter(images)
    frames = camera_frames(FakeCamera(left), "camera 0", lambda: next(ticks))
    answers = predict_live(predictor, frames, "camera 0")
    frame, record = next(answers)
    assert isinstance(frame, Frame)
    assert len(list(left)) == 9
    (want, *_) = predict_video(predictor, film)
    assert record["faces"] == want["faces"]
    assert (record["path"], record["frame"], record["time"]) == ("camera 0", 0, 0.0)


def test_no_camera(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match=r"camera 63 cannot be opened(.|\n)*duchenne serve"):
        open_camera(63)
    assert capfd.readouterr().err == ""  # OpenCV's own complaints are not shown
    with pytest.raises(RunError, match="was opened but gives no frame"):
        next(camera_frames(FakeCamera(iter(()))))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert isinstance(has_window(), bool)


@pytest.mark.real_data
def test_photographs_panned_across_are_the_same_people(
    photos: Path, yunet: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUCHENNE_YUNET", str(yunet))
    image = cv2.imread(str(photos / "fr_two_people.jpg"))
    image = cv2.resize(image, (960, round(960 * image.shape[0] / image.shape[1])))
    height, width = image.shape[0] // 2 * 2 - 24, 880
    file = cv2.VideoWriter(
        str(tmp_path / "pan.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height)
    )
    for i in range(20):
        file.write(image[i : i + height, 4 * i : 4 * i + width])
    file.release()
    predictor = Predictor.load(model, 1, faces="yunet")
    records = list(predict_video(predictor, tmp_path / "pan.avi", VideoSettings(every=2)))
    assert len(records) == 10
    assert {tuple(sorted(f["track"] for f in r["faces"])) for r in records} == {(1, 2)}
    for track in (1, 2):
        xs = [f["box"][0] for r in records for f in r["faces"] if f["track"] == track]
        assert np.diff(xs).max() <= 6  # the camera goes right, so all faces go left, by 8 pixels a frame


def test_a_video_can_be_left_in_the_middle(predictor: Predictor, film: Path) -> None:
    frames = predict_frames(predictor, film, batch_size=1)
    assert next(frames)[1]["frame"] == 0
    frames.close()  # type: ignore[attr-defined]
    assert len(list(predict_video(predictor, film))) == 10


@pytest.mark.parametrize("settings", [VideoSettings(fps=0.5), VideoSettings(every=50)])
def test_faces_keep_their_numbers_when_frames_lie_far_apart(
    predictor: Predictor, drawn_face: Any, tmp_path: Path, settings: VideoSettings
) -> None:
    file = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120)
    )
    image = np.zeros((120, 160, 3), np.uint8)
    image[20:84, 40:104] = np.maximum(cv2.resize(drawn_face, (64, 64)), 90)[..., None]
    for _ in range(110):
        file.write(image)
    file.release()
    records = list(predict_video(predictor, tmp_path / "a.avi", settings))
    assert [r["time"] for r in records] == pytest.approx([0.0, 2.0, 4.0])
    assert [[f["track"] for f in r["faces"]] for r in records] == [[1]] * 3
