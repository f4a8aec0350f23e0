"""What a metric is: a number from one output's probabilities and truth, and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from ..errors import RecipeError
from ..labels import Kind
from . import classification, multilabel
from .predictions import Predictions

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A named figure of one output. Call it with `Predictions` and the output's name.

    Attributes:
        kind: Which outputs it measures.
        direction: ``"max"`` where larger is better, ``"min"`` where smaller is.
        compute: Of ``(probs, targets)`` for a ``single`` output, of ``(probs, targets, mask)`` for a ``multi`` one.
            nan where nothing is annotated.
        top: The largest value it can take (the smallest is 0).
    """

    kind: Kind
    direction: Literal["max", "min"]
    compute: Callable[..., float]
    top: float = 1.0

    def __call__(self, p: Predictions, name: str) -> float:
        """Measure one output.

        Raises:
            RecipeError: The output is of the other kind.
            DataError: There is no such output, or it has no truth.
        """
        output, targets = p.output(name), p.truth(name)
        if output.kind != self.kind:
            raise RecipeError(f"this metric measures {self.kind} outputs; '{name}' is a {output.kind} one")
        if self.kind == "single":
            return float(self.compute(p.probs[name], targets))
        return float(self.compute(p.probs[name], targets, p.annotated(name)))


def of_confusion(name: str) -> Callable[[Array, Array], float]:
    """One figure of `classification.averages`."""
    return lambda probs, targets: float(
        classification.averages(classification.confusion_of(probs, targets))[name]
    )


def of_counts(name: str) -> Callable[[Array, Array, Array], float]:
    """One figure of `multilabel.averages`."""
    return lambda probs, targets, mask: float(
        multilabel.averages(multilabel.sample_counts(probs, targets, mask).sum(axis=0))[name]
    )


def of_top(k: int) -> Callable[[Array, Array], float]:
    """Top-k accuracy."""
    return lambda probs, targets: classification.top_k(probs, targets, k)
