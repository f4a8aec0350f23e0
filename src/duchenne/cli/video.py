"""The part of ``duchenne predict`` that is about videos: writers, timelines, throughput."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from ..errors import RecipeError, RunError
from .text import TextWriter, printable, tell

if TYPE_CHECKING:
    from ..inference import FrameRecord, Predictor, Record, Source, VideoSettings
    from ..inference.draw import DrawingFolder
    from ..inference.timeline import Timeline, TimelineCsv
    from ..labels import Output


def make_settings(every: int | None, fps: float | None, smooth: float | None) -> VideoSettings | None:
    """What the options say, None where they say nothing.

    Raises RecipeError where they contradict each other or are out of range.
    """
    if every is None and fps is None and smooth is None:
        return None  # what is about videos is imported where there are any
    from ..inference import VideoSettings

    if every is not None and fps is not None:
        raise RecipeError("--every and --fps both say which frames are looked at", "give one of them")
    usual = VideoSettings()
    return VideoSettings(
        every=every,
        fps=usual.fps if fps is None else fps,
        smooth=usual.smooth if smooth is None else smooth,
    )


class Timelines:
    """The files of --timeline: written at the end, and where it ends early with what there is.

    Args:
        files: Each .csv or .png.
        outputs: The model's.

    Raises:
        RecipeError: A file of another ending.
        RunError: A file cannot be written.
    """

    def __init__(self, files: Sequence[Path], outputs: Sequence[Output]) -> None:
        for path in files:
            if path.suffix.lower() not in (".csv", ".png"):
                raise RecipeError(f"--timeline {path}: not .csv or .png", "end its name in one of them")
            if path.is_dir():
                raise RunError(f"{path} cannot be written: it is a folder", "name a file in it")
            if not path.absolute().parent.is_dir():
                raise RunError(f"{path} cannot be written: there is no folder {path.parent}", "make it first")
        self._outputs = outputs
        self._pictures = [p for p in files if p.suffix.lower() == ".png"]
        self._tables = [p for p in files if p.suffix.lower() == ".csv"]
        self._open: list[Any] = []
        self._stack = ExitStack()
        self._videos = 0

    def __enter__(self) -> Timelines:
        for path in self._tables:
            from ..inference.timeline import TimelineCsv

            file = self._stack.enter_context(_writable_file(path))
            self._open.append(_Table(path, TimelineCsv(file, self._outputs)))
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.close()
        if self._pictures and not self._videos:
            tell("--timeline: no picture, for there was no video")

    @contextmanager
    def video(self, path: str) -> Iterator[list[Any]]:
        """Give what takes this video's records; its picture is written behind it."""
        from ..inference.timeline import Timeline

        timeline = Timeline(self._outputs)
        self._videos += 1
        try:
            yield [*self._open, timeline]
        finally:
            for picture in self._pictures:
                self._draw(picture, timeline, path)

    def _draw(self, picture: Path, timeline: Timeline, path: str) -> None:
        from ..inference.timeline_picture import draw_timeline

        if timeline.is_empty:
            tell(f"--timeline: no picture of {printable(path)}, for it has no readable frame")
            return
        if self._videos > 1:
            picture = picture.with_name(f"{picture.stem}-{self._videos}{picture.suffix}")
        part = picture.with_name(f"{picture.name}.part")
        try:
            part.write_bytes(draw_timeline(timeline, os.path.basename(path)))
            part.replace(picture)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise _unwritten(picture, error) from None


@contextmanager
def _writable_file(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
    except OSError as error:
        raise _unwritten(path, error) from None


class _Table:
    """Passes records on to a timeline's table; what goes wrong names its file, not that of --out."""

    def __init__(self, path: Path, table: TimelineCsv) -> None:
        self._path, self._table = path, table

    def write(self, record: FrameRecord) -> None:
        try:
            self._table.write(record)
        except OSError as error:
            raise _unwritten(self._path, error) from None


def _unwritten(path: Path, error: OSError) -> RunError:
    return RunError(f"{path} cannot be written: {error.strerror}", "free some space or name another file")


def mixed_records(
    predictor: Predictor,
    sources: Sequence[Source],
    moving: Sequence[bool],
    settings: VideoSettings | None,
    timelines: Timelines,
    drawing: DrawingFolder | None,
    *,
    batch_size: int,
    views: str,
    abstain: float,
) -> Generator[Record | FrameRecord, None, None]:
    """Records of photographs and of videos' frames, in the order of the sources; pictures are drawn.

    Args:
        moving: Whether each source is a video.
    """
    asked: dict[str, Any] = {"views": views, "abstain": abstain}
    for video, pairs in groupby(zip(moving, sources, strict=True), itemgetter(0)):
        group = [source for _, source in pairs]
        if video:
            for source in group:
                path = str(source.path or source.data)
                with timelines.video(path) as takers:
                    yield from _video(predictor, path, settings, takers, drawing, asked)
            continue
        for source, record in zip(group, predictor.predict(group, batch_size, **asked), strict=True):
            if drawing is not None:
                drawing.write(source, record)
            yield record


def _video(
    predictor: Predictor,
    path: str,
    settings: VideoSettings | None,
    takers: Sequence[Any],
    drawing: DrawingFolder | None,
    asked: dict[str, Any],
) -> Iterator[FrameRecord]:
    from ..inference import predict_frames
    from ..inference.video_files import DrawnVideo

    drawn = None
    if drawing is not None:
        drawn = DrawnVideo(drawing.reserve(path, ".mp4"), predictor.artifact.outputs)
    pace = _Pace(path)
    try:
        for frame, record in predict_frames(predictor, path, settings, pixels=drawn is not None, **asked):
            for taker in takers:
                taker.write(record)
            if drawn is not None and frame is not None:
                drawn.write(frame, record)
            pace.step(record)
            yield record
    finally:
        pace.end()
        if drawn is not None:
            drawn.close()


class _Pace:
    """Says on standard error how fast it goes: on a terminal every second, and once at the end."""

    def __init__(self, path: str) -> None:
        self._path = printable(path)
        self._start = self._said = time.perf_counter()
        self._frames = 0
        self._time = 0.0
        self._live = sys.stderr.isatty() and not sys.stdout.isatty()

    def step(self, record: FrameRecord) -> None:
        if record["time"] is not None and record["error"] is None:
            self._frames += 1
            self._time = record["time"]
        now = time.perf_counter()
        if self._live and now - self._said >= 1:
            self._said = now
            tell(f"\r{self._line()}\x1b[K", end="")

    def end(self) -> None:
        if self._frames:
            tell(("\r" if self._live else "") + self._line() + ("\x1b[K" if self._live else ""))

    def _line(self) -> str:
        passed = max(time.perf_counter() - self._start, 1e-9)
        return (
            f"{self._path}: {self._frames} frames up to {self._time:.1f} s in {passed:.1f} s, "
            f"{self._frames / passed:.1f} frames/s"
        )


class VideoTextWriter:
    """As `TextWriter`; of a video one line a face and frame: time, number, smoothed scores."""

    def __init__(self, inner: TextWriter) -> None:
        self._inner = inner

    def write(self, record: Record | FrameRecord) -> None:
        """Write the lines of a photograph or frame."""
        seconds = record.get("time")
        if seconds is None:
            self._inner.write(cast("Record", record))
            return
        from ..inference.video_files import shown_face

        at = f"{record['path']} {seconds:.2f} s"
        error = record["error"]
        if not record["faces"]:
            self._inner.write({"path": at, "error": error, "note": None, "faces": []})
        for face in cast("FrameRecord", record)["faces"]:
            one = shown_face(face)
            one["labels"] = face["steady"]
            path = f"{at} face {face['track']}"
            self._inner.write({"path": path, "error": error, "note": None, "faces": [one]})
