"""Single-label figures against scikit-learn, a published table, and hand-counted cases."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from duchenne.evaluation import classification as c

K = 5
SEEDS = st.integers(0, 10**6)

# Kontogouris 2018, Table 6 (rows actual) and Table 5 (accuracy, precision, recall, F1 in percent).
TABLE_6 = np.array([
    [165, 1, 61, 86, 81, 17, 56], [8, 23, 4, 6, 8, 1, 6], [70, 5, 166, 59, 71, 41, 84],
    [70, 5, 46, 572, 69, 27, 106],
    [86, 5, 90, 106, 217, 30, 119], [32, 0, 43, 30, 19, 258, 33], [69, 3, 66, 96, 86, 31, 256],
])  # fmt: skip
TABLE_5 = np.array([
    [82.25, 33.0, 35.33, 34.12], [98.55, 54.76, 41.07, 46.94], [82.17, 34.87, 33.47, 34.16],
    [80.33, 59.89, 63.91, 61.84], [78.54, 39.38, 33.23, 36.05], [91.53, 63.70, 62.17, 62.93],
    [78.96, 38.78, 42.17, 40.41],
])  # fmt: skip


def sample(seed: int, classes: int = K) -> tuple[Any, Any]:
    """Codes (some classes may be absent, some -1) and probabilities of up to 40 samples."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    codes = rng.integers(-1, rng.integers(1, classes + 1), n)
    codes[0] = max(codes[0], 0)
    probs = rng.dirichlet(np.full(classes, 0.5), n).astype(np.float32)
    return codes, probs


def test_the_published_one_vs_rest_table() -> None:
    table = c.one_vs_rest(TABLE_6)
    mine = np.stack([table[k] for k in ("accuracy", "precision", "recall", "f1")], 1) * 100
    np.testing.assert_allclose(mine, TABLE_5, atol=0.011)
    assert round(float(c.averages(TABLE_6)["accuracy"]) * 100, 2) == 46.17


@given(SEEDS)
def test_confusion_and_per_class_are_scikit_learns(seed: int) -> None:
    codes, probs = sample(seed)
    known, said = codes >= 0, probs.argmax(1)
    matrix = c.confusion_of(probs, codes)
    assert (matrix == sk.confusion_matrix(codes[known], said[known], labels=range(K))).all()
    table = c.per_class(matrix)
    theirs = sk.precision_recall_fscore_support(
        codes[known], said[known], labels=range(K), zero_division=np.nan
    )
    for name, column in zip(("precision", "recall", "f1", "support"), theirs, strict=True):
        np.testing.assert_allclose(table[name], column, err_msg=name)
    assert (table["predicted"] == np.bincount(said[known], minlength=K)).all()


@given(SEEDS)
def test_averages_are_scikit_learns(seed: int) -> None:
    codes, probs = sample(seed)
    known, said = codes >= 0, probs.argmax(1)
    y, z = codes[known], said[known]
    mine = c.averages(c.confusion_of(probs, codes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted and never occur
        balanced = sk.balanced_accuracy_score(y, z)
    macro = sk.precision_recall_fscore_support(y, z, average="macro", zero_division=0)
    weighted = sk.precision_recall_fscore_support(y, z, average="weighted", zero_division=0)
    theirs = {
        "accuracy": sk.accuracy_score(y, z), "balanced_accuracy": balanced, "macro_recall": balanced,
        "macro_precision": macro[0], "macro_f1": macro[2],
        "weighted_precision": weighted[0], "weighted_recall": weighted[1], "weighted_f1": weighted[2],
    }  # fmt: skip
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        assert float(mine[name]) == pytest.approx(value), name


@given(SEEDS)
def test_one_vs_rest_is_the_binary_question(seed: int) -> None:
    codes, probs = sample(seed)
    known, said = codes >= 0, probs.argmax(1)
    table = c.one_vs_rest(c.confusion_of(probs, codes))
    for k in range(K):
        y, z = codes[known] == k, said[known] == k
        assert table["accuracy"][k] == pytest.approx(sk.accuracy_score(y, z))
        f1 = sk.f1_score(y, z, zero_division=np.nan)
        np.testing.assert_allclose(table["f1"][k], f1)


@given(SEEDS)
def test_log_loss_is_scikit_learns(seed: int) -> None:
    codes, probs = sample(seed)
    known = codes >= 0
    wide = probs[known].astype(np.float64)
    wide /= wide.sum(1, keepdims=True)
    wide = np.clip(wide, c.LOG_CLIP, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clipped rows sum to a little over 1
        theirs = sk.log_loss(codes[known], wide, labels=range(K))
    assert c.log_loss(probs, codes) == pytest.approx(theirs, rel=1e-6)


def test_log_loss_by_hand() -> None:
    probs = np.array([[0.5, 0.25, 0.25], [0, 1, 0]], np.float32)
    assert c.log_loss(probs, np.array([0, 1])) == pytest.approx(np.log(2) / 2)
    assert c.log_loss(probs, np.array([-1, 0])) == pytest.approx(-np.log(c.LOG_CLIP))
    votes = np.array([[2, 2, 0], [0, 0, 0]], np.float32)  # the second has no votes: left out
    assert c.log_loss(probs, votes) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(4))


@given(SEEDS)
def test_votes_that_agree_are_codes(seed: int) -> None:
    codes, probs = sample(seed)
    votes = 10 * np.eye(K + 1, dtype=np.float32)[codes][:, :K]  # code -1: no votes
    assert (c.confusion_of(probs, votes) == c.confusion_of(probs, codes)).all()
    assert c.log_loss(probs, votes) == pytest.approx(c.log_loss(probs, codes))
    assert c.top_k(probs, votes, 2) == c.top_k(probs, codes, 2)


@given(SEEDS, st.integers(1, K - 1))
def test_top_k_is_scikit_learns(seed: int, k: int) -> None:
    codes, probs = sample(seed)
    known = codes >= 0
    theirs = sk.top_k_accuracy_score(codes[known], probs[known], k=k, labels=range(K))
    assert c.top_k(probs, codes, k) == pytest.approx(theirs)
    assert c.top_k(probs, codes, K) == 1
    assert c.top_k(probs, codes, 1) == pytest.approx(
        float(c.averages(c.confusion_of(probs, codes))["accuracy"])
    )


def test_ties_go_to_the_first_label() -> None:
    flat = np.full((3, 3), 1 / 3, np.float32)
    assert [c.top_k(flat, np.array([0, 1, 2]), k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_a_collapsed_classifier_by_hand() -> None:
    """Everything called class 1 of three; class 2 does not occur."""
    matrix = np.array([[0, 3, 0], [0, 1, 0], [0, 0, 0]])
    table, mean = c.per_class(matrix), c.averages(matrix)
    np.testing.assert_equal(table["precision"], [np.nan, 0.25, np.nan])
    np.testing.assert_equal(table["recall"], [0, 1, np.nan])
    np.testing.assert_allclose(table["f1"], [0, 0.4, np.nan])
    assert mean["macro_precision"] == 0.125
    assert mean["macro_recall"] == 0.5
    assert mean["macro_f1"] == pytest.approx(0.2)


def test_nothing_labelled_is_nan() -> None:
    codes, probs = np.array([-1, -1]), np.full((2, K), 0.2, np.float32)
    assert all(np.isnan(v) for v in c.averages(c.confusion_of(probs, codes)).values())
    assert np.isnan(c.log_loss(probs, codes))
    assert np.isnan(c.top_k(probs, codes, 2))


def test_leading_axes_are_separate_matrices() -> None:
    stack = np.stack([TABLE_6, TABLE_6.T, 0 * TABLE_6])
    together = c.averages(stack)
    for i, matrix in enumerate(stack):
        for name, value in c.averages(matrix).items():
            np.testing.assert_equal(together[name][i], value)
