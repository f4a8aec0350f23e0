"""A fully connected net, for features rather than pixels: wang2020's nets on LPQ and PHOG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..errors import RecipeError
from .heads import LinearHeads, check_dropout


class MLP(nn.Module):
    """Layers of linear, optional batch norm, ReLU and optional dropout; then one linear head per output.

    Args:
        in_channels: Channels of the input; D for features.
        size: Height and width of the input in pixels; (1, 1) for features.
        outputs: Output name -> number of labels.
        hidden: Sizes of the hidden layers, at least one.
        batch_norm: Norm each layer before its ReLU (Ioffe & Szegedy 2015, section 3.2).
        dropout: Probability to drop a hidden unit, after its ReLU, in [0, 1).

    Raises:
        RecipeError: An argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        outputs: Mapping[str, int],
        *,
        hidden: Sequence[int] = (128,),
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = hidden if isinstance(hidden, list | tuple) else ()
        if not sizes or not all(isinstance(h, int) and not isinstance(h, bool) and h >= 1 for h in sizes):
            raise RecipeError(
                f"learner.args.hidden = {hidden!r}: a list of at least one size, each 1 or more"
            )
        if not isinstance(batch_norm, bool):
            raise RecipeError(f"learner.args.batch_norm = {batch_norm!r}: must be true or false")
        check_dropout(dropout)
        layers: list[nn.Module] = [nn.Flatten()]
        before = in_channels * size[0] * size[1]
        for after in sizes:
            layers.append(nn.Linear(before, after, bias=not batch_norm))
            if batch_norm:
                layers.append(RowNorm(after))
            layers.append(nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
            before = after
        self.body = nn.Sequential(*layers)
        self.head = LinearHeads(before, outputs)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map inputs ``(N, C, H, W)`` float to logits ``{output: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.head(self.body(x))
        return logits


class RowNorm(nn.BatchNorm1d):
    """Batch norm of ``(N, F)`` that takes a last batch of one row as evaluation does: it has no variance."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normed rows, same shape."""
        if self.training and len(x) == 1:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)
