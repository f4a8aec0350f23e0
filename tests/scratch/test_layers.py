"""What holds of the layers and losses for any input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from duchenne.scratch import Head, Net
from duchenne.scratch.init import glorot, he, normal
from duchenne.scratch.layers import Dropout, LeakyReLU, ReLU
from duchenne.scratch.losses import sigmoid_cross_entropy, softmax, softmax_cross_entropy

LOGITS = arrays(
    np.float32, st.tuples(st.integers(1, 8), st.integers(1, 9)), elements=st.floats(-1e4, 1e4, width=32)
)


@given(LOGITS)
def test_softmax_rows_sum_to_one_and_nothing_overflows(z: Any) -> None:
    probs = softmax(z)
    assert np.isfinite(probs).all()
    assert (probs >= 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    codes = np.zeros(len(z), np.int64)
    losses, d = softmax_cross_entropy(z, codes)
    assert np.isfinite(losses).all()
    assert (losses >= 0).all()
    np.testing.assert_allclose(d.sum(axis=1), 0, atol=1e-5)
    losses, d = sigmoid_cross_entropy(z, (z > 3).astype(np.float32), np.ones_like(z))
    assert np.isfinite(losses).all()
    assert np.isfinite(d).all()


@given(LOGITS, st.floats(-100, 100, width=32))
def test_softmax_does_not_change_when_all_logits_shift(z: Any, shift: Any) -> None:
    z = z / 100
    np.testing.assert_allclose(softmax(z), softmax(z + np.float32(shift)), atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_are_torchs(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    z, codes, shares = rng.standard_normal((50, 7)), rng.integers(0, 7, 50), rng.dirichlet(np.ones(7), 50)
    for t in (codes, shares):
        theirs = torch.nn.functional.cross_entropy(
            torch.from_numpy(z), torch.from_numpy(t), reduction="none", label_smoothing=smoothing
        )
        np.testing.assert_allclose(softmax_cross_entropy(z, t, smoothing)[0], theirs, rtol=1e-12)
    yes = rng.integers(0, 2, (50, 7)).astype(float)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    each = bce(torch.from_numpy(z), torch.from_numpy(yes), reduction="none").mean(dim=1)
    np.testing.assert_allclose(sigmoid_cross_entropy(z, yes, np.ones(50))[0], each, rtol=1e-12)


@given(st.floats(0, 0.95), st.integers(0, 2**31))
def test_dropout_keeps_the_mean(p: float, seed: int) -> None:
    n = 40_000
    y = Dropout(p).forward(np.ones((n // 100, 100), np.float32), np.random.default_rng(seed))
    # Five standard errors of a mean of Bernoulli draws scaled by 1 / (1 - p); 1e-4 for p of (nearly) 0.
    assert abs(float(y.mean(dtype=np.float64)) - 1) < 5 * np.sqrt(p / (1 - p) / n) + 1e-4
    np.testing.assert_allclose(np.unique(y[y > 0]), 1 / (1 - p), rtol=1e-6)
    assert abs(float((y == 0).mean()) - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-4


def test_dropout_is_idle_in_test_mode() -> None:
    x = np.random.default_rng(0).standard_normal((4, 6))
    np.testing.assert_array_equal(Dropout(0.5).forward(x.copy()), x)
    net = Net(6, [50], [Head("emotion", "single", 3)], dropout=0.5)
    np.testing.assert_array_equal(net.logits(x), net.logits(x))


@given(array_shapes(min_dims=2, max_dims=5, max_side=4), st.integers(0, 100))
def test_inputs_of_any_rank_are_flattened(shape: tuple[int, ...], seed: int) -> None:
    # kontogouris2018 section 1: X is reshaped to N x D, D the product of all dimensions but the first.
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    d = int(np.prod(shape[1:]))
    net = Net(d, [5], [Head("emotion", "single", 3)])
    flat = net.logits(x.reshape(len(x), d))
    assert flat.shape == (len(x), 3)
    np.testing.assert_array_equal(net.logits(x), flat)
    p = net.parameters()
    hidden = np.maximum(x.reshape(len(x), d) @ p["linear0.weight"] + p["linear0.bias"], 0)
    np.testing.assert_allclose(flat, hidden @ p["linear1.weight"] + p["linear1.bias"], rtol=1e-4, atol=1e-5)


def test_logits_of_none_and_of_many() -> None:
    net = Net(6, [5], [Head("emotion", "single", 3), Head("au", "multi", 2)])
    assert net.logits(np.zeros((0, 6), np.float32)).shape == (0, 5)
    x = np.random.default_rng(0).standard_normal((700, 6)).astype(np.float32)
    np.testing.assert_allclose(net.logits(x)[600], net.logits(x[600:601])[0], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="x: 7 numbers a sample, the net takes 6"):
        net.logits(np.zeros((2, 7), np.float32))


@given(arrays(np.float64, (3, 4), elements=st.floats(-10, 10)))
def test_activations(x: Any) -> None:
    np.testing.assert_array_equal(ReLU().forward(x.copy()), np.where(x > 0, x, 0))
    np.testing.assert_array_equal(LeakyReLU(0.1).forward(x.copy()), np.where(x > 0, x, 0.1 * x))


def test_initial_weights_have_the_spread_their_papers_give() -> None:
    d, b = 400, 300
    for make, std in ((he, np.sqrt(2 / d)), (glorot, np.sqrt(2 / (d + b)))):
        w = make(np.random.default_rng(0), d, b)
        assert abs(w.std() / std - 1) < 0.02
        assert abs(w.mean()) < 0.01 * std * 5
    assert np.abs(glorot(np.random.default_rng(0), d, b)).max() <= np.sqrt(6 / (d + b))
    assert abs(normal(np.random.default_rng(0), d, b, 0.05).std() / 0.05 - 1) < 0.02
    net = Net(d, [b], [Head("e", "single", 3)], init="normal", init_std=0.3, seed=5)
    assert abs(net.parameters()["linear0.weight"].std() / 0.3 - 1) < 0.02
    assert not net.parameters()["linear0.bias"].any()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"in_features": 0}, "in_features"),
        ({"hidden": [5, 0]}, "hidden"),
        ({"hidden": ["a"]}, "hidden"),
        ({"hidden": [2.5]}, "hidden"),
        ({"heads": []}, "heads"),
        ({"heads": [Head("a", "single", 2), Head("a", "single", 2)]}, "heads"),
        ({"activation": "tanh"}, "activation"),
        ({"slope": 1.0}, "slope"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"init": "zeros"}, "init"),
        ({"init_std": 0.0}, "init_std"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], text: str) -> None:
    arguments = {"in_features": 4, "hidden": [3], "heads": [Head("e", "single", 2)]} | change
    with pytest.raises(ValueError, match=f"^{text}: "):
        Net(**arguments)


def test_load() -> None:
    a = Net(6, [5, 4], [Head("e", "single", 3)], seed=1)
    b = Net(6, [5, 4], [Head("e", "single", 3)], seed=2)
    assert list(a.parameters())[-2:] == [f"{a.output_layer}.weight", f"{a.output_layer}.bias"]
    assert a.num_parameters == sum(p.size for p in a.parameters().values())
    given = {k: v.copy() for k, v in a.parameters().items()}
    b.load(given)
    assert all((b.parameters()[k] == v).all() for k, v in given.items())
    wrong = given | {"linear1.weight": np.zeros((5, 7), np.float32)}
    before = b.values.copy()
    with pytest.raises(ValueError, match=r"linear1.weight: shape \(5, 7\), the net's is \(5, 4\)"):
        b.load(wrong)
    with pytest.raises(ValueError, match=r"linear0\.bias: missing"):
        b.load({k: v for k, v in given.items() if k != "linear0.bias"})
    with pytest.raises(ValueError, match=r"linear9\.bias: the net has no such array"):
        b.load(given | {"linear9.bias": np.zeros(3)})
    np.testing.assert_array_equal(b.values, before)
