"""What the learners' tests share: one thread, small faces, a small learner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.labels import Output
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Optimizer, Train
from duchenne.transforms import Preprocess

EMOTION = Output("emotion", "single", ("angry", "happy", "sad"))
AU = Output("au", "multi", ("AU1", "AU12"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_faces() -> Callable[..., FaceSet]:
    """Faces of noise whose class is how bright they are; `au` follows the class."""

    def make(n: int = 37, seed: int = 0, *, au: bool = False, side: int = 12, **columns: Any) -> FaceSet:
        rng = np.random.default_rng(seed)
        codes = rng.permutation(np.arange(n) % 3)
        noise = rng.integers(0, 95, (n, side, side), dtype=np.uint8)
        images = noise + (80 * codes[:, None, None]).astype(np.uint8)
        targets: dict[str, Any] = {"emotion": codes.astype(np.int64)}
        if au:
            targets["au"] = np.stack([codes == 0, codes > 0], axis=1).astype(np.float32)
        outputs = (EMOTION, AU) if au else (EMOTION,)
        return from_arrays(images, targets, outputs=outputs, name="greys", **columns)

    return make


@pytest.fixture
def make_learner() -> Callable[..., TorchLearner]:
    """A learner of a tiny net; keywords replace its settings, `epochs` and so on those of `train`."""

    def make(**changes: Any) -> TorchLearner:
        own = ("epochs", "batch_size", "seed", "ema", "precise_norms")
        train = {k: changes.pop(k) for k in own if k in changes}
        settings: dict[str, Any] = {
            "model": "smallnet",
            "args": {"filters": [4, 6], "batch_norm": False},
            "preprocess": Preprocess(size=(12, 12)),
            "optimizer": Optimizer(name="sgd", lr=0.05, momentum=0.9),
            "train": Train(**{"epochs": 3, "batch_size": 8, **train}),
            "accelerator": "cpu",
        }
        return TorchLearner(**{**settings, **changes})

    return make
