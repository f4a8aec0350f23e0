"""Torch's optimisers by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import RecipeError
from ..recipe import Optimizer


def parameter_groups(net: torch.nn.Module, spec: Optimizer) -> list[dict[str, Any]]:
    """The parameters that are trained, as `make_optimizer` takes them.

    Returns:
        One group; or, where the head's learning rate differs, the body's and the head's (its module `head`),
        each with "lr_factor".

    Raises:
        RecipeError: The rates differ, but the net has no head of its own.
    """
    trained = [p for p in net.parameters() if p.requires_grad]
    factor = spec.head_lr_factor
    if factor == 1:
        return [{"params": trained}]
    head = getattr(net, "head", None)
    if not isinstance(head, torch.nn.Module):
        raise RecipeError(f"optimizer.head_lr_factor = {factor:g}: this model has no head of its own")
    inside = {id(p) for p in head.parameters()}
    parts = [(False, 1.0), (True, factor)]
    groups = [{"params": [p for p in trained if (id(p) in inside) is w], "lr_factor": f} for w, f in parts]
    return [group for group in groups if group["params"]]


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter] | list[dict[str, Any]], spec: Optimizer
) -> torch.optim.Optimizer:
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
