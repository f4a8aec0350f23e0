"""Thresholds, co-occurrence, figures by class and intervals of a multi-label output, against slow twins."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from duchenne.evaluation import Predictions, evaluate_predictions
from duchenne.evaluation import multilabel as m
from duchenne.evaluation.intervals import resample, resample_times
from duchenne.labels import Output

SEEDS = st.integers(0, 10**6)
A = 4
LABELS = ("AU1", "AU4", "AU12", "AU26")


def made(seed: int, n: int = 0, **columns: Any) -> Predictions:
    """Answers with ties, gaps in the annotation, labels that may be absent."""
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(1, 30))
    k = 3
    emotion = rng.dirichlet(np.ones(k), n).astype(np.float32)
    return Predictions(
        ids=np.array([f"f{i}" for i in range(n)]),
        outputs=(Output("emotion", "single", ("sad", "happy", "fear")), Output("au", "multi", LABELS)),
        probs={"emotion": emotion, "au": (rng.integers(0, 11, (n, A)) / 10).astype(np.float32)},
        targets={
            "emotion": rng.integers(-1, k, n),
            "au": (rng.random((n, A)) < rng.random(A) ** 2).astype(np.float32),
        },
        masks={"au": rng.random((n, A)) < 0.8},
        **columns,
    )


@given(SEEDS)
def test_no_threshold_has_a_higher_f1_than_the_chosen_one(seed: int) -> None:
    p = made(seed)
    probs, targets, mask = p.probs["au"], p.targets["au"], p.annotated("au")
    chosen = m.choose_thresholds(probs, targets, mask)
    for a in range(A):
        known = mask[:, a]
        y, s = targets[known, a] >= 0.5, probs[known, a].astype(float)
        if not y.any():
            assert chosen[a] == 0.5
            continue
        of = {t: sk.f1_score(y, s >= t, zero_division=0) for t in [*np.unique(s), 0.5, 1.1]}
        mine = sk.f1_score(y, s >= chosen[a], zero_division=0)
        assert mine == pytest.approx(max(of.values()))
        assert 0 <= chosen[a] <= 1
        if of[0.5] >= max(of.values()) - 1e-12:
            assert chosen[a] == 0.5
    table = m.per_label(m.sample_counts(probs, targets, mask, chosen).sum(axis=0))
    for a in range(A):
        known = mask[:, a]
        if known.any():
            said = probs[known, a].astype(float) >= chosen[a]
            assert table["accuracy"][a] == pytest.approx(sk.accuracy_score(targets[known, a] >= 0.5, said))


def test_a_threshold_lies_between_the_scores_it_parts() -> None:
    probs = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], np.float32)
    targets = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    chosen = m.choose_thresholds(probs, targets, np.ones((3, 2), bool))
    np.testing.assert_allclose(chosen, [0.15, 0.85], atol=1e-7)


@given(SEEDS)
def test_cooccurrence_counts_pairs(seed: int) -> None:
    p = made(seed)
    present, mask = p.targets["au"] >= 0.5, p.annotated("au")
    found = m.cooccurrence(present, mask)
    for a in range(A):
        for b in range(A):
            both = mask[:, a] & mask[:, b]
            assert found[a, b] == (present[both, a] & present[both, b]).sum()


@given(SEEDS, st.booleans())
@settings(max_examples=40)
def test_resampled_average_precision_is_that_of_the_repeated_samples(seed: int, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    p = made(seed)
    clusters = rng.choice(["", "a", "b", "c"], len(p)) if grouped else None
    probs, targets, mask = p.probs["au"], p.targets["au"], p.annotated("au")
    blocks = list(resample_times(len(p), 5, np.random.default_rng(seed), clusters))
    times = np.concatenate(blocks)
    found = m.resampled_average_precision(times, probs, targets, mask)
    for b in range(5):
        rows = np.repeat(np.arange(len(p)), times[b])
        twin = m.average_precision(probs[rows], targets[rows], mask[rows])
        np.testing.assert_allclose(found[b], twin, atol=1e-12)
    # The draws are those of `resample`, whole clusters at a time.
    sums = resample(np.ones((len(p), 1)), 5, np.random.default_rng(seed), clusters)
    np.testing.assert_array_equal(times.sum(axis=1), sums[:, 0])
    for name in set() if clusters is None else set(clusters) - {""}:
        assert (np.ptp(times[:, clusters == name], axis=1) == 0).all()


@given(SEEDS)
@settings(max_examples=40)
def test_the_entry_by_scikit_learn(seed: int) -> None:
    p = made(seed)
    given_at = [0.3, 0.5, 0.7, 0.95]
    done = evaluate_predictions(p, bootstrap=20, thresholds={"au": given_at})
    assert json.loads(json.dumps(done, allow_nan=False)) == done
    entry = done["outputs"]["au"]
    if not entry["n"]:
        return
    probs, y, mask = p.probs["au"], p.targets["au"] >= 0.5, p.annotated("au")
    at = entry["at_thresholds"]
    assert (at["chosen_here"], at["thresholds"]) == (False, given_at)
    for a, (row, whole) in enumerate(zip(at["per_class"], entry["per_class"], strict=True)):
        known = mask[:, a]
        said = probs[known, a].astype(float) >= given_at[a]
        if y[known, a].any() or said.any():
            assert row["f1"] == pytest.approx(sk.f1_score(y[known, a], said))
        chance = y[known, a].mean() if y[known, a].any() else None
        assert whole["chance_average_precision"] == (None if chance is None else pytest.approx(chance))
        if chance is not None:
            flat = np.zeros(known.sum())
            assert chance == pytest.approx(sk.average_precision_score(y[known, a], flat))
    codes = p.targets["emotion"]
    for k, row in enumerate(entry["by_class"]["rows"]):
        mine = (codes == k) & mask.any(axis=1)
        assert row["n"] == mine.sum()
        right = ((probs[mine] >= 0.5) == y[mine])[mask[mine]]
        assert row["binary_accuracy"] == (pytest.approx(right.mean()) if len(right) else None)
        yes = sk.f1_score(y[mine], np.ones_like(y[mine]), average=None, zero_division=0) if mine.any() else []
        if mask[mine].all():
            assert [r["always_yes_f1"] for r in row["per_class"]][: len(yes)] == pytest.approx(list(yes))
        assert [r["support"] for r in row["per_class"]] == (y[mine] & mask[mine]).sum(axis=0).tolist()
        assert [r["predicted"] for r in row["per_class"]] == (
            ((probs[mine] >= 0.5) & mask[mine]).sum(axis=0).tolist()
        )
    whole_rows = mask.all(axis=1)
    assert ("argmax_form" in entry) == bool(whole_rows.any())
    if whole_rows.any():
        truth, said = y[whole_rows].argmax(1), probs[whole_rows].argmax(1)
        report = sk.classification_report(truth, said, output_dict=True, zero_division=0)
        form = entry["argmax_form"]
        assert form["accuracy"] == pytest.approx(sk.accuracy_score(truth, said))
        assert form["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
        assert form["weighted_f1"] == pytest.approx(report["weighted avg"]["f1-score"])
        assert len(form["per_class"]) == len(set(truth) | set(said))


def test_intervals_hold_the_figures_and_subjects_widen_them() -> None:
    rng = np.random.default_rng(3)
    n, people = 400, 10
    owner = np.arange(n) % people
    # Some people are answered well, others by chance.
    y = (rng.random((n, A)) < 0.4).astype(np.float32)
    skill = np.where(owner < 5, 4.0, 0.0)[:, None]
    probs = 1 / (1 + np.exp(-(rng.normal(size=(n, A)) + skill * (y - 0.5))))
    base = {
        "ids": np.arange(n).astype(str),
        "outputs": (Output("au", "multi", LABELS),),
        "probs": {"au": probs.astype(np.float32)},
        "targets": {"au": y},
    }
    images = evaluate_predictions(Predictions(**base))["outputs"]["au"]
    subjects = np.array([f"s{o}" for o in owner])
    people_ = evaluate_predictions(Predictions(**base, subject=subjects))["outputs"]["au"]
    for name in ("binary_accuracy", "macro_f1", "map"):
        low, high = images["intervals"][name]
        assert low < images[name] < high
        wide = people_["intervals"][name]
        assert wide[1] - wide[0] > 1.5 * (high - low), name
    for row in images["per_class"]:
        assert row["f1_interval"][0] < row["f1"] < row["f1_interval"][1]
    assert "by_class" not in images
    assert "at_thresholds" not in images


def test_thresholds_chosen_here_say_so_and_are_no_worse() -> None:
    p = made(5, n=60)
    entry = evaluate_predictions(p, bootstrap=0, thresholds="choose")["outputs"]["au"]
    at = entry["at_thresholds"]
    assert at["chosen_here"] is True
    assert at["macro_f1"] >= entry["macro_f1"]
    again = evaluate_predictions(p, bootstrap=0, thresholds={"au": at["thresholds"]})["outputs"]["au"]
    assert again["at_thresholds"] == at | {"chosen_here": False}
    assert "at_thresholds" not in evaluate_predictions(p, bootstrap=0, thresholds={})["outputs"]["au"]


def test_the_reports_form_is_in_the_order_of_its_table() -> None:
    """chan2023's figures 10 to 12 number the units as its table does: AU17 comes before AU1."""
    units = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU11", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24")
    units += ("AU25", "AU26", "AU27")
    y = np.zeros((2, 15), np.float32)
    y[0, [units.index("AU1"), units.index("AU17")]] = 1  # first in the table: AU17; the second face has none
    probs = np.full((2, 15), 0.1, np.float32)
    probs[:, units.index("AU1")] = 0.9
    p = Predictions(np.array(["a", "b"]), (Output("au", "multi", units),), {"au": probs}, {"au": y})
    form = evaluate_predictions(p, bootstrap=0)["outputs"]["au"]["argmax_form"]
    assert [(r["label"], r["support"], r["predicted"]) for r in form["per_class"]] == [
        ("AU17", 2, 0), ("AU1", 0, 2),
    ]  # fmt: skip
    assert form["accuracy"] == 0
