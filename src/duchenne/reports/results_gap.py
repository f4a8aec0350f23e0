"""Two splits of one recipe side by side: subjects apart, and frames drawn at random."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from .claims import figure_title
from .resultfile import ResultFile
from .results_tables import across, safe

# A recipe ID has its twin with frames drawn at random under ID-frames.
TWIN = "-frames"
_FIGURES = ("accuracy", "weighted_f1", "au.binary_accuracy", "au.macro_f1", "au.map", "au.f1.AU1")


def gap_table(done: Mapping[str, ResultFile]) -> str:
    """Test figures of the recipes that have a twin, a line a figure; "" where none has.

    Args:
        done: Results by recipe.
    """
    lines = []
    for name in sorted(done):
        twin = done.get(name + TWIN)
        for figure in _FIGURES if twin is not None else ():
            apart, random = _mean(done[name], figure), _mean(twin, figure)
            if apart is None or random is None:
                continue
            cells = [across(result, "test", figure) for result in (done[name], twin) if result is not None]
            lines.append(
                f"| {name} | {safe(figure_title(figure))} | {' | '.join(cells)} "
                f"| {100 * (random - apart):+.2f} points |"
            )
    if not lines:
        return ""
    head = [
        "Test figures with subjects apart, and with frames drawn at random, so that a person's frames stand "
        "on both sides. The gap is that of the means; with few seeds and small parts much is chance:",
        "",
        "| recipe | figure | subjects apart | frames at random | gap |",
        "|---|---|--:|--:|--:|",
    ]
    return "\n".join(head + lines)


def _mean(result: ResultFile | None, figure: str) -> float | None:
    """Over all seeds; None where one has not got it."""
    values = [] if result is None else [seed.test.get(figure) for seed in result.seeds]
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None
