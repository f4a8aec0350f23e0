"""Running figures of an epoch: sums that add up over batches and over processes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from ..labels import Output
from .batches import Batch, Source
from .losses import Target, annotated


def _sum_dtype(device: torch.device) -> torch.dtype:
    """float64, but for Apple's GPUs, which have none; counts stay exact up to 2**24."""
    return torch.float32 if device.type == "mps" else torch.float64


class Tally:
    """Counts of one output: confusion matrix (``single``), or true/false positives/negatives (``multi``)."""

    def __init__(self, output: Output, device: torch.device) -> None:
        self.output = output
        k = output.num_classes
        shape = (k, k) if output.kind == "single" else (4, k)
        self.counts = torch.zeros(shape, dtype=_sum_dtype(device), device=device)

    def add(self, logits: torch.Tensor, target: Target, real: torch.Tensor) -> None:
        """Count a batch.

        Args:
            logits: ``(N, K)``.
            target: The batch's targets.
            real: ``(N,)`` bool, False for padding.
        """
        if self.output.kind == "single":
            codes = target.values if target.values.ndim == 1 else target.values.argmax(dim=1)
            keep = (target.mask > 0) & real
            k = self.output.num_classes
            cell = codes[keep] * k + logits[keep].argmax(dim=1)
            self.counts += torch.bincount(cell, minlength=k * k).reshape(k, k)
            return
        keep_cells = (target.mask > 0) & real[:, None]
        yes, truth = logits > 0, target.values >= 0.5
        for row, cells in enumerate((yes & truth, yes & ~truth, ~yes & truth, ~yes & ~truth)):
            self.counts[row] += (cells & keep_cells).sum(dim=0)

    def figures(self) -> dict[str, float]:
        """``single``: accuracy, macro_f1. ``multi``: binary_accuracy, macro_f1.

        Macro F1 is the evaluation's (`evaluation.classification.averages`, `evaluation.multilabel.averages`):
        of ``single`` over the classes that occur or are said, of ``multi`` over the labels that occur.
        """
        if self.output.kind == "single":
            hit = self.counts.diagonal()
            said, actual, n = self.counts.sum(dim=0), self.counts.sum(dim=1), self.counts.sum()
            return {
                "accuracy": float(hit.sum() / n.clamp(min=1)),
                "macro_f1": _macro_f1(hit, said, actual, said + actual),
            }
        tp, fp, fn, tn = self.counts
        right = float((tp + tn).sum() / self.counts.sum().clamp(min=1))
        return {"binary_accuracy": right, "macro_f1": _macro_f1(tp, tp + fp, tp + fn, tp + fn)}


def _macro_f1(hit: torch.Tensor, said: torch.Tensor, actual: torch.Tensor, counted: torch.Tensor) -> float:
    """Mean F1 over the labels whose `counted` is above 0; 0 when there is none."""
    seen = counted > 0
    return float((2 * hit[seen] / (said + actual)[seen]).mean()) if bool(seen.any()) else 0.0


class EpochScores:
    """Loss and figures of all outputs over an epoch."""

    def __init__(self, outputs: tuple[Output, ...], device: torch.device) -> None:
        self.tallies = {o.name: Tally(o, device) for o in outputs}
        dtype = _sum_dtype(device)
        self.loss_sums = {o.name: torch.zeros((), dtype=dtype, device=device) for o in outputs}
        self.n = {o.name: torch.zeros((), dtype=dtype, device=device) for o in outputs}

    def add(
        self,
        logits: Mapping[str, torch.Tensor],
        targets: Mapping[str, Target],
        losses: Mapping[str, torch.Tensor],
        real: torch.Tensor,
    ) -> None:
        """Count a batch; `losses` are per sample ``(N,)``, unweighted; `real` is False for padding."""
        for name, tally in self.tallies.items():
            target = targets[name]
            tally.add(logits[name], target, real)
            has = annotated(target) * real
            self.loss_sums[name] += (losses[name] * has).sum()
            self.n[name] += has.sum()

    def tensors(self) -> list[torch.Tensor]:
        """All sums, to be added over processes in place."""
        return [t.counts for t in self.tallies.values()] + [*self.loss_sums.values(), *self.n.values()]

    def row(self, prefix: str, weights: Mapping[str, float]) -> dict[str, float]:
        """Figures of a history row: ``<prefix>_loss`` (weighted sum), ``<prefix>_<output>_<figure>``."""
        means = {k: float(s / self.n[k].clamp(min=1)) for k, s in self.loss_sums.items()}
        row = {f"{prefix}_loss": sum(weights.get(k, 1.0) * m for k, m in means.items())}
        if len(means) > 1:
            row |= {f"{prefix}_{k}_loss": m for k, m in means.items()}
        for name, tally in self.tallies.items():
            row |= {f"{prefix}_{name}_{figure}": value for figure, value in tally.figures().items()}
        return row


class EpochLosses:
    """Each sample's loss in an epoch: the weighted sum over the outputs, as training computed it.

    Attributes:
        sums: ``(N,)`` float32, to be added over processes in place; 0 for samples of no batch here.
    """

    def __init__(self, source: Source, weights: Mapping[str, float], device: torch.device) -> None:
        self.source, self.weights = source, weights
        self.sums = torch.zeros(len(source), device=device)

    def add(self, batch: Batch, losses: Mapping[str, torch.Tensor]) -> None:
        """Keep the losses of a batch, per output ``(n,)``; those of padding are left out."""
        device = self.sums.device
        total = torch.zeros(len(batch.index), device=device)
        for name, loss in losses.items():
            has = self.source.annotated[name][batch.index].to(device)
            total += self.weights.get(name, 1.0) * loss * has
        # Padding has weight 0, and so stays 0 in the sum over processes.
        self.sums[batch.index.to(device)] = total * batch.weight.gt(0).to(device)

    def of(self, order: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """``(N,)``: nan for samples not in `order`, of weight 0, or without any annotation."""
        known = torch.stack(list(self.source.annotated.values())).gt(0).any(dim=0) & self.source.weight.gt(0)
        rows = order[known.numpy()[order]]
        losses = np.full(len(self.sums), np.nan, np.float32)
        losses[rows] = self.sums.cpu().numpy()[rows]
        return losses
