"""100 steps beside torch and beside the slow twin: same weights, same masks, same batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from slow_twin import SlowNet

from duchenne.scratch import SGD, Adam, Head, Net, inverse_time, per_epoch
from duchenne.scratch.losses import softmax_cross_entropy

STEPS, N, D, K = 100, 20, 30, 7
HIDDEN = [24, 16]


def make(dtype: Any, activation: str = "relu", dropout: float = 0.25) -> Net:
    return Net(
        D, HIDDEN, [Head("emotion", "single", K)], activation=activation, slope=0.1, dropout=dropout, seed=4,
        dtype=dtype,
    )  # fmt: skip


def batches() -> list[tuple[Any, Any, list[Any]]]:
    """Inputs, codes and dropout's masks of each step."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.standard_normal((N, D)),
            rng.integers(0, K, N),
            [(rng.random((N, h)) >= 0.25) / 0.75 for h in HIDDEN],
        )
        for _ in range(STEPS)
    ]


def ours(net: Net, optimizer: Any, l2: float, factor: Any) -> list[float]:
    """Train on the batches; the losses."""
    optimizer.attach(net)
    losses = []
    for step, (x, codes, masks) in enumerate(batches()):
        for layer, mask in zip(net.dropouts, masks, strict=False):
            layer.draw = lambda rng, shape, dtype, m=mask: m.astype(dtype)  # type: ignore[method-assign]
        each, d = softmax_cross_entropy(net.forward(x.astype(net.dtype), np.random.default_rng(0)), codes)
        net.backward(d / net.dtype.type(N), optimizer.accumulate)
        optimizer.step(factor(step), l2)
        losses.append(float(each.mean()))
    return losses


def theirs(start: dict[str, Any], make_optimizer: Any, l2: float, factor: Any, slope: float) -> Any:
    """The same in torch: the losses and the weights."""
    p = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in start.items()}
    optimizer = make_optimizer(list(p.values()))
    base = optimizer.param_groups[0]["lr"]
    losses = []
    for step, (x, codes, masks) in enumerate(batches()):
        h = torch.from_numpy(x.astype(np.float32))
        for i in range(3):
            h = h @ p[f"linear{i}.weight"] + p[f"linear{i}.bias"]
            if i < 2:
                h = torch.nn.functional.leaky_relu(h, slope) if slope else torch.relu(h)
                h = h * torch.from_numpy(masks[i].astype(np.float32))
        loss = torch.nn.functional.cross_entropy(h, torch.from_numpy(codes))
        losses.append(loss.item())
        loss = loss + sum(0.5 * l2 * v.square().sum() for k, v in p.items() if k.endswith("weight"))
        optimizer.param_groups[0]["lr"] = base * factor(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses, {k: v.detach().numpy() for k, v in p.items()}


CASES = {
    "sgd": (lambda: SGD(0.05), lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": (lambda: SGD(0.02, 0.9), lambda p: torch.optim.SGD(p, 0.02, 0.9)),
    "nesterov": (
        lambda: SGD(0.02, 0.9, nesterov=True), lambda p: torch.optim.SGD(p, 0.02, 0.9, nesterov=True),
    ),
    "adam": (lambda: Adam(0.003), lambda p: torch.optim.Adam(p, 0.003)),
    "adam, own constants": (
        lambda: Adam(0.003, (0.8, 0.99), 1e-7), lambda p: torch.optim.Adam(p, 0.003, (0.8, 0.99), 1e-7),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("l2", "factor", "activation"),
    [
        (0.0, lambda t: inverse_time(0.01, t), "leaky_relu"),
        (0.01, lambda t: per_epoch(0.9, t // 10), "relu"),
    ],
)
def test_like_torch(case: str, l2: float, factor: Any, activation: str) -> None:
    net = make(np.float32, activation)
    start = {k: v.copy() for k, v in net.parameters().items()}
    optimizer, torchs = CASES[case]
    a = ours(net, optimizer(), l2, factor)
    slope = 0.1 if activation == "leaky_relu" else 0.0
    b, weights = theirs(start, torchs, l2, factor, slope)
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    assert a[0] != a[-1]
    for name, p in net.parameters().items():
        np.testing.assert_allclose(p, weights[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["momentum", "adam"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
def test_like_the_slow_twin(name: str, dtype: Any, tolerance: float) -> None:
    net = make(dtype)
    twin = SlowNet(net.parameters(), l2=0.01)
    got = ours(net, SGD(0.02, 0.9) if name == "momentum" else Adam(0.003), 0.01, lambda t: 1.0)
    for (x, codes, masks), mine in zip(batches(), got, strict=True):
        loss, grads = twin.loss(x, codes, masks)
        assert abs(loss - mine) < tolerance
        if name == "momentum":
            twin.sgd(grads, 0.02, 0.9)
        else:
            twin.adam(grads, 0.003)
    for k, p in net.parameters().items():
        np.testing.assert_allclose(p, twin.p[k], rtol=0, atol=tolerance, err_msg=k)
