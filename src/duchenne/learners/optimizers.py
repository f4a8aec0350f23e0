"""Torch's optimisers by name."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..recipe import Optimizer


def make_optimizer(parameters: Iterable[torch.nn.Parameter], spec: Optimizer) -> torch.optim.Optimizer:
    """Construct the optimiser that a recipe section names."""
    if spec.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=spec.lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
        )
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)
