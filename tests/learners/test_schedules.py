"""Schedules against tables worked out by hand; optimisers against torch's own."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duchenne.learners.optimizers import make_optimizer
from duchenne.learners.schedules import factor
from duchenne.recipe import Optimizer, Schedule


def table(spec: Schedule, steps: list[int], per_epoch: int = 10, total: int = 100) -> list[float]:
    return [factor(spec, t, per_epoch, total) for t in steps]


def test_constant() -> None:
    assert table(Schedule(), [0, 1, 99]) == [1.0, 1.0, 1.0]


def test_friv_098_every_1000_steps_continuous() -> None:
    """Keras' ExponentialDecay: lr * 0.98 ** (t / 1000)."""
    spec = Schedule(name="exponential", rate=0.98, every=1000)
    wanted = [1.0, 0.98**0.5, 0.98, 0.98**1.5, 0.98**11.25]
    assert table(spec, [0, 500, 1000, 1500, 225 * 50]) == pytest.approx(wanted, rel=1e-12)
    assert factor(spec, 500, 225, 11250) == pytest.approx(0.98994949, abs=1e-8)


def test_friv_staircase() -> None:
    spec = Schedule(name="exponential", rate=0.98, every=1000, staircase=True)
    wanted = [1.0, 1.0, 0.98, 0.98, 0.9604, 0.9604]
    assert table(spec, [0, 999, 1000, 1999, 2000, 2999]) == pytest.approx(wanted, rel=1e-12)


def test_per_epoch_decay_changes_with_the_epoch_alone() -> None:
    """wright2019: lr x 0.9 per epoch."""
    spec = Schedule(name="epoch_decay", rate=0.9)
    assert table(spec, [0, 9, 10, 19, 20, 35]) == pytest.approx([1, 1, 0.9, 0.9, 0.81, 0.729], rel=1e-12)


def test_inverse_time() -> None:
    """lr / (1 + decay * t), decay 0.001."""
    spec = Schedule(name="inverse_time", rate=0.001)
    assert table(spec, [0, 250, 1000, 3000]) == pytest.approx([1, 0.8, 0.5, 0.25], rel=1e-12)


def test_cosine() -> None:
    spec = Schedule(name="cosine", floor=0.2)
    half = math.sqrt(0.5)
    wanted = [1, 0.2 + 0.8 * (1 + half) / 2, 0.6, 0.2 + 0.8 * (1 - half) / 2, 0.2, 0.2]
    assert table(spec, [0, 25, 50, 75, 100, 130]) == pytest.approx(wanted, rel=1e-12)


def test_one_cycle_rises_then_falls() -> None:
    spec = Schedule(name="one_cycle", warmup=0.2, floor=0.1)  # 20 of 100 updates
    wanted = [1 / 20, 10 / 20, 1.0, 1.0, 0.55, 0.1]
    assert table(spec, [0, 9, 19, 20, 60, 100]) == pytest.approx(wanted, rel=1e-12)


@given(
    st.sampled_from(["cosine", "one_cycle"]),
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.integers(1, 300),
)
def test_cycles_stay_between_floor_and_one_and_fall_after_the_warm_up(
    name: Any, warmup: float, floor: float, total: int
) -> None:
    spec = Schedule(name=name, warmup=warmup, floor=floor)
    values = [factor(spec, t, 10, total) for t in range(total)]
    assert all(0 < v <= 1 + 1e-12 for v in values) or floor == 0
    assert max(values) == pytest.approx(1.0)
    after = values[round(warmup * total) :]
    assert all(a >= b - 1e-12 for a, b in pairwise(after))
    assert all(v >= floor - 1e-12 for v in after)
    rise = values[: round(warmup * total)]
    assert all(a < b for a, b in pairwise(rise))


SPECS: list[tuple[Optimizer, type[torch.optim.Optimizer], dict[str, Any]]] = [
    (Optimizer(name="sgd", lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    (
        Optimizer(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    (Optimizer(lr=0.01, eps=1e-7), torch.optim.Adam, {"lr": 0.01, "eps": 1e-7}),
    (
        Optimizer(name="adamw", lr=0.01, betas=(0.8, 0.9), weight_decay=0.1),
        torch.optim.AdamW,
        {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1},
    ),
]


@pytest.mark.parametrize(("spec", "kind", "settings"), SPECS)
def test_optimisers_step_as_torchs_own(
    spec: Optimizer, kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5])) for _ in range(2))
    a, b = make_optimizer([ours], spec), kind([theirs], **settings)
    assert type(a) is kind
    for step in range(4):
        for w, optimizer in ((ours, a), (theirs, b)):
            optimizer.zero_grad()
            (w**3 * (step + 1)).sum().backward()
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, torch.tensor([1.0, -2.0, 0.5]))


def test_sgd_momentum_by_hand() -> None:
    """v = 0.5 v + g; w -= 0.1 v, with g = 1 throughout: v = 1, 1.5, 1.75."""
    w = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([w], Optimizer(name="sgd", lr=0.1, momentum=0.5))
    for _ in range(3):
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()
    assert w.item() == pytest.approx(-0.1 * (1 + 1.5 + 1.75))


def test_a_rate_above_one_overflows_to_infinity_not_to_a_crash() -> None:
    assert factor(Schedule(name="exponential", rate=10.0, every=1), 400, 10, 1000) == math.inf
    assert factor(Schedule(name="epoch_decay", rate=10.0), 4000, 10, 10000) == math.inf
