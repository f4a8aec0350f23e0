"""FER+: ten people's votes for each FER2013 face, and the three published ways to make targets of them.

Source: Barsoum, Zhang, Canton Ferrer, Zhang 2016, "Training deep networks for facial expression recognition
with crowd-sourced label distribution", section 3; the rules' details follow the authors' published program
(MIT).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from .fer2013_csv import USAGES

Array = npt.NDArray[Any]
Votes = Literal["majority", "probability", "multi-target"]

NUM_EMOTIONS = 8  # columns 0..7 are emotions, 8 is "unknown", 9 is "NF" (not a face)
_COLUMNS = (
    "usage", "image name", "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
    "contempt", "unknown", "nf",
)  # fmt: skip


def read_ferplus_csv(path: Path) -> dict[str, Array]:
    """Read and check ``fer2013new.csv``.

    Returns:
        ``votes`` ``(N, 10)`` uint8 and ``usage`` ``(N,)`` uint8 codes into `USAGES`.

    Raises:
        DataError: With file, row, line and field.
    """
    votes: list[list[int]] = []
    usage: list[int] = []
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        header = tuple(name.strip().lower() for name in next(reader, []))
        if header != _COLUMNS:
            raise DataError(
                f"{path}, line 1: the header is not the published one of FER+", "get fer2013new.csv again"
            )
        for number, row in enumerate(reader, start=1):
            where = f"{path}, row {number} (line {number + 1})"
            if len(row) != len(_COLUMNS):
                raise DataError(
                    f"{where}: {len(row)} fields instead of {len(_COLUMNS)}", "get the file again"
                )
            if row[0] not in USAGES:
                raise DataError(
                    f"{where}, field 'Usage': unknown part '{row[0]}'", did_you_mean(row[0], USAGES)
                )
            usage.append(USAGES.index(row[0]))
            for field, text in zip(_COLUMNS[2:], row[2:], strict=True):
                if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255):
                    raise DataError(f"{where}, field '{field}': '{text[:20]}' is not a number of votes")
            votes.append([int(text) for text in row[2:]])
    return {
        "votes": np.array(votes, dtype=np.uint8).reshape(len(votes), 10),
        "usage": np.array(usage, dtype=np.uint8),
    }


def ferplus_targets(votes: Array, mode: Votes) -> tuple[Array, Array]:
    """Make targets of the votes.

    A single vote for a label counts as an outlier and is removed first, in every mode. Then

    - ``majority``: the label with more than half of the remaining votes.
    - ``probability``: labels are taken from the most voted down (equal ones together) until 75% of the votes,
      three labels, or "unknown" or "NF" is met; what was taken, as shares. Dropped when that is half of the
      votes or less, or more than three labels. (The published training draws one label each time
      from these shares; they are its expectation.)
    - ``multi-target``: every label with 30% of the votes or more holds, as equals. Dropped when these have
      half of the votes or less.

    A face whose most voted kept label is "unknown" or "NF" is dropped.

    Args:
        votes: ``(N, 10)`` counts in the published column order.
        mode: One of the three.

    Returns:
        The targets: ``(N,)`` int64 (-1 where dropped), ``(N, 8)`` float32 shares that add up to 1 (0 where
        dropped), or ``(N, 8)`` float32 of 0 and 1; and ``(N,)`` bool, True for the faces kept.

    Raises:
        DataError: Unknown mode.
    """
    if mode not in get_args(Votes):
        raise DataError(f"there is no FER+ mode '{mode}'", did_you_mean(mode, get_args(Votes)))
    counts = np.where(votes > 1, votes, 0).astype(np.int64)
    total = counts.sum(axis=1)
    if mode == "majority":
        taken = np.where((counts == counts.max(axis=1, keepdims=True)), counts, 0)
        keep = 2 * counts.max(axis=1) > total
    elif mode == "probability":
        taken, few = _take_from_the_top(counts, total)
        keep = few & (2 * taken.sum(axis=1) > total)
    else:
        taken = np.where(10 * counts >= 3 * total[:, None], counts, 0)
        keep = 2 * taken.sum(axis=1) > total
    keep &= taken.argmax(axis=1) < NUM_EMOTIONS
    emotions = np.where(keep[:, None], taken[:, :NUM_EMOTIONS], 0)
    if mode == "majority":
        return np.where(keep, emotions.argmax(axis=1), -1).astype(np.int64), keep
    if mode == "multi-target":
        return (emotions > 0).astype(np.float32), keep
    shares = emotions / np.maximum(emotions.sum(axis=1, keepdims=True), 1)
    return shares.astype(np.float32), keep


def _take_from_the_top(counts: Array, total: Array) -> tuple[Array, Array]:
    """The published "probability" rule: what is taken ``(N, 10)``, and where at most three labels are."""
    left = counts.copy()
    taken = np.zeros_like(counts)
    passed = np.zeros(len(counts), dtype=np.int64)  # votes met so far
    labels = np.zeros(len(counts), dtype=np.int64)
    going = total > 0
    while True:
        going &= (4 * passed < 3 * total) & (labels < 3)
        if not going.any():
            return taken, labels <= 3
        top = left.max(axis=1)
        equal = (left == top[:, None]) & going[:, None]
        # "unknown" ends the search, so "NF" with the same number of votes is not met.
        equal[:, 9] &= ~equal[:, 8]
        not_face = equal[:, NUM_EMOTIONS:].any(axis=1)
        taken = np.where(equal, counts, taken)
        passed += np.where(equal, counts, 0).sum(axis=1)
        labels += equal.sum(axis=1)
        # Behind an emotion, "unknown" or "NF" stops the search and is itself not taken.
        behind = not_face & (taken.sum(axis=1) > top)
        taken[:, NUM_EMOTIONS:] = np.where(behind[:, None], 0, taken[:, NUM_EMOTIONS:])
        labels -= behind
        left = np.where(equal, 0, left)
        going &= ~not_face
