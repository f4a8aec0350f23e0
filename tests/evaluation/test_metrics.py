"""Every row of METRICS keeps the contract; the summary agrees with it and with its layout."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.errors import DataError, RecipeError
from duchenne.evaluation import METRICS, Predictions, evaluate_predictions
from duchenne.labels import Output

LABELS = ("angry", "disgust", "fear", "happy")
OUTPUTS = (Output("emotion", "single", LABELS), Output("au", "multi", ("AU1", "AU2", "AU4")))
NAME = {"single": "emotion", "multi": "au"}
CASES = [(name, kind) for name, metric in METRICS.items() for kind in metric.kinds]


def made(seed: int = 0, n: int = 80, *, votes: bool = False, **more: Any) -> Predictions:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 3, n)  # "happy" never occurs
    targets = {"emotion": codes, "au": (rng.random((n, 3)) < [0.5, 0.2, 0]).astype(np.float32)}
    if votes:
        targets["emotion"] = rng.integers(0, 5, (n, 4)).astype(np.float32)
    probs = {
        "emotion": rng.dirichlet([0.5] * 4, n).astype(np.float32).reshape(n, 4),
        "au": rng.random((n, 3)).astype(np.float32),
    }
    masks = {"au": rng.random((n, 3)) < 0.8}
    return Predictions(
        np.array([f"i{i}" for i in range(n)], dtype=str), OUTPUTS, probs, targets, masks, **more
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("votes", [False, True])
def test_finite_in_range_and_blind_to_order(name: str, kind: str, votes: bool) -> None:
    p, metric = made(votes=votes), METRICS[name]
    value = metric(p, NAME[kind])
    assert 0 <= value <= metric.top
    assert np.isfinite(value)
    shuffled = p.select(np.random.default_rng(1).permutation(len(p)))
    assert metric(shuffled, NAME[kind]) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_truth_itself_is_best(name: str, kind: str) -> None:
    p, metric = made(), METRICS[name]
    p = p.select(p.targets["emotion"] >= 0)
    perfect = replace(
        p, probs={"emotion": np.eye(4, dtype=np.float32)[p.targets["emotion"]], "au": p.targets["au"]}
    )
    best = metric(perfect, NAME[kind])
    assert best == pytest.approx(1 if metric.direction == "max" else 0)
    assert best >= metric(p, NAME[kind]) if metric.direction == "max" else best <= metric(p, NAME[kind])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_nothing_annotated_is_nan(name: str, kind: str) -> None:
    assert np.isnan(METRICS[name](made().select([]), NAME[kind]))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_other_outputs_are_refused(name: str, kind: str) -> None:
    p = made()
    with pytest.raises(DataError, match="no true labels"):
        METRICS[name](replace(p, targets={}, masks={}), NAME[kind])
    for other in {"single", "multi"} - set(METRICS[name].kinds):
        with pytest.raises(RecipeError, match=NAME[other]):
            METRICS[name](p, NAME[other])


@pytest.mark.parametrize("votes", [False, True])
def test_the_summary_has_the_same_figures(votes: bool) -> None:
    p = made(votes=votes)
    done = evaluate_predictions(p, views="flip")
    assert (done["schema"], done["views"], done["n"], done["in_train"]) == (1, "flip", 80, None)
    for name, kind in CASES:
        assert done["outputs"][NAME[kind]][name] == pytest.approx(METRICS[name](p, NAME[kind])), name
    emotion, au = done["outputs"]["emotion"], done["outputs"]["au"]
    known = p.hard("emotion") >= 0
    assert emotion["n"] + emotion["unlabelled"] == 80
    assert emotion["n"] == known.sum() == np.sum(emotion["confusion"])
    assert emotion["truth"] == ("votes" if votes else "codes")
    assert [r["label"] for r in emotion["per_class"]] == list(LABELS)
    assert [r["support"] for r in emotion["per_class"]] == np.sum(emotion["confusion"], 1).tolist()
    assert emotion["majority"] == np.bincount(p.hard("emotion")[known]).max() / known.sum()
    assert sum(r["n"] for r in emotion["reliability"]) == emotion["n"]
    assert au["absent"] == ["AU4"]
    assert au["per_class"][2]["recall"] is None
    assert au["per_class"][2]["average_precision"] is None
    assert au["annotated"] == int(p.masks["au"].sum()) == sum(r["n"] for r in au["reliability"])


@given(st.integers(0, 10**6), st.integers(0, 12), st.booleans(), st.booleans())
def test_the_summary_is_strict_json_with_the_documented_keys(
    seed: int, n: int, votes: bool, more: bool
) -> None:
    rng = np.random.default_rng(seed)
    extra = {"subject": rng.choice(["", "a", "b"], n), "in_train": rng.random(n) < 0.5} if more else {}
    done = evaluate_predictions(made(seed, n, votes=votes, **extra), bootstrap=20)
    assert json.loads(json.dumps(done, allow_nan=False)) == done
    emotion = done["outputs"]["emotion"]
    if emotion["n"]:
        for name, (low, high) in emotion["intervals"].items():
            assert low <= high, name
        assert emotion["one_vs_rest"][0].keys() == {"label", "accuracy", "precision", "recall", "f1"}


def test_without_the_images_that_stand_in_training() -> None:
    rng = np.random.default_rng(2)
    in_train = rng.random(80) < 0.3
    p = made(in_train=in_train)
    done, rest = evaluate_predictions(p), p.select(~in_train)
    assert done["in_train"] == in_train.sum()
    for kind, names in (
        ("single", ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss")),
        ("multi", ("binary_accuracy", "macro_f1", "weighted_f1")),
    ):
        clean = done["outputs"][NAME[kind]]["without_in_train"]
        assert clean.keys() == {"n", "intervals", *names}
        for name in names:
            assert clean[name] == pytest.approx(METRICS[name](rest, NAME[kind]))
            assert clean["intervals"][name][0] <= clean[name] <= clean["intervals"][name][1]
    assert evaluate_predictions(rest)["outputs"]["emotion"]["without_in_train"] is None
    everywhere = evaluate_predictions(replace(p, in_train=np.ones(80, bool)))
    assert everywhere["outputs"]["emotion"]["without_in_train"] == {"n": 0}


def test_seed_subjects_and_no_bootstrap() -> None:
    p = made(subject=np.array([f"s{i % 5}" for i in range(80)]))
    first = evaluate_predictions(p)
    assert evaluate_predictions(p) == first
    assert evaluate_predictions(p, seed=1) != first
    assert first["bootstrap"]["resampled"] == "subjects"
    assert evaluate_predictions(made())["bootstrap"]["resampled"] == "images"
    none = evaluate_predictions(p, bootstrap=0)["outputs"]["emotion"]["intervals"]
    assert none["accuracy"] == [None, None]


def test_an_output_without_truth() -> None:
    p = replace(made(), targets={"emotion": np.full(80, -1)}, masks={})
    done = evaluate_predictions(p)["outputs"]
    assert done["au"] == {"kind": "multi", "labels": ["AU1", "AU2", "AU4"], "n": 0}
    assert done["emotion"]["n"] == 0
    assert done["emotion"]["unlabelled"] == 80


def test_evaluation_imports_numpy_alone() -> None:
    heavy = "{'torch', 'sklearn', 'scipy', 'pandas', 'cv2', 'matplotlib'}"
    code = f"import sys, duchenne.evaluation; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("votes", [False, True])
def test_groups_are_the_accuracy_over_the_faces_of_their_classes(votes: bool) -> None:
    p = made(votes=votes)
    groups = {"old": ("angry", "fear"), "all": LABELS, "happy": ("happy",)}
    done = evaluate_predictions(p, bootstrap=0, groups=groups)["outputs"]
    assert "groups" not in done["au"]
    truth, answer = p.hard("emotion"), p.probs["emotion"].argmax(axis=1)
    rows = {row["name"]: row for row in done["emotion"]["groups"]}
    assert list(rows) == list(groups)
    old = np.isin(truth, [0, 2])
    assert rows["old"] == {
        "name": "old", "labels": ["angry", "fear"], "n": int(old.sum()),
        "accuracy": pytest.approx((answer[old] == truth[old]).mean()),
    }  # fmt: skip
    assert rows["all"]["accuracy"] == pytest.approx(done["emotion"]["accuracy"])
    if not votes:  # "happy" never occurs
        assert rows["happy"] == {"name": "happy", "labels": ["happy"], "n": 0, "accuracy": None}


def test_groups_are_left_out_where_nobody_asks_or_nothing_is_labelled() -> None:
    p = made()
    assert "groups" not in evaluate_predictions(p, bootstrap=0)["outputs"]["emotion"]
    none = p.select(p.targets["emotion"] < 0)
    done = evaluate_predictions(none, bootstrap=0, groups={"old": ("angry",)})["outputs"]["emotion"]
    assert (done["n"], "groups" in done) == (0, False)
