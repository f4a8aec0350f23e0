"""Samples that are taken out between epochs: never filled again, no loss, all else in step."""

from __future__ import annotations

from typing import Any

import numpy as np
from in_memory import Arrays

from duchenne.scratch import SGD, Head, Net, Solver

N = 23


class Watched(Arrays):
    """Remembers which rows were filled."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.filled: list[int] = []

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        self.filled += rows.tolist()
        super().fill(rows, out)


def made() -> tuple[Watched, Solver]:
    rng = np.random.default_rng(0)
    codes = np.arange(N) % 3
    samples = Watched(rng.normal(size=(N, 5)).astype(np.float32), {"emotion": codes})
    net = Net(5, [4], [Head("emotion", "single", 3)], seed=1)
    return samples, Solver(net, SGD(0.05, 0.5), batch_size=4, epochs=4, seed=2, lr_factor=lambda t: 0.99**t)


def test_rows_from_the_next_epoch_on() -> None:
    samples, solver = made()
    out = np.ones(N, dtype=bool)
    out[[2, 3, 5, 8, 13, 21]] = False
    epochs: list[list[int]] = []

    def on_epoch(row: dict[str, Any], better: bool) -> None:
        epochs.append(samples.filled)
        samples.filled = []
        if row["epoch"] == 2:
            solver.rows = out

    solver.on_epoch = on_epoch
    solver.fit(samples)
    assert [sorted(e) for e in epochs[:2]] == [list(range(N))] * 2
    assert [sorted(e) for e in epochs[2:]] == [np.flatnonzero(out).tolist()] * 2
    np.testing.assert_array_equal(np.isnan(solver.sample_losses), ~out)
    # Six updates an epoch, then five; the learning rate keeps the time of six.
    assert [row["lr"] for row in solver.history] == [0.05 * 0.99**t for t in (5, 11, 16, 22)]


def test_all_rows_are_as_none() -> None:
    (one, a), (two, b) = made(), made()
    b.rows = np.ones(N, dtype=bool)
    a.fit(one)
    b.fit(two)
    np.testing.assert_array_equal(a.net.values, b.net.values)
    np.testing.assert_array_equal(a.sample_losses, b.sample_losses)
