"""When training is over, and which epoch is the best: pure functions of the history, so that a resumed
training decides as an unbroken one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


def terms(monitor: str) -> list[str]:
    """The figures of a monitor: one, or several joined by "+"."""
    return [term.strip() for term in monitor.split("+")]


def lower_is_better(monitor: str) -> bool:
    """Losses fall, all other figures rise."""
    return monitor.endswith("loss")


def figure_of(row: Row, monitor: str) -> Any:
    """The monitored value of a history row: a figure, or the sum of several; None where one is not there."""
    values = [row.get(term) for term in terms(monitor)]
    return None if None in values else values[0] if len(values) == 1 else sum(values)


def improves(row: Row, best: Row, monitor: str, min_delta: float) -> bool:
    """Whether a row beats the best one ({"value": ...}); without a monitor every row does."""
    if not monitor or best.get("value") is None:
        return True
    gain = figure_of(row, monitor) - best["value"]
    return bool((-gain if lower_is_better(monitor) else gain) > min_delta)


def best_of(history: Sequence[Row], monitor: str, min_delta: float) -> dict[str, Any]:
    """{"epoch", "value"} of the best row, the earliest of equals; empty without rows."""
    best: dict[str, Any] = {}
    for row in history:
        if improves(row, best, monitor, min_delta):
            best = {"epoch": row["epoch"], "value": figure_of(row, monitor)}
    return best


def reaches(row: Row, name: str, target: float) -> bool:
    """Whether a figure is at its target or better."""
    return bool(row[name] <= target if lower_is_better(name) else row[name] >= target)


@dataclass(frozen=True)
class StopRule:
    """When to stop before all epochs are done.

    Attributes:
        monitor: A history key, or several joined by " + "; "": no validation, and the rule is off.
        patience: Stop after so many epochs in which neither the monitor nor a figure with a target improved.
        min_delta: What counts as an improvement.
        targets: Stop after the first epoch in which every one of these figures is at its target or better.
        past_patience: Until then go on, whatever the patience says.
    """

    monitor: str = ""
    patience: int | None = None
    min_delta: float = 0.0
    targets: Mapping[str, float] = field(default_factory=dict)
    past_patience: bool = False

    def over(self, history: Sequence[Row], all_done: bool) -> str | None:
        """Why training is over after these epochs, or None.

        Args:
            history: The rows of all epochs so far.
            all_done: Whether these are all that were planned.
        """
        targets = self.targets if self.monitor else {}
        if history and targets and all(reaches(history[-1], k, v) for k, v in targets.items()):
            return self._reached(history)
        if all_done:
            return "all epochs done" + (self._missed(history) if self.monitor else self._off())
        if not history or not self.monitor or self.patience is None or (targets and self.past_patience):
            return None
        if self._waited(history) < self.patience:
            return None
        watched = [self.monitor, *(k for k in targets if k != self.monitor)]
        return f"no better {' or '.join(watched)} for {self.patience} epochs" + self._missed(history)

    def _off(self) -> str:
        """That what was asked for could not be watched."""
        asked = [name for name, given in (("patience", self.patience), ("targets", self.targets)) if given]
        return f"; there is no validation part for {' and '.join(asked)} to watch" if asked else ""

    def _waited(self, history: Sequence[Row]) -> int:
        """Epochs since the latest improvement of anything watched."""
        watched = {self.monitor, *self.targets}
        latest = max(best_of(history, name, self.min_delta)["epoch"] for name in watched)
        return int(history[-1]["epoch"] - latest)

    def _reached(self, history: Sequence[Row]) -> str:
        row = history[-1]
        parts = [
            f"{name} {row[name]:.4f} ({'at most' if lower_is_better(name) else 'at least'} {target:g})"
            for name, target in self.targets.items()
        ]
        past = ""
        if self.patience is not None and len(history) > 1 and self.past_patience:
            longest = max(self._waited(history[:n]) for n in range(1, len(history)))
            past = f", past a patience of {self.patience}" if longest >= self.patience else ""
        return f"targets reached at epoch {row['epoch']}{past}: {', '.join(parts)}"

    def _missed(self, history: Sequence[Row]) -> str:
        """What became of each target where they were never reached together."""
        if not self.targets or not history:
            return ""
        parts = []
        for name, target in self.targets.items():
            first = next((r["epoch"] for r in history if reaches(r, name, target)), None)
            best = best_of(history, name, 0.0)
            parts.append(
                f"{name} reached {target:g} first at epoch {first}"
                if first is not None
                else f"{name} did not reach {target:g} (best {best['value']:.4f} at epoch {best['epoch']})"
            )
        return f"; targets not reached together: {', '.join(parts)}"
