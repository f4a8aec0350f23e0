"""The cache: keyed by content, rebuilt when damaged, harmless when it cannot be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from duchenne.datasets.cache import cache_root, cached_arrays, content_key
from duchenne.errors import DataError


class Builder:
    """Builds the same arrays and counts how often it had to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"a": np.arange(50_000, dtype=np.int64), "none": np.zeros(0, dtype=np.uint8)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source file of an hour ago, so that its stat is remembered."""
    path = tmp_path / "source.csv"
    path.write_text("one")
    _age(path)
    return path


def _age(path: Path, seconds: float = 3600) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def _entry(root: Path) -> Path:
    return next(p for p in root.iterdir() if p.name.startswith("kind-"))


def test_second_time_is_a_memory_map(source: Path, tmp_path: Path) -> None:
    build = Builder()
    for _ in range(3):
        cached = cached_arrays("kind", [source], build, cache_dir=tmp_path / "c")
        np.testing.assert_array_equal(cached.arrays["a"], np.arange(50_000))
        assert isinstance(cached.arrays["a"], np.memmap)
        assert not cached.arrays["a"].flags.writeable
        assert cached.arrays["none"].shape == (0,)
        assert cached.note == ""
    assert build.calls == 1
    assert not [p for p in (tmp_path / "c").iterdir() if p.name.startswith(".tmp")]


def test_keyed_by_content_not_by_name_or_time(source: Path, tmp_path: Path) -> None:
    build = Builder()
    first = cached_arrays("kind", [source], build, cache_dir=tmp_path / "c")
    moved = source.rename(tmp_path / "moved.csv")
    _age(moved, 10)
    assert cached_arrays("kind", [moved], build, cache_dir=tmp_path / "c").key == first.key
    assert build.calls == 1
    moved.write_text("two")
    _age(moved, 10)
    assert cached_arrays("kind", [moved], build, cache_dir=tmp_path / "c").key != first.key
    assert build.calls == 2
    cached_arrays("kind", [moved], build, cache_dir=tmp_path / "c", salt="other options")
    assert build.calls == 3


def test_same_size_and_time_but_other_content(source: Path, tmp_path: Path) -> None:
    """An editor that keeps size and modification time is caught by the change time."""
    root = tmp_path / "c"
    stat = source.stat()
    first = content_key([source], root)
    time.sleep(0.02)
    source.write_text("two")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert source.stat().st_mtime_ns == stat.st_mtime_ns
    assert content_key([source], root) != first


def test_content_is_hashed_once_when_old_and_each_time_when_new(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from duchenne.datasets import cache

    hashed: list[Path] = []
    real = cache._file_digest
    monkeypatch.setattr(cache, "_file_digest", lambda path: (hashed.append(path), real(path))[1])
    for _ in range(2):  # its change time is that of this test: too new to be remembered
        content_key([source], tmp_path / "c")
    assert len(hashed) == 2
    later = time.time_ns() + 10_000_000_000
    monkeypatch.setattr(cache.time, "time_ns", lambda: later)
    for _ in range(3):
        content_key([source], tmp_path / "c")
    assert len(hashed) == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "zeroed", "meta", "gone", "pickle"])
def test_damaged_entries_are_rebuilt(source: Path, tmp_path: Path, damage: str) -> None:
    build = Builder()
    cached_arrays("kind", [source], build, cache_dir=tmp_path / "c")
    entry = _entry(tmp_path / "c")
    file = entry / "a.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1000])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "zeroed":
        file.write_bytes(bytes(file.stat().st_size))
    elif damage == "meta":
        (entry / "meta.json").write_text('{"arrays": ')
    elif damage == "gone":
        file.unlink()
    else:
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
        meta = json.loads((entry / "meta.json").read_text())
        from duchenne.datasets.cache import _checksum

        meta["arrays"]["a"] = {"bytes": file.stat().st_size, "crc": _checksum(file), "size": 1}
        (entry / "meta.json").write_text(json.dumps(meta))
    for _ in range(2):
        cached = cached_arrays("kind", [source], build, cache_dir=tmp_path / "c")
        np.testing.assert_array_equal(cached.arrays["a"], np.arange(50_000))
    assert build.calls == 2


def test_cache_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    build = Builder()
    cached = cached_arrays("kind", [source], build, cache_dir=blocked / "cache")
    np.testing.assert_array_equal(cached.arrays["a"], np.arange(50_000))
    assert "could not be written" in cached.note
    assert "$DUCHENNE_CACHE" in cached.note


def test_disk_full_leaves_nothing_behind(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    cached = cached_arrays("kind", [source], Builder(), cache_dir=tmp_path / "c")
    assert "No space left" in cached.note
    assert len(cached.arrays["a"]) == 50_000
    assert not [p for p in (tmp_path / "c").iterdir() if p.name != "seen"]


def test_builders_errors_pass_and_leave_nothing(source: Path, tmp_path: Path) -> None:
    def fail() -> dict[str, np.ndarray]:
        raise DataError("row 3 is wrong")

    with pytest.raises(DataError, match="row 3"):
        cached_arrays("kind", [source], fail, cache_dir=tmp_path / "c")
    assert not [p for p in (tmp_path / "c").glob("*") if p.name != "seen"]
    with pytest.raises(DataError, match=r"gone\.csv cannot be read"):
        cached_arrays("kind", [tmp_path / "gone.csv"], fail, cache_dir=tmp_path / "c")


WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from duchenne.datasets.cache import cached_arrays

def build():
    time.sleep(0.5)
    return {"a": np.arange(50_000, dtype=np.int64)}

print(cached_arrays("kind", [Path(sys.argv[1])], build, cache_dir=Path(sys.argv[2])).arrays["a"].sum())
"""


def test_two_processes_at_once(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(source), str(tmp_path / "c")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [int(a) for a in answers] == [sum(range(50_000))] * 2
    assert [p.name[:5] for p in (tmp_path / "c").iterdir() if p.name != "seen"] == ["kind-"]


def test_losing_the_race_keeps_the_winners_entry(source: Path, tmp_path: Path) -> None:
    """Another process finishes while this one builds: its entry stays and serves both."""

    def build() -> dict[str, np.ndarray]:
        cached_arrays("kind", [source], Builder(), cache_dir=tmp_path / "c")
        (_entry(tmp_path / "c") / "winner").touch()
        return Builder()()

    cached = cached_arrays("kind", [source], build, cache_dir=tmp_path / "c")
    assert isinstance(cached.arrays["a"], np.memmap)
    assert (_entry(tmp_path / "c") / "winner").exists()
    assert len([p for p in (tmp_path / "c").iterdir() if p.name != "seen"]) == 1


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUCHENNE_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    assert cache_root(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("DUCHENNE_CACHE")
    assert cache_root() == Path.home() / ".cache" / "duchenne"
