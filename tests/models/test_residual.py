"""The residual net: parameter count by hand, its block against plain formulas, sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from duchenne.errors import RecipeError
from duchenne.models import ResidualNet
from duchenne.models.residual import Block
from duchenne.recipe import load_recipe

OUT = {"emotion": 7, "ferplus": 8}


def test_parameters_of_the_packaged_recipe_by_hand() -> None:
    def conv(k: int, a: int, b: int) -> int:  # no biases; its batch norm has a scale and a shift
        return k * k * a * b + 2 * b

    def stage(a: int, b: int, further: int) -> int:  # the first block projects its input, the others do not
        return conv(3, a, b) + conv(3, b, b) + conv(1, a, b) + further * 2 * conv(3, b, b)

    stages = stage(32, 48, 1) + stage(48, 96, 1) + stage(96, 160, 1) + stage(160, 256, 0)
    count = conv(3, 1, 32) + stages + (256 + 1) * 7 + (256 + 1) * 8
    net = ResidualNet(1, (48, 48), OUT, **load_recipe("fer-flagship").learner.args)
    assert sum(p.numel() for p in net.parameters()) == count == 2_225_487
    assert count <= 2_500_000


@pytest.mark.parametrize(
    ("inside", "stride", "squeeze"), [(4, 1, 0), (4, 2, 0), (3, 1, 0), (4, 1, 2), (3, 2, 8)]
)
def test_block_is_its_formula(inside: int, stride: int, squeeze: int) -> None:
    torch.manual_seed(0)
    block = Block(inside, 4, stride, squeeze).eval()
    for norm in (m for m in block.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight)
        torch.nn.init.uniform_(norm.running_mean)
        torch.nn.init.uniform_(norm.running_var)
    x = torch.randn(2, inside, 8, 8)

    def norm(y: torch.Tensor, m: Any) -> torch.Tensor:
        scale = m.weight / (m.running_var + m.eps).sqrt()
        return (y - m.running_mean[:, None, None]) * scale[:, None, None] + m.bias[:, None, None]

    inner = norm(F.conv2d(x, block.first.weight, stride=stride, padding=1), block.first_norm).clamp(min=0)
    outer = norm(F.conv2d(inner, block.second.weight, padding=1), block.second_norm)
    if squeeze:
        down, up = block.gate.squeeze, block.gate.excite
        means = outer.mean((2, 3))
        hidden = (means @ down.weight[:, :, 0, 0].T + down.bias).clamp(min=0)
        gates = torch.sigmoid(hidden @ up.weight[:, :, 0, 0].T + up.bias)
        outer = outer * gates[:, :, None, None]
    beside = x
    if stride == 2 or inside != 4:
        conv, its_norm = block.beside  # type: ignore[misc]
        beside = norm(F.conv2d(x, conv.weight, stride=stride), its_norm)
    torch.testing.assert_close(block(x), (outer + beside).clamp(min=0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"channels": [8, 16], "blocks": [1]}, "2 channels and 1 blocks"),
        ({"channels": [], "blocks": []}, "0 channels"),
        ({"stem": 0}, "learner.args.stem"),
        ({"squeeze": -1}, "learner.args.squeeze"),
        ({"squeeze": True}, "learner.args.squeeze"),
        ({"channels": [8, True], "blocks": [1, 1]}, "learner.args.channels"),
        ({"blocks": [1, 0, 1]}, "learner.args.blocks"),
        ({"dropout": 1.0}, "learner.args.dropout"),
        ({"channels": [8] * 7, "blocks": [1] * 7}, "too small for 7 stages"),
    ],
)
def test_wrong_arguments(args: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        ResidualNet(1, (48, 48), OUT, **args)
