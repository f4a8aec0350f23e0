"""Learning-rate schedules as pure functions of progress."""

from __future__ import annotations

import math

from ..recipe import Schedule


def _power(rate: float, exponent: float) -> float:
    """rate ** exponent, infinite where Python would refuse; the loop then stops and says so."""
    try:
        return float(rate**exponent)
    except OverflowError:
        return math.inf


def factor(spec: Schedule, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """Factor on the initial learning rate for update number `step` (from 0).

    Args:
        spec: The schedule; its docstring has the formulas.
        step: Updates made before this one.
        steps_per_epoch: Updates in an epoch.
        total_steps: Updates in the whole training.
    """
    if spec.name == "constant":
        return 1.0
    if spec.name == "epoch_decay":
        return _power(spec.rate, step // steps_per_epoch)
    if spec.name == "exponential":
        exponent = step // spec.every if spec.staircase else step / spec.every
        return _power(spec.rate, exponent)
    if spec.name == "inverse_time":
        return 1.0 / (1.0 + spec.rate * step)
    warm = round(spec.warmup * total_steps)
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, total_steps - warm)
    return spec.floor + (1 - spec.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
