"""Heads: from a body's features to the logits of each output, by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class LinearHeads(nn.Module):
    """One linear layer per output.

    Args:
        in_features: F, size of the body's feature vector.
        outputs: Output name -> number of labels.
    """

    def __init__(self, in_features: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        # ModuleDict refuses names with dots; output names have none.
        self.heads = nn.ModuleDict({name: nn.Linear(in_features, k) for name, k in outputs.items()})

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map features ``(N, F)`` to logits ``{name: (N, K)}``."""
        return {name: head(features) for name, head in self.heads.items()}
