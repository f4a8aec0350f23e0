"""Heads: from a body's features to the logits of each output, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from ..errors import RecipeError, did_you_mean
from .keras_init import keras_init

_DENSE = 1024  # chan2023, section 3

UNITS = "au"  # the output of action units, as the data sets name it


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


class Wang2020Heads(nn.Module):
    """Dropout 0.6, linear F-512, SELU, dropout 0.8, then one linear layer per output.

    Args:
        in_features: F; 2,048 in the report.
        outputs: Output name -> number of labels.

    Source: wang2020, section 2.2 and Fig. 4.
    """

    def __init__(self, in_features: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Dropout(0.6), nn.Linear(in_features, 512), nn.SELU(), nn.Dropout(0.8))
        self.last = LinearHeads(512, outputs)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map features ``(N, F)`` to logits ``{name: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.last(self.hidden(features))
        return logits


class DenseHeads(nn.Module):
    """Two dense layers of 1,024 with ReLU, then one linear layer per output; begins as Keras' layers do.

    Args:
        in_features: F; 1,024 in the report.
        outputs: Output name -> number of labels.

    Source: chan2023, section 3. The activation is unstated there.
    """

    def __init__(self, in_features: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        layers = [nn.Linear(in_features, _DENSE), nn.ReLU(), nn.Linear(_DENSE, _DENSE), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.last = LinearHeads(_DENSE, outputs)
        keras_init(self)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map features ``(N, F)`` to logits ``{name: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.last(self.hidden(features))
        return logits


class SoftmaxUnitHeads(nn.Module):
    """`DenseHeads` whose action units share one softmax, as chan2023 writes; other outputs as they are.

    A multi-label output's probabilities are sigmoids of its logits. So that they are softmax's here, the
    logit of unit j is z_j - log sum_(k != j) exp z_k: its sigmoid is exp z_j / sum_k exp z_k. Nothing that
    reads logits or probabilities need know. The units' probabilities sum to 1, so that at most one is above
    0.5: a face of several units cannot be answered rightly, which is what the variant is there to show.

    Args:
        in_features: F.
        outputs: Output name -> number of labels; action units are the output "au".

    Raises:
        RecipeError: There is no output "au" of at least two labels.

    Source: chan2023, section 3 ("two output layers employing softmax activation").
    """

    others: torch.Tensor

    def __init__(self, in_features: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        units = outputs.get(UNITS, 0)
        if units < 2:
            raise RecipeError(
                f"learner.args.head = 'softmax_aus': there is no output '{UNITS}' of several labels",
                f"outputs: {', '.join(outputs)}",
            )
        self.heads = DenseHeads(in_features, outputs)
        others = [[k for k in range(units) if k != j] for j in range(units)]
        self.register_buffer("others", torch.tensor(others), persistent=False)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map features ``(N, F)`` to logits ``{name: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.heads(features)
        z = logits[UNITS]
        return logits | {UNITS: z - torch.logsumexp(z[:, self.others], dim=2)}


HEADS: dict[str, Callable[[int, Mapping[str, int]], nn.Module]] = {
    "dense": DenseHeads,
    "linear": LinearHeads,
    "softmax_aus": SoftmaxUnitHeads,
    "wang2020": Wang2020Heads,
}


def check_dropout(dropout: object) -> None:
    """Raise RecipeError where a probability to drop is none."""
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise RecipeError(f"learner.args.dropout = {dropout!r}: must be a number from 0 to below 1")


def make_heads(name: str, in_features: int, outputs: Mapping[str, int]) -> nn.Module:
    """Construct a head by name. Raises RecipeError for an unknown one."""
    if name not in HEADS:
        raise RecipeError(f"learner.args.head: there is no head '{name}'", did_you_mean(str(name), HEADS))
    return HEADS[name](in_features, outputs)
