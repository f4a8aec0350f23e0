"""Each kind of bad or odd file: a clear answer in its own record, and the batch goes on."""

from __future__ import annotations

import importlib.util
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from duchenne.errors import DataError, RunError
from duchenne.inference import Predictor, Source, expand, is_video, predict_video
from duchenne.inference.videofile import VideoFile
from duchenne.inference.yunet import YuNet

Ask = Callable[[bytes, str], Any]


@pytest.fixture
def ask(model: Path, tmp_path: Path, drawn_photo: Callable[..., Any]) -> Ask:
    """Predicts one file between two good ones, and gives its record."""
    predictor = Predictor.load(model, threads=1)
    good = cv2.imencode(".png", drawn_photo((20, 60)))[1].tobytes()

    def one(content: bytes, name: str = "a.jpg") -> Any:
        path = tmp_path / name
        path.write_bytes(content)
        before, record, after = predictor.predict([good, path, good])
        assert before == after
        assert [len(r["faces"]) for r in (before, after)] == [1, 1]
        assert record["path"] == str(path)
        return record

    return one


@pytest.fixture
def picture(drawn_photo: Callable[..., Any]) -> Image.Image:
    return Image.fromarray(drawn_photo((20, 60)))


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG's header of that size, and hardly a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_text_empty_and_header_bomb(ask: Ask) -> None:
    for content, words in (
        (b"this is no image", "is not an image in a known format"),
        (b"", "is empty"),
        (bomb(50_000, 50_000), "is too large"),
        (bomb(10_000, 10_000), "is too large"),
    ):
        record = ask(content, "a.jpg")
        assert words in record["error"]
        assert "a.jpg" in record["error"]
        assert record["faces"] == []


def test_cut_files(ask: Ask, picture: Image.Image) -> None:
    for format, share in (("JPEG", 0.5), ("JPEG", 0.02), ("PNG", 0.5), ("GIF", 0.5), ("WEBP", 0.5)):
        content = saved(picture, format)
        record = ask(content[: int(len(content) * share)], f"a.{format.lower()}")
        assert "a." in record["error"]
        assert record["faces"] == []


def test_tiny(ask: Ask) -> None:
    assert "is too small: 1x1" in ask(saved(Image.new("RGB", (1, 1)), "PNG"), "a.png")["error"]


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "LA", "RGBA", "P", "I;16"])
def test_kinds_of_pixels(ask: Ask, picture: Image.Image, mode: str) -> None:
    """The same face is found whatever the pixels' kind."""
    if mode == "I;16":
        image = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        image = picture.convert(mode)
    record = ask(saved(image, "TIFF" if mode == "CMYK" else "PNG"), "a.any")
    assert record["error"] is None
    assert record["note"] is None
    assert len(record["faces"]) == (1 if mode != "1" else len(record["faces"]))


def test_of_an_animation_the_first_frame_and_it_is_said(ask: Ask, picture: Image.Image) -> None:
    empty = Image.new("RGB", picture.size, (90, 0, 0))
    for format, what in (("GIF", "frames"), ("WEBP", "frames"), ("PNG", "frames"), ("TIFF", "pages")):
        record = ask(saved(picture, format, save_all=True, append_images=[empty]), f"a.{format.lower()}")
        assert record["error"] is None
        assert record["note"] == f"the first of several {what} was taken"
        assert len(record["faces"]) == 1
    assert ask(saved(picture, "GIF"), "a.gif")["note"] is None


def test_exif_boxes_are_upright(ask: Ask, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise
    lying = picture.transpose(Image.Transpose.ROTATE_90)
    (face,) = ask(saved(lying, "PNG", exif=exif), "a.png")["faces"]
    (want,) = ask(saved(picture, "PNG"), "a.png")["faces"]
    assert face == want


def test_paths_that_are_no_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    paths = [tmp_path / "a.jpg", tmp_path / "loop.jpg", tmp_path / "none.jpg"]
    records = list(Predictor.load(model, threads=1, faces="whole").predict(paths))
    for record, words in zip(records, ("is a folder", "symbolic links", "No such file"), strict=True):
        assert words in str(record["error"])
        assert str(record["path"]) in str(record["error"])
    assert [bool(s.error) for s in expand(paths)] == [True] * 3


def test_a_file_in_a_locked_folder_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def refuse(path: Any, *args: Any, **options: Any) -> Any:
        if str(path).endswith("locked.png"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", refuse)
    (source,) = expand([tmp_path / "locked.png"])
    assert source.error == f"{tmp_path / 'locked.png'} cannot be read: Permission denied"


def test_an_array_beyond_the_limit_is_refused_before_it_is_copied(model: Path) -> None:
    enormous = np.broadcast_to(np.uint8(0), (100_000, 100_000, 3))  # 28 GiB, if it were copied
    small = np.zeros((9, 9), np.uint8)
    records = list(Predictor.load(model, threads=1, faces="whole").predict([small, enormous, small]))
    assert [r["error"] for r in records] == [None, "the image is too large: 100000x100000", None]


@pytest.mark.parametrize("opens", [YuNet, VideoFile])
def test_a_pipe_in_a_files_place_is_not_waited_for(opens: Callable[[Path], Any], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((RunError, DataError), match="pipe is not a regular file"):
        opens(tmp_path / "pipe")


def test_an_unreadable_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn_photo: Callable[..., Any]
) -> None:
    for name in ("a.png", "locked.png"):
        cv2.imwrite(str(tmp_path / name), drawn_photo((20, 60)))
    if os.geteuid() == 0:  # root reads everything
        real = Path.open

        def refuse(self: Path, *args: Any, **options: Any) -> Any:
            if self.name == "locked.png":
                raise PermissionError(13, "Permission denied", str(self))
            return real(self, *args, **options)

        monkeypatch.setattr(Path, "open", refuse)
    else:
        (tmp_path / "locked.png").chmod(0)
    good, locked = Predictor.load(model, threads=1).predict(expand([tmp_path]))
    assert good["error"] is None
    assert locked["error"] == f"{tmp_path / 'locked.png'}: Permission denied"


def test_two_hundred_mutated_images(tmp_path: Path) -> None:
    """A short run of benchmarks/fuzz.py."""
    file = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
    spec = importlib.util.spec_from_file_location("fuzz", file)
    assert spec is not None
    assert spec.loader is not None
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    predictor = Predictor.load(fuzz.any_model(tmp_path), threads=1)
    said = fuzz.run(predictor, 200, seed=1)
    assert said.total() == 200
    assert said["1 faces"] > 20, "the seeds' faces are not found: the run shows little"
    assert sum(count for what, count in said.items() if "faces" not in what) > 20


@pytest.mark.parametrize("name", ["a\0b.png", "\ud83d.png"])
def test_what_can_be_no_files_name_is_its_rows_error(model: Path, name: str) -> None:
    predictor = Predictor.load(model, faces="whole")
    good = np.zeros((9, 9), np.uint8)
    bad, other = predictor.predict([name, good])
    assert (bad["path"], bad["error"]) == (name, f"{name!r} is no file's name")
    assert other["error"] is None
    (record,) = predict_video(predictor, name)
    assert record["error"] == f"{name!r} is no file's name"
    assert not is_video(Source(name, Path(name)))
