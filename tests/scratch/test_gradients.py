"""Every derivative against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from duchenne.scratch import Head, Net
from duchenne.scratch.layers import Dropout, LeakyReLU, Linear, ReLU
from duchenne.scratch.losses import sigmoid_cross_entropy, softmax_cross_entropy

TOLERANCE = 1e-7


def numerical(f: Callable[[], float], x: Any, h: float = 1e-5) -> Any:
    """df/dx by central differences; `x` is changed in place and put back."""
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        up = f()
        x[i] = old - h
        out[i] = (up - f()) / (2 * h)
        x[i] = old
    return out


def error(a: Any, b: Any) -> float:
    """Relative error of whole arrays."""
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(a) + np.linalg.norm(b), 1e-300))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_linear(rng: np.random.Generator) -> None:
    x, w, b, c = (rng.standard_normal(s) for s in ((5, 4), (4, 3), (3,), (5, 3)))
    layer = Linear(w, b, np.zeros_like(w), np.zeros_like(b))

    def f() -> float:
        return float((layer.forward(x) * c).sum())

    f()
    dx = layer.backward(c)
    assert dx is not None
    for analytic, array in ((dx.copy(), x), (layer.d_weight, w), (layer.d_bias, b)):
        assert error(analytic, numerical(f, array)) < TOLERANCE


def test_linear_accumulates(rng: np.random.Generator) -> None:
    x, w, b, c = (rng.standard_normal(s) for s in ((5, 4), (4, 3), (3,), (5, 3)))
    dw, db = rng.standard_normal(w.shape), rng.standard_normal(b.shape)
    expected = 0.9 * dw + x.T @ c, 0.9 * db + c.sum(axis=0)
    layer = Linear(w, b, dw, db)
    layer.forward(x)
    assert layer.backward(c, 0.9, need_dx=False) is None
    np.testing.assert_allclose(dw, expected[0], rtol=1e-12)
    np.testing.assert_allclose(db, expected[1], rtol=1e-12)


@pytest.mark.parametrize("layer", [ReLU(), LeakyReLU(0.1), LeakyReLU(0.0)])
def test_activations(layer: Any, rng: np.random.Generator) -> None:
    x, c = rng.standard_normal((6, 5)), rng.standard_normal((6, 5))
    x[np.abs(x) < 1e-3] = 0.5  # away from the kink, where the derivative is a choice

    def f() -> float:
        return float((layer.forward(x.copy()) * c).sum())

    f()
    analytic = layer.backward(c.copy())
    assert error(analytic, numerical(f, x)) < TOLERANCE


def test_dropout(rng: np.random.Generator) -> None:
    x, c, layer = rng.standard_normal((6, 5)), rng.standard_normal((6, 5)), Dropout(0.3)

    def f() -> float:
        return float((layer.forward(x.copy(), np.random.default_rng(1)) * c).sum())

    f()
    analytic = layer.backward(c.copy())
    assert (analytic == 0).any()
    assert error(analytic, numerical(f, x)) < TOLERANCE
    layer.forward(x.copy())
    np.testing.assert_array_equal(layer.backward(c.copy()), c)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True])
def test_softmax_cross_entropy(soft: bool, smoothing: float, rng: np.random.Generator) -> None:
    z = 3 * rng.standard_normal((6, 4))
    t = rng.dirichlet(np.ones(4), 6) if soft else rng.integers(0, 4, 6)
    analytic = softmax_cross_entropy(z, t, smoothing)[1]
    assert (
        error(analytic, numerical(lambda: float(softmax_cross_entropy(z, t, smoothing)[0].sum()), z))
        < TOLERANCE
    )


def test_sigmoid_cross_entropy(rng: np.random.Generator) -> None:
    z, t = 3 * rng.standard_normal((6, 4)), rng.integers(0, 2, (6, 4)).astype(float)
    mask = rng.integers(0, 2, (6, 4)).astype(float)
    mask[0] = 0
    losses, analytic = sigmoid_cross_entropy(z, t, mask)
    assert losses[0] == 0
    assert (analytic[0] == 0).all()
    assert (
        error(analytic, numerical(lambda: float(sigmoid_cross_entropy(z, t, mask)[0].sum()), z)) < TOLERANCE
    )


@pytest.mark.parametrize("hidden", [[], [6], [6, 5, 4]])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_whole_net(hidden: list[int], activation: str, dropout: float, rng: np.random.Generator) -> None:
    heads = [Head("emotion", "single", 3), Head("au", "multi", 2)]
    net = Net(7, hidden, heads, activation=activation, slope=0.2, dropout=dropout, seed=2, dtype=np.float64)
    for name, p in net.parameters().items():
        if name.endswith("bias"):
            p[:] = 0.1 * rng.standard_normal(p.shape)
    x, codes = rng.standard_normal((8, 7)), rng.integers(0, 3, 8)
    occurs = rng.integers(0, 2, (8, 2)).astype(float)

    def f() -> float:
        z = net.forward(x, np.random.default_rng(5))
        a = softmax_cross_entropy(z[:, :3], codes)[0].sum()
        return float(a + sigmoid_cross_entropy(z[:, 3:], occurs, np.ones(8))[0].sum())

    z = net.forward(x, np.random.default_rng(5))
    d = np.hstack(
        [softmax_cross_entropy(z[:, :3], codes)[1], sigmoid_cross_entropy(z[:, 3:], occurs, np.ones(8))[1]]
    )
    net.backward(d)
    analytic = net.gradients.copy()
    assert error(analytic, numerical(f, net.values)) < TOLERANCE
    by_name = net.named(analytic)
    assert all(np.abs(by_name[k]).max() > 0 for k in net.parameters())
