"""Losses per sample and output, and penalties on weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..labels import Output


@dataclass(frozen=True)
class Target:
    """Targets of one output for N samples.

    Attributes:
        values: ``(N,)`` int64 codes, ``(N, K)`` float32 distribution, or ``(N, A)`` float32 occurrence.
        mask: ``(N, A)`` float32, 1 where annotated (``multi``), or ``(N,)`` float32 (``single``).
    """

    values: torch.Tensor
    mask: torch.Tensor

    def take(self, index: torch.Tensor) -> Target:
        """The chosen samples."""
        return Target(self.values[index], self.mask[index])

    def to(self, device: torch.device) -> Target:
        """The same on another device."""
        return Target(self.values.to(device), self.mask.to(device))


def sample_losses(
    output: Output,
    logits: torch.Tensor,
    target: Target,
    label_smoothing: float = 0.0,
    positive: torch.Tensor | None = None,
) -> torch.Tensor:
    """Loss of each sample, ``(N,)``; 0 where the sample is not annotated.

    ``single``: cross-entropy against a code or a distribution. ``multi``: binary cross-entropy of independent
    sigmoids, mean over the annotated labels; `positive` ``(A,)`` is what a label's positives weigh (None: 1).
    """
    if output.kind == "single":
        if target.values.ndim == 1:
            # A code of -1 (not annotated) must not index; the mask takes its loss out.
            losses = F.cross_entropy(
                logits, target.values.clamp(min=0), reduction="none", label_smoothing=label_smoothing
            )
        else:
            losses = F.cross_entropy(logits, target.values, reduction="none", label_smoothing=label_smoothing)
        return losses * target.mask
    losses = F.binary_cross_entropy_with_logits(logits, target.values, reduction="none", pos_weight=positive)
    losses = losses * target.mask
    return losses.sum(dim=1) / target.mask.sum(dim=1).clamp(min=1)


def taught_losses(logits: torch.Tensor, probs: torch.Tensor, target: Target) -> torch.Tensor:
    """Cross-entropy with a teacher's probabilities ``(N, K)``, ``(N,)``; 0 where a sample has no label."""
    return F.cross_entropy(logits, probs, reduction="none") * target.mask


def annotated(target: Target) -> torch.Tensor:
    """1 for samples with any annotation, else 0, ``(N,)`` float32."""
    return target.mask if target.mask.ndim == 1 else (target.mask.sum(dim=1) > 0).float()


def penalty(module: torch.nn.Module, l1: float, l2: float, dense: bool = False) -> torch.Tensor | None:
    """l1 * sum |w| + l2 / 2 * sum w^2 over weight matrices and kernels; None when both are 0.

    Biases and the weights of norms are left out, what is not trained, and, if `dense`, convolutions' kernels.
    """
    if l1 == 0 and l2 == 0:
        return None
    weights = [
        p for p in module.parameters() if p.requires_grad and (p.ndim == 2 or (p.ndim > 2 and not dense))
    ]
    if not weights:
        return None
    total = torch.zeros((), device=weights[0].device)
    for weight in weights:
        if l1:
            total = total + l1 * weight.abs().sum()
        if l2:
            total = total + 0.5 * l2 * weight.square().sum()
    return total


def total_loss(per_output: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """Weighted sum of the outputs' losses; an output not named weighs 1."""
    return torch.stack([weights.get(name, 1.0) * value for name, value in per_output.items()]).sum()
