"""Frames of video files: which, when, which way up; and every file that is no good one."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duchenne.errors import DataError, RecipeError
from duchenne.inference.sources import Source
from duchenne.inference.videofile import VideoFile, is_video

KINDS = [(".avi", "MJPG"), (".mp4", "mp4v"), (".webm", "VP80"), (".mkv", "mp4v")]


def write(path: Path, code: str = "MJPG", count: int = 50, size: tuple[int, int] = (64, 48)) -> Path:
    """25 frames a second; the grey value is 4 times the frame's number; the upper edge is noise."""
    file = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 25, size)
    assert file.isOpened()
    rng = np.random.default_rng(0)
    for i in range(count):
        image = np.full((size[1], size[0], 3), 4 * i, np.uint8)
        image[:8] = rng.integers(0, 256, (8, size[0], 3))  # so that the file has some length
        file.write(image)
    file.release()
    return path


def patched(path: Path, box: bytes, at: int, form: str, *values: float) -> Path:
    """Overwrite a field behind a box's name."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(box) + at, *values)
    path.write_bytes(data)
    return path


def grey(image: Any) -> int:
    return round(float(image[20:44, 8:56].mean()) / 4)


@pytest.mark.parametrize(("suffix", "code"), KINDS)
def test_frames_have_their_numbers_times_and_pixels(tmp_path: Path, suffix: str, code: str) -> None:
    path = write(tmp_path / f"a{suffix}", code)
    video = VideoFile(path, every=7)
    assert (video.size, video.fps, video.declared) == ((64, 48), 25.0, 50)
    frames = list(video.frames())
    assert [f.index for f in frames] == list(range(0, 50, 7))
    assert [f.time for f in frames] == pytest.approx([i / 25 for i in range(0, 50, 7)], abs=0.002)
    assert [grey(f.image) for f in frames] == pytest.approx([f.index for f in frames], abs=1)
    assert (video.seen, video.broken) == (50, None)
    assert {f.note for f in frames} == {None}
    assert [f.index for f in VideoFile(path, fps=5).frames()] == list(range(0, 50, 5))
    assert len(list(VideoFile(path, fps=1000).frames())) == 50
    # Two frames in 1/24 s never; of each 1/10 s the first.
    assert [f.index for f in VideoFile(path, fps=10).frames()][:4] == [0, 3, 5, 8]


def test_pixels_are_rgb(tmp_path: Path) -> None:
    file = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 32)
    )
    file.write(np.full((32, 32, 3), (255, 0, 0), np.uint8))
    file.release()
    (frame,) = VideoFile(tmp_path / "a.avi").frames()
    assert frame.image[16, 16].tolist() == pytest.approx([0, 0, 255], abs=4)


def test_a_turned_telephone_gives_upright_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mp4v", 5)
    turn = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 48 * 65536, 0, 0x40000000)  # ISO 14496-12, 8.3.2
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44
    path.write_bytes(data[:at] + turn + data[at + 36 :])
    video = VideoFile(path, every=1)
    assert video.size == (48, 64)
    image = next(iter(video.frames())).image
    assert image.shape == (64, 48, 3)
    assert image[:, -8:].std() > 40  # the noisy upper edge is now at the right
    assert image[:, :-12].std() < 10


@pytest.mark.parametrize(("suffix", "code"), KINDS)
def test_cut_in_the_middle(tmp_path: Path, suffix: str, code: str) -> None:
    path = write(tmp_path / f"a{suffix}", code)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    if suffix == ".mp4":  # its index stood at the end
        with pytest.raises(DataError, match=r"cannot be opened as a video: .* is cut short"):
            VideoFile(path)
        return
    video = VideoFile(path, every=1)
    frames = list(video.frames())
    assert 20 < len(frames) < 40
    assert [f.index for f in frames] == list(range(len(frames)))
    assert str(video.broken).startswith(f"{path} breaks off after frame {len(frames) - 1} at ")
    assert "its header says 50 frames" in str(video.broken)


def test_an_mp4_with_its_index_in_front_cut_in_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mp4v")
    data = path.read_bytes()
    index = data.index(b"moov") - 4
    moov, media = bytearray(data[index:]), data[:index]
    start = media.index(b"mdat") - 4
    at = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, at)
    for i in range(count):  # the frames' places move by the index's length
        (place,) = struct.unpack_from(">I", moov, at + 4 + 4 * i)
        struct.pack_into(">I", moov, at + 4 + 4 * i, place + len(moov))
    whole = media[:start] + bytes(moov) + media[start:]
    path.write_bytes(whole)
    assert len(list(VideoFile(path, every=1).frames())) == 50
    path.write_bytes(whole[: len(moov) + len(media) // 2])
    video = VideoFile(path, every=1)
    assert 15 < len(list(video.frames())) < 35
    assert "its header says 50 frames; the file is cut short" in str(video.broken)


def test_a_header_that_lies_about_the_number_of_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi")
    data = bytearray(path.read_bytes())
    for name, at in ((b"avih", 24), (b"strh", 40)):
        struct.pack_into("<I", data, data.index(name) + at, 3)
    path.write_bytes(data)
    video = VideoFile(path, every=1)
    assert len(list(video.frames())) == 50
    assert video.broken is None


def test_a_rate_of_zero(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.avi"), b"strh", 28, "<2I", 0, 0)  # scale and rate
    times = [f.time for f in VideoFile(path, every=1).frames()]
    assert len(times) == 50
    assert all(np.diff(times) > 0)
    assert np.isfinite(times).all()


class _NoClock:
    """A capture that gives frames neither times nor a rate, and frames of two sizes."""

    def __init__(self) -> None:
        self.left = 6

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def get(self, what: int) -> float:
        return 0.0 if what == cv2.CAP_PROP_POS_MSEC else float("nan")

    def retrieve(self) -> tuple[bool, Any]:
        if self.left == 2:
            return False, None
        return True, np.zeros((10 + self.left, 20), np.uint8)


def test_no_times_no_rate_other_sizes_and_frames_that_fail(tmp_path: Path) -> None:
    video = VideoFile(write(tmp_path / "a.avi", count=1), every=1)
    video._capture, video.fps, video.declared = _NoClock(), None, None
    frames = list(video.frames())
    assert [f.time for f in frames] == pytest.approx([0, 0.04, 0.08, 0.16, 0.2])
    assert [f.image.shape for f in frames] == [
        (15, 20, 3),
        (14, 20, 3),
        (13, 20, 3),
        (11, 20, 3),
        (10, 20, 3),
    ]
    assert frames[0].note is None
    assert "counted on at 25 a second" in str(frames[1].note)


def test_frames_that_are_too_large_are_refused_by_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mp4v", 2, (640, 480))
    with pytest.raises(DataError, match=r"too large: frames of 640x480(.|\n)*0.3 million pixels"):
        VideoFile(path, max_pixels=300_000)
    assert len(list(VideoFile(path, max_pixels=640 * 480, every=1).frames())) == 2


def test_no_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", count=0)
    with pytest.raises(DataError, match="holds no frame that can be decoded"):
        list(VideoFile(path).frames())
    with pytest.raises(DataError, match="cannot be opened as a video: it holds no frames"):
        VideoFile(write(tmp_path / "a.mp4", "mp4v", count=0))


def test_text_and_play_lists_are_never_handed_to_the_decoder(tmp_path: Path) -> None:
    write(tmp_path / "film.mp4", "mp4v", 3)
    texts = ["hello\n" * 90, "ffconcat version 1.0\nfile film.mp4\n", "#EXTM3U\n#EXTINF:1,\nfilm.mp4\n"]
    for text in texts:
        (tmp_path / "a.mp4").write_text(text)
        assert is_video(Source("a.mp4", tmp_path / "a.mp4"))  # by its name
        with pytest.raises(DataError, match="is not a video in a known format"):
            VideoFile(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.mp4 is empty"):
        VideoFile(tmp_path / "a.mp4")
    with pytest.raises(FileNotFoundError):
        VideoFile(tmp_path / "none.mp4")


def test_content_says_more_than_the_name(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mp4", "mp4v", 3).rename(tmp_path / "photo.jpg")
    assert is_video(Source("photo.jpg", film))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9), np.uint8))
    picture = (tmp_path / "a.png").rename(tmp_path / "film.mp4")
    assert not is_video(Source("film.mp4", picture))
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    assert not is_video(Source("a.heic", tmp_path / "a.heic"))
    assert not is_video(Source(None, picture.read_bytes()))
    assert not is_video(Source("x.mp4", error="x.mp4 does not exist"))
    for start in (b"\x47" + bytes(187) + b"\x47" + bytes(300), b"RIFF\0\0\0\0AVI LIST", b"\x1a\x45\xdf\xa3"):
        (tmp_path / "x").write_bytes(start)
        assert is_video(Source("x", tmp_path / "x"))


def test_names_that_are_addresses_patterns_or_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write(tmp_path / "a.avi", count=3).read_bytes()
    for name in ("concat:a.avi", "img%03d.avi", "-i.avi", "rtsp:x.avi"):
        Path(name).write_bytes(data)
        assert len(list(VideoFile(name, every=1).frames())) == 3
    odd = os.fsdecode(b"\xff.avi")
    Path(odd).write_bytes(data)
    assert len(list(VideoFile(odd, every=1).frames())) == 3


def test_values_out_of_range(tmp_path: Path) -> None:
    for bad in ({"every": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"fps": -1.0}):
        with pytest.raises(RecipeError, match="must be"):
            VideoFile(tmp_path / "a.mp4", **bad)  # type: ignore[arg-type]


def test_opencv_says_nothing_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mp4v")
    cut = path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(cut[: len(cut) // 2])
    avi = bytearray(write(tmp_path / "a.avi").read_bytes())
    avi[len(avi) // 2 : len(avi) // 2 + 3000] = b"\x55" * 3000
    (tmp_path / "bad.avi").write_bytes(avi)
    code = (
        "import sys\nfrom duchenne.errors import DataError\n"
        "from duchenne.inference.videofile import VideoFile\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        print(len(list(VideoFile(path, every=1).frames())))\n"
        "    except DataError:\n        print('error')\n"
    )
    files = [str(tmp_path / name) for name in ("a.mp4", "cut.mp4", "bad.avi")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.split()[:2] == ["50", "error"]


def test_more_frames_a_second_than_any_film_has(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi")
    assert len(list(VideoFile(path, fps=1e308).frames())) == 50
