"""Records as JSON Lines and CSV: read back by the standard library and pandas."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from duchenne.inference import CsvWriter, JsonLinesWriter, csv_columns
from duchenne.inference.records import Record, said, scores
from duchenne.labels import Output

OUTPUTS = (Output("emotion", "single", ("happy", "sad")), Output("au", "multi", ("AU6", "AU12")))
COLUMNS = [
    "path", "error", "face", "x", "y", "w", "h", "detector_score",
    "emotion_label", "emotion_score", "emotion.happy", "emotion.sad",
    "au_label", "au_score", "au.AU6", "au.AU12",
]  # fmt: skip


def face(score: float | None = None, abstain: float = 0.0) -> Any:
    probs = {
        "emotion": np.array([[0.25, 0.75]], np.float32),
        "au": np.array([[0.125, 0.0625]], np.float32),
    }
    outputs = scores(OUTPUTS, probs, 0)
    return {
        "box": [1, 2, 3, 4], "detector_score": score, "landmarks": None,
        "labels": said(OUTPUTS, outputs, abstain), "outputs": outputs,
    }  # fmt: skip


def test_csv_rows() -> None:
    out = io.StringIO()
    writer = CsvWriter(out, OUTPUTS)
    writer.write({"path": "a.png", "error": None, "note": None, "faces": [face(), face(0.5)]})
    writer.write({"path": "b.png", "error": 'not an "image",\nat all', "note": None, "faces": []})
    writer.write({"path": None, "error": None, "note": None, "faces": []})
    rows = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    numbers = ["sad", "0.75", "0.25", "0.75", "AU6", "0.125", "0.125", "0.0625"]
    assert rows == [
        COLUMNS,
        ["a.png", "", "0", "1", "2", "3", "4", "", *numbers],
        ["a.png", "", "1", "1", "2", "3", "4", "0.5", *numbers],
        ["b.png", 'not an "image",\nat all', *[""] * 14],
        [""] * 16,
    ]


def test_csv_columns_depend_on_the_model_alone() -> None:
    assert csv_columns(OUTPUTS) == COLUMNS
    out = io.StringIO()
    CsvWriter(out, OUTPUTS)
    assert out.getvalue() == ",".join(COLUMNS) + "\n"


@given(st.lists(st.text(), max_size=4), st.text())
def test_json_lines_keep_any_text(paths: list[str], error: str) -> None:
    out = io.StringIO()
    writer = JsonLinesWriter(out)
    records: list[Record] = [
        {"path": p, "error": error, "note": None, "faces": [face()]} for p in [*paths, "\udcff.png"]
    ]
    for record in records:
        writer.write(record)
    lines = out.getvalue().encode("ascii").splitlines()
    assert [json.loads(line) for line in lines] == records


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2))
def test_scores_are_best_first_and_exact(p: list[float]) -> None:
    probs = {"emotion": np.array([[9, 9], p], np.float32), "au": np.array([[9, 9], p], np.float32)}
    for output in OUTPUTS:
        got = scores(OUTPUTS, probs, 1)[output.name]
        first, second = output.labels if p[0] >= p[1] else output.labels[::-1]
        assert [s["label"] for s in got] == [first, second]
        np.testing.assert_allclose([s["score"] for s in got], sorted(p, reverse=True), rtol=1e-6)


def test_unsure_is_said_of_single_outputs_alone_and_the_scores_stay() -> None:
    sure, unsure = face(abstain=0.75), face(abstain=0.7501)
    assert sure["labels"] == {"emotion": "sad"}
    assert unsure["labels"] == {"emotion": "unsure"}
    assert unsure["outputs"] == sure["outputs"]
    out = io.StringIO()
    CsvWriter(out, OUTPUTS).write({"path": "a", "error": None, "note": None, "faces": [unsure]})
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert (row["emotion_label"], row["emotion_score"], row["emotion.sad"]) == ("unsure", "0.75", "0.75")
    assert row["au_label"] == "AU6"


def test_csv_holds_no_formula() -> None:
    """A spreadsheet runs what begins so; a path keeps its meaning."""
    output = Output("emotion", "single", ("=cmd|' /C calc'!A1", "sad"))
    out = io.StringIO()
    writer = CsvWriter(out, [output])
    for path in ("=1+1.jpg", "+1.jpg", "-1.jpg", "@SUM(1).jpg", "\tx.jpg", "\rx.jpg"):
        writer.write({"path": path, "error": f"{path} is empty", "note": None, "faces": []})
    one = scores([output], {"emotion": np.array([[0.75, 0.25]], np.float32)}, 0)
    one_face: Any = {
        "box": [1, 2, 3, 4], "detector_score": None, "landmarks": None,
        "labels": said([output], one, 0.0), "outputs": one,
    }  # fmt: skip
    writer.write({"path": "-", "error": None, "note": None, "faces": [one_face]})
    writer.write({"path": "a=b.jpg", "error": None, "note": None, "faces": []})
    rows = list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1:]
    assert not [cell for row in rows for cell in row if cell != "-" and cell.startswith(tuple("=+-@\t\r\n"))]
    assert rows[0][:2] == ["./=1+1.jpg", "./=1+1.jpg is empty"]
    assert rows[6][0] == "-"
    assert rows[6][8] == "'=cmd|' /C calc'!A1"
    assert rows[7][0] == "a=b.jpg"
