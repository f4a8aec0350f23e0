"""Figures hold the numbers they were given, and nothing overlaps or fails on odd input."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from duchenne.reports import figures, style
from duchenne.reports.grids import MOST_MISTAKES, Mistake, confusion_matrix, mistakes_sheet

EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def texts(axes: Any) -> list[str]:
    return [t.get_text() for t in axes.texts]


def history(epochs: int, **extra: float | None) -> list[dict[str, Any]]:
    return [
        {
            "epoch": e, "lr": 0.001 * 0.9**e, "seconds": 2.0, "train_loss": 2 / e, "val_loss": 1 + 1 / e,
            "train_emotion_accuracy": 1 - 1 / (e + 1), "val_emotion_accuracy": 0.6, **extra,
        }
        for e in range(1, epochs + 1)
    ]  # fmt: skip


def test_curves_hold_the_history_and_mark_the_best_epoch() -> None:
    rows = history(6, train_au_binary_accuracy=0.8, val_au_binary_accuracy=0.7)
    figure = figures.training_curves(rows, best_epoch=4)
    panels = {a.get_title(): a for a in figure.axes if a.get_visible()}
    assert list(panels) == ["Loss", "Emotion accuracy", "AU binary accuracy", "Learning rate"]
    lines = {line.get_label(): line for line in panels["Loss"].lines}
    assert lines["training"].get_ydata() == pytest.approx([r["train_loss"] for r in rows])
    assert lines["validation"].get_ydata() == pytest.approx([r["val_loss"] for r in rows])
    assert list(lines["best epoch (4)"].get_xdata()) == [4, 4]
    assert panels["Learning rate"].lines[0].get_ydata() == pytest.approx([r["lr"] for r in rows])
    assert all(a.get_xlabel() == "epoch" and a.get_ylabel() for a in panels.values())


def test_curves_leave_out_what_was_not_measured() -> None:
    rows = [r | {"val_loss": None, "val_emotion_accuracy": None} for r in history(3)]
    loss = figures.training_curves(rows).axes[0]
    assert [line.get_label() for line in loss.lines] == ["training"]


@pytest.mark.parametrize(("decay", "scale"), [(0.99, "linear"), (0.1, "log")])
def test_rate_axis_is_logarithmic_only_for_a_wide_range(decay: float, scale: str) -> None:
    rows = [r | {"lr": decay ** r["epoch"]} for r in history(5)]
    panel = next(a for a in figures.training_curves(rows).axes if a.get_title() == "Learning rate")
    assert panel.get_yscale() == scale
    assert panel.get_ylim()[1] > max(r["lr"] for r in rows)


def test_rate_axis_of_a_cosine_stays_straight() -> None:
    rows = [r | {"lr": max(1e-8, math.cos(r["epoch"] / 12 * math.pi / 2))} for r in history(12)]
    panel = next(a for a in figures.training_curves(rows).axes if a.get_title() == "Learning rate")
    assert panel.get_yscale() == "linear"


def test_confusion_text_equals_counts_and_rates() -> None:
    counts = np.arange(49).reshape(7, 7)
    counts[1] = 0
    left, right = confusion_matrix(counts, EMOTIONS).axes
    assert texts(left) == [str(v) for v in counts.ravel()]
    for i, row in enumerate(counts):
        shown = texts(right)[7 * i : 7 * i + 7]
        assert shown == (["n/a"] * 7 if row.sum() == 0 else [f"{100 * v / row.sum():.0f}" for v in row])
    for axes in (left, right):
        assert [t.get_text() for t in axes.get_yticklabels()] == EMOTIONS
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


@pytest.mark.parametrize("k", [2, 7, 8, 12, 60])
def test_confusion_labels_never_overlap(k: int) -> None:
    names = [f"class {i}" for i in range(k)]
    figure = confusion_matrix(np.eye(k, dtype=int) * 1234, names)
    style.png(figure)
    for axes in figure.axes[:2]:
        boxes = [t.get_window_extent() for t in axes.get_yticklabels()]
        assert all(a.y0 >= b.y1 - 1 for a, b in pairwise(boxes))
        if axes.texts:
            cell = axes.transData.transform([[0, 0], [1, 0]])
            width = cell[1, 0] - cell[0, 0]
            assert max(t.get_window_extent().width for t in axes.texts) < width


def test_distribution_shows_shares_within_the_split_and_counts() -> None:
    counts = {"train": {"happy": 30, "sad": 10}, "test": {"happy": 1, "sad": 3}}
    axes = figures.class_distribution(counts).axes[0]
    widths = [[p.get_width() for p in bars] for bars in axes.containers]
    assert widths == [[75, 25], [25, 75]]
    assert texts(axes) == ["30", "10", "1", "3"]
    labels = [t.get_text() for t in axes.get_legend().get_texts()]
    assert labels == ["train (40 faces)", "test (4 faces)"]


def test_reliability_bars_gap_counts_and_title() -> None:
    nan = float("nan")
    figure = figures.reliability([0, 0.5, 0.75, 1], [nan, 0.6, 0.9], [nan, 0.5, 1.0], [0, 4, 10], 0.085)
    top, bottom = figure.axes
    right, gap = top.containers
    assert [p.get_height() for p in right] == pytest.approx([0.5, 1.0])
    assert [p.get_height() for p in gap] == pytest.approx([0.1, -0.1])
    assert [p.get_x() for p in right] == pytest.approx([0.5, 0.75])
    assert texts(bottom) == ["", "4", "10"]
    assert "0.085" in top.get_title()


def test_class_f1_writes_na_where_undefined() -> None:
    axes = figures.class_f1(["happy", "sad", "fear"], [0.86, None, math.nan], [879, 0, 3]).axes[0]
    assert texts(axes) == ["0.86", "n/a", "n/a"]
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "happy  (n = 879)",
        "sad  (n = 0)",
        "fear  (n = 3)",
    ]


def test_label_bars_mark_baselines_and_absent_labels() -> None:
    axes = figures.label_bars(["AU1", "AU27"], [0.4, None], [0.57, None], [30, 0]).axes[0]
    assert texts(axes) == ["0.40", "n/a"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.57, 0.57]]
    assert axes.get_yticklabels()[1].get_text() == "AU27  (absent)"


def test_sheet_shows_at_most_the_first_24_in_order() -> None:
    image = np.full((4, 4), 9, np.uint8)
    many = [Mistake(str(i), "sad", "happy", 1 - i / 100, image) for i in range(30)]
    drawn = [a for a in mistakes_sheet(many).axes if a.images]
    assert len(drawn) == MOST_MISTAKES
    assert drawn[3].get_title() == "true: sad\ngiven: happy\n97 %"
    assert np.array_equal(drawn[0].images[0].get_array(), image)


def test_sheet_of_colour_grey_missing_and_no_faces() -> None:
    mixed = [
        Mistake("a", "sad", "a very long label indeed", 0.9, np.zeros((5, 5, 3), np.uint8)),
        Mistake("b", "sad", "happy", 0.8),
    ]
    figure = mistakes_sheet(mixed)
    assert texts(figure.axes[1]) == ["no image"]
    assert "…" in figure.axes[0].get_title()
    assert style.png(mistakes_sheet([])).startswith(b"\x89PNG")


def test_labels_are_drawn_as_they_are() -> None:
    odd = ["$x_{$", "<script>", "快乐"]

    def drawn() -> list[bytes]:
        return [
            style.png(figure)
            for figure in (
                confusion_matrix(np.eye(3, dtype=int), odd),
                figures.class_f1(odd, [1, 1, 1], [1, 1, 1]),
                figures.label_bars(odd, [1, 1, 1], [1, 1, 1], [1, 1, 1]),
                figures.class_distribution({"train": dict.fromkeys(odd, 1)}),
                mistakes_sheet([Mistake("x", odd[0], odd[2], 1.0)]),
            )
        ]

    assert drawn() == drawn()
