"""The engine as its learner uses it, in small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from duchenne.scratch import SGD, Adam, Head, Net, Solver


class Arrays:
    """Examples in memory."""

    def __init__(self, x: Any, targets: Any, masks: Any = None, weight: Any = None) -> None:
        self.x, self.targets, self.masks = x, targets, masks or {}
        self.weight = np.ones(len(x), np.float32) if weight is None else weight

    def __len__(self) -> int:
        return len(self.x)

    def fill(self, rows: Any, out: Any) -> None:
        """Copy."""
        np.take(self.x, rows, axis=0, out=out)


def blobs(n: int, seed: int = 0) -> Arrays:
    """Three classes that can be told apart."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    x[np.arange(n), codes] += 4
    return Arrays(x, {"emotion": codes})


@pytest.mark.parametrize("optimizer", [SGD(0.05, 0.9), SGD(0.05, 0.9, nesterov=True), Adam(0.01)])
def test_learns_blobs(optimizer: Any) -> None:
    net = Net(6, [16, 8], [Head("emotion", "single", 3)], dropout=0.1, seed=1)
    solver = Solver(net, optimizer, batch_size=20, epochs=8, l2=1e-4)
    solver.fit(blobs(210), blobs(100, 1))
    assert solver.finished
    assert solver.reason == "all epochs done"
    assert solver.best["value"] > 0.9
    assert len(solver.history) == 8
    assert list(solver.best_parameters) == list(net.parameters())
    assert np.isfinite(solver.sample_losses).all()
