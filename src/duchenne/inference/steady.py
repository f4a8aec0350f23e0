"""Scores of one face over time, smoothed, and a label that does not flicker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RecipeError
from ..labels import Output
from .records import UNSURE, Score, scores

Floats = npt.NDArray[np.float64]

# By `benchmarks/tracking.py` (drawn people, a model that is right on 56% of the frames) at 5 frames a second:
# 103 changes of the label too many a minute become 5; a true change is said after 0.6 s instead of 0.4 s.
SMOOTH = 0.5  # seconds
MARGIN = 0.1


class Steady:
    """The scores of one face: exponential smoothing of the probabilities, hysteresis of the label.

    After a change the smoothed score has gone 63% of the way in `smooth` seconds, whatever the frame rate:
    a score that was seen dt seconds after the last one weighs 1 - exp(-dt / smooth). The label changes where
    another one's smoothed score leads by `margin`, or has led for twice `smooth`.

    Args:
        outputs: The model's.
        smooth: Time constant in seconds; 0: scores and labels of the frame alone.
        margin: Lead of smoothed score that makes another label the label.
        abstain: Where the label's smoothed score is below, "unsure" is said, until it is above by half the
            margin (or is 1).

    Raises:
        RecipeError: A value out of range.
    """

    def __init__(
        self, outputs: Sequence[Output], smooth: float = SMOOTH, margin: float = MARGIN, abstain: float = 0.0
    ) -> None:
        check_smoothing(smooth, margin)
        self._outputs, self._smooth, self._margin, self._abstain = outputs, smooth, margin, abstain
        self._probs: dict[str, Floats] = {}
        self._label: dict[str, int] = {}
        self._unsure: dict[str, bool] = {}
        self._led: dict[str, tuple[int, float]] = {}  # which label is best, and since when
        self._time = 0.0

    def update(
        self, time: float, seen: Mapping[str, Sequence[Score]]
    ) -> tuple[dict[str, list[Score]], dict[str, str]]:
        """Take the scores of the next frame (of a record's face).

        Returns:
            Per output the smoothed scores, best first; and per ``single`` output the steady label.
        """
        passed = max(time - self._time, 0.0)
        weight = 1.0 if self._smooth == 0 else 1 - math.exp(-passed / self._smooth)
        self._time = time
        labels: dict[str, str] = {}
        for output in self._outputs:
            by_label = {s["label"]: s["score"] for s in seen[output.name]}
            now = np.array([by_label[label] for label in output.labels])
            old = self._probs.get(output.name)
            self._probs[output.name] = now if old is None else old + weight * (now - old)
            if output.kind == "single":
                labels[output.name] = self._say(output)
        probs: dict[str, npt.NDArray[Any]] = {k: p[None].astype(np.float32) for k, p in self._probs.items()}
        return scores(self._outputs, probs, 0), labels

    def _say(self, output: Output) -> str:
        name, p = output.name, self._probs[output.name]
        best = int(np.argmax(p))
        label = self._label.get(name, best)
        if self._led.get(name, (-1, 0.0))[0] != best:
            self._led[name] = best, self._time
        # Where all scores are near each other no lead is large: it counts when it lasts.
        lasting = self._time - self._led[name][1] >= 2 * self._smooth
        if p[best] >= p[label] + self._margin or lasting:
            label = best
        self._label[name] = label
        was = self._unsure.get(name, False)
        least = min(self._abstain + self._margin / 2, 1.0) if was else self._abstain
        self._unsure[name] = bool(p[label] < least)
        return UNSURE if self._unsure[name] else output.labels[label]


def check_smoothing(smooth: float, margin: float = MARGIN) -> None:
    """Raise RecipeError where a value is out of range."""
    if not (math.isfinite(smooth) and smooth >= 0):
        raise RecipeError(f"smooth must be at least 0 seconds, not {smooth:g}")
    if not 0 <= margin <= 1:
        raise RecipeError(f"margin must be from 0 to 1, not {margin:g}")
