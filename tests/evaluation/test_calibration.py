"""Calibration against a slow, obvious twin and known temperatures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from duchenne.evaluation import (
    expected_calibration_error,
    fit_scaling,
    fit_temperature,
    label_calibration_error,
    temper,
)
from duchenne.evaluation.calibration import RIDGE, TEMPERATURES, reliability
from duchenne.evaluation.classification import log_loss


def slow_error(scores: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    total = 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        inside = [j for j, s in enumerate(scores) if low < s <= high or (i == 0 and s == 0)]
        if inside:
            gap = abs(np.mean([right[j] for j in inside]) - np.mean([float(scores[j]) for j in inside]))
            total += len(inside) / len(scores) * gap
    return total


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 10, 15]))
def test_error_is_the_slow_twins(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(3, 0.3), 30).astype(np.float32)
    codes = rng.integers(0, 3, 30)
    twin = slow_error(probs.max(1).astype(np.float64), probs.argmax(1) == codes, bins)
    assert expected_calibration_error(probs, codes, bins) == pytest.approx(twin)
    targets, mask = (rng.random((30, 3)) < 0.4).astype(np.float32), rng.random((30, 3)) < 0.7
    twin = slow_error(probs[mask].astype(np.float64), targets[mask] >= 0.5, bins)
    assert label_calibration_error(probs, targets, mask, bins) == pytest.approx(twin)


def test_edges_belong_to_the_bin_below() -> None:
    scores = np.array([0.0, 1e-9, 0.5, 0.5000001, 1.0])
    assert reliability(scores, np.ones(5), 2)["n"].tolist() == [3, 2]
    edges = np.arange(1, 16) / 15
    assert reliability(edges, np.ones(15))["n"].tolist() == [1] * 15


def test_certain_and_right_or_wrong() -> None:
    sure = np.eye(3, dtype=np.float32)
    assert expected_calibration_error(sure, np.array([0, 1, 2])) == 0
    assert expected_calibration_error(sure, np.array([1, 2, 0])) == 1
    assert expected_calibration_error(sure, np.array([-1, 1, 0])) == 0.5
    assert np.isnan(expected_calibration_error(sure, np.array([-1, -1, -1])))


def drawn(temperature: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z); probabilities that are said are softmax(z * temperature)."""
    rng = np.random.default_rng(3)
    z = torch.tensor(rng.normal(size=(n, 5)) * 1.5)
    true = torch.softmax(z, 1).numpy()
    codes = np.array([rng.choice(5, p=p) for p in true])
    return torch.softmax(z * temperature, 1).numpy().astype(np.float32), codes


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_a_planted_temperature_is_found(temperature: float) -> None:
    probs, codes = drawn(temperature)
    found = fit_temperature(probs, codes)
    assert found == pytest.approx(temperature, rel=0.05)
    logs = np.log(probs.astype(np.float64))

    def loss(t: float) -> float:
        return float(-torch.log_softmax(torch.tensor(logs / t), 1).numpy()[range(len(codes)), codes].mean())

    theirs = minimize_scalar(loss, bounds=TEMPERATURES, method="bounded", options={"xatol": 1e-6}).x
    assert found == pytest.approx(theirs, rel=1e-3)
    after = temper(probs, found)
    assert log_loss(after, codes) <= log_loss(probs, codes) + 1e-9
    assert expected_calibration_error(after, codes) < 0.03
    votes = np.eye(5, dtype=np.float32)[codes]
    assert fit_temperature(probs, votes) == pytest.approx(found, rel=1e-4)


def test_temper_keeps_the_order_and_the_sum() -> None:
    probs, _ = drawn(1.0, 50)
    for t in (0.05, 0.5, 3.0, 20.0):
        out = temper(probs, t)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out.sum(1), 1, rtol=1e-6)
        assert (out.argmax(1) == probs.argmax(1)).all()
    np.testing.assert_allclose(temper(probs, 1.0), probs, rtol=1e-5)
    assert np.isfinite(temper(np.array([[1, 0, 0]], np.float32), 0.05)).all()


def test_no_labels_no_temperature() -> None:
    with pytest.raises(ValueError, match="labelled"):
        fit_temperature(np.full((2, 2), 0.5, np.float32), np.array([-1, -1]))


SCALE, SHIFT = np.array([0.5, 1.0, 2.0, 1.0, 1.5]), np.array([0.6, -0.4, 0.0, 0.2, -0.4])


def drawn_apart(n: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from softmax(logits * SCALE + SHIFT)."""
    rng = np.random.default_rng(4)
    z = (rng.normal(size=(n, 5)) * 2).astype(np.float32)
    true = torch.softmax(torch.tensor(z * SCALE + SHIFT), 1).numpy()
    return z, np.array([rng.choice(5, p=p) for p in true])


def test_a_planted_scaling_is_found_as_torch_finds_it() -> None:
    z, codes = drawn_apart()
    scale, shift = fit_scaling(z, codes)
    # The ridge draws scales together, and shifts to 0, by a third here.
    np.testing.assert_allclose(scale, SCALE, atol=0.25)
    np.testing.assert_allclose(shift, SHIFT, atol=0.25)
    assert sum(shift) == pytest.approx(0, abs=1e-3)
    theirs = torch.ones(5, dtype=torch.float64, requires_grad=True)
    moved = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([theirs, moved], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        told = torch.nn.functional.cross_entropy(torch.tensor(z) * theirs + moved, torch.tensor(codes))
        value = told + RIDGE * ((theirs - theirs.mean()) ** 2).sum() + RIDGE * (moved**2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(scale, theirs.detach().numpy(), atol=2e-3)
    np.testing.assert_allclose(shift, moved.detach().numpy(), atol=2e-3)
    plain = torch.softmax(torch.tensor(z), 1).numpy()
    after = torch.softmax(torch.tensor(z * np.array(scale) + np.array(shift)), 1).numpy()
    assert log_loss(after, codes) < log_loss(temper(plain, fit_temperature(plain, codes)), codes) - 0.01
    votes = np.eye(5, dtype=np.float32)[codes] * 10
    np.testing.assert_allclose(fit_scaling(z, votes), [scale, shift], atol=2e-3)


def test_unlabelled_samples_scale_nothing() -> None:
    z, codes = drawn_apart(400)
    more = np.concatenate([z, np.full((50, 5), 9, np.float32)]), np.concatenate([codes, np.full(50, -1)])
    assert fit_scaling(*more) == fit_scaling(z, codes)
    with pytest.raises(ValueError, match="labelled"):
        fit_scaling(z[:2], np.array([-1, -1]))


def test_labels_that_never_occur_keep_finite_scalings() -> None:
    z, codes = drawn_apart(200)
    scale, shift = fit_scaling(z, np.minimum(codes, 1))
    assert np.isfinite([scale, shift]).all()
    assert min(scale) >= 1 / TEMPERATURES[1]
