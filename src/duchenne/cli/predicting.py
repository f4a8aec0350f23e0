"""What ``duchenne predict`` does once its words are read. Imports no parser: a tenth of a start."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from ..errors import RecipeError, did_you_mean
from . import importing
from .model import RUNS, model_folder
from .output import opened
from .text import PrintableLines, TextWriter, printable, tell
from .video import Timelines, VideoTextWriter, make_settings, mixed_records

if TYPE_CHECKING:
    from ..inference import FrameRecord, Record, Source
    from ..inference.draw import DrawingFolder
    from ..labels import Output

FORMATS = ("jsonl", "csv", "text")
_SUFFIX_FORMATS = {".csv": "csv", ".txt": "text"}
# malloc.h: M_MMAP_THRESHOLD (at its largest), M_TRIM_THRESHOLD, M_TOP_PAD; bytes.
_MALLOC = {-3: 32 << 20, -1: 256 << 20, -2: 16 << 20}
_NOTHING, _SOME_FAILED = 1, 3  # exit codes; 2 is a usage error


@dataclass(frozen=True)
class Wishes:
    """What `duchenne predict` was asked, beside the paths: its options, by their names, at their defaults."""

    model: str | None = None
    faces: str = "auto"
    min_face: int = 20
    abstain: float = 0.0
    format: str | None = None
    out: Path | None = None
    draw: Path | None = None
    batch_size: int = 64
    views: str = "single"
    top: int = 3
    every: int | None = None
    fps: float | None = None
    smooth: float | None = None
    timeline: Sequence[Path] = ()
    runs: Path = RUNS


def predict_paths(paths: Sequence[str], wished: Wishes | None = None) -> None:
    """Find the faces on images and videos, and write a record an image or frame.

    Args:
        paths: As the verb takes them.
        wished: Its options. Default: none given, and the runs' folder as the environment says.

    Raises:
        DuchenneError: What is wrong with an option or the model.
        SystemExit: Some or all images could not be predicted; the codes are the verb's.
    """
    with importing():
        _import_libraries()
        from ..artifacts import Artifact

    if wished is None:
        wished = Wishes(runs=Path(os.environ.get("DUCHENNE_RUNS") or RUNS))
    # What decoders murmur about a damaged file stands in its record.
    warnings.filterwarnings("ignore", module=r"PIL\..*")
    settings = make_settings(wished.every, wished.fps, wished.smooth)
    kind = _format(wished.format, wished.out)
    # Opened beside the first search for faces: importing onnxruntime and that search take the same time.
    artifact = Artifact.load(model_folder(wished.model, wished.runs), wait=False)
    if wished.faces == "whole":
        artifact.begin()  # there is no search
    with importing():
        from ..datasets.decode import SUFFIXES
        from ..inference import Predictor, expand, is_video
        from ..inference.videofile import VIDEO_SUFFIXES

    predictor = Predictor(artifact, wished.faces, wished.min_face)
    predictor.check(wished.batch_size, wished.views, wished.abstain, None)  # before a file is begun anew
    sources = list(expand(paths, suffixes=SUFFIXES | VIDEO_SUFFIXES))
    _check_targets(sources, wished.out, wished.timeline)
    moving = list(map(is_video, sources))
    if wished.draw or wished.out or wished.timeline or kind == "csv" or any(moving):
        # Files and a header are begun, and what is wrong with a video is said, before the net is asked; and
        # opening a video writes to the environment, which nothing may do while the net is opened.
        artifact.ready()
    # Refused before a file of --timeline is begun anew.
    drawing = None if wished.draw is None else _drawing(wished.draw, artifact.outputs)
    count = _Count()
    with Timelines(wished.timeline, artifact.outputs) as timelines, opened(wished.out) as file:
        writer = _writer(kind, file, artifact.outputs, sources, wished.top, any(moving))
        quiet = any(moving) or (wished.out is None and sys.stdout.isatty())
        answers = mixed_records(
            predictor, sources, moving, settings, timelines, drawing,
            batch_size=wished.batch_size, views=wished.views, abstain=wished.abstain,
        )  # fmt: skip
        with closing(answers) as records:
            for record in _progress(records, len(sources), quiet):
                writer.write(record)
                count.add(record)
    count.end("images and frames" if any(moving) else "images", kind != "text" or wished.out is not None)


class _Count:
    """Records written, and what is to be said of them at the end."""

    def __init__(self) -> None:
        self._done = self._failed = self._noted = 0

    def add(self, record: Record | FrameRecord) -> None:
        self._done += 1
        self._failed += record["error"] is not None
        self._noted += record["note"] is not None and "frame" not in record

    def end(self, what: str, fields: bool) -> None:
        """Say it; raises SystemExit where some failed. `fields`: whether records have a field 'error'."""
        if self._noted:
            tell(f"of {self._noted} images with several frames or pages the first was taken")
        if self._failed:
            where = "; see their field 'error'" if fields else ""
            tell(f"{self._failed} of {self._done} {what} could not be predicted{where}")
            raise SystemExit(_NOTHING if self._failed == self._done else _SOME_FAILED)


def _import_libraries() -> None:
    """Import NumPy and OpenCV without OpenBLAS's threads: making them takes a tenth of the whole start.

    Nothing is multiplied here that would need them. The variable goes again, for it would be inherited.
    """
    _keep_memory()
    if (name := "OPENBLAS_NUM_THREADS") in os.environ:
        return
    os.environ[name] = "1"
    for library in ("numpy", "cv2"):
        import_module(library)
    del os.environ[name]


def _keep_memory() -> None:
    """Let glibc use freed memory again, in pieces up to 32 MiB, instead of giving it back and asking anew.

    New pages, which the system fills with zeros, were a fourteenth of the whole start. Of photographs of 12
    megapixels a tenth more memory stays. What the user has set stays too.
    """
    if sys.platform != "linux" or any(n.startswith(("MALLOC_", "GLIBC_TUNABLES")) for n in os.environ):
        return
    from ctypes import CDLL

    if hasattr(libc := CDLL(None), "mallopt"):  # not in every C library
        for option, size in _MALLOC.items():
            libc.mallopt(option, size)


def _drawing(folder: Path, outputs: Sequence[Output]) -> DrawingFolder:
    from ..inference.draw import DrawingFolder

    return DrawingFolder(folder, outputs)


def _check_targets(sources: Sequence[Source], out: Path | None, timelines: Sequence[Path]) -> None:
    """Raise RecipeError where a file to be written is a picture or video to be read, or is named twice.

    Of ``--out *.jpg`` the shell makes ``--out first.jpg second.jpg``: the first photograph would be gone.
    """
    from ..datasets.decode import SUFFIXES
    from ..inference.videofile import VIDEO_SUFFIXES

    if out is not None and out.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES:
        raise RecipeError(f"--out {out} is a picture's or a video's name", "end it in .jsonl, .csv or .txt")
    targets = [*([] if out is None else [out]), *timelines]
    if len({target.absolute() for target in targets}) < len(targets):
        raise RecipeError("--out and --timeline name the same file twice", "give each its own")
    read = {os.path.realpath(s.data) for s in sources if isinstance(s.data, Path)} if targets else set()
    for target in targets:
        if os.path.realpath(target) in read:
            raise RecipeError(f"{target} is to be read, and would be written over", "name another file")


def _format(named: str | None, out: Path | None) -> str:
    if named is None:
        if out is not None:
            return _SUFFIX_FORMATS.get(out.suffix.lower(), "jsonl")
        return "text" if sys.stdout.isatty() else "jsonl"
    if named not in FORMATS:
        raise RecipeError(f"there is no format '{named}'", did_you_mean(named, FORMATS))
    return named


def _writer(
    kind: str, file: TextIO, outputs: Sequence[Output], sources: Sequence[Source], top: int, videos: bool
) -> Any:
    from ..inference import CsvWriter, JsonLinesWriter

    if kind == "csv":
        from ..inference.video_files import VideoCsvWriter

        file = cast(TextIO, PrintableLines(file)) if file.isatty() else file
        return VideoCsvWriter(file, outputs) if videos else CsvWriter(file, outputs)
    if kind == "jsonl":
        return JsonLinesWriter(file)
    width = max((len(printable(s.path or "")) for s in sources), default=0)
    if videos:
        return VideoTextWriter(TextWriter(file, outputs, width + len(" 1234.56 s face 12"), top))
    return TextWriter(file, outputs, width, top)


def _progress(
    records: Iterator[Record | FrameRecord], total: int, quiet: bool
) -> Iterator[Record | FrameRecord]:
    """Pass the records through; a bar on standard error where nothing else is on the terminal."""
    if quiet or not sys.stderr.isatty():
        yield from records
        return
    from rich.console import Console
    from rich.progress import track

    console: Any = Console(stderr=True)
    yield from track(records, "predict", total=total, console=console, transient=True)
