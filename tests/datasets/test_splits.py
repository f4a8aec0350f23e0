"""Splits and folds: complete, seeded, stratified, disjoint by subject."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.datasets.splits import assign_split, folds, holdout, partition
from duchenne.errors import DataError

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


@given(st.lists(st.integers(0, 6), min_size=40, max_size=300), st.floats(0.1, 0.9), st.integers(0, 9))
def test_holdout_keeps_every_class_share(classes: list[int], fraction: float, seed: int) -> None:
    strata = np.array(classes)
    held = holdout(strata, fraction, seed)
    assert abs(held.sum() - fraction * len(strata)) <= 1
    for code in np.unique(strata):
        mine = strata == code
        assert abs(held[mine].sum() - fraction * mine.sum()) < 2
    np.testing.assert_array_equal(held, holdout(strata, fraction, seed))


def test_other_seed_other_choice() -> None:
    strata = np.zeros(200, dtype=int)
    assert (holdout(strata, 0.5, 0) != holdout(strata, 0.5, 1)).any()


@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_subjects_stand_on_one_side(data_seed: int, seed: int) -> None:
    rng = np.random.default_rng(data_seed)
    subject = rng.integers(0, 30, 400)
    strata = rng.integers(0, 3, 400)
    part = partition(strata, SHARES, seed, subject)
    for person in np.unique(subject):
        assert len(set(part[subject == person].tolist())) == 1
    for name, share in SHARES.items():
        assert abs((part == name).mean() - share) < 0.08
        for code in range(3):
            assert abs((part[strata == code] == name).mean() - share) < 0.15


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_folds_are_even(k: int, seed: int) -> None:
    strata = np.repeat([0, 1, 2], [30, 50, 17])
    fold = folds(strata, k, seed)
    assert set(fold.tolist()) == set(range(k))
    assert np.ptp(np.bincount(fold)) <= 1
    for code in range(3):
        assert np.ptp(np.bincount(fold[strata == code], minlength=k)) <= 2


def test_folds_by_subject() -> None:
    subject = np.repeat(np.arange(12), 5)
    fold = folds(np.arange(60) % 3, 4, 0, subject)
    assert np.bincount(fold).tolist() == [15] * 4
    assert all(len(set(fold[subject == s].tolist())) == 1 for s in range(12))


@pytest.mark.parametrize("k", [0, 1, 5])
def test_too_many_or_few_folds(k: int) -> None:
    with pytest.raises(DataError, match="k must be from 2 to 4"):
        folds(np.zeros(40, dtype=int), k, 0, np.repeat(np.arange(4), 10))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_fractions_out_of_range(fraction: float) -> None:
    with pytest.raises(DataError, match="not between 0 and 1"):
        holdout(np.zeros(10, dtype=int), fraction, 0)


def test_too_few_to_divide() -> None:
    with pytest.raises(DataError, match="too few faces"):
        partition(np.zeros(2, dtype=int), SHARES, 0)
    with pytest.raises(DataError, match="too few subjects"):
        partition(np.zeros(20, dtype=int), SHARES, 0, np.repeat(["a", "b"], 10))
    with pytest.raises(DataError, match="add up to 1"):
        partition(np.zeros(20, dtype=int), {"a": 0.5, "b": 0.2}, 0)


def test_dropped_rows_are_in_no_split() -> None:
    part = np.repeat(["A", "B"], 50)
    keep = np.arange(100) % 5 != 0
    split = assign_split(part, np.zeros(100, dtype=int), keep, {"train": "A", "val": 0.25, "test": "B"}, 0)
    assert (split[~keep] == "").all()
    assert {s: int((split == s).sum()) for s in ("train", "val", "test")} == {
        "train": 30,
        "val": 10,
        "test": 40,
    }


def test_shares_alone_leave_the_rest_to_train() -> None:
    everything = np.full(100, ""), np.zeros(100, dtype=int), np.ones(100, dtype=bool)
    split = assign_split(*everything, {"val": 0.2, "test": 0.1}, 0)
    assert {s: int((split == s).sum()) for s in ("train", "val", "test")} == {
        "train": 70,
        "val": 20,
        "test": 10,
    }
    part_only = assign_split(*everything, {"train": 0.5, "test": 0.1}, 0)
    assert (part_only == "").sum() == 40


def test_few_subjects_leave_no_part_empty() -> None:
    """12 people, a frame each, of 8 classes: the rule by class counts alone gives all to train."""
    strata, people = np.arange(12) % 8, np.array([f"S{i:03d}" for i in range(12)])
    part = partition(strata, {"train": 0.7, "val": 0.15, "test": 0.15}, 0, people)
    assert {name: int((part == name).sum()) for name in ("train", "val", "test")} == {
        "train": 10, "val": 1, "test": 1,
    }  # fmt: skip
    assert set(folds(strata, 10, 0, people)) == set(range(10))
    with pytest.raises(DataError, match="too few subjects"):
        partition(strata, {"train": 0.7, "val": 0.15, "test": 0.15}, 0, np.array(["a", "b"] * 6))
