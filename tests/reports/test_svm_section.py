"""The report of a support vector machine tells what was tried; it has no curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from duchenne.errors import RunError
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.recipe import parse_recipe
from duchenne.reports.blocks import Table, Text
from duchenne.reports.page import write_report
from duchenne.reports.svm_section import svm_section


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    table = {
        "schema": 1,
        "id": "some-svm",
        "title": "an SVM of a few synthetic faces",
        "data": {"name": "synthetic", "outputs": ["emotion"], "options": {"n": 90, "seed": 0}},
        "preprocess": {"size": [8, 8]},
        "learner": {"name": "svm", "args": {"kernel": ["linear", "rbf"], "C": [1.0, 10.0], "folds": 2}},
    }
    return train(parse_recipe(table, "test"), runs=tmp_path_factory.mktemp("runs"))


def test_all_settings_and_the_chosen_one(run: Run) -> None:
    tables = [b for b in svm_section(run, run.state).blocks if isinstance(b, Table)]
    tried = next(t for t in tables if t.caption == "Settings tried")
    assert [tuple(row[:2]) for row in tried.rows] == [
        ("linear", "1"), ("linear", "10"), ("rbf", "1"), ("rbf", "10"),
    ]  # fmt: skip
    chosen = [row for row in tried.rows if row[-1] == "chosen"]
    row = run.history()[0]
    assert [tuple(c[:2]) for c in chosen] == [(row["kernel"], f"{row['C']:g}")]
    assert chosen[0][3] == f"{100 * row['cv_accuracy']:.2f} %"


def test_the_page_has_no_curves(run: Run) -> None:
    page = write_report(run).read_text()
    assert "Settings tried" in page
    assert "Learning rate" not in page
    assert not (run.path / "report" / "curves.png").exists()


def test_before_and_after_damage(run: Run, tmp_path: Path) -> None:
    none = Run.create(tmp_path / "none", run.recipe, [])
    first = svm_section(none, none.state).blocks[0]
    assert isinstance(first, Text)
    assert "Nothing has been fitted" in first.text
    run.checkpoint("last").write_bytes(b"x")
    with pytest.raises(RunError, match="damaged"):
        svm_section(run, run.state)
