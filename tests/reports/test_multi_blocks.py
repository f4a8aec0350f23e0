"""Blocks about several labels a face: thresholds, absent and untaught labels, pairs, classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from duchenne.evaluation import Predictions, evaluate_predictions
from duchenne.experiment.run import Run
from duchenne.reports.blocks import Block, Picture, Table, Text
from duchenne.reports.grids import cooccurrence
from duchenne.reports.measured import evaluations
from duchenne.reports.multi_blocks import multi_blocks, pairs_in_words

MakeRun = Callable[..., Run]


def blocks(run: Run) -> list[Block]:
    """The blocks of the output `au` on the test part."""
    test = evaluations(run)[0]
    output = test.output("au")
    assert output is not None
    return multi_blocks(run, test, output)


def table(found: list[Block], caption: str) -> Table:
    return next(b for b in found if isinstance(b, Table) and b.caption.startswith(caption))


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    return make_run(epochs=3)


def test_without_validations_thresholds_it_says_how_to_get_them(run: Run) -> None:
    (text,) = [b.text for b in blocks(run) if isinstance(b, Text)]
    assert "No threshold a label" in text
    assert "--split val" in text


def test_labels_and_averages(run: Run) -> None:
    entry = run.metrics()["test"]["outputs"]["au"]
    shown = table(blocks(run), "Per label, yes at a probability of 0.5")
    assert [r[0] for r in shown.rows] == [
        "AU1", "AU4", "AU6", "AU12", "AU25", "AU27 (absent)", "macro average", "weighted average",
    ]  # fmt: skip
    assert all(len(r) == len(shown.head) for r in shown.rows)
    first = dict(zip(shown.head, shown.rows[0], strict=True))
    low, high = entry["per_class"][0]["f1_interval"]
    f1 = entry["per_class"][0]["f1"]
    assert first["F1"] == f"{100 * f1:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    macro = dict(zip(shown.head, shown.rows[-2], strict=True))
    assert macro["average precision"] == f"{100 * entry['map']:.1f} %"
    assert macro["by chance"] == f"{100 * entry['chance_map']:.1f} %"
    notes = " ".join(shown.notes)
    assert "Absent from this part, and not in the averages: AU27." in notes
    # The fixture's training part has no face with AU27.
    assert "No face of the training part has AU27" in notes


@pytest.mark.parametrize("here", [True, False])
def test_thresholds_say_where_they_are_from(
    run: Run, make_predictions: Callable[..., Predictions], here: bool
) -> None:
    chosen: Any = "choose" if here else {"au": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    metrics = evaluate_predictions(make_predictions(), bootstrap=10, thresholds=chosen)
    run.save_metrics("test", metrics)
    shown = table(blocks(run), "Per label, at thresholds")
    assert ("flatter" in shown.notes[0], "never on these faces" in shown.notes[0]) == (here, not here)
    if not here:
        assert [r[1] for r in shown.rows] == ["0.100", "0.200", "0.300", "0.400", "0.500", "0.600", ""]
    at = metrics["outputs"]["au"]["at_thresholds"]
    assert shown.rows[0][4] == f"{100 * at['per_class'][0]['f1']:.1f} %"
    entry = metrics["outputs"]["au"]
    assert all(len(r) == len(shown.head) for r in shown.rows)
    for row, own in zip(shown.rows, [*entry["per_class"], entry], strict=True):
        cells = dict(zip(shown.head, row, strict=True))
        yes = own.get("always_yes_f1", own.get("always_yes_macro_f1"))
        no = own.get("always_no_accuracy", own.get("always_no_binary_accuracy"))
        assert cells["F1 of yes always"] == f"{100 * yes:.1f} %"
        assert cells["accuracy of no always"] == f"{100 * no:.1f} %"


def test_an_output_that_training_has_no_positive_of(run: Run) -> None:
    data = run.info("data")
    data["outputs"]["au"]["train"] = dict.fromkeys(data["outputs"]["au"]["labels"], 0)
    run.save_info("data", data)
    first = blocks(run)[0]
    assert isinstance(first, Text)
    assert first.tone == "warning"
    assert "No face of the training part has any label" in first.text


def test_pairs_and_classes(run: Run) -> None:
    entry = run.metrics()["test"]["outputs"]["au"]
    found = blocks(run)
    pairs = table(found, "Labels that come together")
    true, said = entry["cooccurrence"]["true"], entry["cooccurrence"]["predicted"]
    assert pairs.rows[1][:3] == ["AU4", f"{true[1][0]} / {said[1][0]}", f"{true[1][1]} / {said[1][1]}"]
    assert any(isinstance(b, Picture) and b.name == "pairs-test-au" for b in found)
    by = table(found, "By true emotion")
    assert [r[1] for r in by.rows] == [f"{r['n']:,}" for r in entry["by_class"]["rows"]]
    assert by.rows[0][2:] == ["n/a"] * 4  # no face of the first class
    shares = [r["always_yes_macro_f1"] for r in entry["by_class"]["rows"]]
    assert by.head[-1] == "of answering yes"
    assert [r[-1] for r in by.rows] == ["n/a" if s is None else f"{100 * s:.1f} %" for s in shares]
    cells = table(found, "F1 of each label by true emotion, then that of yes always").rows[0][1:]
    yes = [r["per_class"][0]["always_yes_f1"] for r in entry["by_class"]["rows"]]
    assert [c.split(", ")[1].split(" ")[0] for c in cells] == [
        "n/a" if y is None else f"{y:.2f}" for y in yes
    ]
    form = table(found, "In the form of chan2023")
    assert form.folded
    assert "Always answering " in form.notes[0]
    assert form.rows[-3][3] == f"{100 * entry['argmax_form']['accuracy']:.1f} %"


def test_metrics_of_before_are_still_shown(run: Run) -> None:
    metrics = run.metrics()["test"]
    entry = metrics["outputs"]["au"]
    for key in ("cooccurrence", "by_class", "argmax_form", "chance_map"):
        del entry[key]
    for row in entry["per_class"]:
        del row["f1_interval"], row["chance_average_precision"]
    run.save_metrics("test", metrics)
    assert [type(b) for b in blocks(run)] == [Picture, Table, Text]


def test_pairs_in_words() -> None:
    true, said = [[5, 2, 0], [2, 4, 1], [0, 1, 3]], [[5, 2, 3], [2, 4, 0], [3, 0, 3]]
    assert pairs_in_words(true, said, "ABC", most=1) == (
        "Labels that come together. Furthest apart: A with C: 0 faces, answered on 3."
    )
    assert "as often as they occur" in pairs_in_words(true, true, "ABC")


@pytest.mark.parametrize("k", [2, 9, 17])
def test_picture_of_pairs(k: int) -> None:
    counts = np.minimum.outer(np.arange(k), np.arange(k))  # the first label occurs nowhere
    figure = cooccurrence(counts, counts.T * 2, [f"AU{i}" for i in range(k)])
    first, second = figure.axes[:2]
    assert (first.get_title(), second.get_title()) == ("As it is (%)", "As answered (%)")
    rates = np.ma.filled(np.ma.masked_invalid(first.images[0].get_array()), np.nan)
    assert np.isnan(rates[0]).all()
    assert rates[k - 1, 1] == pytest.approx(100 / (k - 1))
    assert len(first.texts) == (k * k if k <= 16 else 0)
