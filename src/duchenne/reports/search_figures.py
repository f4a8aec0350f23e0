"""Figures of a search, from plain numbers."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .style import BLUE, GREEN, GREY, INK, RED, literal, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..experiment.search import Trial

# Listed numbers whose largest is this many times the smallest are drawn on a logarithmic axis.
_LOG_RATIO = 20.0
# More ticks than this on an axis of values cannot be read; the table has them all.
_MOST_NAMES = 12
# Multiples of the golden ratio, modulo 1, lie evenly however many there are.
_GOLDEN = 0.618


@dataclass(frozen=True)
class Scale:
    """Where the values of a field stand on an axis.

    Attributes:
        name: The field.
        names: Of values that are no numbers: their texts, in order; else empty.
        log: Whether the axis is logarithmic.
        listed: Of listed numbers: those that occur, in order; else empty.
    """

    name: str
    names: tuple[str, ...] = ()
    log: bool = False
    listed: tuple[float, ...] = ()

    def place(self, value: Any) -> float:
        """The value's number on the axis."""
        return float(self.names.index(text_of(value))) if self.names else float(value)


def scale_of(name: str, values: Sequence[Any], log: bool | None) -> Scale:
    """The scale of a field's values; `log` says whether a range was drawn so, None that they were listed."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers or not values:
        return Scale(name, tuple(dict.fromkeys(text_of(v) for v in sorted(values, key=_by_size))))
    positive = min(values) > 0
    listed = tuple(sorted({float(v) for v in values})) if log is None else ()
    if log is None:
        log = positive and max(values) / min(values) >= _LOG_RATIO
    return Scale(name, log=positive and log, listed=listed)


def _by_size(value: Any) -> tuple[float, str]:
    """Lists of layers by their number and size, other values by their text."""
    if isinstance(value, list | tuple):
        numbers = [v for v in value if isinstance(v, int | float)]
        return (len(value) * 1e9 + sum(numbers), "")
    return (0.0, text_of(value))


def text_of(value: Any) -> str:
    """A value in few characters: numbers with 4 digits, lists without spaces."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def best_so_far(trials: Sequence[Trial], direction: str, value_name: str) -> Figure:
    """Value of every trial by its number, and the best so far as a line; each stage has a line of its own.

    Args:
        trials: Those that ended.
        direction: "maximize" or "minimize".
        value_name: What the value is.
    """
    figure = new_figure(8.6, 3.8)
    axes = figure.subplots()
    _points(axes, [(t, float(t.number)) for t in trials])
    better = max if direction == "maximize" else min
    # Trials of a coarse and of a fine stage have other numbers of epochs; elsewhere one line runs through.
    apart = any(t.stage == "fine" for t in trials)
    stages = [[t for t in trials if t.stage == s] for s in dict.fromkeys(t.stage for t in trials)]
    for k, group in enumerate(stages if apart else [list(trials)]):
        xs: list[int] = []
        ys: list[float] = []
        for t in sorted(group, key=lambda t: t.number):
            if t.state == "complete" and t.value is not None:
                ys.append(better(ys[-1], t.value) if ys else t.value)
                xs.append(t.number)
        if xs:
            end = max(t.number for t in group)
            axes.step([*xs, end], [*ys, ys[-1]], where="post", color=BLUE, linewidth=1.8,
                      label="best so far" if k == 0 else None)  # fmt: skip
    if len(stages) > 1:
        for group in stages:
            first = min(t.number for t in group)
            axes.axvline(first - 0.5, color=GREY, linestyle=":", linewidth=1.2)
            axes.annotate(
                literal(group[0].stage), (first - 0.4, 1.0), xycoords=("data", "axes fraction"),
                fontsize=8.5, color=INK, va="bottom",
            )  # fmt: skip
    axes.set_xlabel("trial")
    axes.set_ylabel(literal(value_name))
    _whole_ticks(axes)
    plain(axes, grid="both")
    _legend(axes, above=len(stages) == 1)
    return figure


def _whole_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _legend(axes: Axes, above: bool) -> None:
    if axes.get_legend_handles_labels()[0]:
        place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 4}
        if not above:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 4}
        axes.legend(fontsize=8.5, frameon=False, **place)


def _points(axes: Axes, placed: Sequence[tuple[Trial, float]], size: float = 26) -> None:
    """Trials as points: full where trained to the end, hollow where pruned, crosses where failed."""
    looks: dict[str, dict[str, Any]] = {
        "complete": {"color": BLUE, "marker": "o", "label": "trained to its end"},
        "pruned": {"facecolors": "none", "edgecolors": GREY, "marker": "o", "label": "pruned"},
    }
    for state, look in looks.items():
        some = [(x, t.value) for t, x in placed if t.state == state and t.value is not None]
        if some:
            axes.scatter([x for x, _ in some], [y for _, y in some], s=size, zorder=3, linewidths=1.0, **look)
    failed = [x for t, x in placed if t.state == "failed"]
    if failed:  # they have no value: at the lower edge
        axes.scatter(
            failed, [0.02] * len(failed), s=size + 6, marker="x", color=RED, zorder=3, label="failed",
            transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip


def against_parameters(
    trials: Sequence[Trial], scales: Sequence[Scale], best: Trial | None, value_name: str
) -> Figure:
    """Value against each field, one panel a field; the winner has a ring.

    Args:
        trials: Those that ended.
        scales: One a field.
        best: The winner.
        value_name: What the value is.
    """
    columns = min(2, len(scales))
    rows = math.ceil(len(scales) / columns)
    figure = new_figure(4.3 * columns if columns > 1 else 6.2, 3.1 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, scale in zip(grid, scales, strict=False):
        placed = [(t, scale.place(t.params[scale.name])) for t in trials if scale.name in t.params]
        _points(axes, _spread(placed, scale), 20)
        if best is not None and scale.name in best.params:
            [(_, x)] = _spread([(best, scale.place(best.params[scale.name]))], scale)
            axes.scatter(
                x, best.value, s=120, facecolors="none",
                edgecolors=GREEN, linewidths=2.0, zorder=4, label=f"best (trial {best.number})",
            )  # fmt: skip
        if scale.log:
            axes.set_xscale("log")
        if scale.names:
            _named_ticks(axes, scale.names)
        elif scale.listed and not scale.log:
            ends = _ends(scale, scale.listed)
            axes.set_xticks([v for v, _ in _apart(scale, [(v, "") for v in scale.listed], ends, 1 / 12)])
        axes.set_xlabel(literal(scale.name))
        plain(axes, grid="both")
    for axes in grid[::columns]:
        axes.set_ylabel(literal(value_name), fontsize=9)
    for axes in grid[len(scales) :]:
        axes.set_visible(False)
    handles: dict[str, Any] = {}
    for axes in grid[: len(scales)]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=4,
        fontsize=8.5,
        frameon=False,
    )
    return figure


def _spread(placed: Sequence[tuple[Trial, float]], scale: Scale) -> list[tuple[Trial, float]]:
    """Points of one listed value side by side, so that none hides another; drawn numbers where they are."""
    shifts = [0.26 * ((t.number * _GOLDEN) % 1 - 0.5) for t, _ in placed]
    if scale.names:
        return [(t, x + shift) for (t, x), shift in zip(placed, shifts, strict=True)]
    pairs = list(itertools.pairwise(scale.listed))
    if not pairs:
        return list(placed)
    if scale.log:
        ratio = min(b / a for a, b in pairs)
        return [(t, x * ratio**shift) for (t, x), shift in zip(placed, shifts, strict=True)]
    gap = min(b - a for a, b in pairs)
    return [(t, x + gap * shift) for (t, x), shift in zip(placed, shifts, strict=True)]


def _apart(
    scale: Scale, ticks: Sequence[tuple[float, str]], ends: tuple[float, float], least: float
) -> list[tuple[float, str]]:
    """Those ticks that stand at least this share of the axis from the one before."""
    kept: list[tuple[float, str]] = []
    for value, text in ticks:
        if not kept or _height(scale, value, ends) - _height(scale, kept[-1][0], ends) >= least:
            kept.append((value, text))
    return kept


def _named_ticks(axes: Axes, names: Sequence[str]) -> None:
    step = math.ceil(len(names) / _MOST_NAMES)
    shown = list(range(0, len(names), step))
    slanted = sum(len(names[i]) for i in shown) > 40
    axes.set_xticks(
        shown, [literal(names[i]) for i in shown],
        rotation=30 if slanted else 0, ha="right" if slanted else "center",
    )  # fmt: skip
    axes.set_xlim(-0.5, len(names) - 0.5)


def parallel_coordinates(
    trials: Sequence[Trial], scales: Sequence[Scale], best: Trial | None, value_name: str
) -> Figure:
    """One line a trial through its values; colour is the trial's value, the winner's line is thick.

    Args:
        trials: Those that have a value and all fields.
        scales: One a field.
        best: The winner.
        value_name: What the value is.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure = new_figure(max(6.5, 1.7 * (len(scales) + 1) + 1.2), 4.4)
    axes = figure.subplots()
    values = [float(t.value or 0.0) for t in trials]
    whole = [*scales, Scale(value_name)]
    ends = [_ends(s, [t.params[s.name] for t in trials]) for s in scales] + [(min(values), max(values))]
    shades = colormaps["viridis"]
    colour = ScalarMappable(Normalize(*ends[-1]), shades)
    for t in sorted(trials, key=lambda t: (best is not None and t.number == best.number, t.value)):
        raw = [*(s.place(t.params[s.name]) for s in scales), float(t.value or 0.0)]
        heights = [_height(s, v, e) for s, v, e in zip(whole, raw, ends, strict=True)]
        # Lines through one listed value side by side, so that each can be followed.
        apart = 0.05 * ((t.number * _GOLDEN) % 1 - 0.5)
        heights = [h + apart if s.names or s.listed else h for h, s in zip(heights, whole, strict=True)]
        thick = best is not None and t.number == best.number
        line = {"color": RED, "linewidth": 2.6, "zorder": 4} if thick else {"linewidth": 1.1, "alpha": 0.75}
        axes.plot(
            range(len(whole)), heights, **({"color": shades(_height(whole[-1], raw[-1], ends[-1]))} | line),
            label=f"best (trial {t.number})" if thick else None,
        )  # fmt: skip
    for x, (scale, end) in enumerate(zip(whole, ends, strict=True)):
        _upright(axes, x, scale, end)
    axes.set_xlim(-0.35, len(whole) - 0.35)
    axes.set_ylim(-0.06, 1.06)
    axes.set_xticks(range(len(whole)), [literal(s.name).replace(".", ".\n") for s in whole], fontsize=8.5)
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, colors=INK)
    bar = figure.colorbar(colour, ax=axes, pad=0.02, aspect=32)
    bar.set_label(literal(value_name), fontsize=9)
    bar.ax.tick_params(labelsize=8.5)
    if best is not None:
        axes.legend(fontsize=8.5, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def _ends(scale: Scale, values: Sequence[Any]) -> tuple[float, float]:
    if scale.names:
        return 0.0, float(max(1, len(scale.names) - 1))
    return min(map(float, values)), max(map(float, values))


def _height(scale: Scale, value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    if scale.log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return 0.5 if high == low else (value - low) / (high - low)


def _upright(axes: Axes, x: int, scale: Scale, ends: tuple[float, float]) -> None:
    """An upright axis with its values written at its left."""
    from matplotlib.ticker import MaxNLocator

    axes.plot([x, x], [0, 1], color=GREY, linewidth=1.2, zorder=3)
    if scale.names:
        step = math.ceil(len(scale.names) / _MOST_NAMES)
        ticks = [(float(i), name) for i, name in enumerate(scale.names) if i % step == 0]
    elif scale.listed:
        ticks = _apart(scale, [(v, text_of(v)) for v in scale.listed], ends, 0.05)
    elif scale.log:
        first, last = math.ceil(math.log10(ends[0]) - 1e-9), math.floor(math.log10(ends[1]) + 1e-9)
        powers = [10.0**k for k in range(first, last + 1)]
        ticks = [(p, f"{p:.0e}") for p in powers] if len(powers) > 1 else [(e, f"{e:.2g}") for e in ends]
    else:
        low, high = ends
        round_ones = [float(v) for v in MaxNLocator(5).tick_values(low, high) if low <= v <= high]
        ticks = [(v, f"{v:.3g}") for v in (round_ones if len(round_ones) > 1 else ends)]
    if ends[0] == ends[1]:
        ticks = ticks[:1]
    for value, text in ticks:
        axes.annotate(
            literal(text), (x, _height(scale, value, ends)), xytext=(-4, 0), textcoords="offset points",
            ha="right", va="center", fontsize=7.5, color=INK, zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
        )  # fmt: skip


def importance_bars(shares: Mapping[str, float]) -> Figure:
    """Importance of each field as bars, the largest above.

    Args:
        shares: Field -> share in [0, 1].
    """
    names = sorted(shares, key=lambda n: -shares[n])
    figure = new_figure(6.6, 0.9 + 0.36 * max(2, len(names)))
    axes = figure.subplots()
    bars = axes.barh(range(len(names)), [shares[n] for n in names], 0.7, color=BLUE)
    axes.bar_label(bars, [f"{shares[n]:.2f}" for n in names], padding=3, fontsize=8.5, color=INK)
    axes.set_yticks(range(len(names)), [literal(n) for n in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("share of the variance of the value")
    plain(axes, grid="x")
    return figure
