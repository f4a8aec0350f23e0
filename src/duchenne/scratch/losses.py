"""Losses per sample, with their derivative by the logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def softmax(logits: Array) -> Array:
    """Probabilities ``(N, K)``: exp(z_j) / sum_k exp(z_k).

    Multiplying above and below by C = exp(-max z) changes nothing and makes the largest exponent 0, so
    nothing overflows.

    Source: kontogouris2018 equation 6 (its log K = -D, minus the number of classes, does not prevent
    overflow); wright2019 section 3 (log C = -max(exp f) would itself overflow; the maximum of f is meant).
    """
    e: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def softmax_cross_entropy(logits: Array, targets: Array, smoothing: float = 0.0) -> tuple[Array, Array]:
    """L_n = -sum_j t_j log softmax(z)_j for each sample.

    With sum_j t_j = 1: L = log(sum_k exp z_k) - sum_j t_j z_j, and from d sigma_j / d z_i = sigma_j (delta_ij
    - sigma_i) follows dL/dz_i = sigma_i sum_j t_j - t_i = sigma_i - t_i.

    Args:
        logits: ``(N, K)``.
        targets: ``(N,)`` codes (t is 1 at the code), or ``(N, K)`` shares that sum to 1 a row.
        smoothing: The targets become (1 - smoothing) t + smoothing / K.

    Returns:
        Losses ``(N,)`` and their derivatives by the logits ``(N, K)``.

    Source: kontogouris2018 section 3.1, wright2019 section 3. Smoothing: Szegedy et al. 2016
    (arXiv:1512.00567).
    """
    n, k = logits.shape
    z = logits - logits.max(axis=1, keepdims=True)
    d = np.exp(z)
    total = d.sum(axis=1)
    d /= total[:, None]
    if targets.ndim == 1 and smoothing == 0.0:
        rows = np.arange(n)
        losses = np.log(total) - z[rows, targets]
        d[rows, targets] -= 1.0
        return losses, d
    t = np.eye(k, dtype=logits.dtype)[targets] if targets.ndim == 1 else targets.astype(logits.dtype)
    t = (1.0 - smoothing) * t + smoothing / k
    losses = t.sum(axis=1) * np.log(total) - (t * z).sum(axis=1)
    d *= t.sum(axis=1, keepdims=True)
    d -= t
    return losses, d


# A label is weighed as if it were at least so rare or so common as 1 face in 21: without a bound the one
# face of a label with a single positive would outweigh all others.
MOST_POSITIVE_WEIGHT = 20.0


def balanced_positives(targets: Array, mask: Array, weight: Array) -> tuple[Array, Array]:
    """Per label negatives / positives, so that both sides weigh the same in the loss.

    Args:
        targets: ``(N, K)`` occurrence in [0, 1]; an intensity counts as that share of a positive.
        mask: ``(N, K)``, 1 where annotated.
        weight: ``(N,)`` sample weights.

    Returns:
        Weights ``(K,)`` float32 between 1 / `MOST_POSITIVE_WEIGHT` and `MOST_POSITIVE_WEIGHT`, 1 for a label
        without a positive (nothing is there to be weighed), and which labels have none ``(K,)`` bool.
    """
    share = np.asarray(mask, np.float64) * np.asarray(weight, np.float64)[:, None]
    positives = (share * targets).sum(axis=0)
    none = positives <= 0
    ratio = (share.sum(axis=0) - positives) / np.where(none, 1.0, positives)
    bounded = np.clip(ratio, 1 / MOST_POSITIVE_WEIGHT, MOST_POSITIVE_WEIGHT)
    return np.where(none, 1.0, bounded).astype(np.float32), none


def sigmoid_cross_entropy(
    logits: Array, targets: Array, mask: Array, positive: Array | None = None
) -> tuple[Array, Array]:
    """Binary cross-entropy of K independent sigmoids: the mean over a sample's annotated labels.

    l_j = -t log s - (1 - t) log(1 - s) with s = 1 / (1 + exp(-z)); rewritten as max(z, 0) - t z + log(1 +
    exp(-abs(z))), which cannot overflow. dl_j/dz_j = s - t.

    With positive weights w: l_j = -w t log s - (1 - t) log(1 - s); as -log s = log(1 + exp(-z)), that is the
    above + (w - 1) t log(1 + exp(-z)), and dl_j/dz_j = s - t - (w - 1) t (1 - s).

    Args:
        logits: ``(N, K)``.
        targets: ``(N, K)`` occurrence in [0, 1].
        mask: ``(N, K)`` or ``(N,)``, 1 where annotated.
        positive: ``(K,)`` what a label's positives weigh; None: 1.

    Returns:
        Losses ``(N,)``, 0 without annotation, and their derivatives by the logits ``(N, K)``.
    """
    mask = np.broadcast_to(mask if mask.ndim == 2 else mask[:, None], logits.shape)
    share = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1.0)
    e = np.exp(-np.abs(logits))
    cells = np.maximum(logits, 0) - targets * logits + np.log1p(e)
    s = np.where(logits >= 0, 1.0, e) / (1.0 + e)
    d = s - targets
    if positive is not None:
        more = (positive - 1.0) * targets
        cells = cells + more * (np.maximum(-logits, 0) + np.log1p(e))
        d = d - more * (np.where(logits >= 0, e, 1.0) / (1.0 + e))
    return (cells * share).sum(axis=1), d * share
