"""The engine trains in one BLAS thread unless the user says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.threads import CHOSEN
from duchenne.recipe import Train


class Asks:
    """A listener that asks for the number of BLAS threads in the middle of training."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None: ...

    def on_batch(self, step: int) -> None:
        self.threads |= {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(("chosen", "expected"), [("", {1}), ("2", {2})])
def test_threads_while_it_trains(monkeypatch: pytest.MonkeyPatch, chosen: str, expected: set[int]) -> None:
    for name in CHOSEN:
        monkeypatch.delenv(name, raising=False)
    if chosen:
        monkeypatch.setenv(CHOSEN[0], chosen)
    images = np.random.default_rng(0).integers(0, 255, (20, 48, 48), dtype=np.uint8)
    learner = ScratchLearner(args={"hidden": [4]}, train=Train(epochs=1, batch_size=10))
    listener = Asks()
    with threadpool_limits(limits=2, user_api="blas"):  # as many as such a machine has
        learner.fit(images, np.arange(20) % 2, listener=listener)
        assert {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"} == {2}
    assert listener.threads == expected
