"""The rules as a scikit-learn estimator: contract, answers, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from duchenne.datasets import load
from duchenne.datasets.prototypes import SYNTHETIC_AUS
from duchenne.errors import DataError
from duchenne.labels import FER2013_EMOTIONS
from duchenne.learners.unit_rules import RuleClassifier


def test_it_tells_the_drawn_faces_and_obeys_the_contract() -> None:
    faces = load("synthetic", n=300, difficulty="easy")
    units = faces.targets["au"]
    names = np.array(FER2013_EMOTIONS)[faces.hard("emotion")]
    rules = clone(RuleClassifier()).fit(units, names)
    assert rules.classes_.tolist() == sorted(FER2013_EMOTIONS)
    assert rules.n_features_in_ == len(SYNTHETIC_AUS)
    assert rules.score(units, names) > 0.95
    assert cross_val_score(RuleClassifier(), units, names, cv=3).min() > 0.9
    shares = rules.predict_proba(units)
    assert shares.shape == (300, 7)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert (rules.classes_[shares.argmax(axis=1)] == rules.predict(units)).all()
    for reason, said in zip(rules.explain(units[:20]), rules.predict(units[:20]), strict=True):
        assert said in reason
    params = RuleClassifier(units=("AU6", "AU12", "AU1"), emotions=("happy", "surprise")).get_params()
    assert params["emotions"] == ("happy", "surprise")


def test_labels_may_be_named_and_keep_their_order() -> None:
    rules = RuleClassifier(("AU6", "AU12", "AU1", "AU2"), ("surprise", "happy")).fit(np.zeros((1, 4)))
    assert rules.classes_.tolist() == ["surprise", "happy"]
    assert rules.predict([[0.9, 0.9, 0, 0], [0, 0, 1, 1]]).tolist() == ["happy", "surprise"]


@pytest.mark.parametrize(
    ("X", "says"),
    [
        ([[0.5] * 3], "not \\(N, 4\\)"),
        ([[0.5, 0.5, 0.5, 1.5]], "outside \\[0, 1\\]"),
        ([[0.5, 0.5, 0.5, float("nan")]], "outside \\[0, 1\\]"),
        ([["a", "b", "c", "d"]], "not an array of numbers"),
    ],
)
def test_bad_input_is_one_sentence(X: list[list[float]], says: str) -> None:
    rules = RuleClassifier(("AU6", "AU12", "AU1", "AU2"), ("surprise", "happy")).fit(np.zeros((1, 4)))
    with pytest.raises(DataError, match=says):
        rules.predict(X)


def test_what_it_needs_first() -> None:
    with pytest.raises(NotFittedError):
        RuleClassifier().predict(np.zeros((1, 17)))
    with pytest.raises(DataError, match="need labels to tell"):
        RuleClassifier().fit(np.zeros((1, 17)))
    with pytest.raises(DataError, match="no rules"):
        RuleClassifier().fit(np.zeros((2, 17)), ["cat", "dog"])
