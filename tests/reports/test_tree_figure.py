"""Trees drawn: where a split looks, what stands below it, and the report page of a run of trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from duchenne.cli.progress import epoch_line
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.learners.tree import Tree, smoothed_logit, stump
from duchenne.learners.tree_learner import TreeLearner
from duchenne.recipe import Recipe, parse_recipe
from duchenne.recipe.sections import PreprocessSection
from duchenne.reports.page import write_report
from duchenne.reports.tree_figure import looks_at, share, tree_figure, where
from duchenne.transforms import Preprocess


def recipe(**learner: object) -> Recipe:
    table = {
        "schema": 1,
        "id": "some-trees",
        "title": "trees of a few synthetic faces",
        "data": {"name": "synthetic", "outputs": ["emotion"], "options": {"n": 90, "seed": 0}},
        "preprocess": {"size": [8, 8]},
        "learner": {"name": "trees", "args": {"max_depth": 3}} | learner,
    }
    return parse_recipe(table, "test")


def by_hand() -> Tree:
    """Three splits of four leaves; the root looks at row 1, column 2 of a 3x4 face, the others at corners."""
    left = np.array([1, 2, -1, -1, 5, -1, -1], np.int32)
    right = np.array([4, 3, -1, -1, 6, -1, -1], np.int32)
    feature = np.array([6, 0, -1, -1, 11, -1, -1], np.int32)
    samples = np.array([8, 4, 2, 2, 4, 3, 1], np.int32)
    threshold = np.array([0.25, 0.5, 0, 0, 0.75, 0, 0], np.float32)
    return Tree(left, right, feature, threshold, smoothed_logit(samples / 2, samples), samples)


def test_where_a_split_looks() -> None:
    tree, grey, rgb = by_hand(), Preprocess(size=(3, 4)), Preprocess(size=(2, 3), channels=3)
    assert [where(tree, node, grey) for node in (0, 1, 4)] == [(1, 2, ""), (0, 0, ""), (2, 3, "")]
    # Planes in order: 6 is the first pixel of the second plane.
    assert [where(tree, node, rgb) for node in (0, 1, 4)] == [(0, 0, "green"), (0, 0, "red"), (1, 2, "green")]
    assert share(tree, 0) == pytest.approx(0.5)


def test_splits_of_features_are_no_pixels() -> None:
    features = [{"name": "phog", "bins": 1, "levels": 1}, {"name": "lpq", "window": 3, "grid": [1, 1]}]
    preprocess = Preprocess(size=(8, 8), features=features)  # type: ignore[arg-type]  # as a recipe has them
    tree = by_hand()
    tree.threshold[0] = 0.000123
    # PHOG gives 5 numbers: the root's 6 is the second one of LPQ
    assert [looks_at(tree, node, preprocess) for node in (0, 1)] == ["number 1 of lpq", "number 0 of phog"]
    figure = tree_figure(tree, "happy", preprocess)
    assert {"lpq\n1", "phog\n0", "lpq\n6", "≤ 0.00012"} <= {t.get_text() for t in figure.axes[0].texts}
    marks = [
        p
        for p in figure.axes[0].patches
        if p.get_facecolor()[:3] == pytest.approx((0, 0x72 / 255, 0xB2 / 255))
    ]
    assert not marks
    assert looks_at(tree, 0, Preprocess(size=(3, 4))) == "row 1, column 2 of 3x4"


def test_the_page_of_trees_on_features(tmp_path: Path) -> None:
    section = PreprocessSection(size=(8, 8), features=({"name": "phog", "bins": 4, "levels": 1},))
    run = train(recipe().model_copy(update={"preprocess": section}), runs=tmp_path)
    page = write_report(run).read_text()
    assert "of phog." in page
    assert "number of the face&#39;s features" in page
    assert "the mark is the pixel" not in page


def test_the_figure_says_what_the_tree_does() -> None:
    figure = tree_figure(by_hand(), "happy", Preprocess(size=(3, 4)))
    axes = figure.axes[0]
    words = [t.get_text() for t in axes.texts]
    assert axes.get_title() == "Is it happy?"
    assert {"≤ 0.25", "> 0.25", "≤ 0.50", "> 0.75", "50 % of 8", "50 % of 3\nleaf"} <= set(words)
    one = [t.get_text() for t in tree_figure(by_hand(), "$x$", Preprocess(size=(3, 4)), 1).axes[0].texts]
    assert "50 % of 4\nsplits go on" in one
    assert not any("0.50" in word for word in one)
    marks = [p for p in axes.patches if p.get_facecolor()[:3] == pytest.approx((0, 0x72 / 255, 0xB2 / 255))]
    squares = [p for p in axes.patches if p.get_width() == pytest.approx(p.get_height()) and p not in marks]
    for mark in marks:  # each in its square
        assert any(s.get_bbox().x0 <= mark.get_x() and s.get_bbox().y0 <= mark.get_y() for s in squares)
    assert (len(marks), len(squares)) == (3, 3)
    tree_figure(stump(1, 4, 4), "never", Preprocess(size=(3, 4)))  # a leaf alone is drawn too


def test_report_of_a_run_of_trees(tmp_path: Path) -> None:
    run = train(recipe(), runs=tmp_path)
    state = run.state
    assert (state.status, state.epochs_done, state.epochs_planned) == ("finished", 7, 7)
    assert state.num_parameters == TreeLearner.load(run.checkpoint("best")).num_parameters_
    page = write_report(run, images=False).read_text(encoding="utf-8")
    assert "7 of 7 decision trees" in page
    assert "First splits: emotion" in page
    labels = TreeLearner.load(run.checkpoint("best")).outputs_[0].labels
    for k, label in enumerate(labels):
        assert f"Tree of {label}: its first 3 levels." in page
        assert (run.path / "report" / f"tree-emotion-{k}.png").read_bytes()[:4] == b"\x89PNG"
    row = run.history()[0]
    assert f"<td>{row['leaves']}</td>" in page.replace(' class="number"', "")
    line = epoch_line(row, 7)
    assert line.startswith("epoch 1/7")
    assert "lr" not in line


def test_report_of_a_run_without_trees_yet(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "empty", recipe(), [])
    assert "No tree has been built yet." in write_report(run, images=False).read_text(encoding="utf-8")
