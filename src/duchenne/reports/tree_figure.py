"""One-vs-rest trees drawn: the first splits of each, and where in the face they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..experiment.run import Run, RunState
from ..features import Features
from ..labels import Output
from ..learners.tree import Tree
from ..transforms import Preprocess
from .blocks import Block, Picture, Section, Table, Text, decimal, duration, percent
from .style import BLUE, GREY, INK, ORANGE, PALE, literal, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..learners.tree_learner import TreeLearner

# Levels of splits that are drawn: seven grids, which is what a page's width can show.
LEVELS = 3
_SIDE = 0.62  # of a grid, where the last row's boxes stand 1 apart
_STEP = 1.15  # from one level to the next
_HOW_TO_READ = (
    "Each square is the whole face; the mark is the pixel that the split compares. Faces where it is at or "
    "below the number (darker) go left, the others right. Beside a square: the share of the label among the "
    "training faces that come there (smoothed), and how many come."
)
_HOW_TO_READ_FEATURES = (
    "Each square is a split; in it stands which number of the face's features is compared (counted from 0). "
    "Faces where it is at or below the limit go left, the others right. Beside a square: the share of the "
    "label among the training faces that come there (smoothed), and how many come."
)
_CHANNELS = ("red", "green", "blue")


def share(tree: Tree, node: int) -> float:
    """The smoothed share of positives in a node."""
    return float(1 / (1 + np.exp(-float(tree.logit[node]))))


def where(tree: Tree, node: int, preprocess: Preprocess) -> tuple[int, int, str]:
    """Row, column and channel ("" where there is one) of the pixel that a split looks at."""
    height, width = preprocess.size
    channel, place = divmod(int(tree.feature[node]), height * width)
    row, column = divmod(place, width)
    return row, column, _CHANNELS[channel] if preprocess.channels == 3 else ""


def looks_at(tree: Tree, node: int, preprocess: Preprocess) -> str:
    """In words, what a split compares: a pixel, or a number of the features."""
    if preprocess.features is not None:
        name, number = preprocess.features.place(int(tree.feature[node]))
        return f"number {number:,} of {name}"
    row, column, channel = where(tree, node, preprocess)
    at = f"row {row}, column {column} of {preprocess.size[0]}x{preprocess.size[1]}"
    return f"{at}, {channel}" if channel else at


def tree_figure(tree: Tree, label: str, preprocess: Preprocess, levels: int = LEVELS) -> Figure:
    """The first splits of a tree; each is a square as large as the face, with the pixel it looks at marked.

    Args:
        tree: The tree of one label.
        label: What its positives are.
        preprocess: Says which pixel an input is.
        levels: Splits from the root on that are drawn.
    """
    levels = max(1, min(levels, int(tree.levels.max())))
    low, high = -_STEP * levels - 0.3, _SIDE / 2 + 0.1
    figure = new_figure(1.075 * 2**levels, 0.55 + 1.05 * (high - low))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_title(f"Is it {literal(label)}?", fontsize=11, color=INK)
    _draw(axes, tree, 0, 0, 0.5 * (2**levels - 1), levels, preprocess)
    axes.set_xlim(-0.55, 2**levels - 0.45)
    axes.set_ylim(low, high)
    return figure


def _draw(
    axes: Axes, tree: Tree, node: int, level: int, x: float, levels: int, preprocess: Preprocess
) -> None:
    """A node at (x, -level) and what lies below it."""
    y = -_STEP * level
    if level == levels or tree.left[node] < 0:
        _draw_end(axes, tree, node, x, y)
        return
    half = 2.0 ** (levels - level - 2)  # to a child, sideways
    low = y - _SIDE / 2
    # Pixels lie in [0, 1]; a histogram's numbers may all be far below 0.01.
    limit = f"{tree.threshold[node]:.2f}" if preprocess.features is None else f"{tree.threshold[node]:.2g}"
    for child, side, sign in ((int(tree.left[node]), -1, "≤"), (int(tree.right[node]), 1, ">")):
        top = -_STEP * (level + 1) + (_SIDE / 2 if level + 1 < levels and tree.left[child] >= 0 else 0.24)
        axes.plot([x, x + side * half], [low - 0.13, top], color=GREY, linewidth=0.9, zorder=1)
        axes.text(
            x + side * 0.08, low - 0.02, f"{sign} {limit}", fontsize=7, color=INK,
            ha="right" if side < 0 else "left", va="top", zorder=4,
        )  # fmt: skip
        _draw(axes, tree, child, level + 1, x + side * half, levels, preprocess)
    _draw_grid(axes, tree, node, x, y, preprocess)


def _draw_grid(axes: Axes, tree: Tree, node: int, x: float, y: float, preprocess: Preprocess) -> None:
    from matplotlib.patches import Rectangle

    if preprocess.features is not None:
        _draw_feature(axes, tree, node, x, y, preprocess.features)
        return
    height, width = preprocess.size
    row, column, channel = where(tree, node, preprocess)
    left, top, cell = x - _SIDE / 2, y + _SIDE / 2, (_SIDE / width, _SIDE / height)
    axes.add_patch(
        Rectangle((left, y - _SIDE / 2), _SIDE, _SIDE, facecolor="#f4f4f4", edgecolor=GREY, zorder=2)
    )
    for part in (1 / 4, 1 / 2, 3 / 4):  # quarters, to read the place by
        axes.plot([left, left + _SIDE], [top - part * _SIDE] * 2, color=PALE, linewidth=0.6, zorder=2)
        axes.plot([left + part * _SIDE] * 2, [top, top - _SIDE], color=PALE, linewidth=0.6, zorder=2)
    # Never smaller than can be seen.
    w, h = max(cell[0], 0.055), max(cell[1], 0.055)
    centre = (left + (column + 0.5) * cell[0], top - (row + 0.5) * cell[1])
    axes.add_patch(
        Rectangle((centre[0] - w / 2, centre[1] - h / 2), w, h, facecolor=BLUE, edgecolor="none", zorder=3)
    )
    beside = f"{percent(share(tree, node), 0)} of {tree.samples[node]:,}" + (f"\n{channel}" * bool(channel))
    axes.text(x + _SIDE / 2 + 0.05, y, beside, fontsize=6.5, color=GREY, ha="left", va="center", zorder=4)


def _draw_feature(axes: Axes, tree: Tree, node: int, x: float, y: float, features: Features) -> None:
    from matplotlib.patches import Rectangle

    corner = (x - _SIDE / 2, y - _SIDE / 2)
    axes.add_patch(Rectangle(corner, _SIDE, _SIDE, facecolor="#f4f4f4", edgecolor=GREY, zorder=2))
    name, number = features.place(int(tree.feature[node]))
    axes.text(x, y, f"{name}\n{number}", fontsize=7, color=INK, ha="center", va="center", zorder=4)
    beside = f"{percent(share(tree, node), 0)} of {tree.samples[node]:,}"
    axes.text(x + _SIDE / 2 + 0.05, y, beside, fontsize=6.5, color=GREY, ha="left", va="center", zorder=4)


def _draw_end(axes: Axes, tree: Tree, node: int, x: float, y: float) -> None:
    """The share of positives as a bar, the samples, and whether splits go on below."""
    from matplotlib.patches import Rectangle

    part, width = share(tree, node), 0.8
    for length, colour in ((width, PALE), (width * part, ORANGE)):
        axes.add_patch(Rectangle((x - width / 2, y + 0.12), length, 0.1, facecolor=colour, edgecolor="none"))
    below = "splits go on" if tree.left[node] >= 0 else "leaf"
    text = f"{percent(part, 0)} of {tree.samples[node]:,}\n{below}"
    axes.text(x, y + 0.08, text, fontsize=6.5, color=INK, ha="center", va="top")


def trees_section(run: Run, state: RunState) -> Section:
    """What stands where other learners have curves: a table of the trees, and each one's first splits."""
    section = Section("training", "Training")
    if not run.checkpoint("last").is_file():
        section.blocks.append(Text("No tree has been built yet.", "warning"))
        return section
    from ..learners.tree_learner import TreeLearner

    learner = TreeLearner.load(run.checkpoint("last"))
    preprocess = learner.preprocess or Preprocess()
    section.blocks += [
        Text(
            f"{state.epochs_done} of {state.epochs_planned} decision trees, one a label, in "
            f"{duration(state.train_seconds)}; {learner.num_parameters_:,} numbers. A tree counts as an "
            "epoch; until a label's tree stands, the label's share of the training faces answers for it. "
            f"Input: {preprocess.describe()}"
        ),
        _table(learner),
    ]
    how = _HOW_TO_READ if preprocess.features is None else _HOW_TO_READ_FEATURES
    done = {(row["output"], row["class"]) for row in learner.history_}
    for output in learner.outputs_:
        pictures = _pictures(learner, output, preprocess, done)
        heading, folded = f"First splits: {output.name}", len(pictures) > 8
        section.sections.append(
            Section(f"trees-{output.name}", heading, [Text(how), *pictures], folded=folded)
        )
    return section


def _pictures(
    learner: TreeLearner, output: Output, preprocess: Preprocess, done: set[tuple[str, str]]
) -> list[Block]:
    blocks: list[Block] = []
    for k, (label, tree) in enumerate(zip(output.labels, learner.trees_[output.name], strict=True)):
        if tree.left[0] < 0 or (output.name, label) not in done:
            continue
        first = looks_at(tree, 0, preprocess)
        alt = f"The first splits of the tree of {label}: the first one looks at {first}."
        drawn = png(tree_figure(tree, label, preprocess))
        name = f"tree-{output.name}-{k}"
        blocks.append(Picture(name, drawn, alt, f"Tree of {label}: its first {LEVELS} levels."))
    return blocks


def _table(learner: TreeLearner) -> Table:
    monitor = learner.best_.get("monitor") or next(k for k in learner.history_[-1] if k.endswith("accuracy"))
    head = ["tree", "label", "depth", "leaves", "seconds", f"{monitor.replace('_', ' ')} so far"]
    rows = [
        [
            str(row["epoch"]), str(row["class"]) + ("" if row["built"] else " (taken over)"),
            str(row["depth"]), f"{row['leaves']:,}", f"{row['seconds']:.1f}", decimal(row.get(monitor), 4),
        ]
        for row in learner.history_
    ]  # fmt: skip
    return Table("The trees, in the order of building", head, rows)
