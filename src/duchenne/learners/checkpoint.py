"""Checkpoints: safetensors with the facts of the epoch in the header. Nothing is pickled."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import RunError

SCHEMA = "1"


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
    tensors = {
        f"{group}/{name}": value.detach().cpu().contiguous().clone()
        for group, values in groups.items()
        for name, value in values.items()
    }
    # One name for all: what a kill left half-written is overwritten by the next save.
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, scratch, metadata={"schema": SCHEMA, "facts": json.dumps(checkpoint.facts)})
        scratch.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            scratch.unlink()
        raise RunError(
            f"checkpoint {path} cannot be written: {error}",
            "the one before it is untouched; free some space, then go on with --resume",
        ) from None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises RunError when it is missing, cut short or of another schema."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("schema") != SCHEMA:
                raise RunError(
                    f"checkpoint {path} has schema {header.get('schema')}; this version reads {SCHEMA}"
                )
            groups: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "ema": {}}
            for key in file.keys():  # noqa: SIM118 (not a dict)
                group, _, name = key.partition("/")
                if group not in groups:
                    raise RunError(f"checkpoint {path} holds '{key}', which this version does not know")
                groups[group][name] = file.get_tensor(key)
            facts = json.loads(header["facts"])
            if not isinstance(facts, dict):
                raise ValueError("its facts are not a JSON object")
            return Checkpoint(groups["model"], groups["optimizer"], groups["ema"], facts)
    except FileNotFoundError:
        raise RunError(f"there is no checkpoint {path}") from None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RunError(
            f"checkpoint {path} is damaged or cut short: {error}",
            "train again with --force, or restore the file",
        ) from None


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
