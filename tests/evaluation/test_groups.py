"""Figures by group against the same figures of the chosen samples; the gap's test against exact counting."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from duchenne.errors import RecipeError
from duchenne.evaluation import Predictions, evaluate_predictions
from duchenne.evaluation.groups import SMALL, SMALL_CLASS, check_attributes, figures_by, holm
from duchenne.labels import Output

LABELS = ("AU1", "AU4", "AU12")
EMOTIONS = ("sad", "happy", "fear")


def made(n: int, seed: int = 0, **columns: Any) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        ids=np.array([f"f{i}" for i in range(n)]),
        outputs=(Output("emotion", "single", EMOTIONS), Output("au", "multi", LABELS)),
        probs={
            "emotion": rng.dirichlet(np.ones(3), n).astype(np.float32),
            "au": (rng.integers(0, 11, (n, 3)) / 10).astype(np.float32),
        },
        targets={
            "emotion": rng.integers(-1, 3, n),
            "au": (rng.random((n, 3)) < 0.4).astype(np.float32),
        },
        masks={"au": rng.random((n, 3)) < 0.8},
        **columns,
    )


def answers(right: np.ndarray, group: np.ndarray, subject: np.ndarray | None = None) -> Predictions:
    """One output of two classes, answered rightly or not."""
    codes = np.arange(len(right)) % 2
    said = np.where(right, codes, 1 - codes)
    return Predictions(
        ids=np.array([str(i) for i in range(len(right))]),
        outputs=(Output("emotion", "single", ("sad", "happy")),),
        probs={"emotion": np.eye(2, dtype=np.float32)[said]},
        targets={"emotion": codes},
        group={"tone": group},
        subject=subject,
    )


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_a_groups_row_is_what_its_samples_alone_would_give(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tone = rng.choice(["light", "dark", "medium", ""], 60)
    p = made(60, seed, group={"tone": tone})
    entry = figures_by(p, "tone", bootstrap=20)
    assert entry["unknown"] == (tone == "").sum()
    for name, figures in (
        ("emotion", ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")),
        ("au", ("binary_accuracy", "macro_f1", "weighted_f1", "map")),
    ):
        rows = entry["outputs"][name]["rows"]
        assert [r["group"] for r in rows] == sorted(set(tone.tolist()) - {""})
        for row in rows:
            alone = evaluate_predictions(p.select(tone == row["group"]), bootstrap=0)["outputs"][name]
            assert row["n"] == alone["n"]
            assert row["small"] == (row["n"] < SMALL)
            for f in figures:
                want = np.nan if alone[f] is None else alone[f]
                assert row[f] == pytest.approx(want, nan_ok=True)
                low, high = row["intervals"][f]
                assert np.isnan(low) or 0 <= low <= high <= 1
            for f in ("always_no_binary_accuracy", "always_yes_macro_f1") if name == "au" else ():
                assert row[f] == pytest.approx(np.nan if alone[f] is None else alone[f], nan_ok=True)
            for mine, theirs in zip(row["per_class"], alone["per_class"], strict=True):
                assert mine["support"] == theirs["support"]
                if name == "au" and theirs["always_yes_f1"] is not None:
                    assert mine["always_yes_f1"] == pytest.approx(theirs["always_yes_f1"])
                assert mine["small"] == (theirs["support"] < SMALL_CLASS)


def test_the_gaps_p_value_is_that_of_exact_counting() -> None:
    """Two groups: under permutation the right answers among the first are hypergeometric."""
    group = np.array(["a"] * 30 + ["b"] * 20)
    right = np.array([True] * 26 + [False] * 4 + [True] * 12 + [False] * 8)
    (gap, _) = figures_by(answers(right, group), "tone", bootstrap=200)["outputs"]["emotion"]["gaps"]
    assert (gap["figure"], gap["highest"], gap["lowest"]) == ("accuracy", "a", "b")
    assert gap["gap"] == pytest.approx(26 / 30 - 12 / 20)
    k = np.arange(31)
    odds = hypergeom(50, 38, 30).pmf(k)
    far = np.abs(k / 30 - (38 - k) / 20) >= gap["gap"] - 1e-12
    exact = float(odds[far].sum())
    # 999 permutations: a standard error of sqrt(p (1 - p) / 999), four of them.
    assert gap["p_value"] == pytest.approx(exact, abs=4 * np.sqrt(exact / 999) + 0.001)
    assert gap["gap_by_chance"] == pytest.approx(float((odds * abs(k / 30 - (38 - k) / 20)).sum()), abs=0.02)
    assert gap["permuted"] == "images"
    assert gap["interval"][0] < gap["gap"] < gap["interval"][1]


def test_many_groups_alone_make_no_gap_significant() -> None:
    """The largest of many gaps is large by chance, and the test knows."""
    rng = np.random.default_rng(3)
    values = []
    for _ in range(20):
        p = answers(rng.random(120) < 0.7, rng.choice([f"g{i}" for i in range(12)], 120))
        values.append(figures_by(p, "tone", bootstrap=2)["outputs"]["emotion"]["gaps"][0]["p_value"])
    assert sum(v < 0.05 for v in values) <= 4  # 1 expected; more than 4: once in 400 such tests
    assert max(values) > 0.5


def test_whole_subjects_change_their_group() -> None:
    """Two people a group, each always right or always wrong: 100 images say no more than 4 people."""
    subject = np.repeat(["p1", "p2", "p3", "p4"], 25)
    group = np.repeat(["a", "b"], 50)
    right = np.repeat([True, True, False, False], 25)
    people = figures_by(answers(right, group, subject), "tone", bootstrap=50)["outputs"]["emotion"]
    (gap, _) = people["gaps"]
    assert gap["permuted"] == "subjects"
    assert gap["gap"] == 1
    assert gap["p_value"] == pytest.approx(1 / 3, abs=0.06)  # 2 of the 6 ways to put 4 people in pairs
    images = figures_by(answers(right, group), "tone", bootstrap=50)["outputs"]["emotion"]["gaps"][0]
    assert images["p_value"] == 0.001
    assert [r["subjects"] for r in people["rows"]] == [2, 2]


def test_by_subject_images_change() -> None:
    subject = np.repeat(["p1", "p2"], 40)
    right = np.repeat([True, False], 40)
    found = figures_by(answers(right, subject, subject), "subject", bootstrap=50)["outputs"]["emotion"]
    assert found["gaps"][0]["permuted"] == "images"
    assert found["gaps"][0]["p_value"] == 0.001


def test_small_groups_are_marked_and_the_large_ones_compared_too() -> None:
    group = np.array(["a"] * 40 + ["b"] * 40 + ["few"] * 3)
    right = np.array([True] * 40 + [True] * 30 + [False] * 10 + [False] * 3)
    found = figures_by(answers(right, group), "tone", bootstrap=20)["outputs"]["emotion"]
    assert {r["group"]: r["small"] for r in found["rows"]} == {"a": False, "b": False, "few": True}
    by = {(g["figure"], g["among"]): g for g in found["gaps"]}
    assert by["accuracy", "all"]["lowest"] == "few"
    assert by["accuracy", "large"]["lowest"] == "b"
    assert by["accuracy", "large"]["gap"] == pytest.approx(0.25)


def test_equal_groups_are_two_groups() -> None:
    group = np.array(["a"] * 40 + ["b"] * 40)
    found = figures_by(answers(np.ones(80, bool), group), "tone", bootstrap=10)["outputs"]["emotion"]
    assert {(g["gap"], g["highest"], g["lowest"]) for g in found["gaps"]} == {(0.0, "a", "b")}


def test_one_group_has_no_gap() -> None:
    found = figures_by(answers(np.ones(5, bool), np.array(["a"] * 5)), "tone", bootstrap=10)
    assert found["outputs"]["emotion"]["gaps"] == []


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_summary_holds_it_as_strict_json_and_twice_the_same() -> None:
    p = made(80, group={"tone": np.array(["light", "dark"] * 40)}, subject=np.array(["p1", "p2"] * 40))
    done = evaluate_predictions(p, bootstrap=20, by=("tone", "subject", "tone"))
    assert [b["attribute"] for b in done["by"]] == ["tone", "subject"]
    json.dumps(done, allow_nan=False)
    assert done == evaluate_predictions(p, bootstrap=20, by=("tone", "subject"))
    assert evaluate_predictions(p, bootstrap=20)["by"] == []


def test_unknown_attributes_are_named_with_those_that_there_are() -> None:
    with pytest.raises(
        RecipeError, match=r"set has no attribute 'skin_ton'[^$]*'skin_tone'[^$]*age, skin_tone"
    ):
        check_attributes(["skin_ton"], ["skin_tone", "age"], False, "set")
    with pytest.raises(RecipeError, match="known: age, subject"):
        check_attributes(["zzz"], ["age"], True, "set")
    with pytest.raises(RecipeError, match="neither subjects nor groups"):
        check_attributes(["subject"], [], False, "set")
    with pytest.raises(RecipeError, match="no attribute 'subject'"):
        figures_by(made(4), "subject")
