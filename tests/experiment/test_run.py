"""Run folders: what is stored comes back, damage is named, nothing is left half done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from duchenne.errors import RunError
from duchenne.experiment.run import Run, write_json, write_text
from duchenne.recipe import Recipe


@pytest.fixture
def run(tmp_path: Path, tiny: Callable[..., Recipe]) -> Run:
    return Run.create(tmp_path / "runs" / "a", tiny(), ["train.epochs=3"])


def test_a_new_run_holds_recipe_and_state(run: Run, tiny: Callable[..., Recipe]) -> None:
    opened = Run.open(run.path)
    assert opened.recipe == tiny()
    state = opened.state
    assert (state.name, state.recipe_id, state.status, state.epochs_done) == ("a", "tiny", "running", 0)
    assert state.overrides == ["train.epochs=3"]
    assert state.epochs_planned == 3
    assert [p.name for p in run.path.parent.iterdir()] == ["a"]


def test_creation_that_dies_leaves_no_folder_under_the_name(
    tmp_path: Path, tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: Run, state: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save_state", die)
    with pytest.raises(KeyboardInterrupt):
        Run.create(tmp_path / "a", tiny(), [])
    assert not (tmp_path / "a").exists()


def test_open_names_the_runs_that_are_there(run: Run) -> None:
    hidden = run.path.with_name(".b.1.old")
    hidden.mkdir()
    (hidden / "run.json").write_text("{}")
    with pytest.raises(RunError, match="is not a run folder") as caught:
        Run.open(run.path.parent / "nope")
    assert caught.value.todo == "runs there: a"
    with pytest.raises(RunError, match="duchenne train ID"):
        Run.open(run.path.parent / "none" / "nope")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"),
        ('{"name": "a"}', "is damaged"),
        ('{"unknown": 1}', "is damaged"),
        (None, "schema 99; this version reads 1"),
    ],
)
def test_a_damaged_state_is_named(run: Run, content: str | None, said: str) -> None:
    if content is None:
        content = json.dumps(asdict(run.state) | {"schema": 99})
    (run.path / "run.json").write_text(content)
    with pytest.raises(RunError, match=said):
        _ = Run.open(run.path).state


def test_history_is_strict_json_and_names_a_damaged_line(run: Run) -> None:
    assert run.history() == []
    run.save_history([{"epoch": 1, "val_loss": float("nan")}, {"epoch": 2, "val_loss": float("inf")}])
    text = (run.path / "history.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert run.history() == [{"epoch": 1, "val_loss": None}, {"epoch": 2, "val_loss": None}]
    (run.path / "history.jsonl").write_text(text + '{"epoch": 3')
    with pytest.raises(RunError, match="line 3 is damaged"):
        run.history()


def test_test_reads_are_appended(run: Run) -> None:
    run.note_test_read("evaluate test", 2)
    run.note_test_read("evaluate folder-test", 3)
    rows = [json.loads(line) for line in (run.path / "test_reads.jsonl").read_text().splitlines()]
    assert [(r["command"], r["epoch"]) for r in rows] == [("evaluate test", 2), ("evaluate folder-test", 3)]


def test_metrics_come_back_by_name(run: Run) -> None:
    run.save_metrics("val", {"n": 3})
    run.save_metrics("folder-test", {"n": 4})
    assert run.metrics() == {"val": {"n": 3}, "folder-test": {"n": 4}}


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "a", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_write_that_is_interrupted_leaves_no_scratch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a", "new")
    assert list(tmp_path.iterdir()) == []
