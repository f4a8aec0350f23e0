"""The machine of arrays: scikit-learn's decisions, votes, the choice of a setting, the temperature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import SVC

from duchenne.errors import DataError, RecipeError
from duchenne.learners.svm import PairwiseSVM, ballots, votes
from duchenne.learners.svm_fit import check_pairs, fit_svm, fit_temperature
from duchenne.learners.svm_settings import Candidate, SVMSettings


def clouds(n: int = 90, k: int = 3, seed: int = 0, noise: float = 0.9) -> tuple[Any, Any]:
    """Overlapping clouds of k classes, 6 inputs; seeds differ in the noise alone."""
    d, rng = 6, np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % k)
    x = np.random.default_rng(9).normal(size=(k, d))[codes] + rng.normal(size=(n, d)) * noise
    return x.astype(np.float32), codes


def fitted(x: Any, codes: Any, num_classes: int | None = None, **args: Any) -> PairwiseSVM:
    size = int(codes.max()) + 1 if num_classes is None else num_classes
    return fit_svm(x, codes, np.ones(len(x)), size, SVMSettings.from_args(args), 0)[0]


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize(("kernel", "gamma"), [("linear", "scale"), ("rbf", "scale"), ("rbf", 0.3)])
def test_decisions_are_scikit_learns(k: int, kernel: str, gamma: float | str) -> None:
    x, codes = clouds(20 * k, k)
    other, _ = clouds(30, k, seed=1)
    theirs = SVC(kernel=kernel, C=2.0, gamma=gamma, decision_function_shape="ovo").fit(x.astype(float), codes)
    mine = fitted(x, codes, kernel=kernel, gamma=gamma, C=2.0)
    wanted = theirs.decision_function(other.astype(float))
    # Of two classes scikit-learn's decision is above 0 for the second one.
    wanted = -wanted[:, None] if k == 2 else wanted
    np.testing.assert_allclose(mine.decisions(other), wanted, atol=2e-3)


@pytest.mark.parametrize("k", [2, 5])
def test_the_class_of_most_votes_is_scikit_learns(k: int) -> None:
    """Where no decision is near 0, soft votes are whole ones."""
    x, codes = clouds(30 * k, k, noise=0.5)
    other, _ = clouds(400, k, seed=1, noise=0.5)
    theirs = SVC(C=2.0, break_ties=k > 2).fit(x.astype(float), codes)
    mine = fitted(x, codes, kernel="rbf", C=2.0)
    d = mine.decisions(other)
    clear = (np.abs(d) > 0.4).all(axis=1)
    counts = (np.sign(d) @ ballots(k))[clear]
    untied = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1
    said = mine.logits(other).argmax(axis=1)
    assert untied.sum() > 20
    np.testing.assert_array_equal(said[clear][untied], theirs.predict(other.astype(float))[clear][untied])
    assert (said == theirs.predict(other.astype(float))).mean() > 0.95


def test_votes_by_hand() -> None:
    """Three classes: 0 beats both, 1 beats 2; then all even."""
    counted = votes(np.array([[9.0, 9.0, 9.0], [0.0, 0.0, 0.0]]), 3)
    np.testing.assert_allclose(counted, [[1, 0, -1], [0, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(votes(np.array([[0.1, 0.0, 0.0]]), 3)[0, 0], 1 / (1 + np.exp(-1)) - 0.5)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(0, 50))
def test_votes_sum_to_nothing_and_are_bounded(k: int, seed: int) -> None:
    d = np.random.default_rng(seed).normal(size=(5, k * (k - 1) // 2)) * 3
    counted = votes(d, k)
    np.testing.assert_allclose(counted.sum(axis=1), 0, atol=1e-9)
    assert (np.abs(counted) <= (k - 1) / 2 + 1e-9).all()


def test_the_setting_is_that_of_the_best_held_out_accuracy() -> None:
    """scikit-learn's own cross-validation agrees on each setting, but for faces whose votes are near even."""
    x, codes = clouds(120, 3)
    given_settings = SVMSettings.from_args({"C": [0.01, 1.0, 30.0]})
    svm, tried, chosen = fit_svm(x, codes, np.ones(len(x)), 3, given_settings, 4)
    folds = StratifiedKFold(5, shuffle=True, random_state=4)
    for row in tried:
        gamma = row["gamma"] if row["kernel"] == "rbf" else "scale"
        theirs = SVC(kernel=row["kernel"], C=row["C"], gamma=gamma, break_ties=True)
        wanted = cross_val_score(theirs, x.astype(float), codes, cv=folds).mean()
        assert row["accuracy"] == pytest.approx(wanted, abs=0.035)
    best = max(row["accuracy"] for row in tried)
    assert tried[chosen]["accuracy"] == best
    assert chosen == [row["accuracy"] for row in tried].index(best)
    assert svm.kernel == tried[chosen]["kernel"]
    scale = next(row["gamma"] for row in tried if row["kernel"] == "rbf")
    assert scale == pytest.approx(1 / (x.shape[1] * x.astype(float).var()))


def test_weight_two_is_twice() -> None:
    x, codes = clouds(40, 2)
    weight = np.ones(40)
    weight[:10] = 2
    settings_ = SVMSettings.from_args({"kernel": "rbf", "gamma": 0.5, "C": 1.0})
    weighted, _, _ = fit_svm(x, codes, weight, 2, settings_, 0)
    rows = np.concatenate([np.arange(40), np.arange(10)])
    repeated, _, _ = fit_svm(x[rows], codes[rows], np.ones(50), 2, settings_, 0)
    np.testing.assert_allclose(weighted.decisions(x), repeated.decisions(x), atol=5e-3)


def test_a_class_without_faces_is_never_answered() -> None:
    x, codes = clouds(60, 2)
    svm = fitted(x, codes * 2 + 1, num_classes=5)
    logits = svm.logits(x)
    assert logits.shape == (60, 5)
    assert set(logits.argmax(axis=1)) == {1, 3}
    assert (logits[:, [0, 2, 4]] == -100).all()


def test_temperature_is_the_one_of_least_loss() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 500)
    scores = rng.normal(size=(500, 4)) * 2
    scores[np.arange(500), codes] += 1.5

    def loss(log_t: float) -> float:
        return -float(log_softmax(scores / np.exp(log_t), axis=1)[np.arange(500), codes].mean())

    best = minimize_scalar(loss, bounds=(-4, 4), method="bounded").x
    assert np.log(fit_temperature(scores, codes)) == pytest.approx(best, abs=0.02)


def test_arrays_give_an_equal_machine_and_damage_is_named() -> None:
    x, codes = clouds()
    svm = fitted(x, codes, kernel="rbf")
    arrays = svm.to_arrays()
    again = PairwiseSVM.from_arrays(arrays, 3, 6)
    np.testing.assert_array_equal(again.logits(x), svm.logits(x))
    broken: list[tuple[dict[str, Any], str]] = [
        ({k: v for k, v in arrays.items() if k != "weights"}, "arrays"),
        (arrays | {"weights": arrays["weights"][:-1]}, "weights"),
        (arrays | {"support": arrays["support"][:, :-1]}, "support"),
        (arrays | {"intercepts": arrays["intercepts"] * np.nan}, "intercepts"),
        (arrays | {"classes": np.array([0, 1, 9])}, "class codes"),
        (arrays | {"temperature": np.array([0.0])}, "temperature"),
    ]
    for wrong, said in broken:
        with pytest.raises(ValueError, match=said):
            PairwiseSVM.from_arrays(wrong, 3, 6)
    with pytest.raises(ValueError, match="with arrays none"):
        PairwiseSVM.from_arrays({}, 3, 6)


def test_candidates_come_simplest_first() -> None:
    one = SVMSettings.from_args({"kernel": ["rbf", "linear"], "C": [10, 1], "gamma": [0.5, "scale"]})
    assert list(one.candidates()) == [
        Candidate("linear", None, 1.0), Candidate("linear", None, 10.0), Candidate("rbf", 0.5, 1.0),
        Candidate("rbf", 0.5, 10.0), Candidate("rbf", "scale", 1.0), Candidate("rbf", "scale", 10.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"c": 1}, "learner.args.c: no such argument"),
        ({"kernel": "poly"}, "kernel = 'poly'"),
        ({"C": 0}, "args.C = 0"),
        ({"C": []}, "args.C"),
        ({"C": [1, 1]}, "different"),
        ({"C": "big"}, "args.C = 'big'"),
        ({"gamma": "auto"}, "args.gamma = 'auto'"),
        ({"gamma": -1.0}, "args.gamma = -1.0"),
        ({"folds": 1}, "args.folds = 1"),
        ({"limit": -1}, "args.limit = -1"),
        ({"limit": True}, "args.limit = True"),
    ],
)
def test_arguments_out_of_range_are_named(args: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        SVMSettings.from_args(args)


def test_what_cannot_be_fitted_is_named() -> None:
    x, codes = clouds(31, 3)
    codes[:] = np.where(np.arange(31) == 0, 2, np.arange(31) % 2)
    with pytest.raises(DataError, match="class '2' has a single training face"):
        fitted(x, codes)
    check_pairs(11_000)
    with pytest.raises(DataError, match=r"28,709 need 12.3 GiB\n.*args.limit"):
        check_pairs(28_709)
