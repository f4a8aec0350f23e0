"""Multi-label figures against scikit-learn, label by label, with masks and absent labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from duchenne.evaluation import multilabel as m

A = 4
SEEDS = st.integers(0, 10**6)


def sample(seed: int) -> tuple[Any, Any, Any]:
    """Probabilities (with ties), occurrences (some labels may be absent) and a mask of up to 30 samples."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    probs = rng.integers(0, 11, (n, A)).astype(np.float32) / 10
    return probs, (rng.random((n, A)) < rng.random(A) ** 2).astype(np.float32), rng.random((n, A)) < 0.8


def counts(probs: Any, targets: Any, mask: Any) -> Any:
    return m.sample_counts(probs, targets, mask).sum(axis=0)


@given(SEEDS)
def test_each_label_is_scikit_learns_binary_question(seed: int) -> None:
    probs, targets, mask = sample(seed)
    table = m.per_label(counts(probs, targets, mask))
    ap = m.average_precision(probs, targets, mask)
    for a in range(A):
        known = mask[:, a]
        y, z = targets[known, a] >= 0.5, probs[known, a] >= 0.5
        assert table["n"][a] == len(y)
        assert table["support"][a] == y.sum()
        if not len(y):
            assert np.isnan(table["accuracy"][a])
            continue
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            y, z, average="binary", zero_division=np.nan
        )
        np.testing.assert_allclose(table["precision"][a], precision)
        np.testing.assert_allclose(table["recall"][a], recall)
        np.testing.assert_allclose(table["f1"][a], f1)
        assert table["accuracy"][a] == pytest.approx(sk.accuracy_score(y, z))
        assert table["always_no_accuracy"][a] == pytest.approx(sk.accuracy_score(y, np.zeros_like(y)))
        yes = sk.f1_score(y, np.ones_like(y), zero_division=0)
        assert table["always_yes_f1"][a] == pytest.approx(yes)
        if y.any():
            assert ap[a] == pytest.approx(sk.average_precision_score(y, probs[known, a]))
        else:
            assert np.isnan(ap[a])


@given(SEEDS)
def test_averages_are_over_the_labels_that_occur(seed: int) -> None:
    probs, targets, _ = sample(seed)
    mask = np.ones_like(targets, bool)
    mean = m.averages(counts(probs, targets, mask))
    y, z = targets >= 0.5, probs >= 0.5
    assert mean["binary_accuracy"] == pytest.approx((y == z).mean())
    assert mean["always_no_binary_accuracy"] == pytest.approx(1 - y.mean())
    occurs = np.flatnonzero(y.any(0))
    if not len(occurs):
        assert np.isnan(mean["macro_f1"])
        assert np.isnan(m.mean_average_precision(probs, targets, mask))
        return
    for average in ("macro", "weighted"):
        theirs = sk.precision_recall_fscore_support(y, z, labels=occurs, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), theirs[:3], strict=True):
            assert float(mean[f"{average}_{name}"]) == pytest.approx(value), (average, name)
    ap = sk.average_precision_score(y[:, occurs], probs[:, occurs], average="macro")
    assert m.mean_average_precision(probs, targets, mask) == pytest.approx(ap)


@given(SEEDS)
def test_what_the_mask_hides_does_not_count(seed: int) -> None:
    probs, targets, mask = sample(seed)
    other = np.where(mask, probs, 1 - probs)
    assert (counts(probs, targets, mask) == counts(other, 1 - (1 - targets) * mask, mask)).all()
    np.testing.assert_equal(
        m.average_precision(probs, targets, mask), m.average_precision(other, targets, mask)
    )


def test_silence_has_a_high_binary_accuracy_and_no_f1() -> None:
    """79% of the answers are no: saying no to all scores that, and finds nothing."""
    targets = (np.arange(100) < 21).astype(np.float32)[:, None]
    mean = m.averages(counts(np.zeros((100, 1), np.float32), targets, np.ones((100, 1), bool)))
    assert mean["binary_accuracy"] == mean["always_no_binary_accuracy"] == 0.79
    assert mean["macro_f1"] == 0
    assert mean["always_yes_macro_f1"] == pytest.approx(2 * 0.21 / 1.21)


def test_intensity_counts_from_one_half() -> None:
    targets = np.array([[0.49], [0.5], [1.0]], np.float32)
    table = m.per_label(counts(np.full((3, 1), 0.5, np.float32), targets, np.ones((3, 1), bool)))
    assert table["support"][0] == 2
    assert table["precision"][0] == pytest.approx(2 / 3)
