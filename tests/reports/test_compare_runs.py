"""Runs side by side: the tests are those of evaluation, on the faces in common, of one data set only."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from duchenne.errors import RunError
from duchenne.evaluation import Predictions, evaluate_predictions, mcnemar
from duchenne.reports import compare_runs, compare_text


def test_pairs_are_run_minus_first(make_run: Any) -> None:
    first, other = make_run("first", skill=3.0), make_run("other", skill=1.0, seed=1)
    found = compare_runs([first, other], bootstrap=50)
    json.dumps(found, allow_nan=False)
    a, b = (Predictions.load(r.predictions_path("test")) for r in (first, other))
    right_a, right_b = (p.probs["emotion"].argmax(1) == p.targets["emotion"] for p in (a, b))
    pair = found["pairs"][0]
    assert (pair["run"], pair["against"], pair["output"], pair["n"]) == ("other", "first", "emotion", 300)
    expected = right_b.mean() - right_a.mean()
    assert pair["figures"]["accuracy"]["difference"] == pytest.approx(expected)
    assert expected < 0
    assert pair["mcnemar"]["only_a"] == int((right_b & ~right_a).sum())
    assert pair["mcnemar"]["p_value"] == pytest.approx(mcnemar(right_b, right_a).p_value)
    assert [p["output"] for p in found["pairs"]] == ["emotion", "au"]


def test_table_and_differing_fields(make_run: Any) -> None:
    runs = [make_run("a"), make_run("b", overrides=("train.batch_size=64",)), make_run("c", seed=2)]
    found = compare_runs(runs, bootstrap=20)
    assert found["differing"] == {"train.batch_size": [128, 64, 128], "train.seed": [0, 0, 2]}
    assert [r["name"] for r in found["runs"]] == ["a", "b", "c"]
    row = found["runs"][2]
    measured = runs[2].metrics()["test"]["outputs"]["emotion"]
    assert row["outputs"]["emotion"]["accuracy"]["value"] == measured["accuracy"]
    assert list(row["outputs"]["emotion"]["accuracy"]["interval"]) == measured["intervals"]["accuracy"]
    assert (row["num_parameters"], row["epochs_done"]) == (1_234_567, 50)
    text = compare_text(found)
    assert "train.batch_size  128  64  128" in text
    assert "b minus a, output emotion: 300 faces in common" in text
    assert "1,234,567" in text
    assert f"{100 * measured['accuracy']:.2f} %" in text


def test_only_common_faces_are_tested_and_counted(make_run: Any) -> None:
    first, other = make_run("first"), make_run("other", skill=2.0, seed=1)
    part = Predictions.load(other.predictions_path("test")).select(np.arange(200))
    part.save(other.predictions_path("test"))
    other.save_metrics("test", evaluate_predictions(part, bootstrap=0))
    found = compare_runs([first, other], bootstrap=20)
    assert found["pairs"][0]["n"] == 200
    assert "share 200 faces; 100 that only one of them was tested on" in compare_text(found)


def test_what_cannot_be_compared_is_refused(make_run: Any, make_table: Any) -> None:
    first = make_run("first")
    with pytest.raises(RunError, match="at least two"):
        compare_runs([first])
    with pytest.raises(RunError, match="no 'test' predictions"):
        compare_runs([first, make_run("unread", evaluated=("val",))])
    other = make_run("elsewhere", seed=1)
    other.save_info("data", other.info("data") | {"name": "sfew"})
    with pytest.raises(RunError, match="different data: synthetic, sfew"):
        compare_runs([first, other])


def test_other_faces_and_other_truth_are_refused(make_run: Any) -> None:
    first, other = make_run("first", au=False), make_run("other", au=False, seed=1)
    p = Predictions.load(other.predictions_path("test"))
    strangers = Predictions(np.char.add("x", p.ids), p.outputs, p.probs, p.targets)
    strangers.save(other.predictions_path("test"))
    with pytest.raises(RunError, match="no sample in common"):
        compare_runs([first, other])
    moved = Predictions(p.ids, p.outputs, p.probs, {"emotion": np.roll(p.targets["emotion"], 1)})
    moved.save(other.predictions_path("test"))
    with pytest.raises(RunError, match="different true labels"):
        compare_runs([first, other])


def test_differing_fingerprints_are_said(make_run: Any) -> None:
    runs = [make_run("a"), make_run("b", seed=1, data_fingerprint="f" * 16)]
    assert "fingerprints differ" in compare_runs(runs, bootstrap=10)["notes"][0]
