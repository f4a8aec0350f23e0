"""Videos to records: one a frame looked at, faces numbered over time, scores raw and smoothed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from ..errors import DataError
from ..labels import Output
from .predictor import Predictor
from .records import Face, Record, Score
from .sources import Source
from .steady import MARGIN, SMOOTH, Steady, check_smoothing
from .tracks import MAX_GAP, Tracker
from .videofile import FPS, Frame, VideoFile, check_pace

_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
BATCH = 16  # frames that are answered together


class TrackedFace(Face):
    """A face on a frame.

    Attributes:
        track: The face's number in this video, from 1; the same over frames.
        smoothed: As `outputs`, smoothed over time; see `Steady`.
        steady: As `labels`, of the smoothed scores and with hysteresis.
    """

    track: int
    smoothed: dict[str, list[Score]]
    steady: dict[str, str]


class FrameRecord(TypedDict):
    """One frame of a video.

    Attributes:
        path: The video's name.
        frame: Its number in the file, from 0; None where the video gave no frame.
        time: Seconds from the start; None likewise.
        error: What was wrong with the frame or the video, or None. A video that cannot be read is one record
            with an error; one that breaks off ends with such a record.
        note: What is worth knowing though nothing was wrong, or None.
        faces: Empty where no face was found; the largest first.
    """

    path: str | None
    frame: int | None
    time: float | None
    error: str | None
    note: str | None
    faces: list[TrackedFace]


@dataclass(frozen=True)
class VideoSettings:
    """How a video is looked at.

    Attributes:
        every: Look at every n-th frame; None: as `fps` says.
        fps: Look at this many frames a second (at all where the video has fewer).
        smooth: Time constant of the smoothing in seconds; see `Steady`.
        margin: Lead that changes a label; see `Steady`.
        max_gap: Seconds a face may be out of sight and keep its number. Where the frames of a file that are
            looked at lie further apart, their distance counts: a face on two in a row was never out of sight.

    Raises:
        RecipeError: A value is out of range.
    """

    every: int | None = None
    fps: float = FPS
    smooth: float = SMOOTH
    margin: float = MARGIN
    max_gap: float = MAX_GAP

    def __post_init__(self) -> None:
        check_pace(self.every, self.fps)
        check_smoothing(self.smooth, self.margin)
        Tracker(self.max_gap)


class Follower:
    """Numbers the faces of one video or camera and smooths their scores, record by record.

    Args:
        outputs: The model's.
        settings: See `VideoSettings`.
        abstain: See `Steady`.
    """

    def __init__(
        self, outputs: tuple[Output, ...], settings: VideoSettings | None = None, abstain: float = 0.0
    ) -> None:
        self._outputs, self._settings, self._abstain = outputs, settings or VideoSettings(), abstain
        self._tracker = Tracker(self._settings.max_gap)
        self._steady: dict[int, Steady] = {}

    def follow(self, frame: Frame, record: Record) -> FrameRecord:
        """The record of the next frame, with numbers, smoothed scores and steady labels."""
        faces: list[TrackedFace] = []
        numbers = self._tracker.update(frame.time, [face["box"] for face in record["faces"]])
        alive = self._tracker.numbers()
        self._steady = {k: s for k, s in self._steady.items() if k in alive}
        for number, face in zip(numbers, record["faces"], strict=True):
            if number not in self._steady:
                s = self._settings
                self._steady[number] = Steady(self._outputs, s.smooth, s.margin, self._abstain)
            smoothed, labels = self._steady[number].update(frame.time, face["outputs"])
            faces.append({**face, "track": number, "smoothed": smoothed, "steady": labels})
        note = "; ".join(filter(None, (frame.note, record["note"]))) or None
        return {
            "path": record["path"], "frame": frame.index, "time": frame.time, "error": record["error"],
            "note": note, "faces": faces,
        }  # fmt: skip


def predict_video(
    predictor: Predictor,
    path: Path | str,
    settings: VideoSettings | None = None,
    *,
    batch_size: int = BATCH,
    views: str = "single",
    abstain: float = 0.0,
    workers: int | None = None,
) -> Iterator[FrameRecord]:
    """Yield one record a frame looked at, in order, while the video is still being read.

    No more is held than the pixels of a frame per worker and the faces of a batch.

    Args:
        predictor: Finds the faces and answers.
        path: A video file.
        settings: Which frames, how tracks and smoothing work.
        batch_size: Frames (or faces) that are answered together; 1 answers each before the next is read.
        views, abstain, workers: As `Predictor.predict`.

    Raises:
        RecipeError: An argument is out of range.
        RunError: The net itself fails. What is wrong with the video is said in a record.
    """
    video = predict_frames(
        predictor, path, settings, batch_size=batch_size, views=views, abstain=abstain, workers=workers
    )
    return (record for _, record in video)


def predict_frames(
    predictor: Predictor,
    path: Path | str,
    settings: VideoSettings | None = None,
    *,
    batch_size: int = BATCH,
    views: str = "single",
    abstain: float = 0.0,
    workers: int | None = None,
    pixels: bool = False,
) -> Iterator[tuple[Frame | None, FrameRecord]]:
    """As `predict_video`, each record with its frame; None where there is none.

    Args:
        pixels: Keep the frames' pixels until they are yielded, for drawing; else the images are empty. At
            most `batch_size` and one a worker are held.
    """
    predictor.check(batch_size, views, abstain, workers)
    return _frames(
        predictor, path, settings or VideoSettings(), pixels,
        batch_size=batch_size, views=views, abstain=abstain, workers=workers,
    )  # fmt: skip


def _frames(
    predictor: Predictor, path: Path | str, settings: VideoSettings, pixels: bool, **asked: Any
) -> Iterator[tuple[Frame | None, FrameRecord]]:
    try:
        video = VideoFile(path, settings.every, settings.fps)
    except (DataError, OSError) as error:
        yield None, ending(path, _why(path, error))
        return
    failed: list[str] = []

    def frames() -> Iterator[Frame]:
        try:
            yield from video.frames()
        except (DataError, OSError) as error:
            failed.append(_why(path, error))

    last: Frame | None = None
    settings = replace(settings, max_gap=max(settings.max_gap, video.step))
    follower = Follower(predictor.artifact.outputs, settings, asked["abstain"])
    try:
        for last, record in _answered(predictor, frames(), path, follower, pixels, **asked):
            yield last, record
    finally:
        video.close()
    if failed or video.broken:
        yield None, ending(path, failed[0] if failed else str(video.broken), last)


def predict_live(
    predictor: Predictor,
    frames: Iterator[Frame],
    name: str,
    settings: VideoSettings | None = None,
    *,
    views: str = "single",
    abstain: float = 0.0,
) -> Iterator[tuple[Frame, FrameRecord]]:
    """Yield each frame with its record before the next one is taken; see `duchenne.inference.camera`.

    Args:
        predictor: Finds the faces and answers.
        frames: Of a camera; every one is looked at.
        name: The `path` of the records.
        settings: How tracks and smoothing work.
        views, abstain: As `Predictor.predict`.

    Raises:
        RecipeError: An argument is out of range.
        RunError: The net itself fails, or as `frames`.
    """
    predictor.check(1, views, abstain, None)
    follower = Follower(predictor.artifact.outputs, settings, abstain)
    return _answered(predictor, frames, name, follower, True, batch_size=1, views=views, abstain=abstain)


def _answered(
    predictor: Predictor, frames: Iterator[Frame], path: Path | str, follower: Follower, pixels: bool,
    **asked: Any,
) -> Iterator[tuple[Frame, FrameRecord]]:  # fmt: skip
    waiting: deque[Frame] = deque()

    def sources() -> Iterator[Source]:
        for frame in frames:
            waiting.append(frame if pixels else replace(frame, image=_NO_PIXELS))
            yield Source(str(path), frame.image)

    for record in predictor.predict(sources(), **asked):
        frame = waiting.popleft()
        yield frame, follower.follow(frame, record)


def ending(path: Path | str, error: str, last: Frame | None = None) -> FrameRecord:
    """The record that says how a video ended, at its last frame."""
    where = (None, None) if last is None else (last.index, last.time)
    return {
        "path": str(path), "frame": where[0], "time": where[1], "error": error, "note": None, "faces": [],
    }  # fmt: skip


def _why(path: Path | str, error: DataError | OSError) -> str:
    return error.what if isinstance(error, DataError) else f"{path} cannot be read: {error.strerror or error}"
