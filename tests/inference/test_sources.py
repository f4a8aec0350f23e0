"""Sources: which images the named paths are, in which order, and what is said about those that are none."""

from __future__ import annotations

import glob
import io
import os
import threading
import time
from pathlib import Path

import pytest

from duchenne.inference import expand
from duchenne.inference.sources import _matches


def names(*paths: str | Path) -> list[str | None]:
    return [s.path for s in expand(paths)]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "f/b.png",
        "f/a.JPG",
        "f/c/d.jpeg",
        "f/c/.hidden.png",
        "f/.cache/x.png",
        "f/notes.txt",
        "z.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_read_sorted_and_deep(tree: Path) -> None:
    assert names("f") == ["f/a.JPG", "f/b.png", "f/c/d.jpeg"]
    assert names(tree / "f") == [str(tree / n) for n in ("f/a.JPG", "f/b.png", "f/c/d.jpeg")]


def test_named_files_keep_their_order_and_any_ending(tree: Path) -> None:
    assert names("z.png", "f/notes.txt", "f/b.png", "z.png") == ["z.png", "f/notes.txt", "f/b.png", "z.png"]
    assert all(s.error is None for s in expand(["f/notes.txt"]))


def test_a_folder_named_like_an_image_is_a_folder(tree: Path) -> None:
    (tree / "f/a2.jpg").mkdir()
    (tree / "f/a2.jpg/e.png").write_bytes(b"x")
    assert names("f/a2.jpg") == ["f/a2.jpg/e.png"]
    assert names("f") == ["f/a.JPG", "f/a2.jpg/e.png", "f/b.png", "f/c/d.jpeg"]


def test_patterns(tree: Path) -> None:
    assert names("f/*.png") == ["f/b.png"]
    assert names("f/?.[Jp]*") == ["f/a.JPG", "f/b.png"]
    assert names("*") == ["f/a.JPG", "f/b.png", "f/c/d.jpeg", "z.png"]
    assert names("**/*") == ["f/a.JPG", "f/b.png", "f/c/d.jpeg", "z.png"]
    for nothing in ("f/*.gif", "**/*.txt"):
        (source,) = expand([nothing])
        assert nothing in str(source.error)


def test_a_file_whose_name_looks_like_a_pattern(tree: Path) -> None:
    (tree / "[1].png").write_bytes(b"x")
    (source,) = expand(["[1].png"])
    assert source.data == Path("[1].png")


def test_missing_and_empty(tree: Path) -> None:
    (tree / "empty").mkdir()
    sources = list(expand(["missing.png", "empty", "z.png"]))
    assert [s.error for s in sources[:1]] == ["missing.png does not exist"]
    assert "empty holds no image files" in str(sources[1].error)
    assert [(s.path, s.error) for s in sources[2:]] == [("z.png", None)]


def test_symlink_loops_end(tree: Path) -> None:
    (tree / "f/c/up").symlink_to(tree / "f")
    (tree / "f/self").symlink_to(tree / "f/self")
    (tree / "f/again").symlink_to(tree / "f/c")
    found = names("f")
    assert [os.path.basename(str(n)) for n in found] == ["a.JPG", "d.jpeg", "b.png"]
    assert found[1] == "f/again/d.jpeg"


def test_broken_link_and_pipe_in_a_folder(tree: Path) -> None:
    (tree / "f/gone.png").symlink_to(tree / "nowhere.png")
    os.mkfifo(tree / "f/pipe.png")
    errors = {s.path: s.error for s in expand(["f"]) if s.error}
    assert errors == {
        "f/gone.png": "f/gone.png is a link that leads to no file",
        "f/pipe.png": "f/pipe.png is not a regular file",
    }


def test_a_named_pipe_is_read(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    writer = threading.Thread(target=(tree / "pipe").write_bytes, args=(b"bytes",))
    writer.start()
    (source,) = expand(["pipe"])
    writer.join()
    assert (source.path, source.data) == ("pipe", b"bytes")


@pytest.mark.timeout(30)
def test_a_pipe_to_which_nobody_writes_stops_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duchenne.inference.sources._PATIENCE", 0.2)
    os.mkfifo(tree / "pipe.png")
    for named in ("pipe.png", "pip*.png"):
        (source,) = expand([named])
        assert (source.path, source.data) == ("pipe.png", None)
        assert source.error == "pipe.png cannot be read: nobody wrote to it within 0.2 seconds"


def test_a_pipe_whose_writer_is_slow_is_waited_for(tree: Path) -> None:
    os.mkfifo(tree / "pipe")

    def write() -> None:
        with (tree / "pipe").open("wb") as pipe:
            for part in (b"by", b"tes"):
                time.sleep(0.2)
                pipe.write(part)
                pipe.flush()

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.1)  # until it waits for a reader
    (source,) = expand(["pipe"])
    writer.join()
    assert source.data == b"bytes"


def test_links_in_a_circle(tree: Path) -> None:
    (tree / "one.png").symlink_to(tree / "two.png")
    (tree / "two.png").symlink_to(tree / "one.png")
    (source,) = expand(["one.png"])
    assert source.error == "one.png is a link that leads to no file"


def test_standard_input(tree: Path) -> None:
    (source,) = expand(["-"], io.BytesIO(b"bytes"))
    assert (source.path, source.data, source.error) == ("-", b"bytes", None)
    (source,) = expand(["-"], io.BytesIO())
    assert source.error == "standard input is empty"

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    (source,) = expand(["-"], Terminal(b"x"))
    assert "terminal" in str(source.error)


def test_standard_input_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duchenne.inference.sources._MAX_BYTES", 1 << 20)
    (source,) = expand(["-"], io.BytesIO(b"x" * ((1 << 20) + 1)))
    assert source.error == "standard input holds more than 1 MiB"
    assert source.data is None


def test_an_unreadable_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def listdir(path: str) -> list[str]:
        if str(path).endswith("/c"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("os.listdir", listdir)
    found = [(s.path, s.error) for s in expand(["f"])]
    assert found[-1] == ("f/c", "f/c cannot be read: Permission denied")
    assert len(found) == 3


def test_patterns_of_any_depth_are_those_of_glob(tree: Path) -> None:
    (tree / "g/h").mkdir(parents=True)
    (tree / "g/h/e[1].png").write_bytes(b"x")
    for pattern in (
        "**", "**/*", "f/**", "f/**/*.jpeg", "**/c/*", "**/**/*.png", "?/**/*.png", "**/f/../z.png",
        "./**/*.png", "./**", f"{tree}/**/*.png", f"{tree}//**", "**/h/e[[]1].png", "no/**", "*/**/d*",
    ):  # fmt: skip
        want = {n for n in glob.glob(pattern, recursive=True) if Path(n).is_file()}
        assert {n for n in _matches(pattern) if Path(n).is_file()} == want, pattern


@pytest.mark.timeout(30)
def test_patterns_of_any_depth_end_where_links_lead_back_up(tree: Path) -> None:
    (tree / "f/c/up").symlink_to(tree / "f")
    (tree / "f/c/down").symlink_to(tree / "f/c")
    (tree / "f/top").symlink_to(tree)
    os.mkfifo(tree / "f/pipe.png")
    sources = list(expand(["f/**"]))
    assert sorted(os.path.basename(str(s.path)) for s in sources) == [
        "a.JPG", "b.png", "d.jpeg", "pipe.png", "z.png"
    ]  # fmt: skip
    assert [s.error for s in sources if s.error] == ["f/pipe.png is not a regular file"]


def test_pictures_that_are_not_read_are_not_passed_over(tree: Path) -> None:
    for name in ("f/g.HEIC", "f/h.avif"):
        (tree / name).write_bytes(b"x")
    assert names("f") == ["f/a.JPG", "f/b.png", "f/c/d.jpeg", "f/g.HEIC", "f/h.avif"]
    assert names("f/**") == names("f")
