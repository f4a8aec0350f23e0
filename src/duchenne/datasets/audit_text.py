"""The audit as a page of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .audit import AuditReport, Near, Overlap

_SHOWN = 5


def audit_text(report: AuditReport) -> str:
    """Write the report; counts are of faces (rows) unless "images" is said."""
    repeated = sum(len(g) for g in report.duplicates)
    lines = [
        f"{report.name}: {report.n:,} faces, {report.distinct:,} distinct images",
        "",
        f"Exact duplicates: {len(report.duplicates):,} groups, {repeated:,} faces in them",
        *(f"  within {p}: {k:,} faces repeat an earlier one" for p, k in report.within.items() if k),
        *_across(report.across_parts, "also stand"),
        *_by_split(report.across_parts, report.across_splits, "also stand"),
    ]
    for conflict in report.conflicts:
        what = "groups of identical images"
        lines += ["", f"Conflicting labels of {conflict.output}: {conflict.groups:,} {what}"]
        lines += [f"  {', '.join(group)}" for group in conflict.ids[:_SHOWN]]
        lines += _more(len(conflict.ids))
    lines += ["", f"Blank images (one colour throughout): {len(report.blank):,}"]
    if report.blank:
        lines += [f"  {', '.join(report.blank[: 2 * _SHOWN])}" + (", ..." if len(report.blank) > 10 else "")]
    lines += _near(report.near)
    for output, splits in report.class_counts.items():
        lines += ["", f"Class counts of {output}"]
        width = max((len(label) for label in splits["all"]), default=0)
        lines += ["  " + " " * width + "".join(f"{s:>9}" for s in splits)]
        for label in splits["all"]:
            lines += [f"  {label:<{width}}" + "".join(f"{counts[label]:>9,}" for counts in splits.values())]
    return "\n".join(lines) + "\n"


def _across(overlaps: Sequence[Overlap], verb: str) -> list[str]:
    lines = []
    for o in overlaps:
        images = f" ({o.images:,} distinct images)" if o.images else ""
        lines += [
            f"  {o.first_faces:,} of {o.first} {verb} in {o.second}, and {o.second_faces:,} of {o.second} "
            f"in {o.first}{images}"
        ]
    return lines


def _by_split(parts: Sequence[Overlap], splits: Sequence[Overlap], verb: str) -> list[str]:
    """The lines by split, unless each split is one part and they would repeat the figures."""

    def figures(overlaps: Sequence[Overlap]) -> list[tuple[int, int, int]]:
        return [(o.first_faces, o.second_faces, o.images) for o in overlaps]

    if figures(parts) == figures(splits):
        return []
    return ["  by split:", *("  " + line for line in _across(splits, verb))]


def _more(n: int) -> list[str]:
    return [f"  and {n - _SHOWN:,} more"] if n > _SHOWN else []


def _near(near: Near | None) -> list[str]:
    if near is None:
        return ["", "Near duplicates: not looked for"]
    if near.method == "thumbnail":
        how = f"correlation of 16x16 thumbnails >= {near.threshold:g}"
    else:
        how = f"64-bit difference hashes that differ in <= {near.threshold:g} bits"
    return [
        "",
        f"Near duplicates ({how}): {near.pairs:,} pairs of distinct images",
        *_across(near.across_parts, "have one (and no exact one)"),
        *_by_split(near.across_parts, near.across_splits, "have one (and no exact one)"),
        *(f"  {a}  {b}  {score:g}" for a, b, score in near.examples[:_SHOWN]),
    ]
