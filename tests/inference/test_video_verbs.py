"""``duchenne predict`` with videos among the images, and ``duchenne webcam``."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from duchenne.cli.live import Bars
from duchenne.cli.predict import predict_command
from duchenne.cli.webcam import webcam_command
from duchenne.errors import DataError, RecipeError, RunError
from duchenne.inference import Predictor, VideoSettings, camera, predict_video
from duchenne.inference.timeline import TimelineCsv
from duchenne.inference.video_files import video_columns
from duchenne.inference.videofile import VideoFile


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DUCHENNE_RUNS", raising=False)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("predict")(predict_command)
    app.command("webcam")(webcam_command)

    def run(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--model", str(model), "--faces", "whole"])

    return run


@pytest.fixture
def mixed(tmp_path: Path, drawn_face: Any) -> Path:
    """A folder: b.png, a.mp4 (2 s), c.avi cut in the middle, d.mp4 that is text, and e.txt."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name, code in (("a.mp4", "mp4v"), ("c.avi", "MJPG")):
        file = cv2.VideoWriter(
            str(folder / name), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 25, drawn_face.shape
        )
        for i in range(50):
            file.write(cv2.cvtColor(np.roll(drawn_face, i, 1), cv2.COLOR_GRAY2BGR))
        file.release()
    data = (folder / "c.avi").read_bytes()
    (folder / "c.avi").write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(folder / "b.png"), drawn_face)
    (folder / "d.mp4").write_text("text " * 200)
    (folder / "e.txt").write_text("no picture")
    return folder


def test_a_folder_of_photographs_and_videos(call: Any, mixed: Path, model: Path) -> None:
    result = call("predict", "mixed", "--fps", "10")
    assert result.exit_code == 3
    records = [json.loads(line) for line in result.stdout.splitlines()]
    paths = [r["path"] for r in records]
    assert paths == sorted(paths)
    film = [r for r in records if r["path"] == "mixed/a.mp4"]
    settings = VideoSettings(fps=10)
    assert film == list(predict_video(Predictor.load(model, faces="whole"), "mixed/a.mp4", settings))
    (photo,) = [r for r in records if r["path"] == "mixed/b.png"]
    assert "frame" not in photo
    cut = [r for r in records if r["path"] == "mixed/c.avi"]
    assert len(cut) > 5
    assert [r["error"] is None for r in cut] == [True] * (len(cut) - 1) + [False]
    assert records[-1]["error"] == "mixed/d.mp4 is not a video in a known format"
    assert "mixed/a.mp4: 20 frames up to 1.9 s in " in result.stderr
    assert "frames/s" in result.stderr
    assert f"2 of {len(records)} images and frames could not be predicted" in result.stderr


def test_csv_timelines_and_drawings(call: Any, mixed: Path, model: Path) -> None:
    result = call(
        "predict", "mixed", "--every", "10", "--format", "csv", "--timeline", "t.csv", "--timeline", "t.png",
        "--draw", "drawn",
    )  # fmt: skip
    assert result.exit_code == 3, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == video_columns(Predictor.load(model).artifact.outputs)
    assert [r["frame"] for r in rows if r["path"] == "mixed/a.mp4"] == ["0", "10", "20", "30", "40"]
    timeline = list(csv.DictReader(io.StringIO(Path("t.csv").read_text())))
    assert [r["time"] for r in timeline if r["path"] == "mixed/a.mp4"] == ["0.0", "0.4", "0.8", "1.2", "1.6"]
    assert {r["path"] for r in timeline} == {"mixed/a.mp4", "mixed/c.avi"}
    for name in ("t.png", "t-2.png"):
        assert cv2.imread(name) is not None
    assert not Path("t-3.png").exists()  # d.mp4 is no video
    assert "no picture of mixed/d.mp4, for it has no readable frame" in result.stderr
    assert sorted(p.name for p in Path("drawn").iterdir()) == ["a.mp4", "b.jpg", "c.mp4"]
    assert len(list(VideoFile("drawn/a.mp4", every=1).frames())) == 5


def test_a_refused_drawing_leaves_the_old_timeline(call: Any, mixed: Path) -> None:
    Path("t.csv").write_text("old")
    Path("drawn").mkdir()
    Path("drawn/mine.png").write_bytes(b"x")
    result = call("predict", "mixed/a.mp4", "--timeline", "t.csv", "--draw", "drawn")
    assert "drawn is not empty" in str(result.exception)
    assert Path("t.csv").read_text() == "old"


def test_wrong_options_leave_the_old_files(call: Any, mixed: Path) -> None:
    for name in ("t.csv", "o.csv"):
        Path(name).write_text("old")
    for wrong in (["--views", "flop"], ["--fps", "0"]):
        result = call(
            "predict", "mixed/a.mp4", "--timeline", "t.csv", "--out", "o.csv", "--draw", "d", *wrong
        )
        assert isinstance(result.exception, RecipeError)
    assert [Path(name).read_text() for name in ("t.csv", "o.csv")] == ["old"] * 2
    assert not Path("d").exists()
    assert not Path("o.csv.part").exists()


def test_a_timeline_that_is_a_folder_is_said_at_once(call: Any, mixed: Path) -> None:
    for name in ("t.png", "t.csv"):
        Path(name).mkdir()
        result = call("predict", "mixed", "--timeline", name, "--out", "o.jsonl")
        assert "it is a folder" in str(result.exception)
        assert not list(Path().glob("o.jsonl*"))


def test_a_timeline_that_cannot_be_written_takes_no_record_away(
    call: Any, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, rows = TimelineCsv.write, []

    def full(self: TimelineCsv, record: Any) -> None:
        rows.append(record)
        if len(rows) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, record)

    monkeypatch.setattr(TimelineCsv, "write", full)
    result = call("predict", "mixed/a.mp4", "--timeline", "t.csv", "--out", "o.jsonl")
    assert "t.csv cannot be written: No space left on device" in str(result.exception)
    assert "stopped; the records so far are in o.jsonl.part" in result.stderr
    assert len(Path("o.jsonl.part").read_text().splitlines()) == 3
    assert not Path("o.jsonl").exists()


def test_a_timelines_picture_is_whole_or_the_old_one(
    call: Any, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("t.png").write_bytes(b"old")

    def full(path: Path, data: bytes) -> None:
        path.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result = call("predict", "mixed/a.mp4", "--timeline", "t.png")
    assert "t.png cannot be written: No space left on device" in str(result.exception)
    assert Path("t.png").read_bytes() == b"old"
    assert not Path("t.png.part").exists()


def test_text_has_times_and_numbers(call: Any, mixed: Path) -> None:
    result = call("predict", "mixed/a.mp4", "mixed/d.mp4", "--every", "25", "--format", "text", "--top", "1")
    assert result.exit_code == 3
    _, first, second, bad = result.stdout.splitlines()
    assert first.startswith("mixed/a.mp4 0.00 s face 1")
    assert second.startswith("mixed/a.mp4 1.00 s face 1")
    assert bad.split(" | ")[1] == "error: mixed/d.mp4 is not a video in a known format"


def test_nothing_but_a_bad_video_is_exit_1(call: Any, mixed: Path) -> None:
    assert call("predict", "mixed/d.mp4").exit_code == 1


def test_wrong_options(call: Any, mixed: Path) -> None:
    for args, message in [
        (["--every", "2", "--fps", "3"], "both say which frames"),
        (["--fps", "0"], "fps must be above 0"),
        (["--timeline", "t.pdf"], "not .csv or .png"),
    ]:
        result = call("predict", "mixed/a.mp4", *args)
        assert isinstance(result.exception, RecipeError)
        assert message in str(result.exception)
    missing = call("predict", "mixed/a.mp4", "--timeline", "no/t.png")
    assert isinstance(missing.exception, RunError)
    assert "there is no folder no" in str(missing.exception)


def test_ctrl_c_leaves_what_was_done(mixed: Path, model: Path) -> None:
    code = (
        "import sys\n"
        "from duchenne.cli import main\n"
        "from duchenne.inference import video\n"
        "follow, seen = video.Follower.follow, []\n"
        "def slow(self, frame, record):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 18:\n"
        "        raise KeyboardInterrupt\n"
        "    return follow(self, frame, record)\n"
        "video.Follower.follow = slow\n"
        f"sys.argv = ['duchenne', 'predict', 'mixed/a.mp4', '--every', '2', '--model', {str(model)!r}, "
        "'--faces', 'whole', '--out', 'o.jsonl', '--timeline', 't.csv', '--timeline', 't.png', "
        "'--draw', 'drawn']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=mixed.parent
    )
    assert done.returncode == 130, done.stderr
    assert "the records so far are in o.jsonl.part" in done.stderr
    folder = mixed.parent
    assert len((folder / "o.jsonl.part").read_text().splitlines()) == 17
    assert len((folder / "t.csv").read_text().splitlines()) == 18
    assert cv2.imread(str(folder / "t.png")) is not None
    assert len(list(VideoFile(folder / "drawn/a.mp4", every=1).frames())) == 17


def test_webcam_with_a_video_as_the_camera(call: Any, mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call("webcam", "--camera", "mixed/a.mp4", "--seconds", "0.4", "--no-window")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 11
    assert lines[10].startswith("0.40 s face 1: ")
    assert "#" in lines[10]
    assert "`duchenne serve` has a live page" in result.stderr
    told = call("webcam", "--camera", "mixed/a.mp4", "--json")
    assert told.exit_code == 0
    assert [json.loads(line)["frame"] for line in told.stdout.splitlines()] == list(range(50))


def test_webcam_without_a_camera(call: Any, mixed: Path) -> None:
    for name, error, message in [
        ("63", RunError, "camera 63 cannot be opened"),
        ("mixed/d.mp4", DataError, "is not a video"),
        ("mixed/none.mp4", DataError, "name a camera's number or a video file"),
    ]:
        result = call("webcam", "--camera", name)
        assert isinstance(result.exception, error)
        assert message in str(result.exception)
        assert result.exception.exit_code == 1
    broken = call("webcam", "--camera", "mixed/c.avi", "--json")
    assert isinstance(broken.exception, DataError)
    assert len(broken.stdout.splitlines()) > 20


class _Camera:
    """Gives frames until Ctrl-C is pressed, or until it is unplugged."""

    def __init__(self, count: int, end: type[BaseException] | None) -> None:
        self.left, self.end, self.released = count, end, False

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        if self.left < 0 and self.end is not None:
            raise self.end
        return self.left >= 0, np.full((48, 48, 3), 128, np.uint8)

    def release(self) -> None:
        self.released = True


def test_webcam_ends_by_ctrl_c_or_by_the_cable(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _Camera(4, KeyboardInterrupt)
    monkeypatch.setattr(camera, "open_camera", lambda number: fake)
    result = call("webcam", "--no-window")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 4
    assert fake.released
    fake = _Camera(4, None)
    result = call("webcam", "--no-window")
    assert "camera 0 stopped giving frames after 4" in str(result.exception)
    assert len(result.stdout.splitlines()) == 4


def test_webcam_shows_a_window_where_there_is_one(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(camera, "open_camera", lambda number: _Camera(99, None))
    monkeypatch.setattr(camera, "has_window", lambda: True)
    monkeypatch.setattr(cv2, "imshow", lambda name, image: shown.append(image), raising=False)
    monkeypatch.setattr(cv2, "waitKey", lambda wait: ord("q") if len(shown) == 3 else -1, raising=False)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda name, what: 1.0, raising=False)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append(None), raising=False)
    assert call("webcam").exit_code == 0
    assert [s is not None and s.shape == (48, 48, 3) for s in shown] == [True] * 3 + [False]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal_are_drawn_over_and_fit_it(
    model: Path, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((30, 4)))
    predictor = Predictor.load(model, faces="whole")
    out = _Terminal()
    bars = Bars(out, predictor.artifact.outputs)
    film = VideoFile(mixed / "a.mp4", every=10)
    records = predict_video(predictor, mixed / "a.mp4")
    for frame, record in zip(film.frames(), records, strict=False):
        assert bars.show(frame, {**record, "path": "evil\x1b[31m"})
    assert "\x1b[31m" not in out.getvalue()
    blocks = out.getvalue().split("\x1b[J")[1:]
    assert len(blocks) == 5
    for block in blocks:
        lines = block.replace("\x1b[3A", "").splitlines()
        assert len(lines) == 3
        assert max(map(len, lines)) <= 29
