"""The figures of a multi-label output as an entry of the summary (layout: `summary`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..datasets.ckplus_csv import CSV_UNITS
from . import calibration, classification, multilabel
from .intervals import percentiles, resample, resample_times
from .predictions import Predictions

Array = npt.NDArray[Any]

_OF_COUNTS = ("binary_accuracy", "macro_f1", "weighted_f1")


def multi_figures(
    p: Predictions, name: str, draws: int, seed: int, thresholds: Sequence[float] | str | None = None
) -> dict[str, Any]:
    """All figures of a multi-label output; `thresholds` ``(A,)``, "choose" or None."""
    known = np.asarray(p.annotated(name).any(axis=1))
    p = p.select(known)
    if not len(p):
        return {"annotated": 0}
    probs, targets, mask = p.probs[name], p.targets[name], p.annotated(name)
    labels = p.output(name).labels
    samples = multilabel.sample_counts(probs, targets, mask)
    counts = samples.sum(axis=0)
    table = multilabel.per_label(counts)
    occurs = table["support"] > 0
    table["average_precision"] = multilabel.average_precision(probs, targets, mask)
    # A ranking by chance has the share of positives as its precision at every threshold.
    table["chance_average_precision"] = np.where(
        occurs, classification.ratio(table["support"], table["n"]), np.nan
    )
    intervals, f1_intervals = _intervals(samples, draws, seed, p.subject)
    intervals["map"] = _map_interval(p, name, draws, seed)
    bins = calibration.reliability(probs[mask], targets[mask] >= multilabel.THRESHOLD)
    entry = {
        "n": len(p),
        "annotated": int(mask.sum()),
        **multilabel.averages(counts),
        "map": multilabel.mean_average_precision(probs, targets, mask),
        "chance_map": _mean(table["chance_average_precision"]),
        "ece": calibration.calibration_error(bins),
        "absent": [x for x, s in zip(labels, occurs, strict=True) if not s],
        "intervals": intervals,
        "without_in_train": clean(p, lambda q: _short(q, name, draws, seed)),
        "per_class": rows_of(labels, table | {"f1_interval": f1_intervals}),
        "cooccurrence": {
            "true": multilabel.cooccurrence(targets >= multilabel.THRESHOLD, mask),
            "predicted": multilabel.cooccurrence(probs >= multilabel.THRESHOLD, mask),
        },
        "reliability": rows_of(None, bins),
    }
    if thresholds is not None:
        entry["at_thresholds"] = _at_thresholds(p, name, draws, seed, thresholds)
    entry |= _by_class(p, name, draws, seed)
    whole = mask.all(axis=1)
    if whole.any():
        order = _report_order(labels)
        matrix = multilabel.argmax_form(probs[whole][:, order], targets[whole][:, order])
        entry["argmax_form"] = _argmax_figures(matrix, tuple(labels[i] for i in order))
    return entry


def _short(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    rows = multilabel.sample_counts(p.probs[name], p.targets[name], p.annotated(name))
    means = multilabel.averages(rows.sum(axis=0))
    return {
        "n": len(p),
        **{m: means[m] for m in _OF_COUNTS},
        "intervals": _intervals(rows, draws, seed, p.subject)[0],
    }


def _intervals(rows: Array, draws: int, seed: int, subject: Array | None) -> tuple[dict[str, Any], Array]:
    """Intervals of the averages, and of each label's F1."""
    drawn = resample(rows.reshape(len(rows), 4 * rows.shape[1]), draws, np.random.default_rng(seed), subject)
    drawn = drawn.reshape(draws, *rows.shape[1:])
    means, f1 = multilabel.averages(drawn), multilabel.per_label(drawn)["f1"]
    return {m: percentiles(means[m]) for m in _OF_COUNTS}, np.array([percentiles(f) for f in f1.T])


def _map_interval(p: Predictions, name: str, draws: int, seed: int) -> tuple[float, float]:
    probs, targets, mask = p.probs[name], p.targets[name], p.annotated(name)
    values = [
        multilabel.resampled_average_precision(times, probs, targets, mask)
        for times in resample_times(len(p), draws, np.random.default_rng(seed), p.subject)
    ]
    return percentiles(_mean(np.concatenate(values))) if values else (float("nan"), float("nan"))


def _mean(values: Array) -> Any:
    """Over the last axis, of what is known; nan where nothing is."""
    known = ~np.isnan(values)
    return classification.ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


def _at_thresholds(
    p: Predictions, name: str, draws: int, seed: int, thresholds: Sequence[float] | str
) -> dict[str, Any]:
    probs, targets, mask = p.probs[name], p.targets[name], p.annotated(name)
    here = isinstance(thresholds, str)
    at = multilabel.choose_thresholds(probs, targets, mask) if here else np.asarray(thresholds, np.float64)
    rows = multilabel.sample_counts(probs, targets, mask, at)
    table, means = multilabel.per_label(rows.sum(axis=0)), multilabel.averages(rows.sum(axis=0))
    return {
        "chosen_here": here,
        "thresholds": at,
        **{k: v for k, v in means.items() if not k.startswith("always")},
        "intervals": _intervals(rows, draws, seed, p.subject)[0],
        "per_class": rows_of(
            p.output(name).labels, {k: table[k] for k in ("precision", "recall", "f1", "accuracy")}
        ),
    }


def _by_class(p: Predictions, name: str, draws: int, seed: int) -> dict[str, Any]:
    """Figures among the samples of each class of the first single output with truth."""
    single = next((o for o in p.outputs if o.kind == "single" and o.name in p.targets), None)
    if single is None:
        return {}
    codes, rows = p.hard(single.name), []
    for code, label in enumerate(single.labels):
        q = p.select(codes == code)
        cells = multilabel.sample_counts(q.probs[name], q.targets[name], q.annotated(name))
        counts = cells.sum(axis=0)
        table, means = multilabel.per_label(counts), multilabel.averages(counts)
        columns = {k: table[k] for k in ("f1", "always_yes_f1", "support")}
        columns["predicted"] = counts[:, 0] + counts[:, 1]
        rows.append(
            {
                "label": label,
                "n": len(q),
                "annotated": int(table["n"].sum()),
                **{k: means[k] for k in ("binary_accuracy", "macro_f1", *multilabel.BASELINES)},
                "intervals": _intervals(cells, draws, seed, q.subject)[0],
                "per_class": rows_of(q.output(name).labels, columns),
            }
        )
    return {"by_class": {"output": single.name, "rows": rows}}


def _report_order(labels: tuple[str, ...]) -> list[int]:
    """Places of the labels in the order of chan2023's own tables, where these are its 15 units."""
    known = set(labels) == set(CSV_UNITS)
    return [labels.index(unit) for unit in CSV_UNITS] if known else list(range(len(labels)))


def _argmax_figures(matrix: Array, labels: tuple[str, ...]) -> dict[str, Any]:
    table = classification.per_class(matrix)
    used = (table["support"] + table["predicted"]) > 0
    values = {k: np.nan_to_num(v[used].astype(np.float64), nan=0.0) for k, v in table.items()}
    return {
        "n": int(matrix.sum()),
        "accuracy": float(matrix.trace() / matrix.sum()),
        "macro_f1": float(values["f1"].mean()),
        "weighted_f1": float((values["f1"] * values["support"]).sum() / matrix.sum()),
        "per_class": rows_of(
            tuple(x for x, u in zip(labels, used, strict=True) if u), {k: v[used] for k, v in table.items()}
        ),
    }


def clean(p: Predictions, figures: Any) -> dict[str, Any] | None:
    """The short figures without the samples that stand in training; None where that changes nothing."""
    if p.in_train is None or not p.in_train.any():
        return None
    rest = p.select(~p.in_train)
    return dict(figures(rest)) if len(rest) else {"n": 0}


def rows_of(labels: tuple[str, ...] | None, columns: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Columns -> one dict a class (or bin)."""
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows if labels is None else [{"label": x, **row} for x, row in zip(labels, rows, strict=True)]
