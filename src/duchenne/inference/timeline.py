"""What each face of a video showed and when: a table row by row, and a picture of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from ..labels import Output
from .records import UNSURE, CsvRows, csv_label, csv_path
from .video import FrameRecord

# At most so many points of time a face are kept for the picture: beyond, two neighbours become one.
_POINTS = 2048


def timeline_columns(outputs: Sequence[Output]) -> list[str]:
    """``path, time, track``, then per output ``<output>_label`` and a column ``<output>.<label>`` per label.

    The label is the steady one (empty for outputs of several labels), the scores are the smoothed ones.
    """
    columns = ["path", "time", "track"]
    for output in outputs:
        columns += [f"{output.name}_label", *(f"{output.name}.{label}" for label in output.labels)]
    return columns


class TimelineCsv:
    """Writes one row a face and frame, as they come; the header at once. See `timeline_columns`."""

    def __init__(self, out: TextIO, outputs: Sequence[Output]) -> None:
        self._outputs = tuple(outputs)
        self._csv = CsvRows(out)
        self._csv.writerow(timeline_columns(outputs))

    def write(self, record: FrameRecord) -> None:
        """Write the frame's rows; none where there is no face."""
        for face in record["faces"]:
            row: list[Any] = [csv_path(record["path"]), record["time"], face["track"]]
            for output in self._outputs:
                scores = {s["label"]: s["score"] for s in face["smoothed"][output.name]}
                row += [
                    csv_label(face["steady"].get(output.name, "")),
                    *(scores[label] for label in output.labels),
                ]
            self._csv.writerow(row)


class Timeline:
    """Collects a video's records for the picture; a fixed number of points a face at most.

    Args:
        outputs: The model's; the first ``single`` one is shown, or the first where there is none.

    Attributes:
        output: The one that is shown.
        step: Seconds that one point of time stands for.
        end: Time of the last frame.
        lanes: Track -> point of time -> steady label, its smoothed score.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        self.output = next((o for o in outputs if o.kind == "single"), outputs[0])
        self.step = 0.0
        self.end = 0.0
        self.lanes: dict[int, dict[int, tuple[str, float]]] = {}
        self._last: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no frame could be read."""
        return self._last is None

    def write(self, record: FrameRecord) -> None:
        """Take one frame."""
        time = record["time"]
        if time is None:
            return
        if self._last is not None and time > self._last and self.step == 0:
            self.step = time - self._last
        self._last = time
        self.end = max(self.end, time)
        while self.step > 0 and self.end / self.step > _POINTS:
            self._halve()
        for face in record["faces"]:
            best = face["smoothed"][self.output.name]
            label = face["steady"].get(self.output.name, best[0]["label"])
            score = next((s["score"] for s in best if s["label"] == label), best[0]["score"])
            point = int(time / self.step + 1e-6) if self.step else 0
            self.lanes.setdefault(face["track"], {})[point] = (label, score)

    def _halve(self) -> None:
        self.step *= 2
        for track, lane in self.lanes.items():
            self.lanes[track] = {point // 2: seen for point, seen in sorted(lane.items())}

    def labels(self) -> list[str]:
        """Labels that were said, in the model's order, "unsure" last."""
        said = {label for lane in self.lanes.values() for label, _ in lane.values()}
        return [x for x in (*self.output.labels, UNSURE) if x in said]
