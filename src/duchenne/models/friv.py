"""The six CNNs of friv2024 (sections 3 and 4): one class, with the differences as arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from ..errors import RecipeError
from .heads import LinearHeads
from .keras_init import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, keras_init

BLOCK_DROPOUT = 0.25  # friv2024, section 3
DENSE_DROPOUT = 0.5  # friv2024, section 3

Pool = Literal["max", "average"]
Padding = Literal["same", "half-valid"]
_PADDINGS = ("same", "half-valid")
_POOLS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


def _block(in_channels: int, filters: int, kernel: int, pool: str, padding: Padding) -> list[nn.Module]:
    """Conv, ReLU, batch norm, conv, ReLU, pool 2x2, dropout: the report's order."""
    second = kernel // 2 if padding == "same" else 0
    return [
        nn.Conv2d(in_channels, filters, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.BatchNorm2d(filters, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM),
        nn.Conv2d(filters, filters, kernel, padding=second),
        nn.ReLU(),
        _POOLS[pool](2),
        nn.Dropout(BLOCK_DROPOUT),
    ]


class FrivNet(nn.Module):
    """Blocks of two convolutions, then dense 256, then one linear head per output.

    Args:
        in_channels: 1 (the report) or 3.
        size: Height and width of the input in pixels.
        outputs: Output name -> number of labels.
        filters: Filters of each block; as many blocks as entries.
        kernel: Odd kernel size of all convolutions.
        pools: "max" or "average", one per block.
        padding: "same" everywhere, or "half-valid": the second convolution of each block unpadded (Model 6's
            "half of the convolutions"; which half is unstated in the report).
        dense: Units of the dense layer.

    Raises:
        RecipeError: An argument is out of range, or the input is too small for the blocks.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        outputs: Mapping[str, int],
        *,
        filters: Sequence[int] = (32, 64, 128),
        kernel: int = 3,
        pools: Sequence[Pool] = ("max", "max", "max"),
        padding: Padding = "same",
        dense: int = 256,
    ) -> None:
        super().__init__()
        if len(filters) != len(pools) or not filters:
            raise RecipeError(
                f"learner.args: {len(filters)} filters and {len(pools)} pools: one of each per block"
            )
        for name, count in [("dense", dense), *(("filters", f) for f in filters)]:
            if not isinstance(count, int) or count < 1:
                raise RecipeError(f"learner.args.{name}: {count!r} must be a whole number of 1 or more")
        if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
            raise RecipeError(f"learner.args.kernel = {kernel!r}: must be odd")
        if unknown := set(pools) - set(_POOLS):
            raise RecipeError(f"learner.args.pools: unknown {sorted(unknown)}; known: {sorted(_POOLS)}")
        if padding not in _PADDINGS:
            raise RecipeError(f"learner.args.padding: unknown {padding!r}; known: {list(_PADDINGS)}")
        height, width = size
        layers: list[nn.Module] = []
        for count, pool in zip(filters, pools, strict=True):
            layers += _block(in_channels, count, kernel, pool, padding)
            shrink = 0 if padding == "same" else kernel - 1
            height, width = (height - shrink) // 2, (width - shrink) // 2
            in_channels = count
        if min(height, width) < 1:
            raise RecipeError(f"preprocess.size = {list(size)} is too small for {len(filters)} blocks")
        self.body = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(in_channels * height * width, dense),
            nn.ReLU(),
            nn.Dropout(DENSE_DROPOUT),
        )
        self.head = LinearHeads(dense, outputs)
        keras_init(self)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map images ``(N, C, H, W)`` float to logits ``{output: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.head(self.body(x))
        return logits
