"""All figures of one set of predictions, as plain JSON: what a run keeps and reports read.

Layout (numbers are floats unless said; an undefined one is null):

    schema            1
    views             how many views of an image were averaged: "single", "flip", "ten-crop"
    n                 samples (int)
    in_train          samples whose image also stands in training (int), null where that is not known
    bootstrap         {draws, seed, level, resampled: "images" | "subjects"}
    outputs           {NAME: entry}
    by                [entry of an attribute]: all figures per group, and the gaps between groups (layout:
                      `groups`); empty where none was asked for; absent in files written before

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
    from_units        the same output told from the action units' probabilities by rule (`unit_rules`):
                      {units (the multi output), n (int), untold (labels without a rule), accuracy, macro_f1,
                      intervals, head {accuracy, macro_f1} (this output's own, same samples), mcnemar (rule
                      against head), given_true_units {n (int), accuracy, macro_f1} or null, per_class,
                      confusion, examples [{id, true, answer, reason}]}; absent where there are no rules

Entry of a ``multi`` output:

    annotated         (sample, label) pairs that count (int)
    binary_accuracy, macro_precision, macro_recall, macro_f1, weighted_precision, weighted_recall,
    weighted_f1, map, ece
    always_no_binary_accuracy, always_yes_macro_f1, chance_map     what needs no model
    absent            labels without a positive sample: not in the macro averages and map
    intervals         {binary_accuracy | macro_f1 | weighted_f1 | map: [low, high]}
    without_in_train  {n, binary_accuracy, macro_f1, weighted_f1, intervals} or null
    per_class         [{label, precision, recall, f1, accuracy, average_precision, support (int), n (int),
                      always_no_accuracy, always_yes_f1, chance_average_precision, f1_interval}]
    at_thresholds     the same at a threshold a label: {chosen_here (bool: on these samples, so the figures
                      flatter), thresholds [A], binary_accuracy, macro_ and weighted_ precision, recall and
                      f1, intervals, per_class [{label, precision, recall, f1, accuracy}]}; absent where no
                      thresholds are known
    cooccurrence      {true, predicted: A rows of A counts (int): samples that have both labels}
    by_class          figures among the samples of each class of the first single output: {output, rows
                      [{label, n (int), annotated (int), binary_accuracy, macro_f1,
                      always_no_binary_accuracy, always_yes_macro_f1, intervals, per_class [{label, f1,
                      always_yes_f1, support (int), predicted (int)}]}]}; absent where there is
                      none with truth
    argmax_form       {n (int), accuracy, macro_f1, weighted_f1, per_class}: see `multilabel.argmax_form`, of
                      the samples annotated throughout, over the labels that occur or are answered, chan2023's
                      15 units in the order of its own tables; absent where there are none
    reliability       as above, of all pairs: accuracy: share of positives; confidence: mean probability
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import calibration, classification
from .groups import figures_by
from .intervals import LEVEL, percentiles, resample, resample_cells
from .multi_summary import clean, multi_figures, rows_of
from .plain import plain
from .predictions import Predictions
from .unit_rules import rule_figures

SCHEMA = 1

Array = npt.NDArray[Any]

_OF_MATRIX = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")


def evaluate_predictions(
    p: Predictions,
    *,
    views: str = "single",
    bootstrap: int = 1000,
    seed: int = 0,
    groups: Mapping[str, Sequence[str]] | None = None,
    thresholds: Mapping[str, Sequence[float]] | Literal["choose"] | None = None,
    by: Sequence[str] = (),
) -> dict[str, Any]:
    """Compute every figure (layout above).

    Args:
        p: Predictions; outputs without truth get an entry with ``n`` 0.
        views: Named beside the figures, for they depend on it.
        bootstrap: Resamples for the intervals; 0 gives null intervals. Subjects are resampled where known.
        seed: Of the resamples; each output's intervals depend on it alone.
        groups: Name -> labels of the first single-label output, whose accuracy is taken among them.
        thresholds: Multi-label output -> a threshold a label, chosen on other samples (validation); "choose"
            takes them from these; None: 0.5 alone.
        by: Attributes ("subject", or a key of ``p.group``) by whose groups all figures are given.

    Raises:
        KeyError: A group names a label that the output does not have.
        RecipeError: The samples do not carry an attribute of `by`.
    """
    outputs = {}
    wanted = dict(groups or {})
    for output in p.outputs:
        entry: dict[str, Any] = {"kind": output.kind, "labels": output.labels, "n": 0}
        if output.name in p.targets:
            if output.kind == "single":
                entry |= _single(p, output.name, bootstrap, seed)
            else:
                own = (
                    None
                    if thresholds is None
                    else "choose"
                    if thresholds == "choose"
                    else (thresholds.get(output.name))
                )
                entry |= multi_figures(p, output.name, bootstrap, seed, own)
        if wanted and output.kind == "single":
            if entry["n"]:
                entry["groups"] = _groups(entry["confusion"], output.labels, wanted)
            wanted = {}
        outputs[output.name] = entry
    if (by_rule := rule_figures(p, bootstrap, seed)) is not None:
        outputs[by_rule[0]]["from_units"] = by_rule[1]
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
        "by": [figures_by(p, name, bootstrap=bootstrap, seed=seed) for name in dict.fromkeys(by)],
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
        "without_in_train": clean(p, lambda q: _single_short(q, name, draws, seed)),
        "per_class": rows_of(labels, classification.per_class(matrix)),
        "one_vs_rest": rows_of(labels, classification.one_vs_rest(matrix)),
        "confusion": matrix,
        "reliability": rows_of(None, bins),
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
