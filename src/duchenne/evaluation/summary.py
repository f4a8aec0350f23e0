"""All figures of one set of predictions, as plain JSON: what a run keeps and reports read.

Layout (numbers are floats unless said; an undefined one is null):

    schema            1
    views             how many views of an image were averaged: "single", "flip", "ten-crop"
    n                 samples (int)
    in_train          samples whose image also stands in training (int), null where that is not known
    bootstrap         {draws, seed, level, resampled: "images" | "subjects"}
    outputs           {NAME: entry}

An entry of every output holds ``kind``, ``labels`` and ``n`` (labelled samples). Where ``n`` is 0 no
figures follow.

Entry of a ``single`` output:

    unlabelled        samples left out for want of a true label (int)
    truth             "codes" | "votes"
    accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1,
    weighted_precision, weighted_recall, weighted_f1
    top_2, top_3      null where there are not more labels than that
    log_loss, ece
    majority          accuracy of always answering the commonest label
    groups            [{name, labels, n (int), accuracy}]: accuracy over the n samples whose true label is one
                      of the group's; only of the first single output, where groups were asked for
    intervals         {accuracy | balanced_accuracy | macro_f1 | weighted_f1 | log_loss: [low, high]}
    without_in_train  the same samples less those that stand in training: {n, accuracy, balanced_accuracy,
                      macro_f1, weighted_f1, log_loss, intervals}; null where not known or none does
    per_class         [{label, precision, recall, f1, support (int), predicted (int)}]
    one_vs_rest       [{label, accuracy, precision, recall, f1}]
    confusion         K rows (actual) of K counts (predicted), int
    reliability       [{low, high, n (int), accuracy, confidence}], 15 bins

Entry of a ``multi`` output:

    annotated         (sample, label) pairs that count (int)
    binary_accuracy, macro_precision, macro_recall, macro_f1, weighted_precision, weighted_recall,
    weighted_f1, map, ece
    always_no_binary_accuracy, always_yes_macro_f1     what needs no model
    absent            labels without a positive sample: not in the macro averages and map
    intervals         {binary_accuracy | macro_f1 | weighted_f1: [low, high]}
    without_in_train  {n, binary_accuracy, macro_f1, weighted_f1, intervals} or null
    per_class         [{label, precision, recall, f1, accuracy, average_precision, support (int), n (int),
                      always_no_accuracy, always_yes_f1}]
    reliability       as above, of all pairs: accuracy: share of positives; confidence: mean probability
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import calibration, classification, multilabel
from .intervals import LEVEL, percentiles, resample, resample_cells
from .plain import plain
from .predictions import Predictions

SCHEMA = 1

Array = npt.NDArray[Any]

_OF_MATRIX = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
_OF_COUNTS = ("binary_accuracy", "macro_f1", "weighted_f1")


def evaluate_predictions(
    p: Predictions,
    *,
    views: str = "single",
    bootstrap: int = 1000,
    seed: int = 0,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Compute every figure (layout above).

    Args:
        p: Predictions; outputs without truth get an entry with ``n`` 0.
        views: Named beside the figures, for they depend on it.
        bootstrap: Resamples for the intervals; 0 gives null intervals. Subjects are resampled where known.
        seed: Of the resamples; each output's intervals depend on it alone.
        groups: Name -> labels of the first single-label output, whose accuracy is taken among them.

    Raises:
        KeyError: A group names a label that the output does not have.
    """
    outputs = {}
    wanted = dict(groups or {})
    for output in p.outputs:
        entry: dict[str, Any] = {"kind": output.kind, "labels": output.labels, "n": 0}
        if output.name in p.targets:
            figures = _single if output.kind == "single" else _multi
            entry |= figures(p, output.name, bootstrap, seed)
        if wanted and output.kind == "single":
            if entry["n"]:
                entry["groups"] = _groups(entry["confusion"], output.labels, wanted)
            wanted = {}
        outputs[output.name] = entry
    done = {
        "schema": SCHEMA,
        "views": views,
        "n": len(p),
        "in_train": None if p.in_train is None else int(p.in_train.sum()),
        "bootstrap": {
            "draws": bootstrap,
            "seed": seed,
            "level": LEVEL,
            "resampled": "images" if p.subject is None else "subjects",
        },
        "outputs": outputs,
    }
    return dict(plain(done))


def _single(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    known = classification.labelled(p.targets[name])
    unlabelled = int((~known).sum())
    p = p.select(known)
    if not len(p):
        return {"unlabelled": unlabelled}
    probs, targets, k = p.probs[name], p.targets[name], p.output(name).num_classes
    labels = p.output(name).labels
    matrix = classification.confusion_of(probs, targets)
    bins = calibration.reliability(*calibration.confidence(probs, targets))
    return {
        "n": len(p),
        "unlabelled": unlabelled,
        "truth": "codes" if targets.ndim == 1 else "votes",
        **classification.averages(matrix),
        **{f"top_{t}": classification.top_k(probs, targets, t) if k > t else None for t in (2, 3)},
        "log_loss": classification.log_loss(probs, targets),
        "ece": calibration.calibration_error(bins),
        "majority": matrix.sum(axis=1).max() / len(p),
        "intervals": _single_intervals(p, name, draws, seed),
        "without_in_train": _clean(p, lambda q: _single_short(q, name, draws, seed)),
        "per_class": _rows(labels, classification.per_class(matrix)),
        "one_vs_rest": _rows(labels, classification.one_vs_rest(matrix)),
        "confusion": matrix,
        "reliability": _rows(None, bins),
    }


def _groups(
    matrix: Array, labels: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    codes = {label: code for code, label in enumerate(labels)}
    rows = []
    for name, chosen in groups.items():
        accuracy, n = classification.accuracy_among(matrix, [codes[label] for label in chosen])
        rows.append({"name": name, "labels": list(chosen), "n": n, "accuracy": accuracy})
    return rows


def _single_short(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    probs, targets = p.probs[name], p.targets[name]
    means = classification.averages(classification.confusion_of(probs, targets))
    return {
        "n": len(p),
        **{m: means[m] for m in _OF_MATRIX},
        "log_loss": classification.log_loss(probs, targets),
        "intervals": _single_intervals(p, name, draws, seed),
    }


def _single_intervals(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    k, codes = p.output(name).num_classes, p.hard(name)
    rng = np.random.default_rng(seed)
    cells = codes * k + p.probs[name].argmax(axis=1)
    drawn = resample_cells(cells, k * k, draws, rng, p.subject).reshape(draws, k, k)
    means = classification.averages(drawn)
    losses = classification.sample_losses(p.probs[name], p.targets[name])
    sums = resample(np.stack((losses, np.ones(len(p))), 1), draws, rng, p.subject)
    means["log_loss"] = classification.ratio(sums[:, 0], sums[:, 1])
    return {m: percentiles(means[m]) for m in (*_OF_MATRIX, "log_loss")}


def _multi(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    known = np.asarray(p.annotated(name).any(axis=1))
    p = p.select(known)
    if not len(p):
        return {"annotated": 0}
    probs, targets, mask = p.probs[name], p.targets[name], p.annotated(name)
    labels = p.output(name).labels
    counts = multilabel.sample_counts(probs, targets, mask).sum(axis=0)
    table = multilabel.per_label(counts)
    table["average_precision"] = multilabel.average_precision(probs, targets, mask)
    bins = calibration.reliability(probs[mask], targets[mask] >= multilabel.THRESHOLD)
    return {
        "n": len(p),
        "annotated": int(mask.sum()),
        **multilabel.averages(counts),
        "map": multilabel.mean_average_precision(probs, targets, mask),
        "ece": calibration.calibration_error(bins),
        "absent": [x for x, s in zip(labels, table["support"], strict=True) if s == 0],
        "intervals": _multi_intervals(p, name, draws, seed),
        "without_in_train": _clean(p, lambda q: _multi_short(q, name, draws, seed)),
        "per_class": _rows(labels, table),
        "reliability": _rows(None, bins),
    }


def _multi_short(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    counts = multilabel.sample_counts(p.probs[name], p.targets[name], p.annotated(name)).sum(axis=0)
    means = multilabel.averages(counts)
    return {
        "n": len(p),
        **{m: means[m] for m in _OF_COUNTS},
        "intervals": _multi_intervals(p, name, draws, seed),
    }


def _multi_intervals(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    rows = multilabel.sample_counts(p.probs[name], p.targets[name], p.annotated(name))
    drawn = resample(rows.reshape(len(rows), -1), draws, np.random.default_rng(seed), p.subject)
    means = multilabel.averages(drawn.reshape(draws, *rows.shape[1:]))
    return {m: percentiles(means[m]) for m in _OF_COUNTS}


def _clean(p: Predictions, figures: Any) -> dict[str, Any] | None:
    """The short figures without the samples that stand in training; None where that changes nothing."""
    if p.in_train is None or not p.in_train.any():
        return None
    rest = p.select(~p.in_train)
    return dict(figures(rest)) if len(rest) else {"n": 0}


def _rows(labels: tuple[str, ...] | None, columns: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Columns -> one dict a class (or bin)."""
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows if labels is None else [{"label": x, **row} for x, row in zip(labels, rows, strict=True)]
