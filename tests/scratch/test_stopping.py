"""The stopping rule by tables: what was measured, when it is over, and what is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.scratch.stopping import StopRule, best_of, figure_of, improves

E, A = "val_emotion_accuracy", "val_au_binary_accuracy"
BOTH = {A: 0.7, E: 0.8}


def rows(*pairs: tuple[float, float]) -> list[dict[str, Any]]:
    """A history of (emotion, au) figures."""
    return [{"epoch": i + 1, E: e, A: a} for i, (e, a) in enumerate(pairs)]


def ends(rule: StopRule, history: list[dict[str, Any]]) -> tuple[int, str]:
    """At which epoch a training of these rows ends, and why."""
    for n in range(len(history) + 1):
        reason = rule.over(history[:n], n == len(history))
        if reason is not None:
            return n, reason
    raise AssertionError("it never ends")


SLOW = rows((0.5, 0.9), (0.6, 0.6), (0.81, 0.69), (0.79, 0.72), (0.79, 0.7), (0.8, 0.7), (0.9, 0.9))
FLAT = rows((0.5, 0.5), (0.4, 0.6), (0.4, 0.6), (0.4, 0.6), (0.9, 0.9))


@pytest.mark.parametrize(
    ("rule", "history", "epoch", "words"),
    [
        (StopRule(E), SLOW, 7, "all epochs done"),
        (StopRule(E, 2), FLAT, 3, f"no better {E} for 2 epochs"),
        (StopRule(""), FLAT, 5, "all epochs done"),
        # Without validation both are off, which is said.
        (StopRule("", 1), FLAT, 5, "all epochs done; there is no validation part for patience to watch"),
        (
            StopRule("", 1, targets=BOTH),
            SLOW,
            7,
            "all epochs done; there is no validation part for patience and targets to watch",
        ),
        # Both in one epoch: each alone was there before (au at 1 and 4, emotion at 3).
        (
            StopRule(E, targets=BOTH),
            SLOW,
            6,
            f"targets reached at epoch 6: {A} 0.7000 (at least 0.7), {E} 0.8000 (at least 0.8)",
        ),
        # Patience counts from the latest improvement of any: au improved at 2.
        (
            StopRule(E, 2, targets=BOTH),
            FLAT,
            4,
            f"no better {E} or {A} for 2 epochs; targets not reached together: {A} did not reach 0.7 "
            f"(best 0.6000 at epoch 2), {E} did not reach 0.8 (best 0.5000 at epoch 1)",
        ),
        (
            StopRule(E, 2, targets=BOTH, past_patience=True),
            FLAT,
            5,
            f"targets reached at epoch 5, past a patience of 2: {A} 0.9000 (at least 0.7), "
            f"{E} 0.9000 (at least 0.8)",
        ),
        (
            StopRule(E, 2, targets=BOTH, past_patience=True),
            FLAT[:4],
            4,
            f"all epochs done; targets not reached together: {A} did not reach 0.7 (best 0.6000 at epoch 2), "
            f"{E} did not reach 0.8 (best 0.5000 at epoch 1)",
        ),
        (
            StopRule(E, targets=BOTH),
            SLOW[:5],
            5,
            f"all epochs done; targets not reached together: {A} reached 0.7 first at epoch 1, "
            f"{E} reached 0.8 first at epoch 3",
        ),
        # The sum improves at 3 although neither beats its best.
        (StopRule(f"{E} + {A}", 1), rows((0.5, 0.1), (0.1, 0.5), (0.4, 0.4)), 2, f"no better {E} + {A}"),
        (StopRule(f"{E} + {A}", 2), rows((0.5, 0.1), (0.1, 0.5), (0.4, 0.4)), 3, "all epochs done"),
        # min_delta holds for the figures with a target too.
        (StopRule(E, 1, 0.2, {A: 0.9}), FLAT, 2, "no better"),
        # A target is reached in the last epoch: said so, not "all epochs".
        (StopRule(E, targets={E: 0.9}), SLOW, 7, "targets reached at epoch 7"),
    ],
)
def test_table(rule: StopRule, history: list[dict[str, Any]], epoch: int, words: str) -> None:
    found, reason = ends(rule, history)
    assert found == epoch
    assert reason.startswith(words)
    if "targets" not in words and "no better" not in words:
        assert reason == words


def test_losses_fall() -> None:
    history = [{"epoch": i + 1, "val_loss": v} for i, v in enumerate((3.0, 1.0, 2.0, 2.0))]
    assert ends(StopRule("val_loss", 2), history)[0] == 4
    assert ends(StopRule("val_loss", targets={"val_loss": 1.0}), history) == (
        2,
        "targets reached at epoch 2: val_loss 1.0000 (at most 1)",
    )
    assert best_of(history, "val_loss", 0.0) == {"epoch": 2, "value": 1.0}


def test_figure_of() -> None:
    row = {"a": 0.25, "b": 0.5}
    assert figure_of(row, "a") == 0.25
    assert figure_of(row, "a + b") == figure_of(row, "a+b") == 0.75
    assert figure_of(row, "a + c") is figure_of(row, "") is None


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.1]),
)
def test_without_targets_it_counts_from_the_kept_epoch(
    values: list[float], patience: int, delta: float
) -> None:
    """The rule as it was before there were targets, written epoch by epoch."""
    history = [{"epoch": i + 1, E: v} for i, v in enumerate(values)]
    best: dict[str, Any] = {}
    expected = len(history)
    for n, row in enumerate(history, 1):
        if improves(row, best, E, delta):
            best = {"epoch": n, "value": row[E]}
        if n - best["epoch"] >= patience:
            expected = n
            break
    assert ends(StopRule(E, patience, delta), history)[0] == expected
