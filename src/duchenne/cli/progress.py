"""Progress on standard error: bars on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class TrainingProgress:
    """A listener of training (`duchenne.learners.contract.Listener`): a bar per epoch and a line per epoch.

    Picklable: the bar is made where the training runs.
    """

    def __init__(self, monitor_outputs: tuple[str, ...] = (), quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._epochs = self._steps = 0

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        """Open the bar."""
        self._epochs, self._steps = epochs, steps_per_epoch
        if epochs_done and not self.quiet:
            print(f"going on after epoch {epochs_done} of {epochs}", file=sys.stderr)
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(f"epoch {epochs_done + 1}/{epochs}", total=steps_per_epoch)

    def on_batch(self, step: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        """Print the epoch's line."""
        if self.quiet:
            return
        line = epoch_line(row, self._epochs) + ("  *" if best.get("epoch") == row["epoch"] else "")
        if self._bar is None:
            print(line, file=sys.stderr, flush=True)
            return
        self._bar.console.print(line, highlight=False)
        if row["epoch"] < self._epochs:
            self._bar.reset(
                self._task, description=f"epoch {row['epoch'] + 1}/{self._epochs}", total=self._steps
            )

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Take the bar away; where it was Ctrl-C, say how to go on."""
        self.close()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print(
                "stopped; the same command with --resume goes on after the last finished epoch",
                file=sys.stderr,
            )

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """One epoch in one line: losses, the first figure of each output, time."""
    parts = [f"epoch {row['epoch']}/{epochs}", f"{row['seconds']:.1f} s"]
    if "lr" in row:  # trees have none
        parts.append(f"lr {row['lr']:.2e}")
    for split in ("train", "val"):
        figures = [
            f"{key.removeprefix(split + '_')} {value:.4f}" for key, value in row.items() if _shown(key, split)
        ]
        if figures:
            parts.append(f"{split}: " + ", ".join(figures))
    return "  ".join(parts)


def _shown(key: str, split: str) -> bool:
    return key == f"{split}_loss" or (key.startswith(f"{split}_") and key.endswith("accuracy"))


@contextmanager
def counting(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress function of (label, done, total) on standard error; silent where that is no terminal.

    The bar comes after a second of work and goes when its count is full.
    """
    bar: Any = None
    task: Any = None
    label_now, begun = "", 0.0

    def tell(label: str, done: int, total: int) -> None:
        nonlocal bar, task, label_now, begun
        if label != label_now:
            label_now, begun = label, time.monotonic()
        if bar is None and done < total and time.monotonic() - begun >= 1:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            bar.start()
            task = bar.add_task(f"{what} {label}", total=total)
        if bar is not None:
            bar.update(task, completed=done)
            if done >= total:
                bar.stop()
                bar = None

    try:
        yield tell if sys.stderr.isatty() else (lambda label, done, total: None)
    finally:
        if bar is not None:
            bar.stop()
