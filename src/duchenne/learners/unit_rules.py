"""Emotion from action-unit probabilities as a scikit-learn estimator: rules, nothing learned; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ..datasets.prototypes import SYNTHETIC_AUS
from ..errors import DataError
from ..evaluation.unit_rules import UnitRules, make_rules

Array = npt.NDArray[Any]


class RuleClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Calls a face by the prototype of EMFACS that its action units fit best, and says why.

    ``fit`` learns nothing of the figures; it takes the labels to tell from `emotions` or from y.

    Args:
        units: Names of X's columns.
        emotions: Labels to tell, in the order of the answers; None: those of y, sorted.

    Attributes:
        classes_: ``(K,)`` str, the labels.
        n_features_in_: A.
        rules_: The prototypes in use; ``rules_.untold``: labels that no rule speaks for.

    Source: `duchenne.evaluation.unit_rules`.
    """

    def __init__(self, units: Sequence[str] = SYNTHETIC_AUS, emotions: Sequence[str] | None = None) -> None:
        self.units = units
        self.emotions = emotions

    def fit(self, X: Array, y: Any = None) -> Self:
        """Choose the rules.

        Args:
            X: ``(N, A)`` probabilities of the units, in [0, 1].
            y: ``(N,)`` labels; needed where `emotions` is None.

        Raises:
            DataError: X is no such array, no labels, or fewer than two that rules can tell.
        """
        if self.emotions is None and y is None:
            raise DataError("rules need labels to tell: emotions=(...), or fit(X, y)")
        labels = sorted(set(map(str, np.asarray(y).tolist()))) if self.emotions is None else self.emotions
        rules = make_rules(self.units, labels)
        self._checked(X, len(rules.units))
        self.rules_: UnitRules = rules
        self.classes_ = np.array(rules.labels)
        self.n_features_in_ = len(rules.units)
        return self

    def predict_proba(self, X: Array) -> npt.NDArray[np.float32]:
        """``(N, K)`` what each label's best prototype has of all; a ranking, not a calibrated probability."""
        rules = self._rules()
        return rules.probs(self._checked(X, self.n_features_in_))

    def predict(self, X: Array) -> Array:
        """``(N,)`` labels."""
        rules = self._rules()
        return np.asarray(self.classes_[rules.scores(self._checked(X, self.n_features_in_)).argmax(axis=1)])

    def explain(self, X: Array) -> list[str]:
        """Why, a sentence a face: ``"AU6 .91 and AU12 .88 say happy"``."""
        rules = self._rules()
        return rules.reasons(self._checked(X, self.n_features_in_))

    def _rules(self) -> UnitRules:
        if not hasattr(self, "rules_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this RuleClassifier is not fitted yet: call fit first")
        return self.rules_

    @staticmethod
    def _checked(X: Array, columns: int) -> npt.NDArray[np.float64]:
        try:
            values = np.asarray(X, np.float64)
        except (TypeError, ValueError):
            raise DataError("X is not an array of numbers") from None
        if values.ndim != 2 or values.shape[1] != columns:
            raise DataError(f"X has shape {values.shape}, not (N, {columns}): a column an action unit")
        if not ((values >= 0) & (values <= 1)).all():  # nan fails both
            raise DataError("X holds values outside [0, 1]: it takes probabilities")
        return values
