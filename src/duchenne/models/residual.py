"""A small residual net for faces of about 48x48: what the packaged model is trained from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..errors import RecipeError
from .heads import LinearHeads, check_dropout


class Gate(nn.Module):
    """Scales each channel by 0 to 1, from the means of all channels.

    Source: Hu et al. 2018, "Squeeze-and-excitation networks", section 3, equations 2 to 4.
    """

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, max(1, channels // ratio), 1)
        self.excite = nn.Conv2d(max(1, channels // ratio), channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(N, C, H, W)`` to the same shape."""
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(means))))


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, beside the input itself or its 1x1 projection.

    `squeeze` is the ratio of a `Gate` before the sum; 0: none.

    Source: He et al. 2016, "Deep residual learning for image recognition", section 3.3 (option B).
    """

    def __init__(self, in_channels: int, channels: int, stride: int, squeeze: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.gate = Gate(channels, squeeze) if squeeze else nn.Identity()
        self.beside: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            projection = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.beside = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(N, C, H, W)`` to ``(N, channels, H / stride, W / stride)``."""
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.gate(self.second_norm(self.second(y))) + self.beside(x))


class ResidualNet(nn.Module):
    """A 3x3 stem at full size, stages of residual blocks that halve the sides, average pooling, linear heads.

    Args:
        in_channels: 1 or 3.
        size: Height and width of the input in pixels.
        outputs: Output name -> number of labels.
        stem: Channels of the first convolution.
        channels: Channels of each stage; its first block halves the sides.
        blocks: Blocks of each stage.
        dropout: Probability to drop a pooled feature.
        squeeze: Ratio of each block's squeeze-and-excitation gate; 0: none.

    Raises:
        RecipeError: An argument is out of range, or the input is too small for the stages.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        outputs: Mapping[str, int],
        *,
        stem: int = 32,
        channels: Sequence[int] = (64, 128, 192),
        blocks: Sequence[int] = (2, 3, 2),
        dropout: float = 0.2,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        if len(channels) != len(blocks) or not channels:
            raise RecipeError(
                f"learner.args: {len(channels)} channels and {len(blocks)} blocks: one of each per stage"
            )
        for name, values in (("stem", [stem]), ("channels", channels), ("blocks", blocks)):
            if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in values):
                raise RecipeError(f"learner.args.{name} = {values!r}: must be whole numbers of 1 or more")
        if isinstance(squeeze, bool) or not isinstance(squeeze, int) or squeeze < 0:
            raise RecipeError(f"learner.args.squeeze = {squeeze!r}: must be a whole number, 0 for none")
        check_dropout(dropout)
        if min(size) < 2 ** len(channels):
            raise RecipeError(f"preprocess.size = {list(size)} is too small for {len(channels)} stages")
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, stem, 3, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        ]
        width = stem
        for count, depth in zip(channels, blocks, strict=True):
            for index in range(depth):
                layers.append(Block(width, count, 2 if index == 0 else 1, squeeze))
                width = count
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.head = LinearHeads(width, outputs)
        for module in self.body.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map images ``(N, C, H, W)`` float to logits ``{output: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.head(self.body(x))
        return logits
