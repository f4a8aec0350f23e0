"""Losses against scikit-learn and against formulas derived anew; penalties by hand, with their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from sklearn.metrics import log_loss

from duchenne.labels import Output
from duchenne.learners.losses import Target, annotated, penalty, sample_losses, total_loss
from duchenne.models import SmallNet

ONE = Output("emotion", "single", ("a", "b", "c"))
MANY = Output("au", "multi", ("AU1", "AU2"))


def codes(*values: int) -> Target:
    v = torch.tensor(values)
    return Target(v, (v >= 0).float())


def test_codes_by_hand() -> None:
    """Logits (ln 1, ln 2, ln 5): probabilities 1/8, 2/8, 5/8."""
    z = torch.log(torch.tensor([[1.0, 2.0, 5.0]])).repeat(3, 1)
    losses = sample_losses(ONE, z, codes(0, 1, 2))
    torch.testing.assert_close(losses, torch.log(torch.tensor([8.0, 4.0, 1.6])))


@given(st.integers(1, 20), st.integers(0, 10**6))
def test_codes_against_scikit_learn(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, y = rng.normal(0, 3, (n, 3)), rng.integers(0, 3, n)
    ours = sample_losses(ONE, torch.from_numpy(z), codes(*y.tolist()))
    assert float(ours.mean()) == pytest.approx(log_loss(y, np.exp(log_softmax(z, axis=1)), labels=[0, 1, 2]))


def test_a_sample_without_code_costs_nothing_and_pulls_nothing() -> None:
    z = torch.zeros(3, 3, requires_grad=True)
    losses = sample_losses(ONE, z, codes(1, -1, 2), label_smoothing=0.1)
    assert losses[1] == 0
    assert (losses[[0, 2]] > 1).all()
    losses.sum().backward()
    assert z.grad is not None
    assert (z.grad[1] == 0).all()
    assert (z.grad[0] != 0).all()


def test_votes_are_the_mean_over_voters() -> None:
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(1, 3)))
    votes = [0, 0, 2, 1, 0]
    share = torch.tensor([[3 / 5, 1 / 5, 1 / 5]], dtype=torch.float64)
    one_each = sample_losses(ONE, z.repeat(5, 1), codes(*votes))
    torch.testing.assert_close(sample_losses(ONE, z, Target(share, torch.ones(1))), one_each.mean()[None])


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5])
def test_label_smoothing_derived_anew(epsilon: float) -> None:
    """Szegedy et al. 2016, section 7: q = (1 - e) * onehot + e / K."""
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(6, 3)), np.array([0, 1, 2, 2, 1, 0])
    q = (1 - epsilon) * np.eye(3)[y] + epsilon / 3
    wanted = -(q * log_softmax(z, axis=1)).sum(1)
    by_code = sample_losses(ONE, torch.from_numpy(z), codes(*y.tolist()), epsilon)
    share = Target(torch.from_numpy(np.eye(3)[y]), torch.ones(6))
    by_share = sample_losses(ONE, torch.from_numpy(z), share, epsilon)
    np.testing.assert_allclose(by_code, wanted)
    np.testing.assert_allclose(by_share, wanted)


def test_many_labels_with_a_mask_by_hand() -> None:
    """Mean over the annotated labels of -t ln p - (1 - t) ln(1 - p)."""
    z = np.array([[0.3, -1.2], [2.0, 0.5], [1.0, 1.0]])
    t = np.array([[1.0, 0.0], [0.25, 1.0], [1.0, 1.0]])
    mask = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    p = expit(z)
    cell = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    wanted = [cell[0].mean(), cell[1, 0], 0.0]
    losses = sample_losses(MANY, torch.from_numpy(z), Target(torch.from_numpy(t), torch.from_numpy(mask)))
    np.testing.assert_allclose(losses, wanted)


def test_who_is_annotated() -> None:
    mask = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert annotated(Target(torch.zeros(3, 2), mask)).tolist() == [1, 0, 1]
    assert annotated(codes(0, -1, 2)).tolist() == [1, 0, 1]


def test_losses_stay_finite_at_large_logits() -> None:
    z = torch.tensor([[1e4, -1e4, 0.0]])
    assert sample_losses(ONE, z, codes(1)).item() == 2e4
    many = sample_losses(
        MANY, torch.tensor([[1e4, -1e4]]), Target(torch.tensor([[0.0, 1.0]]), torch.ones(1, 2))
    )
    assert many.item() == 1e4


def test_penalty_and_its_gradient_by_hand() -> None:
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0]]))
        layer.bias.fill_(100.0)
    value = penalty(layer, l1=0.1, l2=0.01)
    assert value is not None
    assert value.item() == pytest.approx(0.1 * (3 + 4) + 0.01 / 2 * (9 + 16))
    value.backward()
    # d/dw: l1 * sign(w) + l2 * w
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.1 + 0.03, -0.1 - 0.04]]))
    assert layer.bias.grad is None


def test_penalty_spares_biases_and_norms_and_takes_every_kernel() -> None:
    net = SmallNet(1, (8, 8), {"emotion": 3}, filters=(2, 3))
    kernels = [m.weight.detach() for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    value = penalty(net, l1=0.0, l2=2.0)
    assert value is not None
    assert value.item() == pytest.approx(sum(float(k.square().sum()) for k in kernels), rel=1e-6)
    value = penalty(net, l1=1.0, l2=0.0)
    assert value is not None
    assert value.item() == pytest.approx(sum(float(k.abs().sum()) for k in kernels), rel=1e-6)
    assert penalty(net, 0.0, 0.0) is None
    dense = [m.weight.detach() for m in net.modules() if isinstance(m, torch.nn.Linear)]
    value = penalty(net, l1=1.0, l2=0.0, dense=True)
    assert value is not None
    assert value.item() == pytest.approx(sum(float(k.abs().sum()) for k in dense), rel=1e-6)
    assert penalty(torch.nn.Conv2d(1, 1, 3), l1=1.0, l2=0.0, dense=True) is None


def test_weights_of_outputs() -> None:
    parts = {"emotion": torch.tensor(2.0), "au": torch.tensor(3.0)}
    assert total_loss(parts, {}).item() == 5
    assert total_loss(parts, {"au": 0.5}).item() == 3.5
    assert total_loss(parts, {"au": 0.0, "emotion": 2.0}).item() == 4
