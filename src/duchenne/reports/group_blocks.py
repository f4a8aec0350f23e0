"""Section of the report about groups of faces: every figure per group, and how far the groups lie apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..experiment.run import Run
from .blocks import Block, Picture, Section, Table, Text, decimal, percent, with_interval
from .claims import figure_title
from .measured import Evaluated, slug
from .style import BLUE, GREY, INK, literal, new_figure, plain, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Entry = Mapping[str, Any]

_COLUMNS = {
    "single": ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"),
    "multi": ("binary_accuracy", "macro_f1", "weighted_f1", "map"),
}
# What needs no model stands beside these: key and title.
_BESIDE = {
    "binary_accuracy": (("always_no_binary_accuracy", "of answering no"),),
    "macro_f1": (("always_yes_macro_f1", "of answering yes"),),
}
# More groups than this are no figure: those with the lowest values are drawn, all stand in the table.
MOST_DRAWN = 40


def group_sections(run: Run, e: Evaluated) -> list[Section]:
    """One section an attribute that the evaluation was grouped by; none for older files."""
    sections = []
    for entry in run.metrics().get(e.name, {}).get("by", []):
        name = str(entry["attribute"])
        section = Section(f"by-{e.anchor}-{slug(name)}", f"By {name}")
        if entry["unknown"]:
            section.blocks.append(Text(f"{entry['unknown']:,} faces whose {name} is not known: in no group."))
        for output, found in entry["outputs"].items():
            if found["rows"]:
                section.blocks += _output_blocks(e, entry, str(output), found)
        sections.append(section)
    return sections


def _output_blocks(e: Evaluated, entry: Entry, output: str, found: Entry) -> list[Block]:
    figures = _COLUMNS[found["kind"]]
    beside = _BESIDE if found["kind"] == "multi" else {}
    rows = [
        [r["group"] + (" (small)" if r["small"] else ""), f"{r['n']:,}",
         "n/a" if r["subjects"] is None else f"{r['subjects']:,}",
         *(cell for f in figures for cell in (
             with_interval(r[f], _pair(r["intervals"].get(f)), 1),
             *(percent(r.get(key), 1) for key, _ in beside.get(f, ()))))]
        for r in found["rows"]
    ]  # fmt: skip
    head = [str(entry["attribute"]), "faces", "people"]
    for f in figures:
        head += [figure_title(f), *(title for _, title in beside.get(f, ()))]
    notes = [
        "In brackets: 95% bootstrap intervals within the group, of whole people where the data name several. "
        "Macro figures are over the classes that occur in the group.",
        f"Small: under {entry['small']} faces; such figures say little by themselves.",
    ]
    main = figures[0]
    drawn = sorted(found["rows"], key=lambda r: (r[main] is None, r[main]))[:MOST_DRAWN]
    left_out = len(found["rows"]) - len(drawn)
    caption = f"{figure_title(main)} by {entry['attribute']}, with 95% intervals; hollow: small groups."
    if left_out:
        caption += f" The {MOST_DRAWN} lowest; {left_out} others stand in the table."
    words = "; ".join(f"{r['group']} {percent(r[main], 1)} of {r['n']:,}" for r in drawn)
    key = f"by-{e.anchor}-{slug(str(entry['attribute']))}-{slug(output)}"
    return [
        Table(f"{output} by {entry['attribute']}", head, rows, notes, folded=len(rows) > MOST_DRAWN),
        *_gap_table(entry, output, found["gaps"]),
        Picture(key, png(dots(drawn, main)), f"{figure_title(main)}: {words}.", caption, wide=False),
        _class_table(entry, output, found["rows"]),
    ]


def _pair(interval: Sequence[float | None] | None) -> tuple[float, float] | None:
    if not interval or interval[0] is None or interval[1] is None:
        return None
    return interval[0], interval[1]


def _gap_table(entry: Entry, output: str, gaps: Sequence[Entry]) -> list[Block]:
    if not gaps:
        return [Text(f"{output}: fewer than two groups, so no gap between them.")]
    rows = [
        [figure_title(g["figure"]), "all" if g["among"] == "all" else f"{entry['small']} faces or more",
         f"{g['highest']} over {g['lowest']}", with_interval(g["gap"], _pair(g["interval"]), 1),
         percent(g.get("gap_by_chance"), 1), decimal(g.get("p_value")), decimal(g.get("p_adjusted"))]
        for g in gaps
    ]  # fmt: skip
    head = ["figure", "among groups of", "largest gap", "gap", "by chance", "p", "p adjusted"]
    units = sorted({str(g["permuted"]) for g in gaps if "permuted" in g})
    notes = [
        "By chance: the mean largest gap where membership is permuted "
        f"(of {' and '.join(units) or 'nothing'}; {min(g.get('permutations', 0) for g in gaps)} times or "
        "more); p: the share of permutations with a gap at least as large, which accounts for the number of "
        "groups; adjusted for the number of figures (Holm). The interval is that of these two groups.",
    ]
    return [Table(f"Largest gaps of {output} by {entry['attribute']}", head, rows, notes)]


def _class_table(entry: Entry, output: str, rows: Sequence[Entry]) -> Table:
    labels = [c["label"] for c in rows[0]["per_class"]]
    cells = [[r["group"], *map(_f1_cell, r["per_class"])] for r in rows]
    note = f"In brackets: faces with the label in the group; *: under {entry['small_class']}."
    if "always_yes_f1" in rows[0]["per_class"][0]:
        note = "After the comma: F1 of answering yes to every face. " + note
    caption = f"F1 of each label of {output} by {entry['attribute']}"
    return Table(caption, [str(entry["attribute"]), *labels], cells, [note], folded=True)


def _f1_cell(c: Entry) -> str:
    yes = f", {decimal(c['always_yes_f1'], 2)}" if "always_yes_f1" in c else ""
    return f"{decimal(c['f1'], 2)}{yes} ({c['support']:,}{'*' if c['small'] else ''})"


def dots(rows: Sequence[Entry], figure: str) -> Figure:
    """One dot a group with its interval, lowest first; small groups hollow.

    Args:
        rows: Rows of `duchenne.evaluation.groups`.
        figure: Which figure.
    """
    picture = new_figure(6.6, 1.0 + 0.3 * max(3, len(rows)))
    axes = picture.subplots()
    for place, r in enumerate(rows):
        value, pair = r[figure], _pair(r["intervals"].get(figure))
        if value is None or math.isnan(value):
            axes.text(0.01, place, "n/a", va="center", fontsize=8.5, color=INK)
            continue
        if pair is not None:
            axes.plot(pair, [place, place], color=GREY, linewidth=1.6, zorder=2)
        axes.plot(
            [value], [place], "o", color=BLUE, markersize=7, zorder=3,
            markerfacecolor="white" if r["small"] else BLUE, clip_on=False,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [f"{literal(r['group'])}  (n = {r['n']:,})" for r in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"{figure_title(figure)} (0 to 1)")
    plain(axes, grid="x")
    return picture
