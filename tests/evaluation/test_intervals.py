"""The bootstrap against its slow twin, theory, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from duchenne.evaluation.classification import averages
from duchenne.evaluation.intervals import percentiles, resample, resample_cells


def slow(rows: np.ndarray, draws: int, clusters: np.ndarray | None) -> np.ndarray:
    """Draw rows (or whole clusters) one by one and add them up."""
    rng = np.random.default_rng(99)
    names = np.arange(len(rows)) if clusters is None else clusters
    people = np.unique(names)
    out = []
    for _ in range(draws):
        chosen = rng.choice(people, len(people))
        out.append(sum(rows[names == one].sum(0) for one in chosen))
    return np.array(out)


@pytest.mark.parametrize("clustered", [False, True])
def test_sums_are_distributed_as_the_slow_twins(clustered: bool) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 2)) + np.repeat(rng.normal(size=(8, 1)), 5, axis=0)
    clusters = np.repeat([f"s{i}" for i in range(8)], 5) if clustered else None
    fast, twin = resample(rows, 4000, rng, clusters), slow(rows, 4000, clusters)
    np.testing.assert_allclose(fast.mean(0), rows.sum(0), atol=5 * fast.std(0).max() / np.sqrt(4000))
    np.testing.assert_allclose(fast.std(0), twin.std(0), rtol=0.08)
    np.testing.assert_allclose(
        np.quantile(fast, [0.1, 0.9], 0), np.quantile(twin, [0.1, 0.9], 0), rtol=0.15, atol=1
    )


@pytest.mark.parametrize("clustered", [False, True])
def test_cells_are_one_hot_rows(clustered: bool) -> None:
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 3, 60) * 2  # cells 1 and 3 are empty
    clusters = np.repeat([f"s{i}" for i in range(12)], 5) if clustered else None
    fast = resample_cells(cells, 5, 4000, np.random.default_rng(2), clusters)
    rows = resample(np.eye(5)[cells], 4000, np.random.default_rng(3), clusters)
    assert (fast.sum(1) == 60).all()
    assert (fast[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(fast.mean(0), rows.mean(0), atol=0.5)
    np.testing.assert_allclose(fast.std(0), rows.std(0), rtol=0.08)


def test_accuracy_interval_is_the_binomials() -> None:
    """Of 1,000 samples 700 right: the percentiles of the binomial are 0.7 plus or minus 1.96 * 0.01449."""
    matrix = resample_cells(np.repeat([0, 1], [700, 300]), 4, 20000, np.random.default_rng(0)).reshape(
        -1, 2, 2
    )
    low, high = percentiles(averages(matrix)["accuracy"])
    assert low == pytest.approx(0.7 - 1.96 * 0.01449, abs=0.002)
    assert high == pytest.approx(0.7 + 1.96 * 0.01449, abs=0.002)


def test_clusters_of_equal_answers_widen_the_interval() -> None:
    right = np.repeat(np.arange(20) % 2, 50)[:, None]
    clusters = np.repeat([f"s{i:02}" for i in range(20)], 50)
    rng = np.random.default_rng(0)
    alone, together = resample(right, 2000, rng), resample(right, 2000, rng, clusters)
    assert together.std() == pytest.approx(alone.std() * np.sqrt(50), rel=0.1)


def test_nobodys_images_are_drawn_one_by_one() -> None:
    rows = np.arange(30, dtype=float)[:, None]
    named = resample(rows, 50, np.random.default_rng(4), np.array([f"{i:02}" for i in range(30)]))
    nobody = resample(rows, 50, np.random.default_rng(4), np.full(30, ""))
    assert (named == nobody).all()


def test_seed_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).integers(0, 9, (100, 3))
    whole = resample(rows, 70, np.random.default_rng(5))
    assert (resample(rows, 70, np.random.default_rng(5)) == whole).all()
    assert (resample(rows, 70, np.random.default_rng(6)) != whole).any()
    monkeypatch.setattr("duchenne.evaluation.intervals._BLOCK", 1000)  # ten draws at a time
    assert (resample(rows, 70, np.random.default_rng(5)) == whole).all()


def test_nothing_to_resample() -> None:
    rng = np.random.default_rng(0)
    none = np.zeros(0, dtype=str)
    assert resample(np.zeros((0, 2)), 3, rng).tolist() == [[0, 0]] * 3
    assert resample(np.zeros((0, 2)), 3, rng, none).tolist() == [[0, 0]] * 3
    assert resample_cells(np.zeros(0, np.int64), 2, 3, rng).tolist() == [[0, 0]] * 3
    assert np.isnan(percentiles(np.full(4, np.nan))).all()
    assert percentiles(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)
