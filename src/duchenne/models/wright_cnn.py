"""The CNN of wright2019 (section 6): five convolutions, three average pools, three fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..errors import RecipeError
from .heads import LinearHeads, check_dropout
from .keras_init import keras_init


class WrightCnn(nn.Module):
    """36@5x5, pool; twice 48@3x3, pool; twice 48@3x3, pool; dense layers with dropout after each; heads.

    Every convolution is padded by 1 and followed by ReLU; pools are averages over 2x2. At 48x48 the maps are
    46, 23, 11 and 5 a side, so that 5 * 5 * 48 = 1,200 numbers reach the dense layers.

    Args:
        in_channels: 1 (the report) or 3.
        size: Height and width of the input in pixels.
        outputs: Output name -> number of labels.
        dense: Units of the hidden dense layers. The report says three fully connected layers, the last of
            which answers, and no widths.
        dropout: Probability to drop, after each hidden dense layer.

    Raises:
        RecipeError: An argument is out of range, or the input is too small for three pools.

    Source: wright2019, section 6.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        outputs: Mapping[str, int],
        *,
        dense: Sequence[int] = (1024, 1024),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        sizes = dense if isinstance(dense, list | tuple) else (0,)
        if not all(isinstance(units, int) and not isinstance(units, bool) and units >= 1 for units in sizes):
            raise RecipeError(f"learner.args.dense = {dense!r}: a list of sizes, each 1 or more")
        check_dropout(dropout)
        # The 5x5 convolution padded by 1 takes two pixels of each side; those of 3x3 keep it.
        height, width = ((side - 2) // 2 // 2 // 2 for side in size)
        if min(height, width) < 1:
            raise RecipeError(
                f"preprocess.size = {list(size)} is too small for three pools: 10 a side at least"
            )
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, 36, 5, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(36, 48, 3, padding=1), nn.ReLU(),
            nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(),
            nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Flatten(),
        ]  # fmt: skip
        features = 48 * height * width
        for units in dense:
            layers += [nn.Linear(features, units), nn.ReLU(), nn.Dropout(dropout)]
            features = units
        self.body = nn.Sequential(*layers)
        self.head = LinearHeads(features, outputs)
        keras_init(self)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map images ``(N, C, H, W)`` float to logits ``{output: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.head(self.body(x))
        return logits
