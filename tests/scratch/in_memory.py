"""Examples whose inputs stand in memory."""

from __future__ import annotations

from typing import Any

import numpy as np


class Arrays:
    """What `Solver.fit` takes, from arrays."""

    def __init__(self, x: Any, targets: Any, masks: Any = None, weight: Any = None) -> None:
        self.x, self.targets, self.masks = x, targets, masks or {}
        self.weight = np.ones(len(x), np.float32) if weight is None else weight

    def __len__(self) -> int:
        return len(self.x)

    def fill(self, rows: Any, out: Any) -> None:
        """Copy."""
        np.take(self.x, rows, axis=0, out=out)


def blobs(n: int, seed: int = 0, shift: float = 4.0) -> Arrays:
    """Three classes that can be told apart."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    x[np.arange(n), codes] += shift
    return Arrays(x, {"emotion": codes})
