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


def sigmoid_cross_entropy(logits: Array, targets: Array, mask: Array) -> tuple[Array, Array]:
    """Binary cross-entropy of K independent sigmoids: the mean over a sample's annotated labels.

    l_j = -t log s - (1 - t) log(1 - s) with s = 1 / (1 + exp(-z)); rewritten as max(z, 0) - t z + log(1 +
    exp(-abs(z))), which cannot overflow. dl_j/dz_j = s - t.

    Args:
        logits: ``(N, K)``.
        targets: ``(N, K)`` occurrence in [0, 1].
        mask: ``(N, K)`` or ``(N,)``, 1 where annotated.

    Returns:
        Losses ``(N,)``, 0 without annotation, and their derivatives by the logits ``(N, K)``.
    """
    mask = np.broadcast_to(mask if mask.ndim == 2 else mask[:, None], logits.shape)
    share = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1.0)
    e = np.exp(-np.abs(logits))
    losses = ((np.maximum(logits, 0) - targets * logits + np.log1p(e)) * share).sum(axis=1)
    s = np.where(logits >= 0, 1.0, e) / (1.0 + e)
    return losses, (s - targets) * share
