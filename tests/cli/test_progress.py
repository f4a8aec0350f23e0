"""Progress: lines where there is no terminal, one bar at a time where there is one."""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

import pytest

from duchenne.cli.progress import TrainingProgress, counting, epoch_line

ROW = {
    "epoch": 1, "lr": 0.001, "seconds": 1.25, "train_loss": 1.5, "train_emotion_accuracy": 0.5,
    "val_loss": 1.25, "val_emotion_accuracy": 0.625, "val_emotion_macro_f1": 0.3,
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(patch: pytest.MonkeyPatch) -> Terminal:
    """Standard error from now on (a fixture would be undone by pytest's own capturing)."""
    out = Terminal()
    patch.setenv("TERM", "xterm")
    patch.setattr(sys, "stderr", out)
    return out


def test_an_epoch_in_one_line() -> None:
    assert epoch_line(ROW, 8) == (
        "epoch 1/8  1.2 s  lr 1.00e-03  train: loss 1.5000, emotion_accuracy 0.5000"
        "  val: loss 1.2500, emotion_accuracy 0.6250"
    )


def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TrainingProgress()
    bar.on_start(2, 8, 10)
    bar.on_batch(1)
    bar.on_epoch(ROW, [ROW], {"epoch": 1})
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["going on after epoch 2 of 8", epoch_line(ROW, 8) + "  *"]


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    bar = TrainingProgress(quiet=True)
    bar.on_start(2, 8, 10)
    bar.on_batch(1)
    bar.on_epoch(ROW, [ROW], {})
    bar.close()
    assert shown.getvalue() == ""


def test_a_bar_and_lines_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    bar = TrainingProgress()
    bar.on_start(0, 2, 10)
    for step in (1, 10):
        bar.on_batch(step)
    bar.on_epoch(ROW, [ROW], {})
    bar.on_batch(10)
    bar.on_epoch(ROW | {"epoch": 2}, [ROW], {})
    bar.close()
    bar.close()
    assert "emotion_accuracy 0.6250" in shown.getvalue()
    assert "10/10" in shown.getvalue()


def test_training_then_counting_share_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    clock = [0.0]
    monkeypatch.setattr("duchenne.cli.progress.time.monotonic", lambda: clock[0])
    with counting("evaluating") as tell:
        bar = TrainingProgress()
        bar.on_start(0, 1, 2)
        bar.on_epoch(ROW, [ROW], {})
        bar.close()
        for label in ("val", "test"):
            for done in (1, 2, 3):
                tell(label, done, 3)
                clock[0] += 2.0
        again = TrainingProgress()
        again.on_start(0, 1, 2)  # the count was full, so the terminal is free
        again.close()
    assert "evaluating val" in shown.getvalue()
    assert "evaluating test" in shown.getvalue()


def test_counting_is_silent_when_it_is_quick_or_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with counting("evaluating") as tell:
        tell("val", 1, 2)
        tell("val", 2, 2)
    assert shown.getvalue() == ""
    out: Any = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr("duchenne.cli.progress.time.monotonic", iter(range(0, 100, 10)).__next__)
    with counting("evaluating") as tell:
        for done in (1, 2, 3):
            tell("val", done, 3)
    assert out.getvalue() == ""


def test_it_travels_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(TrainingProgress(quiet=True))).quiet is True
