"""Answers to unequal class sizes: weights for the loss, or repeated rows. NumPy only.

By contract both see the training part only: what is counted or repeated must not reach validation or test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, RecipeError

Codes = npt.NDArray[np.integer[Any]]


def class_weights(codes: Codes, num_classes: int) -> npt.NDArray[np.float32]:
    """Balanced class weights ``n / (K * count)``.

    Args:
        codes: ``(N,)`` class codes; -1 (not annotated) is left out.
        num_classes: K, the number of classes, absent ones included.

    Returns:
        ``(K,)`` float32. A class without rows gets weight 0 (it has no row to weigh).

    Raises:
        DataError: No annotated row, or a code outside -1..K-1.

    Source: King & Zeng 2001, as scikit-learn's ``class_weight="balanced"``.
    """
    counts = _counts(codes, num_classes)
    weights = np.zeros(num_classes)
    weights[counts > 0] = counts.sum() / (num_classes * counts[counts > 0])
    return weights.astype(np.float32)


def oversample(codes: Codes, rng: np.random.Generator, to: int | str = "largest") -> npt.NDArray[np.int64]:
    """Row numbers in which each class that occurs stands (at least) a wanted number of times.

    Every row of a class is kept and repeated equally often; the rest is drawn without replacement. No row is
    dropped: a class with more rows than wanted keeps them all.

    Args:
        codes: ``(N,)`` class codes; rows of code -1 (not annotated) are kept once.
        rng: Source of the draws and of the final order.
        to: ``"largest"``: as many as the largest class has; or a number of rows a class.

    Returns:
        ``(N',)`` int64 row numbers, shuffled.

    Raises:
        DataError: No annotated row, or a code below -1.
        RecipeError: ``to`` is neither ``"largest"`` nor a number of at least 1.
    """
    if to != "largest" and (isinstance(to, (bool, str)) or to < 1):
        raise RecipeError(f"balance.to must be 'largest' or a number of at least 1, not {to!r}")
    codes = np.asarray(codes)
    counts = _counts(codes, int(codes.max(initial=-1)) + 1)
    wanted = int(counts.max()) if isinstance(to, str) else int(to)
    parts = [np.flatnonzero(codes < 0)]
    for code in np.flatnonzero(counts):
        rows = np.flatnonzero(codes == code)
        whole, rest = divmod(max(wanted, len(rows)), len(rows))
        parts += [np.tile(rows, whole), rng.choice(rows, rest, replace=False)]
    return rng.permutation(np.concatenate(parts)).astype(np.int64)


def _counts(codes: Codes, num_classes: int) -> npt.NDArray[np.int64]:
    codes = np.asarray(codes)
    if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
        raise DataError(f"class codes must be whole numbers (N,), not {codes.dtype} {codes.shape}")
    if len(codes) and not -1 <= codes.min() <= codes.max() < num_classes:
        raise DataError(f"class codes {codes.min()}..{codes.max()} are outside -1..{num_classes - 1}")
    known = codes[codes >= 0]
    if not len(known):
        raise DataError("no row carries a class, so there is nothing to balance")
    return np.bincount(known, minlength=num_classes)
