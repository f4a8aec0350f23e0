"""Splits and folds: pure functions of arrays, seeded, stratified by class or disjoint by subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from .faceset import SPLITS

Array = npt.NDArray[Any]


def holdout(strata: Array, fraction: float, seed: int, subject: Array | None = None) -> Array:
    """Choose a seeded part of the rows, stratified by class, or whole subjects where they are given.

    Args:
        strata: ``(N,)`` class codes; each class gives its share, rounded so that the total is ``fraction *
            N``.
        fraction: Share of the rows, between 0 and 1.
        seed: Same seed, same choice.
        subject: ``(N,)`` who is on the picture; no subject then stands on both sides, and shares are
            approximate.

    Returns:
        ``(N,)`` bool, True for the chosen rows.

    Raises:
        DataError: The fraction is not between 0 and 1, or there are too few rows or subjects to cut.
    """
    parts = partition(strata, {"rest": 1.0 - _checked(fraction), "held": fraction}, seed, subject)
    return np.asarray(parts == "held")


def partition(
    strata: Array, shares: Mapping[str, float], seed: int, subject: Array | None = None
) -> npt.NDArray[np.str_]:
    """Divide the rows into named parts with the given shares.

    Args:
        strata: ``(N,)`` class codes.
        shares: Name -> share; they add up to 1.
        seed: Same seed, same parts.
        subject: ``(N,)`` or None; see `holdout`.

    Returns:
        ``(N,)`` str: each row's part.
    """
    names = list(shares)
    weights = np.array([shares[n] for n in names], dtype=np.float64)
    if (weights <= 0).any() or abs(weights.sum() - 1) > 1e-6:
        raise DataError(f"shares {dict(shares)} must be positive and add up to 1")
    if seed < 0:
        raise DataError(f"seed = {seed}: must be 0 or more")
    rng = np.random.default_rng(seed)
    codes = np.unique(strata, return_inverse=True)[1].reshape(-1)
    if subject is None:
        part = _stratified(codes, weights, rng)
    else:
        part = _by_subject(codes, np.asarray(subject), weights, rng)
    empty = [names[i] for i in range(len(names)) if not (part == i).any()]
    if empty:
        units = "faces" if subject is None else "subjects"
        raise DataError(f"too few {units} to divide: part '{empty[0]}' would be empty", "use another share")
    return np.array(names)[part]


def folds(strata: Array, k: int, seed: int, subject: Array | None = None) -> npt.NDArray[np.int64]:
    """Number each row's fold for k-fold cross-validation, stratified, or disjoint by subject.

    Returns:
        ``(N,)`` int64 in 0..k-1; fold i is the held-out part of round i.

    Raises:
        DataError: k is below 2, or above the number of rows or subjects.
    """
    units = len(strata) if subject is None else len(np.unique(subject))
    if not 2 <= k <= units:
        what = "faces" if subject is None else "subjects"
        raise DataError(f"{k} folds of {units} {what}: k must be from 2 to {units}")
    part = partition(strata, {str(i): 1 / k for i in range(k)}, seed, subject)
    return part.astype(np.int64)


def assign_split(
    part: Array,
    strata: Array,
    keep: Array,
    split: Mapping[str, str | float],
    seed: int,
    subject: Array | None = None,
) -> npt.NDArray[np.str_]:
    """Name each row's split by its publisher's part, then cut the shares.

    Args:
        part: ``(N,)`` str: the publisher's parts.
        strata: ``(N,)`` class codes, for the shares.
        keep: ``(N,)`` bool; the other rows get split "".
        split: "train", "val" and "test", each a part's name or a share. Shares of val and test are cut from
            the train part; where all three are shares, from all rows.
        seed: Of the shares.
        subject: ``(N,)`` or None; see `holdout`.

    Raises:
        DataError: An unknown split or part, one part for two splits, or shares that do not fit.
    """
    parts = [p for p in dict.fromkeys(part.tolist()) if p]
    result = np.full(len(part), "", dtype="<U5")
    shares: dict[str, float] = {}
    for name, value in split.items():
        if name not in SPLITS:
            raise DataError(f"there is no split '{name}'", did_you_mean(name, SPLITS))
        if not isinstance(value, str):
            shares[name] = float(value)
            continue
        if value not in parts:
            raise DataError(f"there is no part '{value}'", did_you_mean(value, parts) if parts else "")
        chosen = part == value
        if (result[chosen] != "").any():
            raise DataError(f"part '{value}' stands for two splits", "give each split a part of its own")
        result[chosen] = name
    if shares:
        whole = len(shares) == len(split)
        if not whole and ("train" in shares or "train" not in split):
            raise DataError(
                "shares are cut from split 'train', which must name a part", "or give only shares"
            )
        total = sum(shares.values())
        untrained = (
            total > 1 - 1e-6 and "train" not in shares and split != {"test": 1}
        )  # that is to test on all
        if min(shares.values()) <= 0 or total > 1 + 1e-6 or untrained:
            raise DataError(f"shares {shares} must be above 0, and leave some rows to train")
        rows = np.flatnonzero(keep & ((result == "train") | whole))
        rest = 1.0 - total
        if rest > 1e-6:
            shares = {**shares, ("" if "train" in shares else "train"): rest}
        result[rows] = partition(strata[rows], shares, seed, None if subject is None else subject[rows])
    result[~keep] = ""
    return result


def copied_to_train(images: Array, split: Array) -> npt.NDArray[np.bool_]:
    """Say which training images also stand, pixel for pixel, in the val or test split.

    Args:
        images: uint8 ``(N, H, W)`` or ``(N, H, W, 3)``.
        split: ``(N,)`` str, see `FaceSet`.

    Returns:
        ``(N,)`` bool.
    """
    held_out = {images[i].tobytes() for i in np.flatnonzero((split == "val") | (split == "test"))}
    copied = np.zeros(len(split), dtype=bool)
    rows = np.flatnonzero(split == "train")
    copied[rows] = [images[i].tobytes() in held_out for i in rows]
    return copied


def _checked(fraction: float) -> float:
    if not 0 < fraction < 1:
        raise DataError(f"a share of {fraction} is not between 0 and 1")
    return fraction


def _stratified(codes: Array, weights: Array, rng: np.random.Generator) -> Array:
    """Deal each class's shuffled rows to the parts by largest remainder, carried between classes."""
    part = np.empty(len(codes), dtype=np.int64)
    owed = np.zeros(len(weights))
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        owed += weights * len(rows)
        # What a part is owed so far, in whole rows; the carried remainder keeps the total exact to one row.
        counts = np.maximum(np.floor(owed + 1e-9), 0).astype(np.int64)
        while counts.sum() > len(rows):
            counts[np.argmax(counts - owed)] -= 1
        while counts.sum() < len(rows):
            counts[np.argmax(owed - counts)] += 1
        owed -= counts
        part[rows] = np.repeat(np.arange(len(weights)), counts)
    return part


def _by_subject(codes: Array, subject: Array, weights: Array, rng: np.random.Generator) -> Array:
    """Give whole subjects, the largest first, to the part whose class counts they bring nearest to target."""
    _, person = np.unique(subject, return_inverse=True)
    person = person.reshape(-1)
    table = np.zeros((person.max() + 1, codes.max() + 1))
    np.add.at(table, (person, codes), 1)
    target = weights[:, None] * table.sum(axis=0)
    have = np.zeros_like(target)
    order = rng.permutation(len(table))
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    scale = np.maximum(table.sum(axis=0), 1)
    given = np.empty(len(table), dtype=np.int64)
    for s in order:
        before = ((have - target) ** 2 / scale).sum(axis=1)
        after = ((have + table[s] - target) ** 2 / scale).sum(axis=1)
        given[s] = int(np.argmin((after - before) / np.maximum(weights, 1e-9)))
        have[given[s]] += table[s]
    for part in range(len(weights)):  # where subjects are few, one that is left empty is given the smallest
        spare = np.flatnonzero(np.bincount(given)[given] > 1)
        if len(spare) and not (given == part).any():
            given[spare[table[spare].sum(axis=1).argmin()]] = part
    return given[person]
