"""The CNNs of wright2019 and kontogouris2018: parameter counts by hand, order of layers, sizes inside."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from duchenne.errors import RecipeError
from duchenne.models import make_model
from duchenne.recipe import load_recipe

OUT = {"emotion": 7}
RECIPES = {"wright-cnn": "wright-fer-cnn", "kontogouris-cnn": "kontogouris-fer-cnn"}


def net_of(name: str, size: tuple[int, int] = (48, 48)) -> Any:
    return make_model(name, 1, size, OUT, load_recipe(RECIPES[name]).learner.args)


# A convolution k x k from a to b channels has k*k*a*b weights and b biases, a dense layer a*b and b.
BY_HAND = {
    "wright-cnn": (25 * 1 * 36 + 36) + (9 * 36 * 48 + 48) + 3 * (9 * 48 * 48 + 48)
    + (5 * 5 * 48 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 7 + 7),
    "kontogouris-cnn": (9 * 1 * 32 + 32) + (9 * 32 * 32 + 32)
    + (9 * 32 * 64 + 64) + 2 * (9 * 64 * 64 + 64)
    + (9 * 64 * 128 + 128) + 2 * (9 * 128 * 128 + 128)
    + (9 * 128 * 256 + 256) + 2 * (9 * 256 * 256 + 256)
    + (2304 * 512 + 512) + (512 * 128 + 128) + (128 * 7 + 7),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_parameters_are_as_many_as_counted_by_hand(name: str) -> None:
    assert sum(p.numel() for p in net_of(name).parameters()) == BY_HAND[name]


def test_flattened_numbers_are_three_by_three_by_256() -> None:
    first = next(m for m in net_of("kontogouris-cnn").body if isinstance(m, nn.Linear))
    assert first.in_features == 3 * 3 * 256 == 2304


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_answers_logits_by_output(name: str) -> None:
    with torch.no_grad():
        logits = net_of(name).eval()(torch.rand(2, 1, 48, 48))
    assert list(logits) == ["emotion"]
    assert logits["emotion"].shape == (2, 7)
    assert logits["emotion"].isfinite().all()


def test_order_of_layers_is_the_reports() -> None:
    conv, dense = ["Conv2d", "ReLU"], ["Linear", "ReLU", "Dropout"]
    wright = [*conv, "AvgPool2d", *conv, *conv, "AvgPool2d", *conv, *conv, "AvgPool2d", "Flatten"]
    assert [type(m).__name__ for m in net_of("wright-cnn").body] == [*wright, *dense, *dense]
    wanted: list[str] = []
    for convolutions in (2, 3, 3, 3):
        wanted += [*conv * convolutions, "MaxPool2d"]
    wanted += ["Flatten", "Dropout", *dense, *dense]
    assert [type(m).__name__ for m in net_of("kontogouris-cnn").body] == wanted


@pytest.mark.parametrize(("name", "dropout"), [("wright-cnn", [0.5] * 2), ("kontogouris-cnn", [0.4] * 3)])
def test_dropouts(name: str, dropout: list[float]) -> None:
    assert [m.p for m in net_of(name).body if isinstance(m, nn.Dropout)] == dropout


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("wright-cnn", [46, 23, 23, 23, 11, 11, 11, 5]),
        ("kontogouris-cnn", [48, 48, 24, 24, 24, 24, 12, 12, 12, 12, 6, 6, 6, 6, 3]),
    ],
)
def test_sizes_inside(name: str, sides: list[int]) -> None:
    x, seen = torch.zeros(1, 1, 48, 48), []
    for layer in net_of(name).body.eval():
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            seen.append(x.shape[2])
    assert seen == sides


@pytest.mark.parametrize(("name", "smallest"), [("wright-cnn", 10), ("kontogouris-cnn", 16)])
def test_smallest_input(name: str, smallest: int) -> None:
    net = net_of(name, (smallest, smallest)).eval()
    assert net(torch.zeros(1, 1, smallest, smallest))["emotion"].shape == (1, 7)
    with pytest.raises(RecipeError, match=f"too small for .* pools: {smallest} a side"):
        net_of(name, (smallest, smallest - 1))


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("wright-cnn", {"dense": [0]}, "dense = [0]"),
        ("wright-cnn", {"dense": [8, 1.5]}, "dense = [8, 1.5]"),
        ("wright-cnn", {"dense": 5}, "dense = 5"),
        ("wright-cnn", {"dropout": "half"}, "dropout = 'half'"),
        ("wright-cnn", {"dropout": 1.0}, "dropout = 1.0"),
        ("kontogouris-cnn", {"dropout": -0.1}, "dropout = -0.1"),
        ("kontogouris-cnn", {"dense": [512]}, "takes no 'dense'"),
    ],
)
def test_arguments_out_of_range(name: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_model(name, 1, (48, 48), OUT, args)
    assert message in str(caught.value)
