"""Rules from action units to emotion: against the prototypes, a slow twin, and the faces drawn by them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duchenne.datasets import load
from duchenne.datasets.prototypes import PROTOTYPES, SYNTHETIC_AUS, variant_masks
from duchenne.errors import DataError
from duchenne.evaluation import Predictions, evaluate_predictions
from duchenne.evaluation.unit_rules import CLIP, HIGH_LEVEL, make_rules
from duchenne.labels import FER2013_EMOTIONS, Output

REPORT_UNITS = (
    "AU1", "AU2", "AU4", "AU6", "AU7", "AU11", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24", "AU25",
    "AU26", "AU27",
)  # fmt: skip


def test_every_complete_prototype_is_told_as_its_own_emotion() -> None:
    rules = make_rules(SYNTHETIC_AUS, FER2013_EMOTIONS)
    assert rules.untold == ()
    for emotion in PROTOTYPES:
        masks = variant_masks(emotion).astype(float)
        said = rules.scores(masks).argmax(axis=1)
        assert {FER2013_EMOTIONS[i] for i in said} == {emotion}


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_scores_are_the_log_probability_of_the_best_picture(seed: int) -> None:
    """The slow twin: each prototype, each unit, one at a time."""
    p = np.random.default_rng(seed).random(len(SYNTHETIC_AUS))
    rules = make_rules(SYNTHETIC_AUS, FER2013_EMOTIONS)
    (got,) = rules.scores(p[None])
    for code, emotion in enumerate(FER2013_EMOTIONS):
        best = -math.inf
        for mask in variant_masks(emotion):
            total = 0.0
            for value, moves in zip(p, mask, strict=True):
                value = min(max(float(value), CLIP), 1 - CLIP)
                total += math.log(value if moves else 1 - value)
            best = max(best, total)
        assert got[code] == pytest.approx(best)
    shares = rules.probs(p[None])
    assert shares.sum() == pytest.approx(1)
    assert shares.argmax() == got.argmax()


def test_high_level_emotions_and_units_without_their_prototypes() -> None:
    labels = ("negative", "positive", "surprise")
    rules = make_rules(REPORT_UNITS, labels)
    assert rules.untold == ()
    # Disgust needs AU9, which is not among the report's units: nothing of it may speak for "negative".
    spoken = {r.emotion for r in rules.rules if r.label == 0}
    assert spoken == set(HIGH_LEVEL["negative"]) - {"disgust"}
    row = np.zeros((1, 15))
    row[0, [REPORT_UNITS.index(u) for u in ("AU6", "AU12")]] = 0.91, 0.88
    assert labels[rules.scores(row).argmax()] == "positive"
    assert rules.reasons(row) == ["AU6 .91 and AU12 .88 say happy, which is positive"]


def test_reasons_name_what_is_lacking_and_what_speaks_against() -> None:
    rules = make_rules(SYNTHETIC_AUS, FER2013_EMOTIONS)
    row = np.zeros((2, len(SYNTHETIC_AUS)))
    for unit, value in (("AU6", 0.4), ("AU12", 0.9), ("AU17", 0.7)):
        row[0, SYNTHETIC_AUS.index(unit)] = value
    first, second = rules.reasons(row)
    assert first == "AU12 .90 says happy, though AU6 .40 does not, and AU17 .70 speaks against it"
    assert second == "no unit above .50 says neutral"


def test_names_are_matched_and_what_cannot_be_told_is_said() -> None:
    rules = make_rules(("au_6", "AU12", "smile", "au1", "au2"), ("contempt", "joy", "surprised", "disgust"))
    assert rules.untold == ("contempt", "disgust")
    assert np.isneginf(rules.scores(np.full((1, 5), 0.5))[0, [0, 3]]).all()
    assert (rules.probs(np.full((1, 5), 0.5))[0, [0, 3]] == 0).all()
    with pytest.raises(DataError, match="no rules from AU6 to happy, contempt"):
        make_rules(("AU6",), ("happy", "contempt"))
    with pytest.raises(DataError, match="no rules from no units"):
        make_rules((), FER2013_EMOTIONS[:6])


def both(n: int = 200) -> Predictions:
    faces = load("synthetic", n=n, seed=2)
    rng = np.random.default_rng(0)
    units = np.clip(faces.targets["au"] + rng.normal(0, 0.2, faces.targets["au"].shape), 0, 1)
    return Predictions(
        ids=faces.ids, outputs=faces.outputs, targets=dict(faces.targets),
        probs={"emotion": rng.dirichlet(np.ones(7), n).astype(np.float32), "au": units.astype(np.float32)},
    )  # fmt: skip


def test_the_summary_holds_the_rules_figures_beside_the_heads() -> None:
    p = both()
    entry = evaluate_predictions(p, bootstrap=50)["outputs"]["emotion"]
    found = entry["from_units"]
    json.dumps(found, allow_nan=False)
    assert found["units"] == "au"
    assert found["n"] == 200
    assert found["head"]["accuracy"] == entry["accuracy"]
    said = make_rules(p.outputs[1].labels, FER2013_EMOTIONS).scores(p.probs["au"]).argmax(axis=1)
    right = said == p.targets["emotion"]
    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["accuracy"] > 0.8 > 3 * entry["accuracy"]
    assert found["intervals"]["accuracy"][0] < found["accuracy"] < found["intervals"]["accuracy"][1]
    assert found["given_true_units"]["accuracy"] > 0.9
    assert found["mcnemar"]["only_a"] + found["mcnemar"]["both"] == right.sum()
    places = {x: i for i, x in enumerate(p.ids.tolist())}
    for example in found["examples"]:
        i = places[example["id"]]
        assert example["answer"] == FER2013_EMOTIONS[said[i]]
        assert example["true"] == FER2013_EMOTIONS[p.targets["emotion"][i]]
    assert {x["true"] for x in found["examples"]} == set(FER2013_EMOTIONS)


def test_without_units_or_truth_there_are_no_such_figures() -> None:
    p = both(40)
    alone = Predictions(
        p.ids, p.outputs[:1], {"emotion": p.probs["emotion"]}, {"emotion": p.targets["emotion"]}
    )
    assert "from_units" not in evaluate_predictions(alone, bootstrap=0)["outputs"]["emotion"]
    blind = Predictions(p.ids, p.outputs, p.probs, {"au": p.targets["au"]})
    assert "from_units" not in evaluate_predictions(blind, bootstrap=0)["outputs"]["emotion"]
    no_units = Predictions(p.ids, p.outputs, p.probs, {"emotion": p.targets["emotion"]})
    found = evaluate_predictions(no_units, bootstrap=0)["outputs"]["emotion"]["from_units"]
    assert found["given_true_units"] is None
    letters = Output("letters", "multi", tuple("abcdefghijklmnopq"))
    other = Predictions(
        p.ids, (p.outputs[0], letters), {"emotion": p.probs["emotion"], "letters": p.probs["au"]},
        {"emotion": p.targets["emotion"]},
    )  # fmt: skip
    # No unit among them: neutral alone could be told.
    assert "from_units" not in evaluate_predictions(other, bootstrap=0)["outputs"]["emotion"]
