"""Torch nets that begin from trained weights, and nets whose heads alone are trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import RecipeError
from ..labels import Output
from ..models.frozen import hold_batch_norms, train_only
from ..models.heads import LinearHeads
from .start import Labels, Slots, Trained, label_places, read_trained, shared_outputs, take_over


def begin_from(
    net: nn.Module,
    path: Path,
    facts: Mapping[str, Any],
    outputs: Sequence[Output],
    labels: Labels = "all",
) -> None:
    """Put a checkpoint's weights into a net with initial ones.

    The body is taken as it is, batch norms' running figures included; of each head the rows of labels that
    the checkpoint has, by name. New labels, and heads that the checkpoint has not, stay as initialised.

    Args:
        net: Gets the weights.
        path: The checkpoint.
        facts: What the learner says of itself: "model" and "preprocess" must agree with the checkpoint's.
        outputs: What the net answers.
        labels: "all": the net must have every output and label of the checkpoint; "shared": those that it has
            not are left behind.

    Raises:
        RunError: The checkpoint does not fit; the field, label or array is named.
    """
    trained = read_trained(path, "torch", facts)
    if labels == "shared":
        trained = _shared(net, trained, outputs)
    places = label_places(trained, outputs)
    slots, initial = {}, set()
    for output, prefix in _head_prefixes(net).items():
        for name in ("weight", "bias"):
            if output in places:
                slots[f"{prefix}.{name}"] = Slots(0, places[output])
            else:
                initial.add(f"{prefix}.{name}")
    state = net.state_dict()
    fresh = {k: v.detach().cpu().numpy() for k, v in state.items() if k not in initial}
    taken = take_over(fresh, trained, slots)
    net.load_state_dict(state | {k: torch.from_numpy(v) for k, v in taken.items()})


def _shared(net: nn.Module, trained: Trained, outputs: Sequence[Output]) -> Trained:
    """The trained arrays without the heads, and the rows of heads, that the net has no labels for."""
    kept, rows = shared_outputs(trained.outputs, outputs)
    arrays = dict(trained.arrays)
    layers = [name for name, module in net.named_modules() if isinstance(module, LinearHeads)]
    for layer in layers:
        for output in trained.outputs:
            for part in ("weight", "bias"):
                key = f"{layer}.heads.{output.name}.{part}".lstrip(".")
                if key not in arrays:
                    continue
                old = arrays.pop(key)
                if output.name in rows:
                    arrays[key] = old[rows[output.name]]
    return replace(trained, arrays=arrays, outputs=tuple(kept))


def train_heads_only(net: nn.Module) -> None:
    """Leave only the heads' parameters to be trained. Raises RecipeError where there are none."""
    heads = list(_heads(net))
    if not heads:
        raise RecipeError("start.train = 'head': this model has no heads of its own")
    train_only(net, heads)


def hold_body(net: nn.Module) -> None:
    """Batch norms outside the heads into evaluation mode: a frozen body must not move with the batches.

    Dropout stays on; it changes no weight of the body, and the head was trained with it.
    """
    hold_batch_norms(net, _heads(net))


def _heads(net: nn.Module) -> Iterator[LinearHeads]:
    return (module for module in net.modules() if isinstance(module, LinearHeads))


def _head_prefixes(net: nn.Module) -> dict[str, str]:
    """Output -> the name of its linear layer within the net."""
    return {
        output: f"{name}.heads.{output}" if name else f"heads.{output}"
        for name, module in net.named_modules()
        if isinstance(module, LinearHeads)
        for output in module.heads
    }
