"""A stack gives each net what it gets when trained alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from in_memory import Arrays, blobs

from duchenne.scratch import SGD, Head, Member, Net, Solver, Stack, stack_wins

HEADS = [Head("emotion", "single", 3)]
MEMBERS = [
    Member(0.05, 0.9, 0.0, 0.0, 0),
    Member(0.02, 0.5, 0.01, 0.2, 1),
    Member(0.1, 0.0, 0.1, 0.5, 2),
    Member(0.05, 0.9, 0.001, 0.0, 3),
]


@pytest.mark.parametrize("hidden", [[], [9], [12, 5]])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("same_momentum", [False, True])
def test_like_each_net_alone(hidden: list[int], activation: str, same_momentum: bool) -> None:
    members = [MEMBERS[0], MEMBERS[3]] if same_momentum else MEMBERS
    train, val = blobs(105), blobs(50, 1, shift=1.0)
    shared: dict[str, Any] = {
        "batch_size": 20, "epochs": 4, "seed": 5, "label_smoothing": 0.1, "lr_factor": lambda t: 0.95**t
    }  # fmt: skip
    stack = Stack(6, hidden, HEADS, members, activation=activation, **shared)
    stack.fit(train, val)
    for g, m in enumerate(members):
        net = Net(6, hidden, HEADS, activation=activation, dropout=m.dropout, seed=m.seed)
        alone = Solver(net, SGD(m.lr, m.momentum), l2=m.l2, **shared)
        alone.fit(train, val)
        for k, v in net.parameters().items():
            np.testing.assert_allclose(stack.parameters(g)[k], v, rtol=0, atol=1e-5, err_msg=k)
        assert stack.best[g]["epoch"] == alone.best["epoch"]
        for k, v in alone.best_parameters.items():
            np.testing.assert_allclose(stack.best_parameters[g][k], v, rtol=0, atol=1e-5, err_msg=k)
        assert len(stack.history[g]) == 4
        for mine, theirs in zip(stack.history[g], alone.history, strict=True):
            assert set(mine) == set(theirs) - {"seconds"}
            assert all(mine[k] == pytest.approx(theirs[k], abs=1e-5) for k in mine)


def test_a_net_that_diverges_leaves_the_others_alone() -> None:
    members = [Member(0.05, 0.9), Member(1e30, 0.9), Member(0.05, 0.9, seed=1)]
    stack = Stack(6, [8], HEADS, members, batch_size=20, epochs=3)
    stack.fit(blobs(60), blobs(40, 1))
    assert list(stack.failures) == [1]
    assert "nan or infinite in epoch 1" in stack.failures[1]
    assert stack.history[1] == []
    only = Stack(6, [8], HEADS, [members[0], members[2]], batch_size=20, epochs=3)
    only.fit(blobs(60), blobs(40, 1))
    for a, b in ((0, 0), (2, 1)):
        for k, v in only.parameters(b).items():
            np.testing.assert_allclose(stack.parameters(a)[k], v, rtol=0, atol=1e-5)


def test_a_stack_goes_on() -> None:
    whole = Stack(6, [8], HEADS, MEMBERS, batch_size=20, epochs=4)
    parts = Stack(6, [8], HEADS, MEMBERS, batch_size=20, epochs=1)
    whole.fit(blobs(60), blobs(40, 1))
    parts.fit(blobs(60), blobs(40, 1))
    parts.epochs = 4
    parts.fit(blobs(60), blobs(40, 1))
    assert parts.history == whole.history
    for g in range(len(MEMBERS)):
        assert all((v == whole.parameters(g)[k]).all() for k, v in parts.parameters(g).items())


def test_several_heads_and_weights() -> None:
    rng = np.random.default_rng(0)
    targets = {"emotion": rng.integers(0, 3, 50), "au": rng.integers(0, 2, (50, 2)).astype(np.float32)}
    train = Arrays(
        rng.standard_normal((50, 6)).astype(np.float32), targets, weight=rng.random(50, np.float32)
    )
    heads = [*HEADS, Head("au", "multi", 2)]
    stack = Stack(6, [8], heads, MEMBERS, batch_size=50, epochs=2, head_weights={"au": 3.0})
    stack.fit(train)
    net = Net(6, [8], heads, seed=1, dropout=0.2)
    alone = Solver(net, SGD(0.02, 0.5), l2=0.01, batch_size=50, epochs=2, head_weights={"au": 3.0})
    alone.fit(train)
    for k, v in net.parameters().items():
        np.testing.assert_allclose(stack.parameters(1)[k], v, rtol=0, atol=1e-5)
    assert stack.best[1] == alone.best


def test_wrong_members_are_named() -> None:
    for member, text in (
        (Member(0.0), "lr"), (Member(0.1, 1.0), "momentum"), (Member(0.1, l2=-1.0), "l2"),
        (Member(0.1, dropout=1.0), "dropout"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf"^{text}: "):
            Stack(6, [8], HEADS, [member], batch_size=5, epochs=1)
    with pytest.raises(ValueError, match=r"^members: "):
        Stack(6, [8], HEADS, [], batch_size=5, epochs=1)


def test_where_a_stack_is_offered() -> None:
    assert stack_wins([32], 8)
    assert not stack_wins([32], 1)
    assert not stack_wins([], 8)
    assert not stack_wins([1000, 1000], 4)
