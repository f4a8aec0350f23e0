"""From a FaceSet to batches of tensors: pixels in the net's shape, targets, weights."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..datasets.faceset import FaceSet
from ..transforms import Preprocess
from .contract import sample_weights, target_arrays
from .losses import Target, annotated
from .pixels import ShapedPixels


@dataclass(frozen=True)
class Batch:
    """One shard of one batch.

    Attributes:
        index: ``(n,)`` rows in the source.
        images: ``(n, h, w, c)`` uint8, or features ``(n, 1, 1, D)`` float32; of a frozen body, its pooled
            features ``(n, F)`` float32.
        counts: Per output, by what the sum of weighted losses is divided: how many samples of the whole batch
            (all shards) are annotated, times the mean weight of all annotated samples of the source. So the
            scale of the weights does not matter, and weight 2 counts as the sample twice.
        weight: ``(n,)`` float32 sample weights; 0 for padding of an empty shard.
        taught: Per output that a teacher has answered for, its probabilities ``(n, K)``; empty without one.
    """

    index: torch.Tensor
    images: torch.Tensor
    targets: dict[str, Target]
    weight: torch.Tensor
    counts: dict[str, float]
    taught: dict[str, torch.Tensor]


def make_targets(faces: FaceSet) -> dict[str, Target]:
    """Targets of all outputs as tensors. Raises DataError when values and labels do not fit."""
    return {o.name: Target(*map(torch.from_numpy, target_arrays(faces, o))) for o in faces.outputs}


class Rows(Protocol):
    """What gives inputs by row."""

    def __getitem__(self, index: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The inputs of some rows."""


class Source:
    """A FaceSet in the net's shape, giving batches by index.

    Args:
        faces: The samples.
        preprocess: Brings pixels to (h, w, c).
        weight: ``(N,)`` sample weights, or None for ones (times the set's own, where it has them).
        labelled: False for faces without usable targets.

    Attributes:
        taught: A teacher's probabilities by output, ``(N, K)`` float32; empty without a teacher.
    """

    def __init__(
        self,
        faces: FaceSet,
        preprocess: Preprocess,
        weight: npt.NDArray[Any] | None = None,
        *,
        labelled: bool = True,
    ) -> None:
        self.faces = faces
        self.preprocess = preprocess
        self.targets = make_targets(faces) if labelled else {}
        self.weight = torch.from_numpy(sample_weights(faces, weight))
        self.annotated = {k: annotated(t) for k, t in self.targets.items()}
        self.mean_weight = {k: self._mean_weight(a) for k, a in self.annotated.items()}
        self.taught: dict[str, torch.Tensor] = {}
        self._pixels: Rows = ShapedPixels(faces, preprocess)

    def __len__(self) -> int:
        return len(self.faces)

    def of(self, inputs: Rows) -> Source:
        """The same samples with other inputs, row by row."""
        twin = copy(self)
        twin._pixels = inputs
        return twin

    def _mean_weight(self, has: torch.Tensor) -> float:
        count = float(has.double().sum())
        return float((self.weight.double() * has.double()).sum()) / count if count else 1.0

    def batch(self, whole: npt.NDArray[np.int64], rank: int = 0, world: int = 1) -> Batch:
        """This process's shard of a batch.

        An empty shard is one sample of weight 0, so that all processes step.
        """
        mine = whole[rank::world]
        padded = len(mine) == 0
        if padded:
            mine = whole[:1]
        index = torch.from_numpy(mine)
        weight = torch.zeros(1) if padded else self.weight[index]
        every = torch.from_numpy(whole)
        return Batch(
            index=index,
            images=torch.from_numpy(np.ascontiguousarray(self._pixels[mine])),
            targets={k: t.take(index) for k, t in self.targets.items()},
            weight=weight,
            counts={k: float(a[every].sum()) * self.mean_weight[k] for k, a in self.annotated.items()},
            taught={k: t[index] for k, t in self.taught.items()},
        )


def batches(order: npt.NDArray[np.int64], batch_size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Cut an order of rows into batches; the last one may be smaller."""
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
