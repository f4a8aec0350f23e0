"""Figures of what a training left out: variance of the losses, losses before and after, the faces."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ..denoise import VARIANCE
from .style import BLUE, INK, PALE, RED, literal, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = Mapping[str, Any]

MOST_FACES = 24


def variance_curve(
    history: Sequence[Mapping[str, Any]], rounds: Sequence[Record], named: Collection[int]
) -> Figure:
    """Variance of the training losses per epoch, the rounds marked, those in `named` in words.

    Source: wang2020, Figure 7.
    """
    from matplotlib.ticker import MaxNLocator

    known = [(row["epoch"], row[VARIANCE]) for row in history if row.get(VARIANCE) is not None]
    figure = new_figure(6.4, 2.9)
    axes = figure.subplots()
    axes.plot([e for e, _ in known], [v for _, v in known], color=BLUE, marker="o", markersize=3)
    for record in rounds:
        axes.axvline(record["epoch"], color=RED, linestyle=":", linewidth=1.4)
        if record["round"] not in named:
            continue
        axes.annotate(
            f"round {record['round']}: {len(record['removed']):,} left out", (record["epoch"], 0.98),
            xycoords=("data", "axes fraction"), xytext=(3, 0), textcoords="offset points",
            rotation=90, va="top", ha="left", fontsize=8, color=INK,
        )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_ylabel("variance of the losses", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    plain(axes)
    return figure


def loss_histograms(record: Record) -> Figure:
    """The losses of a round before and after it, in one scale (wang2020, Figures 8 and 9).

    The heap near 0 is far higher than the outliers', so counts are shown on a logarithmic axis.
    """
    edges = record["histogram"]["edges"]
    figure = new_figure(8.6, 2.9)
    first, second = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, key in ((first, "before"), (second, "after")):
        axes.stairs(record["histogram"][key], edges, fill=True, color=BLUE)
        axes.set_title(f"{key} round {record['round']} (epoch {record['epoch']})", fontsize=10.5, color=INK)
        axes.set_xlabel("loss (nats)")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        for name, colour in (("m1", PALE), ("m2", INK), ("threshold", RED)):
            if record.get(name) is not None:
                label = {"m1": "M1", "m2": "M2", "threshold": "limit"}[name]
                axes.axvline(record[name], color=colour, linestyle="--", linewidth=1.2, label=label)
        plain(axes)
    first.set_ylabel("faces (log scale)", fontsize=9)
    if first.get_legend_handles_labels()[0]:
        first.legend(fontsize=8, facecolor="white", edgecolor="none", framealpha=0.85)
    return figure


def left_out_sheet(removed: Sequence[Record], images: Sequence[npt.NDArray[Any]]) -> Figure:
    """The faces in the given order, six a row, at most `MOST_FACES`: image, label, loss.

    Args:
        removed: ``label`` and ``loss`` of each.
        images: uint8 ``(H, W)`` or ``(H, W, 3)`` RGB of each.
    """
    chosen = list(zip(removed, images, strict=True))[:MOST_FACES]
    columns = min(6, max(1, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    figure = new_figure(1.55 * columns + 0.2, 1.95 * rows + 0.1)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (one, pixels) in zip(grid, chosen, strict=False):
        axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255)
        label = one["label"] if len(one["label"]) <= 13 else one["label"][:12] + "…"
        axes.set_title(f"{literal(label)}\nloss {one['loss']:.2f}", fontsize=8.5, color=INK, pad=3)
    return figure
