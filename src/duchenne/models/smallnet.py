"""A small convolutional net for quick runs: what the `demo` recipe trains, and what tests use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..errors import RecipeError
from .heads import LinearHeads


class SmallNet(nn.Module):
    """Strided 3x3 convolutions, optional batch norm, average pooling to a grid, one linear head per output.

    Args:
        in_channels: 1 or 3.
        size: Height and width of the input in pixels.
        outputs: Output name -> number of labels.
        filters: Filters of each convolution; each halves the sides.
        batch_norm: Off where several processes must equal one exactly.
        grid: Cells a side that the last convolution's map is averaged to; 1 forgets where on the face
            something is.

    Raises:
        RecipeError: An argument is out of range, or the last map is smaller than the grid.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        outputs: Mapping[str, int],
        *,
        filters: Sequence[int] = (16, 32, 64),
        batch_norm: bool = True,
        grid: int = 1,
    ) -> None:
        super().__init__()
        if not filters or not all(isinstance(f, int) and f >= 1 for f in filters):
            raise RecipeError(f"learner.args.filters = {list(filters)}: at least one, each 1 or more")
        layers: list[nn.Module] = []
        for count in filters:
            layers.append(nn.Conv2d(in_channels, count, 3, stride=2, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(count))
            layers.append(nn.ReLU())
            in_channels = count
        shrink = 2 ** len(filters)
        smallest = min(-(-side // shrink) for side in size)
        if not isinstance(grid, int) or not 1 <= grid <= smallest:
            fits = f"from 1 to {smallest} for {list(size)} and {len(filters)} filters"
            raise RecipeError(f"learner.args.grid = {grid!r}: {fits}")
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        self.head = LinearHeads(in_channels * grid * grid, outputs)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map images ``(N, C, H, W)`` float to logits ``{output: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.head(self.body(x))
        return logits
