"""The nets of friv2024: parameter counts by hand, order of layers, sizes, Keras' constants."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from duchenne.errors import RecipeError
from duchenne.models import FrivNet, make_model
from duchenne.models.keras_init import keras_init
from duchenne.recipe import load_recipe

OUT = {"emotion": 7}


def net_of(number: int) -> FrivNet:
    args = load_recipe(f"friv-model{number}").learner.args
    net = make_model("friv", 1, (48, 48), OUT, args)
    assert isinstance(net, FrivNet)
    return net


# A convolution k x k from a to b channels has k*k*a*b weights and b biases; batch norm of b channels learns a
# gain and a shift each; a dense layer from a to b has a*b weights and b biases. Batch norm stands between the
# two convolutions of a block. 48 -> 24 -> 12 -> 6 (-> 3) by pooling.
BY_HAND = {
    1: (9 * 1 * 32 + 32) + 2 * 32 + (9 * 32 * 32 + 32)
    + (9 * 32 * 64 + 64) + 2 * 64 + (9 * 64 * 64 + 64)
    + (9 * 64 * 128 + 128) + 2 * 128 + (9 * 128 * 128 + 128)
    + (6 * 6 * 128 * 256 + 256) + (256 * 7 + 7),
    # Average pooling has no parameters: as Model 1.
    2: (9 * 1 * 32 + 32) + 2 * 32 + (9 * 32 * 32 + 32)
    + (9 * 32 * 64 + 64) + 2 * 64 + (9 * 64 * 64 + 64)
    + (9 * 64 * 128 + 128) + 2 * 128 + (9 * 128 * 128 + 128)
    + (6 * 6 * 128 * 256 + 256) + (256 * 7 + 7),
    # Filters doubled.
    3: (9 * 1 * 64 + 64) + 2 * 64 + (9 * 64 * 64 + 64)
    + (9 * 64 * 128 + 128) + 2 * 128 + (9 * 128 * 128 + 128)
    + (9 * 128 * 256 + 256) + 2 * 256 + (9 * 256 * 256 + 256)
    + (6 * 6 * 256 * 256 + 256) + (256 * 7 + 7),
    # 5x5 kernels, "same".
    4: (25 * 1 * 32 + 32) + 2 * 32 + (25 * 32 * 32 + 32)
    + (25 * 32 * 64 + 64) + 2 * 64 + (25 * 64 * 64 + 64)
    + (25 * 64 * 128 + 128) + 2 * 128 + (25 * 128 * 128 + 128)
    + (6 * 6 * 128 * 256 + 256) + (256 * 7 + 7),
    # One more block, of 256 filters; the last pool leaves 3x3.
    5: (9 * 1 * 32 + 32) + 2 * 32 + (9 * 32 * 32 + 32)
    + (9 * 32 * 64 + 64) + 2 * 64 + (9 * 64 * 64 + 64)
    + (9 * 64 * 128 + 128) + 2 * 128 + (9 * 128 * 128 + 128)
    + (9 * 128 * 256 + 256) + 2 * 256 + (9 * 256 * 256 + 256)
    + (3 * 3 * 256 * 256 + 256) + (256 * 7 + 7),
    # The second convolution of each block unpadded: 48 -> 46 -> 23 -> 21 -> 10 -> 8 -> 4.
    6: (9 * 1 * 32 + 32) + 2 * 32 + (9 * 32 * 32 + 32)
    + (9 * 32 * 64 + 64) + 2 * 64 + (9 * 64 * 64 + 64)
    + (9 * 64 * 128 + 128) + 2 * 128 + (9 * 128 * 128 + 128)
    + (4 * 4 * 128 * 256 + 256) + (256 * 7 + 7),
}  # fmt: skip


@pytest.mark.parametrize("number", range(1, 7))
def test_parameters_are_as_many_as_counted_by_hand(number: int) -> None:
    assert sum(p.numel() for p in net_of(number).parameters()) == BY_HAND[number]


def test_the_sums_as_single_numbers() -> None:
    assert BY_HAND[1] == BY_HAND[2] == 286_432 + 448 + 1_179_904 + 1_799
    assert BY_HAND[6] == 1_468_583 - (36 - 16) * 128 * 256


@pytest.mark.parametrize("number", range(1, 7))
def test_answers_logits_by_output(number: int) -> None:
    net = net_of(number).eval()
    with torch.no_grad():
        logits = net(torch.rand(2, 1, 48, 48))
    assert list(logits) == ["emotion"]
    assert logits["emotion"].shape == (2, 7)
    assert logits["emotion"].isfinite().all()


POOLS = {
    1: ["MaxPool2d", "MaxPool2d", "MaxPool2d"],
    2: ["MaxPool2d", "AvgPool2d", "AvgPool2d"],
    3: ["MaxPool2d", "AvgPool2d", "AvgPool2d"],
    4: ["MaxPool2d", "AvgPool2d", "AvgPool2d"],
    5: ["MaxPool2d", "AvgPool2d", "AvgPool2d", "AvgPool2d"],
    6: ["MaxPool2d", "AvgPool2d", "AvgPool2d"],
}


@pytest.mark.parametrize("number", range(1, 7))
def test_order_of_layers_is_the_reports(number: int) -> None:
    wanted: list[str] = []
    for pool in POOLS[number]:
        wanted += ["Conv2d", "ReLU", "BatchNorm2d", "Conv2d", "ReLU", pool, "Dropout"]
    wanted += ["Flatten", "Linear", "ReLU", "Dropout"]
    net = net_of(number)
    assert [type(layer).__name__ for layer in net.body] == wanted
    drops = [layer.p for layer in net.body if isinstance(layer, nn.Dropout)]
    assert drops == [0.25] * len(POOLS[number]) + [0.5]


def sides(net: FrivNet, size: int) -> list[int]:
    """Heights after every convolution and pool."""
    x, seen = torch.zeros(1, 1, size, size), []
    for layer in net.body.eval():
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            seen.append(x.shape[2])
    return seen


def test_sizes_inside() -> None:
    same = [48, 48, 24, 24, 24, 12, 12, 12, 6]
    for number in (1, 2, 3, 4):
        assert sides(net_of(number), 48) == same
    assert sides(net_of(5), 48) == [*same, 6, 6, 3]
    assert sides(net_of(6), 48) == [48, 46, 23, 23, 21, 10, 10, 8, 4]


def test_keras_constants_of_batch_norm() -> None:
    norms = [m for m in net_of(1).modules() if isinstance(m, nn.BatchNorm2d)]
    assert [(m.eps, m.momentum) for m in norms] == [(1e-3, 0.01)] * 3
    assert [m.num_features for m in norms] == [32, 64, 128]
    for m in norms:  # gain 1, shift 0, as Keras starts
        assert (m.weight == 1).all()
        assert (m.bias == 0).all()


def test_batch_norm_keeps_99_hundredths_of_the_running_mean() -> None:
    """Keras: moving = 0.99 * moving + 0.01 * batch."""
    norm = next(m for m in net_of(1).train().modules() if isinstance(m, nn.BatchNorm2d))
    x = torch.randn(4, 32, 5, 5) + 3
    norm(x)
    torch.testing.assert_close(norm.running_mean, 0.01 * x.mean((0, 2, 3)))


def test_glorot_uniform_bounds_and_zero_biases() -> None:
    torch.manual_seed(0)
    for layer in net_of(1).modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        field = 9 if isinstance(layer, nn.Conv2d) else 1
        inward, outward = layer.weight.shape[1] * field, layer.weight.shape[0] * field
        bound = math.sqrt(6 / (inward + outward))  # Glorot & Bengio 2010, equation 16
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.95 * bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert (layer.bias == 0).all()


def test_keras_init_passes_over_a_layer_without_bias() -> None:
    layer = nn.Conv2d(1, 2, 3, bias=False)
    with torch.no_grad():
        layer.weight.fill_(9)
    keras_init(layer)
    assert layer.weight.abs().max() < 1


def test_several_outputs_and_colour() -> None:
    net = FrivNet(3, (32, 40), {"emotion": 5, "au": 3}, filters=(2, 3), pools=("max", "average"), dense=4)
    logits = net.eval()(torch.rand(2, 3, 32, 40))
    assert {k: tuple(v.shape) for k, v in logits.items()} == {"emotion": (2, 5), "au": (2, 3)}
    dense = next(m for m in net.body if isinstance(m, nn.Linear))
    assert dense.in_features == 3 * (32 // 4) * (40 // 4)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"filters": [32, 64]}, "2 filters and 3 pools"),
        ({"filters": [], "pools": []}, "0 filters"),
        ({"filters": [32, 0, 64]}, "filters: 0"),
        ({"filters": [32, 6.5, 64]}, "filters: 6.5"),
        ({"dense": 0}, "dense: 0"),
        ({"kernel": 4}, "kernel = 4"),
        ({"kernel": -1}, "kernel = -1"),
        ({"kernel": 3.0}, "kernel = 3.0"),
        ({"pools": ["max", "max", "median"]}, "median"),
        ({"padding": "valid"}, "padding: unknown 'valid'"),
        ({"filtres": [1]}, "filtres"),
        ({"size": [1, 1]}, "size"),
    ],
)
def test_arguments_out_of_range(args: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_model("friv", 1, (48, 48), OUT, args)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("side", "padding", "fits"),
    [(8, "same", True), (7, "same", False), (22, "half-valid", True), (21, "half-valid", False)],
)
def test_smallest_input(side: int, padding: str, fits: bool) -> None:
    """same: 8 -> 4 -> 2 -> 1. half-valid: 22 -> 20 -> 10 -> 8 -> 4 -> 2 -> 1; 21 ends at 3 -> 1 -> 0."""
    args = {"filters": [2, 2, 2], "dense": 2, "padding": padding}
    if fits:
        net = make_model("friv", 1, (side, side), OUT, args).eval()
        assert net(torch.zeros(1, 1, side, side))["emotion"].shape == (1, 7)
    else:
        with pytest.raises(RecipeError, match="too small for 3 blocks"):
            make_model("friv", 1, (side, side), OUT, args)
