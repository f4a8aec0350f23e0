"""Calibration against a slow, obvious twin and known temperatures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from duchenne.evaluation import expected_calibration_error, fit_temperature, label_calibration_error, temper
from duchenne.evaluation.calibration import TEMPERATURES, reliability
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
