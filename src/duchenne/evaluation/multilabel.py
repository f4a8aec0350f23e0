"""Figures of a multi-label output (action units). A label is predicted at probability >= 0.5, or a threshold
of its own, and present at a target >= 0.5 (occurrence, or intensity in [0, 1]); what the mask does not name
is not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .classification import ratio

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

THRESHOLD = 0.5

# Of `averages`: what needs no model.
BASELINES = ("always_no_binary_accuracy", "always_yes_macro_f1")


def choose_thresholds(probs: Array, targets: Array, mask: Array) -> Floats:
    """``(A,)`` the threshold of the highest F1 on these samples, label by label.

    0.5 where that is among the best, and for a label without a positive; else half-way between the lowest
    score that is a yes and the highest that is a no. Few positives make it a matter of chance.

    Source: choosing by F1 on held-out samples: Lipton, Elkan & Naryanaswamy 2014 (arXiv:1402.1892).
    """
    done = np.full(probs.shape[1], THRESHOLD)
    for a in range(probs.shape[1]):
        known = mask[:, a]
        scores, is_so = probs[known, a].astype(np.float64), targets[known, a] >= THRESHOLD
        if not is_so.any():
            continue
        order, ends = _from_the_top(scores)
        f1 = 2 * np.cumsum(is_so[order])[ends] / (ends + 1 + is_so.sum())
        lowest_yes = scores[order][ends]
        highest_no = np.append(lowest_yes[1:], -1.0)
        middle = (lowest_yes + np.maximum(highest_no, 0.0)) / 2
        at = np.where((highest_no < THRESHOLD) & (lowest_yes >= THRESHOLD), THRESHOLD, middle)
        best = np.flatnonzero(f1 >= f1.max() - 1e-12)
        done[a] = at[best[np.abs(at[best] - THRESHOLD).argmin()]]
    return done


def sample_counts(
    probs: Array, targets: Array, mask: Array, thresholds: Array | None = None
) -> npt.NDArray[np.int64]:
    """``(N, A, 4)``: each sample's and label's 0 or 1 of true positive, false positive, false negative, true
    negative; all 0 where not annotated. Their sums over samples are what `per_label` and `averages` read.
    `thresholds` ``(A,)``; None: 0.5.
    """
    # As an array of doubles: a Python number would be rounded to the probabilities' float32.
    said = probs >= np.asarray(THRESHOLD if thresholds is None else thresholds, np.float64)
    is_so = targets >= THRESHOLD
    cells = (said & is_so, said & ~is_so, ~said & is_so, ~said & ~is_so)
    return np.stack([c & mask for c in cells], axis=2).astype(np.int64)


def per_label(counts: Array) -> dict[str, Array]:
    """Per label: precision, recall, f1, accuracy (nan where undefined), support (positives), n (annotated).

    Beside them the answers that need no model: ``always_no_accuracy`` and ``always_yes_f1``.

    Args:
        counts: ``(..., A, 4)``, sums of `sample_counts`.

    Returns:
        Arrays ``(..., A)``.
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts), -1, 0)
    support, n = tp + fn, tp + fp + fn + tn
    return {
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, support),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": ratio(tp + tn, n),
        "support": support,
        "n": n,
        "always_no_accuracy": ratio(n - support, n),
        "always_yes_f1": ratio(2 * support, support + n),
    }


def averages(counts: Array) -> dict[str, Floats]:
    """Binary accuracy, and macro and weighted averages over the labels that occur.

    Binary accuracy is the share of right answers among all annotated (sample, label) pairs. Macro is the
    plain mean over labels with at least one positive (the others are listed as absent, not counted as 0);
    weighted is weighted by support; a precision undefined for want of predictions counts 0.

    Args:
        counts: ``(..., A, 4)``, sums of `sample_counts`.

    Returns:
        Arrays ``(...)``: binary_accuracy, macro_ and weighted_ precision, recall and f1, and the baselines
        always_no_binary_accuracy and always_yes_macro_f1.
    """
    table = per_label(counts)
    support, n = table["support"], table["n"].sum(axis=-1)
    occurs = support > 0
    tp, _, _, tn = np.moveaxis(np.asarray(counts), -1, 0)
    done = {"binary_accuracy": ratio((tp + tn).sum(axis=-1), n)}
    for name in ("precision", "recall", "f1"):
        values = np.nan_to_num(table[name], nan=0.0)
        done[f"macro_{name}"] = ratio((values * occurs).sum(axis=-1), occurs.sum(axis=-1))
        done[f"weighted_{name}"] = ratio((values * support).sum(axis=-1), support.sum(axis=-1))
    done["always_no_binary_accuracy"] = ratio(n - support.sum(axis=-1), n)
    yes = np.nan_to_num(table["always_yes_f1"], nan=0.0)
    done["always_yes_macro_f1"] = ratio((yes * occurs).sum(axis=-1), occurs.sum(axis=-1))
    return done


def average_precision(probs: Array, targets: Array, mask: Array) -> Floats:
    """``(A,)`` average precision ``sum_n (R_n - R_{n-1}) P_n``, distinct thresholds; nan without positives.

    Source: the form without interpolation, as scikit-learn's ``average_precision_score``.
    """
    done = np.full(probs.shape[1], np.nan)
    for a in range(probs.shape[1]):
        known = mask[:, a]
        scores, is_so = probs[known, a], targets[known, a] >= THRESHOLD
        if not is_so.any():
            continue
        order, ends = _from_the_top(scores)
        right = np.cumsum(is_so[order])[ends]
        precision = right / (ends + 1)
        done[a] = (np.diff(right, prepend=0) * precision).sum() / is_so.sum()
    return done


def resampled_average_precision(times: Array, probs: Array, targets: Array, mask: Array) -> Floats:
    """``(B, A)`` `average_precision` of each resample; `times` ``(B, N)``: how often it has each sample."""
    done = np.full((len(times), probs.shape[1]), np.nan)
    for a in range(probs.shape[1]):
        known = np.flatnonzero(mask[:, a])
        if not len(known):
            continue
        order, ends = _from_the_top(probs[known, a])
        drawn = times[:, known[order]]
        right = np.cumsum(drawn * (targets[known[order], a] >= THRESHOLD), axis=1)[:, ends]
        precision = np.nan_to_num(ratio(right, np.cumsum(drawn, axis=1)[:, ends]), nan=0.0)
        done[:, a] = ratio((np.diff(right, axis=1, prepend=0) * precision).sum(axis=1), right[:, -1])
    return done


def _from_the_top(scores: Array) -> tuple[Array, Array]:
    """The order of falling scores, and the places in it where a run of equal scores ends."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)


def cooccurrence(present: Array, mask: Array) -> npt.NDArray[np.int64]:
    """``(A, A)``: on how many samples both labels are present; the diagonal counts each label alone.

    Args:
        present: ``(N, A)`` bool, true or predicted.
        mask: ``(N, A)`` bool; only samples annotated for both labels count.
    """
    both = (present & mask).astype(np.int64)
    return np.asarray(both.T @ both)


def argmax_form(probs: Array, targets: Array) -> npt.NDArray[np.int64]:
    """``(A, A)`` confusion of the likeliest label with the first label present (row), one a sample.

    No figure of a multi-label output: all but one label of a sample are dropped, which one depends on the
    order of the labels, and a sample without any counts as the first label. Kept to be held against figures
    published in this form.

    Source: chan2023, figures 10 to 12.
    """
    k = probs.shape[1]
    cells = (targets >= THRESHOLD).argmax(axis=1) * k + probs.argmax(axis=1)
    return np.bincount(cells, minlength=k * k).reshape(k, k)


def mean_average_precision(probs: Array, targets: Array, mask: Array) -> float:
    """Mean of `average_precision` over the labels that occur; nan where none does."""
    values = average_precision(probs, targets, mask)
    occurs = ~np.isnan(values)
    return float(values[occurs].mean()) if occurs.any() else float("nan")
