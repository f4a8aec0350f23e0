"""Figures of a run, from plain numbers: curves, class distribution, reliability, bars per class or label."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .style import BLUE, GREEN, GREY, INK, PALE, RED, SPLIT_COLOURS, literal, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The rate axis turns logarithmic where the highest rate is this many times the middle one: a straight axis
# would show most rates as zero. (A cosine's last rate is near 0 too, but its middle one is not.)
_LOG_RATIO = 20.0


def accuracy_names(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names such as ``"emotion_accuracy"``: what of ``train_*`` / ``val_*`` in a history is an accuracy."""
    names: dict[str, None] = {}
    for row in history:
        for key in row:
            split, _, rest = key.partition("_")
            if split in ("train", "val") and rest.endswith("accuracy"):
                names[rest] = None
    return list(names)


def training_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None = None) -> Figure:
    """Loss, one accuracy panel per output and the learning rate over the epochs; the best epoch is marked.

    Args:
        history: One mapping an epoch: ``epoch``, ``lr``, ``train_loss``, ``val_loss`` and
            ``train_/val_<output>_<metric>``; a missing or None value leaves a gap.
        best_epoch: The epoch to mark, in the history's own count.
    """
    names = accuracy_names(history)
    panels = 2 + len(names)
    columns = 2
    rows = math.ceil(panels / columns)
    figure = new_figure(8.6, 2.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    _curve_panel(grid[0], history, "loss", "Loss", "mean loss per face (nats)", best_epoch)
    for axes, name in zip(grid[1:], names, strict=False):
        output, _, metric = name.partition("_")
        title = f"{'AU' if output == 'au' else output.capitalize()} {metric.replace('_', ' ')}"
        _curve_panel(axes, history, name, title, "share of answers right", best_epoch)
    _rate_panel(grid[panels - 1], history, best_epoch)
    for axes in grid[panels:]:
        axes.set_visible(False)
    return figure


def _column(history: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [math.nan if row.get(key) is None else float(row[key]) for row in history]


def _epoch_axis(axes: Axes, epochs: Sequence[float], best_epoch: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    if best_epoch is not None:
        axes.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1.4, label=f"best epoch ({best_epoch})")
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    plain(axes)


def _curve_panel(
    axes: Axes, history: Sequence[Mapping[str, Any]], name: str, title: str, unit: str, best: int | None
) -> None:
    epochs = _column(history, "epoch")
    # A single epoch is a point, which a line alone would not show.
    marker = "o" if len(epochs) < 25 else ""
    for split, dash in (("train", "--"), ("val", "-")):
        values = _column(history, f"{split}_{name}")
        if not all(math.isnan(v) for v in values):
            label = {"train": "training", "val": "validation"}[split]
            axes.plot(
                epochs, values, dash, color=SPLIT_COLOURS[split], marker=marker, markersize=3, label=label
            )
    axes.set_title(title, fontsize=10.5, color=INK)
    axes.set_ylabel(unit, fontsize=9)
    _epoch_axis(axes, epochs, best)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, facecolor="white", edgecolor="none", framealpha=0.85)


def _rate_panel(axes: Axes, history: Sequence[Mapping[str, Any]], best: int | None) -> None:
    epochs, rates = _column(history, "epoch"), _column(history, "lr")
    axes.plot(epochs, rates, color=BLUE, marker="o" if len(epochs) < 25 else "", markersize=3)
    known = [r for r in rates if r > 0]
    if known and max(known) / statistics.median(known) > _LOG_RATIO:
        axes.set_yscale("log")
    else:
        # Small rates as 0.0004, not as 4.0 with a factor over the axis.
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
        axes.set_ylim(0, 1.08 * max(known, default=1.0))
    axes.set_title("Learning rate", fontsize=10.5, color=INK)
    axes.set_ylabel("learning rate", fontsize=9)
    _epoch_axis(axes, epochs, best)


def class_distribution(
    counts: Mapping[str, Mapping[str, int]], totals: Mapping[str, int] | None = None, title: str = ""
) -> Figure:
    """Share of each label in each split as grouped bars, with the counts written beside them.

    Args:
        counts: Split -> label -> number of faces with that label.
        totals: Split -> number of faces; by default the sum of the split's counts. Needed where several
            labels hold at once.
        title: Written above.
    """
    splits = list(counts)
    labels = list(dict.fromkeys(label for c in counts.values() for label in c))
    totals = totals or {s: sum(counts[s].values()) for s in splits}
    figure = new_figure(8.0, 1.3 + len(labels) * (0.10 + 0.17 * max(1, len(splits))))
    axes = figure.subplots()
    height = 0.84 / max(1, len(splits))
    widest = 0.0
    for k, split in enumerate(splits):
        numbers = [counts[split].get(label, 0) for label in labels]
        shares = [100 * n / max(1, totals[split]) for n in numbers]
        widest = max([widest, *shares])
        places = [i + (k - (len(splits) - 1) / 2) * height for i in range(len(labels))]
        bars = axes.barh(
            places, shares, height * 0.92,
            color=SPLIT_COLOURS.get(split, GREY), label=f"{split} ({totals[split]:,} faces)",
        )  # fmt: skip
        axes.bar_label(bars, labels=[f"{n:,}" for n in numbers], padding=2, fontsize=7.5, color=INK)
    axes.set_yticks(range(len(labels)), [literal(label) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, max(widest, 1) * 1.12)
    axes.set_xlabel("share of the split's faces (%); the number at the bar is the count")
    if title:
        axes.set_title(literal(title), fontsize=10.5, color=INK)
    plain(axes, grid="x")
    axes.legend(
        fontsize=8.5, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.06 if title else 1.0)
    )
    return figure


def reliability(
    edges: Sequence[float],
    confidence: Sequence[float | None],
    accuracy: Sequence[float | None],
    counts: Sequence[int],
    ece: float | None,
) -> Figure:
    """Reliability diagram: how often answers given with some confidence are right.

    Args:
        edges: Bin edges, one more than bins, in [0, 1].
        confidence: Mean confidence per bin; None or nan for an empty one.
        accuracy: Share right per bin; None or nan for an empty one.
        counts: Answers per bin.
        ece: Expected calibration error, in [0, 1].

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    figure = new_figure(5.6, 6.0)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = [i for i, n in enumerate(counts) if n > 0 and accuracy[i] is not None]
    left = [edges[i] for i in filled]
    width = [edges[i + 1] - edges[i] for i in filled]
    right = [float(accuracy[i] or 0.0) for i in filled]
    sure = [float(confidence[i] or 0.0) for i in filled]
    top.bar(
        left, right, width, align="edge", color=BLUE, edgecolor="white", linewidth=0.8, label="share right"
    )
    gap = [s - r for s, r in zip(sure, right, strict=True)]
    top.bar(
        left, gap, width, bottom=right, align="edge",
        color="none", edgecolor=RED, hatch="////", linewidth=1.0, label="gap to the confidence",
    )  # fmt: skip
    top.plot([0, 1], [0, 1], "--", color=INK, linewidth=1.2, label="perfectly calibrated", zorder=4)
    top.set_ylim(0, 1.02)
    top.set_xlim(0, 1)
    top.set_ylabel("share of answers right")
    error = "n/a" if ece is None or math.isnan(ece) else f"{ece:.3f}"
    top.set_title(f"Reliability: expected calibration error {error}", fontsize=10.5, color=INK)
    plain(top, grid="both")
    top.legend(fontsize=8.5, frameon=False, loc="upper left")
    everywhere = [edges[i + 1] - edges[i] for i in range(len(counts))]
    bars = bottom.bar(list(edges[:-1]), list(counts), everywhere, align="edge", color=PALE, edgecolor=GREY)
    bottom.bar_label(bars, labels=[_short(n) for n in counts], fontsize=6.5, padding=1, color=INK)
    bottom.set_ylim(0, max([1, *counts]) * 1.2)
    bottom.set_ylabel("answers per bin")
    bottom.set_xlabel("confidence: probability given to the answer")
    plain(bottom, grid="")
    return figure


def _short(n: int) -> str:
    return "" if n == 0 else str(n) if n < 10_000 else f"{n / 1000:.0f}k"


def class_f1(labels: Sequence[str], f1: Sequence[float | None], support: Sequence[int]) -> Figure:
    """F1 per class as bars, with the value and the support written beside it; undefined ones read "n/a".

    Args:
        labels: Class names.
        f1: F1 in [0, 1]; None or nan where undefined.
        support: Faces of the class.
    """
    figure = new_figure(6.6, 1.0 + 0.34 * max(3, len(labels)))
    axes = figure.subplots()
    bars = axes.barh(range(len(labels)), [_length(v) for v in f1], 0.72, color=BLUE)
    axes.bar_label(bars, labels=[_number(v) for v in f1], padding=3, fontsize=8.5, color=INK)
    axes.set_yticks(
        range(len(labels)), [f"{literal(name)}  (n = {n:,})" for name, n in zip(labels, support, strict=True)]
    )
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1.08)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlabel("F1 (0 to 1)")
    plain(axes, grid="x")
    return figure


def label_bars(
    labels: Sequence[str],
    f1: Sequence[float | None],
    baseline: Sequence[float | None],
    support: Sequence[int],
    baseline_name: str = "F1 of answering yes always",
) -> Figure:
    """F1 per label of a multi-label output, with a baseline's F1 as a mark on each bar.

    Args:
        labels: Label names, for example action units.
        f1: F1 in [0, 1]; None or nan where undefined.
        baseline: The baseline's F1 per label; None or nan where undefined.
        support: Faces on which the label holds; 0 is written as "absent".
        baseline_name: What the mark stands for.
    """
    figure = new_figure(6.8, 1.4 + 0.32 * max(3, len(labels)))
    axes = figure.subplots()
    lengths = [_length(v) for v in f1]
    axes.barh(range(len(labels)), lengths, 0.7, color=GREEN, label="F1 (written at the right)")
    # The values stand in a column of their own, where no bar or mark can cover them.
    for i, value in enumerate(f1):
        axes.text(1.02, i, _number(value), va="center", fontsize=8.5, color=INK, clip_on=False)
    marks = [(float(b), i) for i, b in enumerate(baseline) if b is not None and not math.isnan(b)]
    for k, (mark, i) in enumerate(marks):
        name = baseline_name if k == 0 else None
        axes.plot([mark, mark], [i - 0.42, i + 0.42], color=INK, linewidth=2.2, label=name)
    names = [
        f"{literal(label)}  ({f'n = {n:,}' if n else 'absent'})"
        for label, n in zip(labels, support, strict=True)
    ]
    axes.set_yticks(range(len(labels)), names)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlabel("F1 (0 to 1)")
    plain(axes, grid="x")
    handles, texts = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], texts[::-1],
        fontsize=8.5, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0),
    )  # fmt: skip
    return figure


def _length(value: float | None) -> float:
    """Of a bar: 0 where the value is undefined."""
    return 0.0 if value is None or math.isnan(value) else float(value)


def _number(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.2f}"
