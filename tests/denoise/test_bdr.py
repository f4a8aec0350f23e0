"""One round of BDR against a slow twin and a hand-computed case; shares; when the variance has settled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.denoise import bdr_round, drop_largest, settled
from duchenne.errors import RecipeError

LOSSES = st.lists(st.floats(0, 20, width=32), min_size=1, max_size=60)


def slow_bdr(losses: list[float], k: float) -> tuple[list[bool], float, float, float]:
    """wang2020, section 2.3, line by line."""
    m1 = math.fsum(losses) / len(losses)
    subset = [x for x in losses if x > m1]
    m2 = math.fsum(subset) / len(subset)
    std2 = math.sqrt(math.fsum((x - m2) ** 2 for x in subset) / len(subset))
    return [not x > m2 + k * std2 for x in losses], m1, m2, std2


def test_a_case_by_hand() -> None:
    # Mean 2; above it 3, 4 and 8, of mean 5 and variance (4 + 1 + 9) / 3.
    found = bdr_round(np.array([0.0, 0.0, 0.5, 1.0, 1.0, 1.5, 3.0, 4.0, 8.0, 1.0]), 1.0)
    assert found.m1 == 2.0
    assert found.m2 == 5.0
    assert found.s2 == pytest.approx(math.sqrt(14 / 3), rel=1e-12)
    assert found.threshold == found.m2 + found.s2
    assert np.flatnonzero(~found.keep).tolist() == [8]
    assert bdr_round(np.array([0.0, 0.0, 0.5, 1.0, 1.0, 1.5, 3.0, 4.0, 8.0, 1.0]), 1.5).keep.all()


def test_two_heaps_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    clean, noisy = rng.exponential(0.3, 900), rng.normal(5, 0.3, 100)
    losses = np.concatenate([clean, noisy])
    keep = np.ones(1000, dtype=bool)
    for _ in range(30):  # each round takes the upper tail; none takes a clean one before the heap is gone
        found = bdr_round(losses[keep], 0.5)
        rows = np.flatnonzero(keep)
        gone = rows[~found.keep]
        if not (gone >= 900).all():
            break
        keep[gone] = False
    assert keep[:900].all()
    assert keep[900:].sum() < 30


@given(LOSSES, st.floats(0.05, 3))
def test_against_the_slow_twin(losses: list[float], k: float) -> None:
    values = np.array(losses)
    found = bdr_round(values, k)
    if not (values > values.mean()).any():
        assert found.keep.all()
        assert math.isnan(found.s2)
        return
    keep, m1, m2, s2 = slow_bdr(losses, k)
    assert found.m1 == pytest.approx(m1, rel=1e-9)
    near = abs(values - (m2 + k * s2)) < 1e-6
    if not (abs(values - m1) < 1e-6).any():
        assert found.m2 == pytest.approx(m2, rel=1e-9)
        assert found.s2 == pytest.approx(s2, rel=1e-6, abs=1e-6)
        assert (found.keep == np.array(keep))[~near].all()
    # What goes is above all that stays, and the larger k is, the less goes.
    if not found.keep.all():
        assert values[~found.keep].min() > values[found.keep].max()
    assert (bdr_round(values, 2 * k).keep | ~found.keep).all()


@given(LOSSES, st.floats(0.01, 0.99))
def test_the_largest_losses(losses: list[float], share: float) -> None:
    values = np.array(losses)
    found = drop_largest(values, share)
    assert (~found.keep).sum() == math.floor(share * len(losses) + 1e-9)
    if not found.keep.all():
        assert values[~found.keep].min() >= values[found.keep].max() == found.threshold


def test_a_share_that_floats_cannot_hold() -> None:
    assert (~drop_largest(np.arange(100.0), 0.29).keep).sum() == 29


@pytest.mark.parametrize("k", [0.0, -1.0, math.nan, math.inf])
def test_k_must_be_above_zero(k: float) -> None:
    with pytest.raises(RecipeError, match=r"denoise\.k = .* is not above 0"):
        bdr_round(np.ones(3), k)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, math.nan])
def test_shares_out_of_range(share: float) -> None:
    with pytest.raises(RecipeError, match=r"denoise\.share"):
        drop_largest(np.ones(3), share)


@pytest.mark.parametrize("losses", [[], [1.0, math.nan], [math.inf], [[1.0]]])
def test_losses_that_say_nothing(losses: list[float]) -> None:
    with pytest.raises(RecipeError, match="loss"):
        bdr_round(np.array(losses))
    with pytest.raises(RecipeError, match="loss"):
        drop_largest(np.array(losses), 0.5)


def test_settled() -> None:
    fig7 = [0.05, 0.4, 1.2, 1.9, 2.3, 2.4, 2.45, 2.44]  # rises, then stays, as wang2020's Figure 7
    first = next(i for i in range(len(fig7) + 1) if settled(fig7[:i], 0.1, 2))
    assert first == 7
    assert not settled([1.0], 0.1, 1)
    assert settled([1.0, 1.1], 0.1001, 1)
    assert not settled([1.0, 1.2, 1.2], 0.1, 2)
    assert settled([0.0, 0.0, 0.0], 0.1, 2)
