"""Bootstrap percentile intervals, by resampling counts instead of rows.

A figure that is a function of sums over samples (a confusion matrix, a mean) needs only the sums of each
resample: `resample` draws them all at once. Where samples come in clusters (images of one subject), whole
clusters are drawn.

Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile intervals); Field &
Welsh 2007 (clusters).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEVEL = 0.95
_BLOCK = 4_000_000  # drawn row numbers held at a time (32 MB)


def resample(
    rows: Array, draws: int, rng: np.random.Generator, clusters: Array | None = None
) -> npt.NDArray[np.float64]:
    """Sums over samples of each bootstrap resample.

    Args:
        rows: ``(N, D)`` what each sample adds.
        draws: B, the number of resamples.
        rng: Source of the draws.
        clusters: ``(N,)`` str, who each sample belongs to ("": nobody, drawn by itself); None: no clusters.

    Returns:
        ``(B, D)`` float64.
    """
    rows = np.asarray(rows, np.float64)
    if clusters is not None:
        rows = _cluster_sums(rows, clusters)
    done = np.zeros((draws, rows.shape[1]))
    start = 0
    for times in _times(len(rows), draws, rng):
        done[start : start + len(times)] = times.astype(np.float64) @ rows
        start += len(times)
    return done


def resample_times(
    n: int, draws: int, rng: np.random.Generator, clusters: Array | None = None
) -> Iterator[npt.NDArray[np.int64]]:
    """How often each resample has each sample, ``(b, N)`` at a time: for what is no function of sums.

    Args:
        n: N.
        draws: B, the sum of all b.
        rng: Source of the draws.
        clusters: As of `resample`.
    """
    if clusters is None:
        yield from _times(n, draws, rng)
        return
    codes = np.unique(owners(clusters), return_inverse=True)[1]
    for times in _times(int(codes.max(initial=-1)) + 1, draws, rng, width=n):
        yield times[:, codes]


def _times(n: int, draws: int, rng: np.random.Generator, width: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    if not n:
        return
    step = max(1, _BLOCK // max(n, width))
    for start in range(0, draws, step):
        b = min(step, draws - start)
        drawn = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n)


def resample_cells(
    cells: Array, num_cells: int, draws: int, rng: np.random.Generator, clusters: Array | None = None
) -> npt.NDArray[np.float64]:
    """As `resample` where each sample adds 1 to one cell: ``(B, num_cells)`` counts.

    Without clusters the counts of a resample are multinomial, so that N does not matter for the time.

    Args:
        cells: ``(N,)`` int, the cell of each sample.
        num_cells: D.
        draws: B.
        rng: Source of the draws.
        clusters: ``(N,)`` or None.
    """
    counts = np.bincount(cells, minlength=num_cells)
    used = np.flatnonzero(counts)
    done = np.zeros((draws, num_cells))
    if not len(cells):
        return done
    if clusters is None:
        done[:, used] = rng.multinomial(len(cells), counts[used] / len(cells), size=draws)
    else:
        done[:, used] = resample(cells[:, None] == used, draws, rng, clusters)
    return done


def percentiles(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """The interval that holds the middle `level` of the resamples' values; those that are nan are left out.

    (nan, nan) where all are.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _cluster_sums(rows: npt.NDArray[np.float64], clusters: Array) -> npt.NDArray[np.float64]:
    owner = owners(clusters)
    order = np.argsort(owner, kind="stable")
    if not len(order):
        return rows
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    return np.asarray(np.add.reduceat(rows[order], starts, axis=0))


def owners(clusters: Array) -> Array:
    """``(N,)`` a number a cluster; samples of nobody ("") get one each."""
    names, owner = np.unique(clusters, return_inverse=True)
    nobody = np.asarray(clusters) == ""
    owner[nobody] = len(names) + np.arange(nobody.sum())
    return np.asarray(owner)
