"""Samples and their targets, and the figures of one epoch over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .losses import sigmoid_cross_entropy, softmax_cross_entropy
from .net import Head
from .scores import multi_figures, single_figures

Array = npt.NDArray[Any]


class Examples(Protocol):
    """Samples with their inputs made on demand, a batch at a time.

    Attributes:
        targets: Head name -> ``(N,)`` int64 codes or ``(N, K)`` float32 shares (single), ``(N, K)`` float32
            occurrence (multi).
        masks: Head name -> ``(N,)`` or ``(N, K)`` float32, 1 where annotated.
        weight: ``(N,)`` float32 sample weights.
    """

    @property
    def targets(self) -> Mapping[str, Array]: ...

    @property
    def masks(self) -> Mapping[str, Array]: ...

    @property
    def weight(self) -> Array: ...

    def __len__(self) -> int: ...

    def fill(self, rows: Array, out: Array) -> None:
        """Write the inputs of `rows` ``(n,)`` into `out` ``(n, in_features)`` float32."""


class Targets:
    """All heads' targets of a set of samples, checked against the heads.

    Attributes:
        values: Head name -> targets, with codes of samples without annotation set to 0.
        masks: Head name -> ``(N,)`` (single) or ``(N, K)`` (multi).
        annotated: Head name -> ``(N,)`` bool, whether a sample has any annotation.
        scale: Head name -> ``(N,)`` each sample's share in the loss before the division by the batch's number
            of annotated samples: weight over the mean weight, so that the scale of the weights does not
            matter.

    Raises:
        ValueError: A target is missing, or its shape or codes do not fit the head.
    """

    def __init__(self, examples: Examples, heads: Sequence[Head]) -> None:
        self.heads, n = tuple(heads), len(examples)
        if n == 0:
            raise ValueError("examples: there are none")
        self.values: dict[str, Array] = {}
        self.masks: dict[str, Array] = {}
        self.annotated: dict[str, Array] = {}
        self.scale: dict[str, Array] = {}
        weight = np.asarray(examples.weight)
        if weight.shape != (n,):
            raise ValueError(f"weight: shape {weight.shape}, expected {(n,)}")
        for head in heads:
            if head.name not in examples.targets:
                raise ValueError(f"targets: {head.name!r} is missing")
            values = np.asarray(examples.targets[head.name])
            given = examples.masks.get(head.name)
            mask = (
                np.ones(n if head.kind == "single" else (n, head.size), np.float32)
                if given is None
                else given
            )
            has: Array = np.asarray(mask > 0 if mask.ndim == 1 else mask.any(axis=1))
            codes = head.kind == "single" and values.ndim == 1
            if values.shape != ((n,) if codes else (n, head.size)):
                raise ValueError(f"targets: {head.name!r} has shape {values.shape} for size {head.size}")
            if codes:
                if has.any() and not (values[has].min() >= 0 and values[has].max() < head.size):
                    raise ValueError(f"targets: {head.name!r} has codes outside 0 to {head.size - 1}")
                values = np.where(has, values, 0)
            self.values[head.name], self.masks[head.name], self.annotated[head.name] = values, mask, has
            mean = float(weight[has].mean(dtype=np.float64)) if has.any() else 1.0
            self.scale[head.name] = (weight * has / (mean or 1.0)).astype(np.float32)


class EpochFigures:
    """Losses and predictions of one epoch, batch after batch, in the order of that epoch.

    Attributes:
        losses: Head name -> ``(N,)`` float32, each sample's loss, in the epoch's order.
    """

    def __init__(
        self,
        targets: Targets,
        order: Array,
        head_weights: Mapping[str, float],
        positive_weights: Mapping[str, Array] | None = None,
    ) -> None:
        self.heads, self.head_weights, n = targets.heads, head_weights, len(order)
        self.positive_weights = positive_weights or {}
        # Put into the epoch's order once, so that a batch is a slice.
        self.values = {k: v[order] for k, v in targets.values.items()}
        self.masks = {k: v[order] for k, v in targets.masks.items()}
        self.annotated = {k: v[order] for k, v in targets.annotated.items()}
        self.scale = {k: v[order] for k, v in targets.scale.items()}
        self.losses = {h.name: np.zeros(n, np.float32) for h in self.heads}
        self.said: dict[str, Array] = {
            h.name: np.zeros(n, np.int64) if h.kind == "single" else np.zeros((n, h.size), bool)
            for h in self.heads
        }

    def add(self, at: slice, logits: Array, smoothing: float = 0.0) -> tuple[float, Array]:
        """Count a batch; return its mean loss and the derivative of that by the logits."""
        d_logits = np.empty_like(logits)
        loss, column = 0.0, 0
        for head in self.heads:
            name, columns = head.name, slice(column, column + head.size)
            column += head.size
            z, t, has = logits[:, columns], self.values[name][at], self.annotated[name][at]
            if head.kind == "single":
                losses, d = softmax_cross_entropy(z, t, smoothing)
                plain = losses if smoothing == 0 else softmax_cross_entropy(z, t)[0]
                self.said[name][at] = z.argmax(axis=1)
            else:
                mask, positive = self.masks[name][at], self.positive_weights.get(name)
                losses, d = sigmoid_cross_entropy(z, t, mask, positive)
                plain = losses if positive is None else sigmoid_cross_entropy(z, t, mask)[0]
                self.said[name][at] = z > 0
            weight = self.head_weights[name]
            scale = self.scale[name][at] * (weight / max(1, int(np.count_nonzero(has))))
            d *= scale[:, None]
            d_logits[:, columns] = d
            loss += float(losses @ scale)
            np.multiply(plain, has, out=self.losses[name][at])
        return loss, d_logits

    def total(self) -> Array:
        """Weighted sum over the heads of each sample's loss, ``(N,)`` float32, in the epoch's order."""
        total = np.zeros_like(next(iter(self.losses.values())))
        for name, losses in self.losses.items():
            total += self.head_weights[name] * losses
        return total

    def row(self, prefix: str, at: Any = slice(None)) -> dict[str, float]:
        """Figures of a history row, over the places `at` of the epoch's order."""
        has = {k: v[at] for k, v in self.annotated.items()}
        sums = {k: float(v[at].sum(dtype=np.float64)) for k, v in self.losses.items()}
        means = {k: s / max(1, int(np.count_nonzero(has[k]))) for k, s in sums.items()}
        row = {f"{prefix}_loss": sum(self.head_weights[k] * m for k, m in means.items())}
        if len(means) > 1:
            row |= {f"{prefix}_{k}_loss": m for k, m in means.items()}
        for head in self.heads:
            name = head.name
            said, t = self.said[name][at], self.values[name][at]
            if head.kind == "single":
                codes = (t if t.ndim == 1 else t.argmax(axis=1))[has[name]]
                figures = single_figures(said[has[name]], codes, head.size)
            else:
                figures = multi_figures(said, t >= 0.5, self.masks[name][at] > 0)
            row |= {f"{prefix}_{name}_{k}": v for k, v in figures.items()}
        return row
