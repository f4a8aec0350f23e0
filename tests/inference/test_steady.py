"""Smoothing that does not depend on the frame rate, and labels that do not flicker."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from duchenne.errors import RecipeError
from duchenne.inference.records import Score
from duchenne.inference.steady import Steady
from duchenne.labels import Output

OUTPUTS = (Output("emotion", "single", ("happy", "sad")), Output("au", "multi", ("AU6",)))


def seen(happy: float, au: float = 0.5) -> dict[str, list[Score]]:
    two: list[Score] = [{"label": "happy", "score": happy}, {"label": "sad", "score": 1 - happy}]
    return {"emotion": sorted(two, key=lambda s: -s["score"]), "au": [{"label": "AU6", "score": au}]}


def score(smoothed: dict[str, list[Score]], label: str) -> float:
    return next(s["score"] for s in smoothed["emotion"] if s["label"] == label)


@pytest.mark.parametrize("fps", [4, 10, 20, 100])
def test_a_step_has_gone_63_percent_after_the_time_constant_at_any_rate(fps: int) -> None:
    steady = Steady(OUTPUTS, smooth=0.5)
    steady.update(0.0, seen(0.0))
    for i in range(1, fps // 2 + 1):
        smoothed, _ = steady.update(i / fps, seen(1.0, 0.5))
    assert score(smoothed, "happy") == pytest.approx(1 - math.exp(-1), abs=1e-6)
    assert smoothed["au"][0]["score"] == 0.5


def test_it_is_the_recursion_with_uneven_times() -> None:
    steady, rng = Steady(OUTPUTS, smooth=0.3), np.random.default_rng(0)
    time, want = 0.0, None
    for value in rng.random(30):
        passed = float(rng.random())
        time += passed
        want = (
            value if want is None else want * math.exp(-passed / 0.3) + value * (1 - math.exp(-passed / 0.3))
        )
        smoothed, labels = steady.update(time, seen(float(value)))
        assert score(smoothed, "happy") == pytest.approx(want, abs=1e-5)
        assert score(smoothed, "happy") + score(smoothed, "sad") == pytest.approx(1, abs=1e-5)
        assert smoothed["emotion"][0]["score"] >= 0.5
        assert set(labels) == {"emotion"}


def changes(labels: list[str]) -> int:
    return sum(a != b for a, b in pairwise(labels))


def test_a_flicker_about_the_middle_gives_one_label() -> None:
    rng = np.random.default_rng(1)
    values = np.clip(0.5 + 0.2 * rng.standard_normal(200), 0, 1).tolist()
    raw = ["happy" if v >= 0.5 else "sad" for v in values]
    steady = Steady(OUTPUTS, smooth=0.5)
    said = [steady.update(i / 10, seen(v))[1]["emotion"] for i, v in enumerate(values)]
    assert changes(raw) > 60
    assert changes(said) <= changes(raw) / 8


def test_a_small_lead_counts_once_it_lasts() -> None:
    steady = Steady(OUTPUTS, smooth=0.5, margin=0.2)
    steady.update(0.0, seen(0.6))
    said = [steady.update(i / 10, seen(0.45))[1]["emotion"] for i in range(1, 40)]
    assert said[0] == "happy"
    assert said[-1] == "sad"
    # 0.45 + 0.15 exp(-t / 0.5) falls below 0.5 at 0.55 s; the lead lasts 2 x 0.5 s from the frame at 0.6 s.
    assert said.index("sad") == 16 - 1


def test_without_smoothing_and_margin_it_is_the_raw_label() -> None:
    steady = Steady(OUTPUTS, smooth=0, margin=0)
    for i, value in enumerate([0.9, 0.1, 0.8, 0.3]):
        smoothed, labels = steady.update(i / 10, seen(value))
        assert score(smoothed, "happy") == pytest.approx(value, abs=1e-6)
        assert labels["emotion"] == ("happy" if value > 0.5 else "sad")


def test_unsure_has_its_own_hysteresis() -> None:
    steady = Steady(OUTPUTS, smooth=0, margin=0.1, abstain=0.7)
    said = [
        steady.update(i, seen(v))[1]["emotion"] for i, v in enumerate([0.8, 0.69, 0.72, 0.74, 0.76, 0.71])
    ]
    assert said == ["happy", "unsure", "unsure", "unsure", "happy", "happy"]


def test_values_out_of_range() -> None:
    for bad in ({"smooth": -1.0}, {"smooth": math.nan}, {"margin": 1.5}):
        with pytest.raises(RecipeError, match="must be"):
            Steady(OUTPUTS, **bad)
