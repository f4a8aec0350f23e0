"""The fully connected net: sizes by hand, its parts in order, slips."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from duchenne.errors import RecipeError
from duchenne.models import make_model


def mlp(**args: Any) -> nn.Module:
    torch.manual_seed(0)
    return make_model("mlp", 10, (1, 1), {"emotion": 7}, args)


def test_parameters_by_hand() -> None:
    def count(net: nn.Module) -> int:
        return sum(p.numel() for p in net.parameters())

    assert count(mlp(hidden=[5, 3])) == (10 * 5 + 5) + (5 * 3 + 3) + (3 * 7 + 7)
    assert count(mlp(hidden=[5], batch_norm=True)) == (10 * 5 + 2 * 5) + (5 * 7 + 7)


def test_answers_by_hand() -> None:
    net = mlp(hidden=[4], dropout=0.5).eval()
    x = torch.rand(3, 10, 1, 1)
    first, last = (m for m in net.modules() if isinstance(m, nn.Linear))
    wanted = last(torch.relu(first(x.flatten(1))))
    torch.testing.assert_close(net(x)["emotion"], wanted)


def test_dropout_acts_in_training_alone() -> None:
    net, x = mlp(hidden=[64], dropout=0.5), torch.rand(2, 10, 1, 1)
    assert not torch.equal(net(x)["emotion"], net(x)["emotion"])
    net.eval()
    assert torch.equal(net(x)["emotion"], net(x)["emotion"])


def test_a_last_batch_of_one_trains() -> None:
    net = mlp(hidden=[4], batch_norm=True)
    net(torch.rand(8, 10, 1, 1))
    means = next(m for m in net.modules() if isinstance(m, nn.BatchNorm1d)).running_mean.clone()  # type: ignore[union-attr]
    x = torch.rand(1, 10, 1, 1)
    alone = net(x)["emotion"]
    alone.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert torch.equal(means, next(m for m in net.modules() if isinstance(m, nn.BatchNorm1d)).running_mean)  # type: ignore[arg-type]
    torch.testing.assert_close(net.eval()(x)["emotion"], alone)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"hidden": []}, "hidden = \\[\\]"),
        ({"hidden": [0]}, "hidden"),
        ({"hidden": 128}, "hidden = 128"),
        ({"hidden": [1.5]}, "hidden"),
        ({"batch_norm": 1}, "batch_norm = 1"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"dropout": "half"}, "dropout = 'half'"),
        ({"depth": 2}, "depth"),
    ],
)
def test_arguments_out_of_range_are_named(args: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        mlp(**args)
