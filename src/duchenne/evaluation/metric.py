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
        direction: ``"max"`` where larger is better, ``"min"`` where smaller is.
        single: Of ``(probs, targets)`` of a ``single`` output; None where it does not measure such.
        multi: Of ``(probs, targets, mask)`` of a ``multi`` output; None where it does not measure such.
        top: The largest value it can take (the smallest is 0).
    """

    direction: Literal["max", "min"]
    single: Callable[[Array, Array], float] | None = None
    multi: Callable[[Array, Array, Array], float] | None = None
    top: float = 1.0

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of output that it measures."""
        kinds: tuple[Kind, ...] = ("single", "multi")
        return tuple(k for k in kinds if getattr(self, k) is not None)

    def __call__(self, p: Predictions, name: str) -> float:
        """Measure one output; nan where nothing is annotated.

        Raises:
            RecipeError: The output is of a kind that it does not measure.
            DataError: There is no such output, or it has no truth.
        """
        output, targets = p.output(name), p.truth(name)
        if output.kind == "single" and self.single is not None:
            return float(self.single(p.probs[name], targets))
        if output.kind == "multi" and self.multi is not None:
            return float(self.multi(p.probs[name], targets, p.annotated(name)))
        raise RecipeError(
            f"this metric does not measure '{name}', a {output.kind}-label output",
            f"it measures: {', '.join(self.kinds)}",
        )


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
