"""Which samples to leave out, from their losses alone: Bimodal Distribution Removal, and the largest losses.

Source: wang2020, section 2.3, after Slade & Gedeon 1993, "Bimodal distribution removal" (LNCS 686). Their
paper was not at hand: the form is wang2020's, and was not checked against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RecipeError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Round:
    """What one look at the losses gives.

    Attributes:
        keep: ``(N,)`` bool, False for the samples to remove.
        m1: Mean of all losses.
        m2: Mean of the losses above `m1`; nan where there are none.
        s2: Their standard deviation (of the subset itself, divided by its size); nan where there are none.
        threshold: Losses above it are removed; infinite where nothing is.
    """

    keep: Array
    m1: float
    m2: float
    s2: float
    threshold: float


def bdr_round(losses: Array, k: float = 1.0) -> Round:
    """One round of Bimodal Distribution Removal.

    M1 is the mean loss; of the samples with a loss above M1, M2 is the mean and s2 the standard deviation;
    removed are those with a loss above M2 + k * s2.

    Args:
        losses: ``(N,)`` finite losses, 0 or more.
        k: Above 0. wang2020 takes 1.

    Raises:
        RecipeError: k is not above 0, or there are no losses, or one is not finite.

    Source: wang2020, section 2.3.
    """
    if not (math.isfinite(k) and k > 0):
        raise RecipeError(f"denoise.k = {k!r} is not above 0", "the report takes k = 1")
    values = _checked(losses)
    m1 = float(values.mean())
    outer = values[values > m1]
    if not len(outer):  # all losses are equal
        return Round(np.ones(len(values), dtype=bool), m1, math.nan, math.nan, math.inf)
    m2, s2 = float(outer.mean()), float(outer.std())
    threshold = m2 + k * s2
    return Round(values <= threshold, m1, m2, s2, threshold)


def drop_largest(losses: Array, share: float) -> Round:
    """Remove the given share of the samples (rounded down), those of the largest losses.

    What BDR is to be compared with: as many samples may go without any look at the distribution.

    Args:
        losses: ``(N,)`` finite losses.
        share: Above 0 and below 1. Of equal losses the first samples stay.

    Raises:
        RecipeError: The share is out of range, or there are no losses, or one is not finite.
    """
    if not 0 < share < 1:
        raise RecipeError(f"denoise.share = {share!r} is not above 0 and below 1")
    values = _checked(losses)
    # A share such as 0.29 of 100 is 28.999...: without the small addition one too few would go.
    count = int(share * len(values) + 1e-9)
    order = np.argsort(values, kind="stable")
    keep = np.ones(len(values), dtype=bool)
    keep[order[len(values) - count :]] = False
    threshold = float(values[order[len(values) - count - 1]]) if count else math.inf
    m1 = float(values.mean())
    outer = values[values > m1]
    m2, s2 = (float(outer.mean()), float(outer.std())) if len(outer) else (math.nan, math.nan)
    return Round(keep, m1, m2, s2, threshold)


def settled(variances: Sequence[float], tolerance: float, window: int) -> bool:
    """Whether the variance of the losses has settled.

    Args:
        variances: One an epoch, the latest last.
        tolerance: Largest relative change from one epoch to the next.
        window: How many changes, the latest ones, must all be that small.

    Source: wang2020, Figure 7, reads this off a plot ("began to stabilize after epoch 6"); the rule is ours.
    """
    latest = list(variances)[-window - 1 :]
    if len(latest) < window + 1:
        return False
    return all(abs(b - a) <= tolerance * max(abs(a), 1e-12) for a, b in pairwise(latest))


def _checked(losses: Array) -> npt.NDArray[np.float64]:
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise RecipeError(f"losses of shape {values.shape}: one loss for each sample is needed")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise RecipeError(f"the loss of sample {row} is {values[row]}: no sample can be told from it")
    return values
