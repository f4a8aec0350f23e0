"""From a FaceSet to batches of tensors: pixels in the net's shape, targets, weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..datasets.faceset import FaceSet
from ..errors import DataError
from ..labels import Output
from ..transforms import Preprocess
from .losses import Target, annotated

# Pixels are brought to the net's shape once, in RAM, when they fit into this many bytes; else batch by batch.
SHAPED_LIMIT = 1 << 30


@dataclass(frozen=True)
class Batch:
    """One shard of one batch.

    Attributes:
        index: ``(n,)`` rows in the source.
        images: ``(n, h, w, c)`` uint8.
        counts: Per output, by what the sum of weighted losses is divided: how many samples of the whole batch
            (all shards) are annotated, times the mean weight of all annotated samples of the source. So the
            scale of the weights does not matter, and weight 2 counts as the sample twice.
        weight: ``(n,)`` float32 sample weights; 0 for padding of an empty shard.
    """

    index: torch.Tensor
    images: torch.Tensor
    targets: dict[str, Target]
    weight: torch.Tensor
    counts: dict[str, float]


def make_targets(faces: FaceSet) -> dict[str, Target]:
    """Targets of all outputs as tensors. Raises DataError when values and labels do not fit."""
    return {o.name: _target(faces, o) for o in faces.outputs}


def _target(faces: FaceSet, output: Output) -> Target:
    values = np.asarray(faces.targets[output.name])
    if output.kind == "multi":
        mask = faces.masks.get(output.name, np.ones(values.shape, dtype=bool))
        clean = np.where(mask, values, 0).astype(np.float32)
        return Target(torch.from_numpy(clean), torch.from_numpy(mask.astype(np.float32)))
    if values.ndim == 1:
        if len(values) and int(values.max()) >= output.num_classes:
            raise DataError(f"{faces.name}: code {int(values.max())} of '{output.name}' has no label")
        return Target(
            torch.from_numpy(values.astype(np.int64)), torch.from_numpy((values >= 0).astype(np.float32))
        )
    total = values.sum(axis=1, keepdims=True)
    share = (values / np.where(total > 0, total, 1)).astype(np.float32)
    return Target(torch.from_numpy(share), torch.from_numpy((total[:, 0] > 0).astype(np.float32)))


class Source:
    """A FaceSet in the net's shape, giving batches by index.

    Args:
        faces: The samples.
        preprocess: Brings pixels to (h, w, c).
        weight: ``(N,)`` sample weights, or None for ones (times the set's own, where it has them).
        labelled: False for faces without usable targets.
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
        w = np.ones(len(faces), np.float32) if weight is None else np.asarray(weight, np.float32)
        if faces.sample_weight is not None:
            w = w * np.asarray(faces.sample_weight, np.float32)
        if not np.isfinite(w).all() or (w < 0).any() or (len(w) and not w.any()):
            raise DataError(f"{faces.name}: sample weights must be finite, 0 or more, and not all 0")
        self.weight = torch.from_numpy(w)
        self.annotated = {k: annotated(t) for k, t in self.targets.items()}
        self.mean_weight = {k: self._mean_weight(a) for k, a in self.annotated.items()}
        height, width = preprocess.size
        direct = isinstance(faces.images, np.ndarray) and faces.images.shape[1:3] == (height, width)
        small = len(faces) * height * width * preprocess.channels <= SHAPED_LIMIT
        self._shaped: npt.NDArray[np.uint8] | None = None
        if small and not direct:
            self._shaped = np.empty((len(faces), height, width, preprocess.channels), np.uint8)
            for start in range(0, len(faces), 256):
                rows = np.arange(start, min(start + 256, len(faces)))
                self._shaped[rows] = preprocess.shape(faces.pixels(rows))

    def __len__(self) -> int:
        return len(self.faces)

    def _mean_weight(self, has: torch.Tensor) -> float:
        count = float(has.double().sum())
        return float((self.weight.double() * has.double()).sum()) / count if count else 1.0

    def pixels(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """uint8 ``(n, h, w, c)`` of the chosen rows."""
        if self._shaped is not None:
            return self._shaped[index]
        return self.preprocess.shape(self.faces.pixels(index))

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
            images=torch.from_numpy(np.ascontiguousarray(self.pixels(mine))),
            targets={k: t.take(index) for k, t in self.targets.items()},
            weight=weight,
            counts={k: float(a[every].sum()) * self.mean_weight[k] for k, a in self.annotated.items()},
        )


def batches(order: npt.NDArray[np.int64], batch_size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Cut an order of rows into batches; the last one may be smaller."""
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
