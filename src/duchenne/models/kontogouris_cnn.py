"""The CNN of kontogouris2018 (section 6): four groups of 3x3 convolutions, as VGG has them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..errors import RecipeError
from .heads import LinearHeads, check_dropout
from .keras_init import keras_init

# (convolutions, filters) of each group; a 2x2 max pool ends it. Source: kontogouris2018, section 6.
GROUPS = ((2, 32), (3, 64), (3, 128), (3, 256))
DENSE = (512, 128)


class KontogourisCnn(nn.Module):
    """2x32, 3x64, 3x128 and 3x256 convolutions, a max pool after each group, dense 512 and 128, heads.

    At 48x48 the last maps are 3x3: 3 * 3 * 256 = 2,304 numbers are flattened (the report's 2034 is a slip).

    Args:
        in_channels: 1 (the report) or 3.
        size: Height and width of the input in pixels.
        outputs: Output name -> number of labels.
        dropout: Probability to drop: after flattening and after each dense layer.

    Raises:
        RecipeError: An argument is out of range, or the input is too small for four pools.

    Source: kontogouris2018, section 6.
    """

    def __init__(
        self, in_channels: int, size: tuple[int, int], outputs: Mapping[str, int], *, dropout: float = 0.4
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        height, width = (side // 2 ** len(GROUPS) for side in size)
        if min(height, width) < 1:
            raise RecipeError(
                f"preprocess.size = {list(size)} is too small for four pools: 16 a side at least"
            )
        layers: list[nn.Module] = []
        for convolutions, filters in GROUPS:
            for _ in range(convolutions):
                layers += [nn.Conv2d(in_channels, filters, 3, padding=1), nn.ReLU()]
                in_channels = filters
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Flatten(), nn.Dropout(dropout)]
        features = in_channels * height * width
        for units in DENSE:
            layers += [nn.Linear(features, units), nn.ReLU(), nn.Dropout(dropout)]
            features = units
        self.body = nn.Sequential(*layers)
        self.head = LinearHeads(features, outputs)
        keras_init(self)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map images ``(N, C, H, W)`` float to logits ``{output: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.head(self.body(x))
        return logits
