"""Do probabilities mean what they say: reliability bins, expected calibration error, and what mends it.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .classification import labelled, ratio, sample_losses
from .predictions import hard_codes

Array = npt.NDArray[Any]

BINS = 15  # Guo et al. 2017, section 5
TEMPERATURES = (0.05, 20.0)  # the interval searched; a fit at an end means the probabilities carry nothing
# What `fit_scaling` adds to the log loss for each squared step away from a common scale and no shift. Chosen
# on halves of FER2013's PublicTest with two nets: less costs accuracy, more leaves the calibration as it was.
RIDGE = 0.01


def confidence(probs: Array, targets: Array) -> tuple[Array, Array]:
    """Of the labelled samples: the largest probability ``(n,)`` and whether that label is right ``(n,)``."""
    known = labelled(targets)
    chosen = probs[known]
    return chosen.max(axis=1), chosen.argmax(axis=1) == hard_codes(targets)[known]


def reliability(scores: Array, right: Array, bins: int = BINS) -> dict[str, Array]:
    """Bins of equal width, ``(m-1)/M < score <= m/M`` (a score of 0 is in the first).

    Args:
        scores: ``(n,)`` probabilities in [0, 1].
        right: ``(n,)`` bool (or the share that is right).
        bins: M.

    Returns:
        Arrays ``(M,)``: low, high (edges), n, accuracy and confidence (means, nan in an empty bin).

    Source: Guo et al. 2017, section 2, the bins of equations 1 and 2.
    """
    scores = np.asarray(scores, np.float64)
    edges = np.arange(bins + 1) / bins
    index = np.searchsorted(edges[1:-1], scores, side="left")
    n = np.bincount(index, minlength=bins)
    return {
        "low": edges[:-1],
        "high": edges[1:],
        "n": n,
        "accuracy": ratio(np.bincount(index, weights=right, minlength=bins), n),
        "confidence": ratio(np.bincount(index, weights=scores, minlength=bins), n),
    }


def calibration_error(table: dict[str, Array]) -> float:
    """Expected calibration error: mean ``|accuracy - confidence|`` over bins, weighted by n; nan for n = 0.

    Source: Guo et al. 2017, equation 3.
    """
    gap = np.nan_to_num(abs(table["accuracy"] - table["confidence"]), nan=0.0)
    return float(ratio(np.asarray((gap * table["n"]).sum()), table["n"].sum()))


def expected_calibration_error(probs: Array, targets: Array, bins: int = BINS) -> float:
    """Expected calibration error of a ``single`` output's largest probability."""
    return calibration_error(reliability(*confidence(probs, targets), bins))


def label_calibration_error(probs: Array, targets: Array, mask: Array, bins: int = BINS) -> float:
    """The same for a ``multi`` output: probability against occurrence, all annotated pairs together."""
    return calibration_error(reliability(probs[mask], targets[mask] >= 0.5, bins))


def temper(probs: Array, temperature: float) -> npt.NDArray[np.float32]:
    """``softmax(log(probs) / temperature)``, ``(N, K)`` float32; above 1 it makes answers less sure."""
    logs = np.log(np.maximum(probs.astype(np.float64), np.finfo(np.float32).tiny)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def fit_temperature(probs: Array, targets: Array) -> float:
    """The temperature in `TEMPERATURES` with the least log loss, to 4 digits; fit it on validation data.

    Logits enter as their log-probabilities: a row's constant makes no difference. The log loss is convex in
    ``1 / temperature``, so a golden-section search on its logarithm finds the minimum.

    Raises:
        ValueError: No sample is labelled.

    Source: Guo et al. 2017, section 4.2.
    """
    known = labelled(targets)
    if not known.any():
        raise ValueError("a temperature needs labelled samples")
    probs, targets = probs[known], targets[known]

    def loss(log_t: float) -> float:
        return float(sample_losses(temper(probs, float(np.exp(log_t))), targets).mean())

    shrink = (np.sqrt(5) - 1) / 2
    low, high = float(np.log(TEMPERATURES[0])), float(np.log(TEMPERATURES[1]))
    a, b = high - shrink * (high - low), low + shrink * (high - low)
    at_a, at_b = loss(a), loss(b)
    while high - low > 1e-5:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - shrink * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + shrink * (high - low)
            at_b = loss(b)
    return float(np.exp((low + high) / 2))


def fit_scaling(logits: Array, targets: Array, ridge: float = RIDGE) -> tuple[list[float], list[float]]:
    """A scale and a shift for each label's logit with the least log loss; fit them on validation data.

    ``softmax(logits * scale + shift)`` are the probabilities. Unlike one temperature they can tell labels
    apart whose answers are too sure from those whose are too unsure, and may change which is the largest.

    Args:
        logits: ``(N, K)``.
        targets: ``(N,)`` codes, -1 where there is no label; or ``(N, K)`` votes.
        ridge: What each squared step away from a common scale and no shift costs.

    Returns:
        K scales within 1 / `TEMPERATURES`, and K shifts with sum 0, to 4 digits.

    Raises:
        ValueError: No sample is labelled.

    Source: Guo et al. 2017, section 4.2, "vector scaling"; the ridge (`RIDGE`) is this project's.
    """
    from scipy.optimize import minimize

    known = labelled(targets)
    if not known.any():
        raise ValueError("a scaling needs labelled samples")
    z, k = logits[known].astype(np.float64), logits.shape[1]
    truth = targets[known]
    shares = np.eye(k)[truth] if truth.ndim == 1 else truth / truth.sum(axis=1, keepdims=True)

    def loss(values: Array) -> tuple[float, Array]:
        scale, shift = values[:k], values[k:]
        logs = z * scale + shift
        logs -= logs.max(axis=1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        apart = scale - scale.mean()
        value = -(shares * logs).sum(axis=1).mean() + ridge * ((apart**2).sum() + (shift**2).sum())
        slope = (np.exp(logs) - shares) / len(z)
        return value, np.concatenate(
            [(slope * z).sum(axis=0) + 2 * ridge * apart, slope.sum(axis=0) + 2 * ridge * shift]
        )

    ends = (1 / TEMPERATURES[1], 1 / TEMPERATURES[0])
    start = np.concatenate([np.ones(k), np.zeros(k)])
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[ends] * k + [(None, None)] * k,
        options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-7},
    ).x  # fmt: skip
    return [round(float(v), 4) for v in found[:k]], [round(float(v), 4) for v in found[k:]]
