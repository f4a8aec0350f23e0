"""Arrays read once from slow sources, kept on disk and memory-mapped, keyed by what the source holds.

Layout under ``$DUCHENNE_CACHE`` (default ``~/.cache/duchenne``)::

    <kind>-v<version>-<key>/      one entry: NAME.npy per array, and meta.json with their sizes and checksums
    seen/<digest>.json            content hash of files whose path, size, times and inode were seen before

Hashing 300 MB takes longer than reopening may, so the content hash of a source is remembered together with
its files' size, modification time, change time and inode. When any of these differs the content is hashed
again; where it is the same as before (a file copied, touched or moved) the entry still serves. A file changed
within the last two seconds is not remembered, since a second change could leave the same time stamp (git
calls this "racy").
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError

Array = npt.NDArray[Any]

VERSION = 1  # raise when the meaning of what is stored changes
_RACY_NS = 2_000_000_000
_SAMPLE = 1 << 16  # bytes at either end of an array's file that its checksum covers


@dataclass(frozen=True)
class Cached:
    """What `cached_arrays` gives.

    Attributes:
        arrays: Name -> array, read-only memory maps where the cache could be used.
        key: Content hash of the source, 32 hex digits.
        note: A sentence for the data set's notes where the cache could not be used, else "".
    """

    arrays: Mapping[str, Array]
    key: str
    note: str = ""


def cache_root(cache_dir: Path | None = None) -> Path:
    """The cache's folder: the one given, else ``$DUCHENNE_CACHE``, else ``~/.cache/duchenne``."""
    if cache_dir is not None:
        return Path(cache_dir)
    named = os.environ.get("DUCHENNE_CACHE", "")
    return Path(named) if named else Path("~/.cache/duchenne").expanduser()


def cached_arrays(
    kind: str,
    sources: Sequence[Path],
    build: Callable[[], Mapping[str, Array]],
    *,
    cache_dir: Path | None = None,
    salt: str = "",
) -> Cached:
    """Return the arrays that ``build`` makes from the sources, from the cache where it holds them.

    A missing, cut or otherwise damaged entry is built anew. An entry appears under its name only when
    complete (written beside, then renamed), so two processes may do this at once. A cache that cannot be
    written is no error: the arrays then stay in RAM, and the note says so.

    Args:
        kind: Short name of what is stored, the first part of the entry's name.
        sources: The files whose content decides.
        build: Reads the sources; its own errors pass through.
        cache_dir: See `cache_root`.
        salt: Options of ``build`` that change its result.

    Raises:
        DataError: A source cannot be read.
    """
    root = cache_root(cache_dir)
    if any(root.glob(f"{kind}-v{VERSION}-*")):
        key = content_key(sources, root, salt)
        arrays = _open(root / f"{kind}-v{VERSION}-{key}")
        if arrays is not None:
            return Cached(arrays, key)
        built = build()
    else:
        for path in sources:
            _state(path)  # a missing source is said before anything is read
        # Nothing of this kind is there, so reading is certain: hash beside it (hashing needs no interpreter).
        with ThreadPoolExecutor(1) as hashing:
            later = hashing.submit(content_key, sources, root, salt)
            built = build()
            key = later.result()
    entry = root / f"{kind}-v{VERSION}-{key}"
    note = _write(entry, built)
    arrays = None if note else _open(entry)
    return Cached(built if arrays is None else arrays, key, note)


def content_key(sources: Sequence[Path], root: Path, salt: str = "") -> str:
    """SHA-256 (32 hex digits) over the sources' contents and the salt, remembered by stat (see above)."""
    states = [_state(path) for path in sources]
    seen = root / "seen" / f"{hashlib.sha256(json.dumps([states, salt]).encode()).hexdigest()[:32]}.json"
    known = _read_json(seen)
    if isinstance(known.get("key"), str) and known.get("states") == [list(s) for s in states[:1]]:
        return str(known["key"])
    started = time.time_ns()
    digest = hashlib.sha256(salt.encode())
    for path in sources:
        digest.update(b"\0")
        digest.update(_file_digest(path))
    key = digest.hexdigest()[:32]
    unchanged = [_state(path) for path in sources] == states
    if unchanged and all(started - max(s[2], s[3]) > _RACY_NS for s in states):
        _remember(seen, {"key": key, "states": [list(s) for s in states[:1]]})
    return key


def _state(path: Path) -> tuple[str, int, int, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return os.path.abspath(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _remember(path: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON file atomically; that it cannot be written only costs time later."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file)
        Path(name).replace(path)
    except OSError:
        return


def _checksum(path: Path) -> int:
    """CRC-32 of the file's two ends: finds cut, zeroed or exchanged files in microseconds."""
    with path.open("rb") as file:
        head = zlib.crc32(file.read(_SAMPLE))
        file.seek(max(0, path.stat().st_size - _SAMPLE))
        return zlib.crc32(file.read(_SAMPLE), head)


def _open(entry: Path) -> dict[str, Array] | None:
    """Map the entry's arrays, or None where it is missing or damaged."""
    meta = _read_json(entry / "meta.json")
    listed = meta.get("arrays")
    if not isinstance(listed, dict):
        return None
    arrays: dict[str, Array] = {}
    try:
        for name, about in listed.items():
            path = entry / f"{name}.npy"
            if path.stat().st_size != about["bytes"] or _checksum(path) != about["crc"]:
                return None
            # An empty array cannot be mapped.
            mode: Literal["r"] | None = "r" if about["size"] else None
            arrays[name] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return arrays


def _write(entry: Path, arrays: Mapping[str, Array]) -> str:
    """Write the entry, replacing a damaged one; returns a note where that is not possible."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=entry.parent, prefix=".tmp-"))
    except OSError as error:
        return _unwritable(entry, error)
    try:
        about: dict[str, dict[str, int]] = {}
        for name, array in arrays.items():
            path = made / f"{name}.npy"
            with path.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            about[name] = {"bytes": path.stat().st_size, "crc": _checksum(path), "size": array.size}
        (made / "meta.json").write_text(json.dumps({"version": VERSION, "arrays": about}), "utf-8")
        _put(made, entry)
    except OSError as error:
        return _unwritable(entry, error)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return ""


def _put(made: Path, entry: Path) -> None:
    """Rename the finished folder into place. Where another process was first, its entry stays."""
    try:
        made.rename(entry)
        return
    except OSError:
        if not entry.exists():
            raise
    if _open(entry) is None:
        # Damaged: moved aside first, since a folder that is not empty cannot be replaced in one step.
        aside = Path(tempfile.mkdtemp(dir=entry.parent, prefix=".tmp-"))
        try:
            entry.rename(aside / "old")
            made.rename(entry)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _unwritable(entry: Path, error: OSError) -> str:
    return (
        f"The cache {entry.parent} could not be written ({error.strerror or error}), so nothing was cached; "
        "name another folder in $DUCHENNE_CACHE."
    )
