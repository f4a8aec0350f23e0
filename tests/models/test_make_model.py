"""The table of models: every entry keeps the common signature."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from duchenne.errors import RecipeError
from duchenne.models import MODELS, SmallNet, make_model


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_model_answers_every_output(name: str, channels: int) -> None:
    net = make_model(name, channels, (48, 40), {"emotion": 4, "au": 6}, {}).eval()
    x = torch.rand(3, channels, 48, 40)
    with torch.no_grad():
        logits = net(x)
        alone = net(x[1:2])
    assert {k: tuple(v.shape) for k, v in logits.items()} == {"emotion": (3, 4), "au": (3, 6)}
    for key in logits:  # an image's answer does not depend on its neighbours
        torch.testing.assert_close(alone[key][0], logits[key][1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_same_seed_same_weights(name: str) -> None:
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        nets.append(make_model(name, 1, (48, 48), {"emotion": 7}, {}))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'friv'"):
        make_model("frivv", 1, (48, 48), {"emotion": 7}, {})


def test_smallnet_parameters_by_hand() -> None:
    with_norm = (9 * 1 * 4 + 2 * 4) + (9 * 4 * 6 + 2 * 6) + (6 * 3 + 3)  # no bias under a norm
    without = (9 * 1 * 4 + 4) + (9 * 4 * 6 + 6) + (6 * 3 + 3)
    for batch_norm, count in ((True, with_norm), (False, without)):
        net = SmallNet(1, (16, 16), {"emotion": 3}, filters=(4, 6), batch_norm=batch_norm)
        assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(
    "args",
    [
        {"filters": []},
        {"filters": [4, 0]},
        {"filters": 5},
        {"filters": [1.5]},
        {"depth": 1},
        {"grid": 0},
        {"grid": 3},
        {"grid": 1.5},
    ],
)
def test_smallnet_arguments_out_of_range(args: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"learner\.args"):  # three filters leave 2 x 2
        make_model("smallnet", 1, (16, 16), {"emotion": 3}, args)


def test_smallnet_grid_keeps_places_and_one_cell_does_not() -> None:
    """A bright spot moved by whole strides: only a grid sees the difference."""
    x = torch.zeros(2, 1, 32, 32)
    x[0, 0, 8:12, 8:12] = 1
    x[1, 0, 20:24, 20:24] = 1
    for grid, told_apart in ((1, False), (2, True)):
        torch.manual_seed(0)
        net = SmallNet(1, (32, 32), {"emotion": 3}, filters=(4,), batch_norm=False, grid=grid)
        a, b = net(x)["emotion"]
        assert (not torch.allclose(a, b, atol=1e-5)) is told_apart
        assert net.head.heads["emotion"].in_features == 4 * grid * grid


def test_an_argument_the_model_does_not_take() -> None:
    with pytest.raises(RecipeError, match=r"'smallnet' takes no 'filter'\n  did you mean 'filters'"):
        make_model("smallnet", 1, (16, 16), {"emotion": 3}, {"filter": [4]})
