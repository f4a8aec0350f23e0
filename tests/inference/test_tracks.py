"""Numbers that faces keep: the matching against SciPy's, crossings, gaps, and numbers never used twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from duchenne.errors import RecipeError
from duchenne.inference.tracks import Tracker, assign


@given(st.integers(0, 7), st.integers(0, 7), st.integers(0, 2**31), st.booleans())
def test_assignment_costs_what_scipys_does(rows: int, columns: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 3, (rows, columns)).astype(float) if ties else rng.random((rows, columns))
    cost[rng.random((rows, columns)) < 0.3] = 1e6
    pairs = assign(cost)
    assert len(pairs) == min(rows, columns)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    want = cost[linear_sum_assignment(cost)].sum()
    assert sum(cost[i, j] for i, j in pairs) == pytest.approx(want)


def test_two_that_stand_close_are_not_matched_greedily() -> None:
    # The cheapest pair alone, (0, 1), leaves row 1 the column that cannot be.
    assert assign(np.array([[0.4, 0.1], [1e6, 0.2]])) == [(0, 0), (1, 1)]


def test_a_face_keeps_its_number_while_it_moves_and_grows() -> None:
    tracker = Tracker()
    seen = [tracker.update(i / 5, [(100 + 30 * i, 50, 60 + 4 * i, 60 + 4 * i)]) for i in range(12)]
    assert seen == [[1]] * 12


@pytest.mark.parametrize("step", [12.0, 25.0])
def test_two_people_who_cross_keep_their_numbers(step: float) -> None:
    tracker = Tracker()
    for i in range(21):
        a, b = (100 + step * i, 80, 50, 50), (100 + step * (20 - i), 105, 50, 50)
        boxes = [a, b] if i % 2 else [b, a]  # the order that a finder gives says nothing
        assert tracker.update(i / 10, boxes) == ([1, 2] if i % 2 else [2, 1]) or i == 0
        if i == 0:
            tracker = Tracker()
            assert tracker.update(0.0, [a, b]) == [1, 2]


def test_gaps_are_bridged_up_to_their_length_and_numbers_are_never_used_again() -> None:
    box = [(100.0, 100.0, 50.0, 50.0)]
    tracker = Tracker(max_gap=1.0)
    assert tracker.update(0.0, box) == [1]
    assert tracker.update(0.5, []) == []
    assert tracker.update(1.0, box) == [1]
    assert tracker.update(2.1, box) == [2]
    assert tracker.update(2.2, [(900.0, 100.0, 50.0, 50.0)]) == [3]
    assert tracker.update(9.0, box) == [4]
    assert tracker.numbers() == {4}


def test_a_face_of_quite_another_size_or_place_is_another_one() -> None:
    tracker = Tracker()
    assert tracker.update(0.0, [(100, 100, 50, 50)]) == [1]
    assert tracker.update(0.1, [(60, 60, 130, 130)]) == [2]
    assert tracker.update(0.2, [(100, 155, 50, 50)]) == [3]


@given(
    st.lists(
        st.lists(st.tuples(*[st.integers(0, 300)] * 2, *[st.integers(1, 90)] * 2), max_size=6), max_size=8
    )
)
def test_whatever_is_found_each_number_is_there_once_a_frame(frames: list[list[tuple[int, ...]]]) -> None:
    tracker, ever = Tracker(max_gap=0.15), set()
    for i, boxes in enumerate(frames):
        numbers = tracker.update(i / 10, boxes)
        assert len(set(numbers)) == len(numbers) == len(boxes)
        new = set(numbers) - ever
        assert not new or min(new) == len(ever) + 1
        ever |= new
        assert ever == set(range(1, len(ever) + 1))


def test_a_gap_below_nothing() -> None:
    with pytest.raises(RecipeError, match="max_gap must be at least 0"):
        Tracker(-1.0)
