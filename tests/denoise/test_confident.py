"""Confident learning against the paper read slowly, and against figures of the authors' own package."""

from __future__ import annotations

import numpy as np
import pytest

from duchenne.denoise import confident_joint, joint, label_issues, thresholds
from duchenne.denoise.confident import METHODS
from duchenne.errors import DataError


def noisy(seed: int, n: int = 400, k: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Given labels of which about 15% are wrong, probabilities that know the truth, and which are wrong."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k, n)
    z = rng.normal(size=(n, k)) + 2.2 * np.eye(k)[true]
    probs = np.exp(z)
    probs /= probs.sum(axis=1, keepdims=True)
    codes = true.copy()
    flip = rng.random(n) < 0.15
    codes[flip] = (codes[flip] + rng.integers(1, k, flip.sum())) % k
    return codes, probs, flip


def slow_joint_counts(codes: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Northcutt et al. 2021, equations 1 and 2, a sample at a time."""
    k = probs.shape[1]
    t = [np.mean([p[j] for p, c in zip(probs, codes, strict=True) if c == j]) for j in range(k)]
    counts = np.zeros((k, k), int)
    for p, i in zip(probs, codes, strict=True):
        above = [j for j in range(k) if p[j] >= t[j]]
        if above:
            counts[i, max(above, key=lambda j: p[j])] += 1
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_counts_against_the_slow_reading(seed: int) -> None:
    codes, probs, _ = noisy(seed)
    np.testing.assert_array_equal(confident_joint(codes, probs), slow_joint_counts(codes, probs))


def test_the_joint_is_a_distribution_with_the_given_labels_as_rows() -> None:
    codes, probs, _ = noisy(1)
    found = joint(codes, probs)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.sum(axis=1), np.bincount(codes) / len(codes))


# cleanlab 2.9.0 (Apache-2.0), filter.find_label_issues(min_examples_per_class=0): samples found by
# "confident_learning", "prune_by_class", "prune_by_noise_rate" and "both". It rounds the expected counts row
# by row, so that its last three may differ by a sample.
CLEANLAB = {0: (57, 81, 71, 67), 2: (71, 96, 90, 85), 5: (46, 67, 64, 56)}


@pytest.mark.parametrize("seed", CLEANLAB)
def test_as_many_as_the_authors_package_finds(seed: int) -> None:
    codes, probs, flip = noisy(seed)
    for method, count in zip(METHODS, CLEANLAB[seed], strict=True):
        found = label_issues(codes, probs, method)  # type: ignore[arg-type]
        assert abs(int(found.sum()) - count) <= (0 if method == "confident_joint" else 1)
        assert (found & flip).sum() / found.sum() > 0.55  # of which 15% are wrong by chance
        assert (found & flip).sum() / flip.sum() > 0.55


def test_right_labels_with_sure_answers_stay() -> None:
    codes = np.arange(60) % 3
    probs = np.full((60, 3), 0.05)
    probs[np.arange(60), codes] = 0.9
    for method in METHODS:
        assert not label_issues(codes, probs, method).any()  # type: ignore[arg-type]


def test_the_planted_ones_are_found_exactly() -> None:
    codes = np.arange(60) % 3
    probs = np.full((60, 3), 0.05)
    probs[np.arange(60), codes] = 0.9
    given = codes.copy()
    given[[4, 11, 30]] = (codes[[4, 11, 30]] + 1) % 3
    for method in METHODS:
        found = np.flatnonzero(label_issues(given, probs, method))  # type: ignore[arg-type]
        assert set(found) == {4, 11, 30}


def test_no_class_is_emptied() -> None:
    codes = np.array([0] * 20 + [1] * 3)
    probs = np.tile([0.9, 0.1], (23, 1))
    probs[20:] = [[0.99, 0.01], [0.98, 0.02], [0.97, 0.03]]
    for method in ("by_class", "by_noise_rate", "both"):
        found = label_issues(codes, probs, method)  # type: ignore[arg-type]
        assert not found[codes == 1].all()


def test_a_class_without_samples() -> None:
    codes, probs = np.array([0, 2, 0, 2]), np.full((4, 3), 1 / 3)
    assert np.isnan(thresholds(codes, probs)[1])
    assert confident_joint(codes, probs)[:, 1].sum() == 0
    assert joint(codes, probs).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("codes", "probs"),
    [
        ([0, 1], [[0.5, 0.5]]),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, 1], [[0.5, 0.6], [0.5, 0.5]]),
        ([0, 1], [[1.5, -0.5], [0.5, 0.5]]),
        ([0, 1], [[np.nan, 0.5], [0.5, 0.5]]),
        ([], np.empty((0, 2))),
    ],
)
def test_what_does_not_fit(codes: list[int], probs: list[list[float]]) -> None:
    with pytest.raises(DataError):
        label_issues(np.array(codes), np.array(probs))


def test_an_unknown_method() -> None:
    codes, probs, _ = noisy(0)
    with pytest.raises(DataError, match="did you mean 'by_class'"):
        label_issues(codes, probs, "by_clas")  # type: ignore[arg-type]
