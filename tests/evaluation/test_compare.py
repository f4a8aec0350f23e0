"""McNemar against scipy and the textbook; the comparison of two runs matched by id."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2

from duchenne.errors import DataError, RunError
from duchenne.evaluation import METRICS, Predictions, compare_predictions, mcnemar
from duchenne.labels import Output

EMOTION = Output("emotion", "single", ("happy", "sad", "fear"))
AU = Output("au", "multi", ("AU1", "AU2"))


def pairs(only_a: int, only_b: int, both: int = 3, neither: int = 2) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    return a, b


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys(only_a: int, only_b: int) -> None:
    result = mcnemar(*pairs(only_a, only_b))
    assert (result.only_a, result.only_b, result.both, result.neither) == (only_a, only_b, 3, 2)
    n = only_a + only_b
    if n < 25:
        assert result.method == "exact"
        assert result.p_value == pytest.approx(binomtest(only_a, n).pvalue if n else 1)
    else:
        assert result.method == "chi2"
        statistic = max(0, abs(only_a - only_b) - 1) ** 2 / n
        assert result.p_value == pytest.approx(chi2.sf(statistic, 1))


def test_mcnemar_textbook() -> None:
    """Agresti 1990, Table 10.1 (approval ratings): 150 and 86 discordant, p about 4e-5."""
    assert mcnemar(*pairs(150, 86, 794, 570)).p_value == pytest.approx(4.115e-05, rel=1e-3)


def run(n: int = 300, seed: int = 0, right: float = 0.7) -> Predictions:
    """Predictions of the same samples and truths, whatever the seed of the answers."""
    truth, rng = np.random.default_rng(7), np.random.default_rng(seed)
    codes = truth.integers(0, 3, n)
    said = np.where(rng.random(n) < right, codes, rng.integers(0, 3, n))
    probs = (0.2 + 0.4 * np.eye(3)[said]).astype(np.float32)
    occurs = (truth.random((n, 2)) < 0.4).astype(np.float32)
    au = np.where(rng.random((n, 2)) < right, occurs, 1 - occurs).astype(np.float32)
    return Predictions(
        np.array([f"i{i}" for i in range(n)]), (EMOTION, AU), {"emotion": probs, "au": au},
        {"emotion": codes, "au": occurs}, subject=np.array([f"s{i % 50}" for i in range(n)]),
    )  # fmt: skip


def test_figures_and_their_differences() -> None:
    a, b = run(seed=1, right=0.9), run(seed=2, right=0.5)
    for output, names in (
        ("emotion", ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")),
        ("au", ("binary_accuracy", "macro_f1", "weighted_f1")),
    ):
        done = compare_predictions(a, b, output)
        json.dumps(done, allow_nan=False)
        assert done["n"] == 300
        assert done["resampled"] == "subjects"
        assert tuple(done["figures"]) == names
        for name, row in done["figures"].items():
            assert row["a"] == pytest.approx(METRICS[name](a, output))
            assert row["b"] == pytest.approx(METRICS[name](b, output))
            assert row["difference"] == pytest.approx(row["a"] - row["b"])
            assert 0 < row["interval"][0] < row["difference"] < row["interval"][1] < 1
    test = compare_predictions(a, b, "emotion")["mcnemar"]
    assert test["p_value"] < 1e-6
    assert test["both"] + test["only_a"] == round(METRICS["accuracy"](a, "emotion") * 300)


@pytest.mark.parametrize("output", ["emotion", "au"])
def test_order_of_samples_and_labels_does_not_matter(output: str) -> None:
    a, b = run(seed=1), run(seed=2, right=0.6)
    turned = np.array([2, 0, 1])
    shuffled = np.random.default_rng(0).permutation(300)
    other = replace(
        b,
        outputs=(
            Output("emotion", "single", ("fearful", "happiness", "sadness")),
            Output("au", "multi", ("AU2", "au1")),
        ),
        probs={"emotion": b.probs["emotion"][:, turned], "au": b.probs["au"][:, ::-1]},
        targets={"emotion": np.argsort(turned)[b.targets["emotion"]], "au": b.targets["au"][:, ::-1]},
    ).select(shuffled)
    assert compare_predictions(a, other, output) == compare_predictions(a, b, output)
    unlabelled = replace(b, targets={})
    assert compare_predictions(a, unlabelled, output) == compare_predictions(a, b, output)


def test_only_common_and_labelled_samples_count() -> None:
    a, b = run(seed=1), run(seed=2)
    a.targets["emotion"][:10] = -1
    b = replace(b, targets={})
    done = compare_predictions(a.select(range(200)), b.select(range(5, 300)), "emotion", bootstrap=0)
    assert (done["n"], done["only_in_a"], done["only_in_b"]) == (190, 5, 100)
    assert done["figures"]["accuracy"]["interval"] == [None, None]


def test_paired_interval_is_narrower_than_apart() -> None:
    """The same answers give no difference at all, whatever is drawn."""
    a = run(seed=1)
    row = compare_predictions(a, a, "emotion")["figures"]["accuracy"]
    assert row["interval"] == [0, 0]


def test_what_cannot_be_compared() -> None:
    a, b = run(), run(seed=2)
    with pytest.raises(RunError, match="no sample in common"):
        compare_predictions(a, replace(b, ids=np.array([f"x{i}" for i in range(300)])), "emotion")
    with pytest.raises(DataError, match="did you mean 'emotion'"):
        compare_predictions(a, b, "emotions")
    other = replace(b, outputs=(Output("emotion", "single", ("happy", "sad", "angry")), AU))
    with pytest.raises(RunError, match="different questions for 'emotion': fear, angry"):
        compare_predictions(a, other, "emotion")
    wrong = {"emotion": b.targets["emotion"].copy(), "au": b.targets["au"].copy()}
    wrong["emotion"][17] = (wrong["emotion"][17] + 1) % 3
    wrong["au"][18, 1] = 1 - wrong["au"][18, 1]
    with pytest.raises(RunError, match="1 samples, first 'i17'"):
        compare_predictions(a, replace(b, targets=wrong), "emotion")
    with pytest.raises(RunError, match="1 samples, first 'i18'"):
        compare_predictions(a, replace(b, targets=wrong), "au")
