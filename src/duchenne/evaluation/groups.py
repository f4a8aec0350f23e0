"""Every figure per group of samples (by subject, or any attribute), and how far the groups lie apart.

Layout of one attribute's entry (numbers are floats unless said; an undefined one is null):

    attribute         "subject", or the attribute's name
    small, small_class  n below which a group, or a class within one, is marked as small (ints)
    unknown           samples whose attribute is not known: in no group (int)
    outputs           {NAME: {kind, rows, gaps}}

Row of a group:

    group             the attribute's value
    n                 labelled samples (int); small: n is below `small` (bool)
    subjects          how many people they are of (int); null where the data do not say
    accuracy, balanced_accuracy, macro_f1, weighted_f1       (``single``)
    binary_accuracy, macro_f1, weighted_f1, map              (``multi``)
    always_no_binary_accuracy, always_yes_macro_f1           (``multi``: what needs no model)
    intervals         {figure: [low, high]}: whole subjects are resampled where they are known (images within
                      one subject)
    per_class         [{label, precision, recall, f1, support (int), small (bool)}], of ``multi`` also
                      always_yes_f1

Macro figures are over the classes that occur in the group, so that groups of other classes differ in what is
averaged. A gap is the largest difference between two groups:

    figure, among     "all" groups, or "large": those that are not small, where some are and two are not
    highest, lowest   the two groups; high, low, gap: their figures and the difference
    interval          of that difference between these two groups
    gap_by_chance     mean largest gap where membership is permuted
    p_value           share of permutations with a gap at least as large
    p_adjusted        p_value adjusted for the number of figures tested (Holm), per attribute and `among`
    permutations      how many (int); permuted: "subjects" where each is in one group, else "images"

The largest gap is held against the largest gaps under permutation, which accounts for the number of groups.

Source: the maximum over comparisons: Westfall & Young 1993; the added 1: Phipson & Smyth 2010; Holm 1979.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RecipeError, did_you_mean
from . import classification, multilabel
from .intervals import owners, percentiles, resample, resample_cells, resample_times
from .multi_summary import rows_of
from .predictions import Predictions

Array = npt.NDArray[Any]
Stat = Callable[[Array, int], dict[str, Array]]  # codes (N,), number of groups -> figure -> (groups,)

SUBJECT = "subject"

# Below it a group's figures are little more than chance: the half-width of a share's 95% interval passes .18.
SMALL = 30
SMALL_CLASS = 10

PERMUTATIONS = 999
FEWEST_PERMUTATIONS = 199
# (sample, label, group) triples that the average precisions of all permutations may pass: seconds.
_MOST_WORK = 100_000_000

OF_SINGLE = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
OF_MULTI = ("binary_accuracy", "macro_f1", "weighted_f1", "map")
# The figures whose gaps are tested; the more are, the less each test sees.
TESTED = {"single": ("accuracy", "macro_f1"), "multi": ("binary_accuracy", "macro_f1", "map")}


def check_attributes(names: Sequence[str], groups: Sequence[str], subject: bool, owner: str) -> None:
    """Whether samples carry the attributes to group by.

    Args:
        names: What is asked for.
        groups: Attributes that the samples carry.
        subject: Whether they say who is on them.
        owner: Whose samples these are, for the message.

    Raises:
        RecipeError: One is not among them; names the nearest, and all that there are.
    """
    known = [*groups, *([SUBJECT] if subject else [])]
    for name in names:
        if name in known:
            continue
        if not known:
            raise RecipeError(
                f"{owner} has no attribute '{name}' to group by", "it names neither subjects nor groups"
            )
        near = did_you_mean(name, known)
        listed = "" if near.startswith("known") else f" It has: {', '.join(sorted(known))}."
        raise RecipeError(f"{owner} has no attribute '{name}' to group by", near + listed)


def figures_by(p: Predictions, attribute: str, *, bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """All figures per group of one attribute, as arrays and plain values (layout above).

    Args:
        p: Predictions; outputs without truth are left out.
        attribute: "subject", or a key of ``p.group``.
        bootstrap: Resamples for the intervals; 0 gives nan intervals and no test.
        seed: Of resamples and permutations.

    Raises:
        RecipeError: The predictions do not carry the attribute.
    """
    check_attributes([attribute], list(p.group), p.subject is not None, "this set of predictions")
    column = p.subject if attribute == SUBJECT and p.subject is not None else p.group[attribute]
    values = np.asarray(column)
    outputs = {}
    for output in p.outputs:
        if output.name not in p.targets:
            continue
        known = (
            classification.labelled(p.targets[output.name])
            if output.kind == "single"
            else p.annotated(output.name).any(axis=1)
        )
        keep = known & (values != "")
        outputs[output.name] = {"kind": output.kind} | _of_output(
            p.select(keep), output.name, values[keep], bootstrap, seed
        )
    return {
        "attribute": attribute,
        "small": SMALL,
        "small_class": SMALL_CLASS,
        "unknown": int((values == "").sum()),
        "outputs": outputs,
    }


def _of_output(p: Predictions, name: str, values: Array, draws: int, seed: int) -> dict[str, Any]:
    names, codes = np.unique(values, return_inverse=True)
    rows: list[dict[str, Any]] = []
    drawn: list[dict[str, Array]] = []
    for code, group in enumerate(names.tolist()):
        q = p.select(codes == code)
        # A stream a group: the two groups of a gap are drawn independently.
        found = _group_figures(q, name, draws, np.random.default_rng([seed, code]))
        rows.append({"group": group, **found[0]})
        drawn.append(found[1])
    gaps = _gaps(p, name, codes, rows, drawn, "all", draws, seed)
    large = np.array([not r["small"] for r in rows], bool)
    if not large.all() and large.sum() >= 2:
        keep = large[codes]
        chosen = np.flatnonzero(large)
        gaps += _gaps(
            p.select(keep), name, np.searchsorted(chosen, codes[keep]), [rows[i] for i in chosen],
            [drawn[i] for i in chosen], "large", draws, seed,
        )  # fmt: skip
    return {"rows": rows, "gaps": gaps}


def _group_figures(
    p: Predictions, name: str, draws: int, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Array]]:
    """One group's row, and its resampled figures ``{figure: (B,)}``."""
    output = p.output(name)
    figures: tuple[str, ...]
    told: tuple[str, ...]
    columns: tuple[str, ...] = ("precision", "recall", "f1", "support")
    people = None if p.subject is None else len(np.unique(owners(p.subject)))
    clusters = p.subject if people is not None and people > 1 else None
    if output.kind == "single":
        k = output.num_classes
        matrix = classification.confusion_of(p.probs[name], p.targets[name])
        means, table = classification.averages(matrix), classification.per_class(matrix)
        cells = p.hard(name) * k + p.probs[name].argmax(axis=1)
        drawn = classification.averages(
            resample_cells(cells, k * k, draws, rng, clusters).reshape(draws, k, k)
        )
        figures, told = OF_SINGLE, OF_SINGLE
    else:
        counts = multilabel.sample_counts(p.probs[name], p.targets[name], p.annotated(name))
        total = counts.sum(axis=0)
        means, table = multilabel.averages(total), multilabel.per_label(total)
        seeds = rng.integers(0, 2**32, 2)
        sums = resample(counts.reshape(len(p), -1), draws, np.random.default_rng(seeds[0]), clusters)
        drawn = multilabel.averages(sums.reshape(draws, *counts.shape[1:]))
        times = list(resample_times(len(p), draws, np.random.default_rng(seeds[1]), clusters))
        means["map"] = _mean_ap(p, name, np.ones((1, len(p)), np.int64))[0]
        drawn["map"] = np.concatenate([_mean_ap(p, name, t) for t in times]) if times else np.zeros(0)
        figures, told = OF_MULTI, (*OF_MULTI, *multilabel.BASELINES)
        columns = (*columns, "always_yes_f1")
    small_classes = table["support"] < SMALL_CLASS
    row = {
        "n": len(p),
        "small": len(p) < SMALL,
        "subjects": people,
        **{f: means[f] for f in told},
        "intervals": {f: percentiles(drawn[f]) for f in figures},
        "per_class": rows_of(
            output.labels,
            {k: table[k] for k in columns} | {"small": small_classes},
        ),
    }
    return row, {f: drawn[f] for f in figures}


def _mean_ap(p: Predictions, name: str, times: Array) -> Array:
    """``(B,)`` mean average precision of samples taken `times` ``(B, N)``, over the labels that occur."""
    values = multilabel.resampled_average_precision(times, p.probs[name], p.targets[name], p.annotated(name))
    known = ~np.isnan(values)
    return classification.ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))


def _gaps(
    p: Predictions, name: str, codes: Array, rows: Sequence[Mapping[str, Any]],
    drawn: Sequence[Mapping[str, Array]], among: str, draws: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """The largest gap of each tested figure; none where fewer than two groups have the figure."""
    entries: list[dict[str, Any]] = []
    for figure in TESTED[p.output(name).kind]:
        values = np.array([float(r[figure]) for r in rows])
        if (~np.isnan(values)).sum() < 2:
            continue
        high = int(np.nanargmax(values))
        low = int(np.flatnonzero(values == np.nanmin(values))[-1])  # the last: all alike are two groups too
        difference = drawn[high][figure] - drawn[low][figure]
        entries.append(
            {
                "figure": figure,
                "among": among,
                "highest": rows[high]["group"],
                "lowest": rows[low]["group"],
                "high": values[high],
                "low": values[low],
                "gap": values[high] - values[low],
                "interval": percentiles(difference),
            }
        )
    if entries and draws:
        _test(entries, p, name, codes, seed)
    return entries


def _test(entries: list[dict[str, Any]], p: Predictions, name: str, codes: Array, seed: int) -> None:
    """Write into the gaps what permuting the membership says of them."""
    units, permuted = _units(p, codes)
    groups = int(codes.max()) + 1
    wanted = {e["figure"]: e for e in entries}
    cheap = [f for f in wanted if f != "map"]
    by_chance = _permuted(_sums_stat(p, name), codes, units, groups, PERMUTATIONS, seed)
    gaps = {f: by_chance[f] for f in cheap}
    if "map" in wanted:
        work = len(p) * p.output(name).num_classes * groups
        times = int(np.clip(_MOST_WORK // work, FEWEST_PERMUTATIONS, PERMUTATIONS))
        gaps["map"] = _permuted(_map_stat(p, name), codes, units, groups, times, seed)["map"]
    for figure, entry in wanted.items():
        known = gaps[figure][~np.isnan(gaps[figure])]
        # Equal gaps count as reached: rounding must not make them smaller.
        reached = int((known >= entry["gap"] - 1e-12).sum())
        entry["gap_by_chance"] = float(known.mean()) if len(known) else float("nan")
        entry["p_value"] = (1 + reached) / (1 + len(known))
        entry["permutations"] = len(known)
        entry["permuted"] = permuted
    for entry, adjusted in zip(entries, holm([e["p_value"] for e in entries]), strict=True):
        entry["p_adjusted"] = adjusted


def _units(p: Predictions, codes: Array) -> tuple[Array, str]:
    """``(N,)`` what changes its group as a whole: the subject where each is in one group, else the image."""
    if p.subject is not None:
        who = np.unique(owners(p.subject), return_inverse=True)[1]
        first = np.zeros(who.max(initial=-1) + 1, np.int64)
        first[who] = codes
        # By subject itself there is nothing to permute but images.
        if len(first) > codes.max(initial=0) + 1 and (first[who] == codes).all():
            return who, "subjects"
    return np.arange(len(codes)), "images"


def _permuted(
    stat: Stat, codes: Array, units: Array, groups: int, permutations: int, seed: int
) -> dict[str, Array]:
    """Figure -> ``(permutations,)`` largest gaps with the units' groups permuted."""
    rng = np.random.default_rng([seed, 1])
    of_unit = np.zeros(int(units.max()) + 1, np.int64)
    of_unit[units] = codes
    found: dict[str, list[float]] = {}
    for _ in range(permutations):
        for figure, values in stat(rng.permutation(of_unit)[units], groups).items():
            known = values[~np.isnan(values)]
            gap = float(known.max() - known.min()) if len(known) > 1 else float("nan")
            found.setdefault(figure, []).append(gap)
    return {figure: np.array(values) for figure, values in found.items()}


def _sums_stat(p: Predictions, name: str) -> Stat:
    """Figures that are functions of sums over samples."""
    output = p.output(name)
    if output.kind == "single":
        k = output.num_classes
        cells = p.hard(name) * k + p.probs[name].argmax(axis=1)

        def of_cells(codes: Array, groups: int) -> dict[str, Array]:
            counts = np.bincount(codes * k * k + cells, minlength=groups * k * k).reshape(groups, k, k)
            return dict(classification.averages(counts))

        return of_cells
    rows = multilabel.sample_counts(p.probs[name], p.targets[name], p.annotated(name))
    flat = rows.reshape(len(p), -1).astype(np.float64)

    def of_counts(codes: Array, groups: int) -> dict[str, Array]:
        member = (codes == np.arange(groups)[:, None]).astype(np.float64)
        return dict(multilabel.averages((member @ flat).reshape(groups, *rows.shape[1:])))

    return of_counts


def _map_stat(p: Predictions, name: str) -> Stat:
    def of_members(codes: Array, groups: int) -> dict[str, Array]:
        return {"map": _mean_ap(p, name, (codes == np.arange(groups)[:, None]).astype(np.int64))}

    return of_members


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    done = [0.0] * len(p_values)
    least = 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        done[i] = least
    return done
