"""Torch architectures, one a file.

A model takes (in_channels, size, outputs, **args) and gives a dict of logits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..errors import RecipeError, did_you_mean
from .backbone import Backbone
from .friv import FrivNet
from .kontogouris_cnn import KontogourisCnn
from .mlp import MLP
from .residual import ResidualNet
from .smallnet import SmallNet
from .wright_cnn import WrightCnn

MODELS: dict[str, Callable[..., nn.Module]] = {
    "backbone": Backbone,
    "friv": FrivNet,
    "kontogouris-cnn": KontogourisCnn,
    "mlp": MLP,
    "residual": ResidualNet,
    "smallnet": SmallNet,
    "wright-cnn": WrightCnn,
}


def make_model(
    name: str, in_channels: int, size: tuple[int, int], outputs: Mapping[str, int], args: Mapping[str, Any]
) -> nn.Module:
    """Construct a model by name.

    Args:
        name: A key of `MODELS`.
        in_channels: 1 or 3.
        size: Height and width of the input in pixels.
        outputs: Output name -> number of labels.
        args: Further arguments of that model.

    Raises:
        RecipeError: Unknown name, or arguments the model does not take.
    """
    if name not in MODELS:
        raise RecipeError(f"learner.model: there is no model '{name}'", did_you_mean(name, MODELS))
    known = list(inspect.signature(MODELS[name]).parameters)[3:]
    for key in args:
        if key not in known:
            raise RecipeError(f"learner.args: model '{name}' takes no '{key}'", did_you_mean(key, known))
    try:
        return MODELS[name](in_channels, size, outputs, **args)
    except TypeError as error:
        raise RecipeError(f"learner.args of model '{name}': {error}") from None


__all__ = [
    "MLP",
    "MODELS",
    "Backbone",
    "FrivNet",
    "KontogourisCnn",
    "ResidualNet",
    "SmallNet",
    "WrightCnn",
    "make_model",
]
