"""One record an image, and how records are written: JSON Lines or CSV with fixed columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TextIO, TypedDict

import numpy as np
import numpy.typing as npt

from ..labels import Output

# Said in a label's place where the best score is below the least one asked for.
UNSURE = "unsure"


class Score(TypedDict):
    """One label of an output.

    Attributes:
        score: Probability in [0, 1]. Over a ``single`` output's labels the scores sum to 1.
    """

    label: str
    score: float


class Face(TypedDict):
    """One face on an image.

    Attributes:
        box: x, y, width, height in pixels of the image as it is seen (EXIF orientation applied). A face crop
            is its own box: ``[0, 0, width, height]``.
        detector_score: The detector's confidence in [0, 1]; None where it has none (the cascade) or none was
            asked (a face crop).
        landmarks: Five points, x and y in pixels as `box`: left eye, right eye, nose, left and right corner
            of the mouth, left and right as seen by the viewer; None where they are not known.
        labels: Output name -> the label that is said, of ``single`` outputs: the best one, or "unsure" where
            its score is below the least one asked for.
        outputs: Output name -> its labels, best first (equal scores: in the model's order).
    """

    box: list[int]
    detector_score: float | None
    landmarks: list[list[float]] | None
    labels: dict[str, str]
    outputs: dict[str, list[Score]]


class Record(TypedDict):
    """What is said about one image.

    Attributes:
        path: As it was named; "-" for standard input; None where an array or bytes were given.
        error: What was wrong with the image, or None; `faces` is then empty.
        note: What is worth knowing though nothing was wrong (of an animation the first frame was taken), or
            None.
        faces: Empty where no face was found; the largest first.
    """

    path: str | None
    error: str | None
    note: str | None
    faces: list[Face]


class Writer(Protocol):
    """Takes records one by one, in order."""

    def write(self, record: Record) -> None: ...


class JsonLinesWriter:
    """One JSON object a line, ASCII only (file names that are no text are escaped, never lost)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, record: Record) -> None:
        """Write one line."""
        self._out.write(json.dumps(record, allow_nan=False) + "\n")


class CsvRows:
    """Rows as ``csv.writer`` writes them, but a carriage return is quoted: bare, it ends the row."""

    def __init__(self, out: TextIO) -> None:
        self._plain = csv.writer(out, lineterminator="\n")
        self._quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def writerow(self, row: Sequence[Any]) -> None:
        """Write one row."""
        bare = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (self._quoted if bare else self._plain).writerow(row)


class CsvWriter:
    """One row a face, and one row for an image without faces or with an error; see `csv_columns`.

    The header is written at once, so that no image at all still gives a table.
    """

    def __init__(self, out: TextIO, outputs: Sequence[Output]) -> None:
        self._outputs = tuple(outputs)
        self._csv = CsvRows(out)
        self._csv.writerow(csv_columns(outputs))

    def write(self, record: Record) -> None:
        """Write the image's rows."""
        for row in csv_rows(self._outputs, record):
            self._csv.writerow(row)


# What spreadsheets begin a formula with, as it stands or behind a blank that they leave out.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_path(path: str | None) -> str:
    """A path that no spreadsheet takes for a formula: ``=a.jpg`` becomes ``./=a.jpg``, which is the same."""
    text = path or ""
    return f"./{text}" if text.startswith(_FORMULA) and text != "-" else text


def csv_label(label: str) -> str:
    """A label that no spreadsheet takes for a formula: an apostrophe, which they do not show, before it."""
    return f"'{label}" if label.startswith(_FORMULA) else label


def csv_rows(outputs: Sequence[Output], record: Record) -> Iterator[list[Any]]:
    """The rows of an image: one a face, or a single one; see `csv_columns`."""
    head = [csv_path(record["path"]), csv_path(record["error"])]  # an error begins with the path
    if not record["faces"]:
        yield head + [""] * (len(csv_columns(outputs)) - len(head))
    for number, face in enumerate(record["faces"]):
        score = face["detector_score"]
        row: list[Any] = [*head, number, *face["box"], "" if score is None else score]
        for output in outputs:
            best = face["outputs"][output.name][0]
            scores = {s["label"]: s["score"] for s in face["outputs"][output.name]}
            said = face["labels"].get(output.name, best["label"])
            row += [csv_label(said), best["score"], *(scores[label] for label in output.labels)]
        yield row


def csv_columns(outputs: Sequence[Output]) -> list[str]:
    """The columns for a model: they depend on its outputs alone, never on the images.

    ``path, error, face, x, y, w, h, detector_score``, then per output ``<output>_label`` (what is said:
    "unsure" where the best score is below the least one asked for) and ``<output>_score`` (of the best
    label), and a column ``<output>.<label>`` per label, in the model's order. ``face`` counts from 0. Paths
    and labels that a spreadsheet would run as a formula are marked: `csv_path`, `csv_label`.
    """
    columns = ["path", "error", "face", "x", "y", "w", "h", "detector_score"]
    for output in outputs:
        columns += [f"{output.name}_label", f"{output.name}_score"]
        columns += [f"{output.name}.{label}" for label in output.labels]
    return columns


def said(outputs: Sequence[Output], done: Mapping[str, Sequence[Score]], abstain: float) -> dict[str, str]:
    """The label that is said of each ``single`` output: the best, or `UNSURE` where its score is below."""
    best = {o.name: done[o.name][0] for o in outputs if o.kind == "single"}
    return {name: s["label"] if s["score"] >= abstain else UNSURE for name, s in best.items()}


def scores(
    outputs: Sequence[Output], probs: Mapping[str, npt.NDArray[np.float32]], row: int
) -> dict[str, list[Score]]:
    """Label and score lists, best first, of one row of a prediction."""
    done: dict[str, list[Score]] = {}
    for output in outputs:
        p = probs[output.name][row]
        order = np.argsort(-p, kind="stable").tolist()
        # Seven digits are all that float32 holds.
        done[output.name] = [{"label": output.labels[k], "score": float(f"{p[k]:.7g}")} for k in order]
    return done
