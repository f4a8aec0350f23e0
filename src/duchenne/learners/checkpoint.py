"""Checkpoints of torch nets: weights, optimiser and averaged weights as one array file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import RunError
from .arrayfile import read_arrays, write_arrays


@dataclass
class Checkpoint:
    """State after a finished epoch.

    Attributes:
        model: The net's weights and buffers.
        optimizer: Optimiser state tensors, "<parameter index>.<key>".
        ema: Averaged weights, empty when off.
        facts: JSON: epoch, recipe fingerprint, history, best, and what describes the learner.
    """

    model: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor] = field(default_factory=dict)
    ema: dict[str, torch.Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one step: a kill or a full disk leaves the old file whole. Raises RunError."""
    groups = {"model": checkpoint.model, "optimizer": checkpoint.optimizer, "ema": checkpoint.ema}
    arrays = {g: {k: v.detach().cpu().numpy() for k, v in tensors.items()} for g, tensors in groups.items()}
    write_arrays(path, arrays, checkpoint.facts)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises RunError when it is missing, cut short or of another schema."""
    arrays, facts = read_arrays(path, ("model", "optimizer", "ema"))
    groups = {g: {k: torch.from_numpy(v) for k, v in values.items()} for g, values in arrays.items()}
    return Checkpoint(groups["model"], groups["optimizer"], groups["ema"], facts)


def load_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor], where: Path | str) -> None:
    """Put weights into a net.

    Raises:
        RunError: One is missing, unknown or of another shape; the first is named.
    """
    own = module.state_dict()
    for name in sorted(set(own) ^ set(weights)):
        side = "lacks" if name in own else "holds unknown"
        raise RunError(f"checkpoint {where} {side} '{name}': it is of another net")
    for name, value in own.items():
        if value.shape != weights[name].shape:
            theirs, ours = tuple(weights[name].shape), tuple(value.shape)
            raise RunError(f"checkpoint {where}: '{name}' is {theirs}, the net has {ours}")
    module.load_state_dict(weights)


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """State tensors of an optimiser, by "<parameter index>.<key>"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{i}.{k}": torch.as_tensor(v)
        for i, entry in state.items()
        for k, v in entry.items()
        if v is not None
    }


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, packed: dict[str, torch.Tensor], where: Path | str
) -> None:
    """Put back what `pack_optimizer` took. Raises RunError when it is of other parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in packed.items():
        index, _, name = key.partition(".")
        known = index.isdecimal() and int(index) < len(parameters)
        if not known or (value.ndim and value.shape != parameters[int(index)].shape):
            raise RunError(f"checkpoint {where}: optimiser state '{key}' does not fit the net")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
