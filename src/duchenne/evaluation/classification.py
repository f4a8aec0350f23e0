"""Figures of a single-label output. Everything that counts right and wrong is read from the confusion matrix.

Conventions, the same everywhere:

- A sample without a true label (code -1, or no votes) is left out; `labelled` says which stay.
- Votes ``(N, K)``: right and wrong are judged against the label with most votes (ties: the first), the log
  loss against the distribution.
- The prediction is the label with the largest probability (ties: the first).
- Matrices are ``(..., K, K)`` counts, rows actual, columns predicted; leading axes are resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .predictions import hard_codes

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

# Probabilities below this count as this much in the log loss: the float32 epsilon, as in scikit-learn.
LOG_CLIP = float(np.finfo(np.float32).eps)


def labelled(targets: Array) -> npt.NDArray[np.bool_]:
    """``(N,)`` bool: which samples carry a true label."""
    return hard_codes(targets) >= 0


def confusion(codes: Array, predicted: Array, num_classes: int) -> npt.NDArray[np.int64]:
    """Count matrix ``(K, K)``, rows actual, columns predicted; code -1 is left out."""
    known = codes >= 0
    cells = codes[known].astype(np.int64) * num_classes + predicted[known]
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def confusion_of(probs: Array, targets: Array) -> npt.NDArray[np.int64]:
    """The confusion matrix of probabilities ``(N, K)`` and codes or votes."""
    return confusion(hard_codes(targets), probs.argmax(axis=1), probs.shape[1])


def per_class(matrix: Array) -> dict[str, Array]:
    """Per class: precision, recall, f1 (nan where undefined), support (actual) and predicted (counts).

    Undefined is: precision of a class that is never predicted; recall of one that never occurs; F1
    ``2 TP / (2 TP + FP + FN)`` of one that neither occurs nor is predicted.

    Args:
        matrix: ``(..., K, K)``.

    Returns:
        Arrays ``(..., K)``.
    """
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    support, predicted = matrix.sum(axis=-1), matrix.sum(axis=-2)
    return {
        "precision": ratio(right, predicted),
        "recall": ratio(right, support),
        "f1": ratio(2 * right, support + predicted),
        "support": support,
        "predicted": predicted,
    }


def one_vs_rest(matrix: Array) -> dict[str, Array]:
    """Each class against all others: accuracy, precision, recall, f1, arrays ``(..., K)``.

    Source: Kontogouris 2018, Table 5 (there in percent).
    """
    table = per_class(matrix)
    total = matrix.sum(axis=(-2, -1))[..., None]
    wrong = table["support"] + table["predicted"] - 2 * np.diagonal(matrix, axis1=-2, axis2=-1)
    return {
        "accuracy": ratio(total - wrong, total + 0 * wrong),
        **{k: table[k] for k in ("precision", "recall", "f1")},
    }


def averages(matrix: Array) -> dict[str, Floats]:
    """Accuracy, and macro and weighted averages over classes.

    Macro is the plain mean: of recall over the classes that occur (this is balanced accuracy); of F1 over
    those that occur or are predicted; of precision over the same, where one that is never predicted counts
    0. Weighted is the mean weighted by support, with the same 0. Where all K classes occur these are
    scikit-learn's figures (``zero_division=0``). All are nan where the matrix is empty.

    Args:
        matrix: ``(..., K, K)``.

    Returns:
        Arrays ``(...)`` under accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1,
        weighted_precision, weighted_recall, weighted_f1.
    """
    table = per_class(matrix)
    right = np.diagonal(matrix, axis1=-2, axis2=-1).sum(axis=-1)
    support = table["support"]
    occurs = support > 0
    seen = occurs | (table["predicted"] > 0)
    done = {"accuracy": ratio(right, support.sum(axis=-1))}
    for name, counted in (("precision", seen), ("recall", occurs), ("f1", seen)):
        values = np.nan_to_num(table[name], nan=0.0)
        done[f"macro_{name}"] = ratio((values * counted).sum(axis=-1), counted.sum(axis=-1))
        done[f"weighted_{name}"] = ratio((values * support).sum(axis=-1), support.sum(axis=-1))
    done["balanced_accuracy"] = done["macro_recall"]
    return done


def accuracy_among(matrix: Array, codes: Sequence[int]) -> tuple[float, int]:
    """Accuracy over the samples whose true class is one of `codes`, nan without any, and their number.

    The answer may be any class: one outside the group counts as wrong.
    """
    rows = sorted(set(codes))
    n = int(matrix[rows].sum())
    return float(ratio(np.diagonal(matrix)[rows].sum(), np.asarray(n))), n


def top_k(probs: Array, targets: Array, k: int) -> float:
    """Share of samples whose true label is among the k most probable (ties: lower codes first)."""
    known = labelled(targets)
    probs, codes = probs[known], hard_codes(targets)[known]
    if not len(codes):
        return float("nan")
    own = probs[np.arange(len(codes)), codes][:, None]
    earlier = np.arange(probs.shape[1]) < codes[:, None]
    rank = ((probs > own) | ((probs == own) & earlier)).sum(axis=1)
    return float((rank < k).mean())


def sample_losses(probs: Array, targets: Array) -> Floats:
    """Cross-entropy of each labelled sample, nats: ``-sum q log p``, p clipped from below at `LOG_CLIP`.

    q is 1 at the code, or the votes over their sum; p is first divided by its row's sum (in float64).
    """
    known = labelled(targets)
    p, target = probs[known].astype(np.float64), targets[known]
    logs = np.log(np.maximum(p / p.sum(axis=1, keepdims=True), LOG_CLIP))
    if target.ndim == 1:
        return np.asarray(-logs[np.arange(len(target)), target])
    q = target.astype(np.float64)
    return np.asarray(-(q / q.sum(axis=1, keepdims=True) * logs).sum(axis=1))


def log_loss(probs: Array, targets: Array) -> float:
    """Mean of `sample_losses`; nan where no sample is labelled."""
    losses = sample_losses(probs, targets)
    return float(losses.mean()) if len(losses) else float("nan")


def ratio(over: Array, under: Array) -> Floats:
    """``over / under`` in float64, nan where ``under`` is 0."""
    under = np.asarray(under, np.float64)
    done = np.full(under.shape, np.nan)
    np.divide(over, under, out=done, where=under != 0)
    return done
