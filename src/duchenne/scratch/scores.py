"""Figures of an epoch from what was predicted; the same definitions as everywhere in this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def macro_f1(hit: Array, said: Array, actual: Array, counted: Array) -> float:
    """Mean of F1 = 2 hit / (said + actual) over the labels whose `counted` is above 0; 0: there is none."""
    seen = counted > 0
    return float((2 * hit[seen] / (said + actual)[seen]).mean()) if seen.any() else 0.0


def single_figures(predicted: Array, codes: Array, size: int) -> dict[str, float]:
    """Accuracy and macro F1 of ``(N,)`` predicted against ``(N,)`` true codes.

    Macro F1 is over the classes that occur or are predicted.
    """
    table = np.bincount(codes * size + predicted, minlength=size * size).reshape(size, size)
    hit, said, actual = table.diagonal(), table.sum(axis=0), table.sum(axis=1)
    return {
        "accuracy": float(hit.sum() / max(1, len(codes))),
        "macro_f1": macro_f1(hit, said, actual, said + actual),
    }


def multi_figures(predicted: Array, truth: Array, cells: Array) -> dict[str, float]:
    """Share of right cells and macro F1 of ``(N, K)`` bool predictions where `cells` are annotated.

    Macro F1 is over the labels that occur.
    """
    hit = (predicted & truth & cells).sum(axis=0)
    right = float(((predicted == truth) & cells).sum() / max(1, cells.sum()))
    said, actual = (predicted & cells).sum(axis=0), (truth & cells).sum(axis=0)
    return {"binary_accuracy": right, "macro_f1": macro_f1(hit, said, actual, actual)}
