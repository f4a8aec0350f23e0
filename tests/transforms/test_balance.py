"""Class balance against scikit-learn and by its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.utils.class_weight import compute_class_weight

from duchenne.errors import DataError, RecipeError
from duchenne.transforms import class_weights, oversample

CODES = arrays(np.int64, st.integers(1, 60), elements=st.integers(-1, 6)).filter(lambda a: (a >= 0).any())


@given(CODES)
def test_class_weights_are_scikit_learns(codes: np.ndarray) -> None:
    weights = class_weights(codes, 7)
    known = codes[codes >= 0]
    present = np.unique(known)
    theirs = compute_class_weight("balanced", classes=present, y=known) * len(present) / 7
    np.testing.assert_allclose(weights[present], theirs, rtol=1e-6)
    assert (np.delete(weights, present) == 0).all()
    assert weights.dtype == np.float32


@given(CODES, st.one_of(st.just("largest"), st.integers(1, 40)))
def test_oversample_levels_and_loses_nothing(codes: np.ndarray, to: int | str) -> None:
    rows = oversample(codes, np.random.default_rng(1), to)
    times = np.bincount(rows, minlength=len(codes))
    assert (times >= 1).all()
    assert (times[codes < 0] == 1).all()
    counts = np.bincount(codes[codes >= 0])
    wanted = counts.max() if to == "largest" else int(to)
    after = np.bincount(codes[rows][codes[rows] >= 0], minlength=len(counts))
    assert (after == np.where(counts > 0, np.maximum(counts, wanted), 0)).all()
    for code in np.flatnonzero(counts):  # evenly repeated
        assert np.ptp(times[codes == code]) <= 1


def test_oversample_depends_on_the_seed_alone() -> None:
    codes = np.repeat([0, 1, 2], [50, 7, 3])
    first, again, other = (oversample(codes, np.random.default_rng(s)) for s in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()
    assert (np.sort(first) != first).any()  # shuffled


@pytest.mark.parametrize("codes", [[], [-1, -1], [0, 7], [-2, 0], [0.0, 1.0], [[0, 1]]])
def test_bad_codes_are_refused(codes: list[float]) -> None:
    array = np.array(codes) if codes else np.zeros(0, np.int64)
    with pytest.raises(DataError):
        class_weights(array, 7)


@pytest.mark.parametrize("to", [0, -3, "smallest", True])
def test_bad_target_size_is_refused(to: int | str) -> None:
    with pytest.raises(RecipeError, match=r"balance\.to"):
        oversample(np.array([0, 1]), np.random.default_rng(0), to)
