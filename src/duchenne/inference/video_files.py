"""Records of frames as CSV, and annotated videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO, cast

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import RunError
from ..labels import Output
from .draw import draw_faces
from .records import UNSURE, CsvRows, Face, Record, csv_columns, csv_label, csv_rows
from .video import FrameRecord, TrackedFace
from .videofile import Frame, is_text, quiet_decoder

Array = npt.NDArray[Any]


def video_columns(outputs: Sequence[Output]) -> list[str]:
    """The columns of photographs (`csv_columns`) first, then those of videos.

    ``frame, time, track``, then per output ``<output>_steady`` (the label said of the smoothed scores; empty
    for outputs of several labels) and a column ``<output>.<label>.smoothed`` per label. In the rows of
    photographs they are empty.
    """
    columns = [*csv_columns(outputs), "frame", "time", "track"]
    for output in outputs:
        columns += [f"{output.name}_steady", *(f"{output.name}.{label}.smoothed" for label in output.labels)]
    return columns


class VideoCsvWriter:
    """One row a face, and one for a frame or photograph without; see `video_columns`."""

    def __init__(self, out: TextIO, outputs: Sequence[Output]) -> None:
        self._outputs = tuple(outputs)
        self._width = len(video_columns(outputs))
        self._csv = CsvRows(out)
        self._csv.writerow(video_columns(outputs))

    def write(self, record: Record | FrameRecord) -> None:
        """Write the rows of a frame or a photograph."""
        number, time = record.get("frame"), record.get("time")
        at = ["" if number is None else number, "" if time is None else time]
        faces: Sequence[Any] = record["faces"] or [None]
        for row, face in zip(csv_rows(self._outputs, cast(Record, record)), faces, strict=True):
            row += at
            if face is not None and "track" in face:
                row.append(face["track"])
                for output in self._outputs:
                    scores = {s["label"]: s["score"] for s in face["smoothed"][output.name]}
                    row += [
                        csv_label(face["steady"].get(output.name, "")),
                        *(scores[label] for label in output.labels),
                    ]
            self._csv.writerow(row + [""] * (self._width - len(row)))


def shown_face(face: TrackedFace) -> Face:
    """The face as it is shown to people: smoothed scores, the steady label first, with the face's number."""
    labels, outputs = {}, {}
    for name, scores in face["smoothed"].items():
        label = face["steady"].get(name)
        steady = [s for s in scores if s["label"] == label]
        outputs[name] = steady + [s for s in scores if s["label"] != label]
        if label is not None:
            labels[name] = label if label == UNSURE else f"{face['track']}: {label}"
    return {
        "box": face["box"], "detector_score": face["detector_score"], "landmarks": face["landmarks"],
        "labels": labels, "outputs": outputs,
    }  # fmt: skip


class DrawnVideo:
    """Writes the frames that were looked at, with boxes and steady labels, as an MP4 (MPEG-4 part 2).

    Args:
        path: Must not exist yet.
        outputs: The model's.
    """

    def __init__(self, path: Path, outputs: Sequence[Output]) -> None:
        self._path, self._outputs = path, outputs
        self._first: tuple[float, Array] | None = None
        self._file: Any = None
        self._size = (0, 0)
        self._written = 0

    def write(self, frame: Frame, record: FrameRecord) -> None:
        """Draw one frame; those of another size are brought to the first one's.

        Raises:
            RunError: The file cannot be written.
        """
        drawn = draw_faces(frame.image, [shown_face(face) for face in record["faces"]], self._outputs)
        if self._file is None:
            if self._first is None:  # its rate is known when the second frame comes
                self._first = (frame.time, drawn)
                return
            self._open(1 / max(frame.time - self._first[0], 1e-3))
        self._put(drawn)

    def close(self) -> None:
        """Finish the file.

        Raises:
            RunError: Not all of it could be written; what there was is removed.
        """
        if self._file is None and self._first is not None:
            self._open(1.0)
        if self._file is None:
            return
        self._file.release()
        if self._written > _frames_of(self._path):  # OpenCV itself says nothing of a full disk
            self._path.unlink(missing_ok=True)
            raise RunError(f"{self._path} cannot be written: its frames did not arrive", "free some space")

    def _open(self, rate: float) -> None:
        assert self._first is not None
        height, width = self._first[1].shape[:2]
        self._size = max(2, width // 2 * 2), max(2, height // 2 * 2)  # its colours have half the resolution
        code = cv2.VideoWriter.fourcc(*"mp4v")
        if not self._path.exists() and is_text(str(self._path)):
            with quiet_decoder():
                file = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, code, min(rate, 1000.0), self._size)
            self._file = file
        if self._file is None or not self._file.isOpened():
            raise RunError(f"{self._path} cannot be written as a video", "name another folder with --draw")
        self._put(self._first[1])

    def _put(self, image: Array) -> None:
        if image.shape[1::-1] != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA))
        with quiet_decoder():
            self._file.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._written += 1


def _frames_of(path: Path) -> float:
    """Number of frames of an MP4 file by its index; 0 where there is none."""
    with quiet_decoder():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        frames = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
    return frames
