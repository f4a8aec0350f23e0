"""Confident learning: which labels are likely wrong, from predicted probabilities.

Written from the paper. The authors' own package, cleanlab, was under the AGPL up to its version 2.8 and is
under the Apache licence 2.0 from 2.9 on; this room needs NumPy alone, so it is what the tests compare with,
not what is called.

Source: Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset labels", JAIR
70, section 3.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean

Array = npt.NDArray[Any]
Method = Literal["confident_joint", "by_class", "by_noise_rate", "both"]
METHODS = ("confident_joint", "by_class", "by_noise_rate", "both")


def thresholds(codes: Array, probs: Array) -> npt.NDArray[np.float64]:
    """Each class's mean probability over the samples that carry its label, ``(K,)``; nan without samples.

    Source: Northcutt et al. 2021, equation 2.
    """
    codes, probs = _checked(codes, probs)
    k = probs.shape[1]
    counts = np.bincount(codes, minlength=k)
    sums = np.bincount(codes, weights=probs[np.arange(len(codes)), codes], minlength=k)
    return np.asarray(np.divide(sums, counts, out=np.full(k, np.nan), where=counts > 0))


def confident_joint(codes: Array, probs: Array) -> npt.NDArray[np.int64]:
    """Counts ``(K, K)``: row, the given label; column, the label that is likely true.

    A sample counts where the probability of some class reaches that class's threshold; of several such
    classes the most probable one is taken.

    Args:
        codes: ``(N,)`` given labels, 0 to K - 1.
        probs: ``(N, K)`` predicted probabilities; those of a model that has not seen the sample are meant.
            Of a model trained on the sample itself they are too sure of the given label.

    Raises:
        DataError: Shapes, codes or probabilities that do not fit.

    Source: Northcutt et al. 2021, equation 1 and algorithm 1.
    """
    codes, probs = _checked(codes, probs)
    likely = _likely(codes, probs)
    k = probs.shape[1]
    counted = likely >= 0
    cells = codes[counted] * k + likely[counted]
    return np.bincount(cells, minlength=k * k).reshape(k, k).astype(np.int64)


def joint(codes: Array, probs: Array) -> npt.NDArray[np.float64]:
    """Estimated joint distribution of given and true labels, ``(K, K)``, sum 1.

    Source: Northcutt et al. 2021, equation 3: rows of the counts brought to the number of samples that carry
    the label, then all divided by their sum. A row without any count is taken as correct.
    """
    codes, probs = _checked(codes, probs)
    k = probs.shape[1]
    counts = confident_joint(codes, probs).astype(np.float64)
    empty = counts.sum(axis=1) == 0
    counts[empty, empty] = 1
    rows = np.bincount(codes, minlength=k)
    counts *= (rows / counts.sum(axis=1))[:, None]
    return np.asarray(counts / counts.sum())


def label_issues(codes: Array, probs: Array, method: Method = "by_noise_rate") -> npt.NDArray[np.bool_]:
    """Samples whose label is likely wrong, ``(N,)`` bool.

    Args:
        codes, probs: As of `confident_joint`.
        method: "confident_joint": those counted off the diagonal of the counts. "by_class": of each class,
            as many as the joint says are wrong, those with the lowest probability of the given label.
            "by_noise_rate": of each pair of labels, as many as the joint says, those with the largest margin
            of the other label over the given one. "both": those that the last two name alike.

    Raises:
        DataError: As `confident_joint`; or there is no such method.

    Source: Northcutt et al. 2021, section 3.2, CL methods 2 to 5.
    """
    if method not in METHODS:
        raise DataError(f"confident learning has no method '{method}'", did_you_mean(method, METHODS))
    codes, probs = _checked(codes, probs)
    if method == "confident_joint":
        likely = _likely(codes, probs)
        return np.asarray((likely >= 0) & (likely != codes))
    expected = joint(codes, probs) * len(codes)
    if method == "by_class":
        return _by_class(codes, probs, expected)
    by_rate = _by_noise_rate(codes, probs, expected)
    return by_rate if method == "by_noise_rate" else by_rate & _by_class(codes, probs, expected)


def _likely(codes: Array, probs: Array) -> Array:
    """The most probable class among those at or above their threshold; -1 where there is none."""
    # Rounding must not take a mean of equal probabilities above each of them.
    reached = probs >= thresholds(codes, probs)[None, :] - 1e-9
    best = np.where(reached, probs, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), best, -1)


def _by_class(codes: Array, probs: Array, expected: Array) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(codes), dtype=bool)
    for i in range(len(expected)):
        rows = np.flatnonzero(codes == i)
        wrong = round(float(expected[i].sum() - expected[i, i]))
        order = np.argsort(probs[rows, i], kind="stable")
        found[rows[order[: min(wrong, len(rows) - 1)]]] = True  # no class is emptied
    return found


def _by_noise_rate(codes: Array, probs: Array, expected: Array) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(codes), dtype=bool)
    for i in range(len(expected)):
        rows = np.flatnonzero(codes == i)
        for j in range(len(expected)):
            wrong = round(float(expected[i, j]))
            if i == j or not wrong:
                continue
            margin = probs[rows, j] - probs[rows, i]
            found[rows[np.argsort(-margin, kind="stable")[:wrong]]] = True
        if len(rows) and found[rows].all():  # no class is emptied: its surest sample stays
            found[rows[np.argmax(probs[rows, i])]] = False
    return found


def _checked(codes: Array, probs: Array) -> tuple[Array, Array]:
    codes, probs = np.asarray(codes, dtype=np.int64), np.asarray(probs, dtype=np.float64)
    if probs.ndim != 2 or codes.shape != probs.shape[:1] or not len(codes) or probs.shape[1] < 2:
        raise DataError(f"labels of shape {codes.shape} and probabilities of shape {probs.shape} do not fit")
    if codes.min() < 0 or codes.max() >= probs.shape[1]:
        raise DataError(f"labels must be codes from 0 to {probs.shape[1] - 1}")
    if not np.isfinite(probs).all() or probs.min() < 0 or (abs(probs.sum(axis=1) - 1) > 1e-3).any():
        raise DataError("probabilities must be 0 or more and add up to 1 for each sample")
    return codes, probs
