"""Figures that are grids: the confusion matrix and the sheet of confident mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .style import GREY, INK, PALE, literal, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Above this many classes no number fits a cell at page size; the colours alone are shown.
_MOST_WITH_NUMBERS = 16
# Above this many classes the two panels stand one above the other.
_MOST_SIDE_BY_SIDE = 9
# At most this many tick labels fit an axis.
_MOST_TICKS = 40

MOST_MISTAKES = 24


@dataclass(frozen=True)
class Mistake:
    """One face that was answered wrongly.

    Attributes:
        id: The face's id.
        true: Its label.
        predicted: The label it was given.
        score: The probability of that wrong label, in [0, 1].
        image: uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, or None where it cannot be shown.
    """

    id: str
    true: str
    predicted: str
    score: float
    image: npt.NDArray[Any] | None = None


def confusion_matrix(counts: npt.ArrayLike, labels: Sequence[str]) -> Figure:
    """Counts and row rates of a confusion matrix, side by side (one above the other for many classes).

    Args:
        counts: ``(K, K)`` counts, row = true class, column = predicted class.
        labels: K class names.
    """
    matrix = np.asarray(counts, dtype=np.int64)
    sums = matrix.sum(axis=1, keepdims=True)
    rates = np.divide(100.0 * matrix, sums, out=np.full(matrix.shape, np.nan), where=sums > 0)
    k = len(labels)
    beside = k <= _MOST_SIDE_BY_SIDE
    side = 4.3 if beside else min(8.0, 2.0 + 0.46 * k)
    figure = new_figure(2 * side + 0.2 if beside else side + 1.2, side * 0.97 if beside else 2 * side)
    first, second = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
    shown = k <= _MOST_WITH_NUMBERS
    numbers = [[f"{v:d}" for v in row] for row in matrix.tolist()] if shown else []
    _panel(first, matrix.astype(float), numbers, labels, "Counts")
    percent = (
        [["n/a" if math.isnan(v) else f"{v:.0f}" for v in row] for row in rates.tolist()] if shown else []
    )
    _panel(second, rates, percent, labels, "Row rates (% of the true class)", top=100.0)
    return figure


def cooccurrence(true: npt.ArrayLike, predicted: npt.ArrayLike, labels: Sequence[str]) -> Figure:
    """Of the samples with the row's label, the share (%) that has the column's too: true beside predicted.

    Args:
        true: ``(A, A)`` counts of samples with both labels, the diagonal those of each.
        predicted: The same of the answers.
        labels: A label names.
    """
    k = len(labels)
    beside = k <= _MOST_SIDE_BY_SIDE
    side = 4.3 if beside else min(8.0, 2.0 + 0.46 * k)
    figure = new_figure(2 * side + 0.2 if beside else side + 1.2, side * 0.97 if beside else 2 * side)
    panels = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
    for axes, counts, title in zip(panels, (true, predicted), ("As it is", "As answered"), strict=True):
        matrix = np.asarray(counts, dtype=np.float64)
        alone = matrix.diagonal()[:, None]
        rates = np.divide(100.0 * matrix, alone, out=np.full(matrix.shape, np.nan), where=alone > 0)
        texts = [["n/a" if math.isnan(v) else f"{v:.0f}" for v in row] for row in rates.tolist()]
        _panel(axes, rates, texts if k <= _MOST_WITH_NUMBERS else [], labels, f"{title} (%)", top=100.0)
        axes.set_xlabel("has this label too")
        axes.set_ylabel("of the faces with this label")
    return figure


def _panel(
    axes: Axes,
    values: npt.NDArray[np.float64],
    texts: list[list[str]],
    labels: Sequence[str],
    title: str,
    top: float | None = None,
) -> None:
    limit = float(np.nanmax(values)) if top is None and np.isfinite(values).any() else (top or 1.0)
    limit = limit or 1.0
    image = axes.imshow(np.ma.masked_invalid(values), cmap="Blues", vmin=0, vmax=limit, aspect="equal")
    # A row without any face has no rates; the bare axes behind it is grey.
    axes.set_facecolor(PALE)
    k = len(labels)
    step = math.ceil(k / _MOST_TICKS)
    size = 9 if k <= _MOST_SIDE_BY_SIDE else 8 if k <= 20 else 6.5
    places = list(range(0, k, step))
    names = [literal(labels[i]) for i in places]
    axes.set_xticks(places, names, rotation=45 if k <= 20 else 90, fontsize=size)
    if k <= 20:
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right")
            tick.set_rotation_mode("anchor")
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(title, fontsize=10.5, color=INK)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = np.nan_to_num(values[i, j]) > 0.55 * limit
            small = 7.5 if len(text) > 4 else 8.5
            axes.text(j, i, text, ha="center", va="center", fontsize=small, color="white" if dark else INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if k <= _MOST_WITH_NUMBERS:
        axes.set_xticks(np.arange(-0.5, k), minor=True)
        axes.set_yticks(np.arange(-0.5, k), minor=True)
        axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0, colors=INK)
    if not texts:
        axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)


def mistakes_sheet(mistakes: Sequence[Mistake]) -> Figure:
    """A sheet of wrongly answered faces, in the given order: image, true label, given label and its score.

    Args:
        mistakes: At most `MOST_MISTAKES` are shown, six a row; a face without an image is a grey square.
    """
    chosen = list(mistakes)[:MOST_MISTAKES]
    columns = min(6, max(1, len(chosen)))
    rows = max(1, math.ceil(len(chosen) / columns))
    figure = new_figure(1.55 * columns + 0.2, 2.1 * rows + 0.1)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, one in zip(grid, chosen, strict=False):
        blank = one.image is None or one.image.size == 0
        pixels = np.full((8, 8), 200, np.uint8) if one.image is None or blank else one.image
        axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255)
        axes.set_title(
            f"true: {_fit(one.true)}\ngiven: {_fit(one.predicted)}\n{100 * one.score:.0f} %",
            fontsize=8.5, color=INK, pad=3,
        )  # fmt: skip
        if blank:
            axes.text(3.5, 3.5, "no image", ha="center", va="center", fontsize=8, color=GREY)
    return figure


def _fit(word: str, room: int = 13) -> str:
    """Shorten a label that is wider than its square."""
    return literal(word if len(word) <= room else word[: room - 1] + "…")
