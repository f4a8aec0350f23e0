"""Two learners on the same samples: McNemar's test and the paired bootstrap of a difference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import comb, erfc, sqrt
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import RunError
from ..labels import match_labels
from . import classification, multilabel
from .intervals import LEVEL, percentiles, resample, resample_cells
from .plain import plain
from .predictions import Predictions

Array = npt.NDArray[Any]

# Below this many discordant pairs the chi-squared form is too rough. Source: Edwards 1948; common practice.
EXACT_BELOW = 25


@dataclass(frozen=True)
class McNemar:
    """Result of McNemar's test.

    Attributes:
        both: Samples that both have right.
        only_a: Right in a alone.
        only_b: Right in b alone.
        neither: Wrong in both.
        p_value: Two-sided.
        method: ``"exact"`` (binomial) or ``"chi2"`` (one degree of freedom, continuity correction).
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float
    method: Literal["exact", "chi2"]


def mcnemar(right_a: Array, right_b: Array) -> McNemar:
    """Test whether two learners have equally many samples right.

    Args:
        right_a: ``(N,)`` bool, of the first learner.
        right_b: ``(N,)`` bool, of the second, for the same samples.

    Source: McNemar 1947; the correction Edwards 1948; exact where fewer than 25 samples are discordant.
    """
    a, b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    if n < EXACT_BELOW:
        tail = sum(comb(n, i) for i in range(min(only_a, only_b) + 1)) / 2**n
        p_value, method = min(1.0, 2 * tail), "exact"
    else:
        p_value, method = erfc(sqrt(max(0, abs(only_a - only_b) - 1) ** 2 / n / 2)), "chi2"
    both, neither = int((a & b).sum()), int((~a & ~b).sum())
    return McNemar(both, only_a, only_b, neither, p_value, "exact" if method == "exact" else "chi2")


def compare_predictions(
    a: Predictions, b: Predictions, output: str, *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compare two learners on the samples (matched by id) that both predicted and that are labelled.

    Args:
        a: First learner.
        b: Second learner. Its labels may stand in another order (matched by name).
        output: Which output.
        bootstrap: Number of paired resamples; subjects are resampled where they are known.
        seed: Of the resamples.

    Returns:
        Plain JSON: ``output``, ``n``, ``only_in_a`` and ``only_in_b`` (unmatched ids, counts), ``resampled``,
        ``figures``: name -> ``{"a", "b", "difference" (a - b), "interval"}``, and for a ``single`` output
        ``mcnemar`` (fields of `McNemar`).

    Raises:
        RunError: No common samples, other labels, or another truth for the same sample.
    """
    left, right = _matched(a, b, output)
    figures = _single if left.output(output).kind == "single" else _multi
    done = {
        "output": output,
        "only_in_a": len(a) - len(left),
        "only_in_b": len(b) - len(left),
        "resampled": "images" if left.subject is None else "subjects",
        "level": LEVEL,
        **figures(left, right, output, bootstrap, np.random.default_rng(seed)),
    }
    return dict(plain(done))


def _single(
    a: Predictions, b: Predictions, name: str, draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    codes, k = a.hard(name), a.output(name).num_classes
    known = codes >= 0
    codes = codes[known]
    said_a, said_b = (p.probs[name].argmax(axis=1)[known] for p in (a, b))
    # Each sample is one cell of (actual, said by a, said by b); summing over one axis gives each matrix.
    cells = (codes * k + said_a) * k + said_b
    clusters = None if a.subject is None else a.subject[known]
    drawn = resample_cells(cells, k**3, draws, rng, clusters).reshape(-1, k, k, k)
    cube = np.bincount(cells, minlength=k**3).reshape(k, k, k)
    names = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    figures = [classification.averages(m) for m in (cube.sum(2), cube.sum(1), drawn.sum(3), drawn.sum(2))]
    test = mcnemar(said_a == codes, said_b == codes)
    return {"n": len(codes), "figures": _differences(names, figures), "mcnemar": asdict(test)}


def _multi(a: Predictions, b: Predictions, name: str, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    target, mask = a.truth(name), a.annotated(name)
    rows = np.stack([multilabel.sample_counts(p.probs[name], target, mask) for p in (a, b)], axis=1)
    drawn = resample(rows.reshape(len(rows), -1), draws, rng, a.subject).reshape(-1, *rows.shape[1:])
    total = rows.sum(axis=0)
    figures = [multilabel.averages(c) for c in (total[0], total[1], drawn[:, 0], drawn[:, 1])]
    names = ("binary_accuracy", "macro_f1", "weighted_f1")
    return {"n": len(rows), "figures": _differences(names, figures)}


def _differences(names: tuple[str, ...], figures: list[dict[str, Array]]) -> dict[str, Any]:
    a, b, drawn_a, drawn_b = figures
    return {
        n: {"a": a[n], "b": b[n], "difference": a[n] - b[n], "interval": percentiles(drawn_a[n] - drawn_b[n])}
        for n in names
    }


def _matched(a: Predictions, b: Predictions, name: str) -> tuple[Predictions, Predictions]:
    """Both with the common samples in a's order; b with this output alone, its labels in a's order."""
    out_a, out_b = a.output(name), b.output(name)
    pairs, only_a, only_b = match_labels(out_a, out_b)
    if only_a or only_b or out_a.kind != out_b.kind:
        unmatched = ", ".join(only_a + only_b) or f"{out_a.kind} and {out_b.kind}"
        raise RunError(f"the two runs answer different questions for '{name}': {unmatched}")
    places = {i: row for row, i in enumerate(b.ids.tolist())}
    rows = np.array([(i, places[x]) for i, x in enumerate(a.ids.tolist()) if x in places], np.int64)
    if not len(rows):
        raise RunError("the two runs have no sample in common", "compare runs evaluated on the same data set")
    left, right = a.select(rows[:, 0]), b.select(rows[:, 1])
    order = [pairs[i] for i in range(out_a.num_classes)]  # a's code -> b's code
    if name in right.targets:
        _same_truth(left, right, name, np.array(order))
    probs = np.ascontiguousarray(right.probs[name][:, order])
    return left, Predictions(right.ids, (out_a,), {name: probs})


def _same_truth(a: Predictions, b: Predictions, name: str, order: Array) -> None:
    if a.output(name).kind == "single":
        codes = a.hard(name)
        differs = np.where(codes >= 0, order[codes], -1) != b.hard(name)
    else:
        known = a.annotated(name) & b.annotated(name)[:, order]
        differs = (((a.truth(name) >= 0.5) != (b.truth(name)[:, order] >= 0.5)) & known).any(axis=1)
    if differs.any():
        first = a.ids[int(differs.argmax())]
        raise RunError(
            f"the two runs hold different true labels of '{name}' for {int(differs.sum())} samples, "
            f"first '{first}'",
            "compare runs evaluated on the same labels",
        )
