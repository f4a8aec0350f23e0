"""Training into run folders: what a run records, which names are free, what --force may delete."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from duchenne.errors import DuchenneError, MissingExtraError, RecipeError, RunError
from duchenne.experiment import environment
from duchenne.experiment.run import Run
from duchenne.experiment.train import run_name, train
from duchenne.recipe import Recipe

Make = Callable[..., Recipe]


def test_a_finished_run_records_its_circumstances(trained_once: Run) -> None:
    state = trained_once.state
    assert (state.status, state.reason, state.epochs_done) == ("finished", "all epochs done", 3)
    assert state.num_parameters > 0
    assert state.train_seconds > 0
    data = trained_once.info("data")
    assert data["splits"] == {"train": 170, "val": 35, "test": 35}
    assert len(data["fingerprint"]) == 16
    environment = trained_once.info("environment")
    assert {"python", "torch", "numpy", "duchenne"} <= set(environment["versions"])
    assert str(Path.home()) not in json.dumps(environment)


def test_history_has_one_row_an_epoch_and_best_is_its_maximum(trained_once: Run) -> None:
    rows = trained_once.history()
    assert [r["epoch"] for r in rows] == [1, 2, 3]
    assert {"lr", "seconds", "train_loss", "val_loss", "val_emotion_accuracy", "val_au_macro_f1"} <= set(
        rows[0]
    )
    values = [r["val_emotion_accuracy"] for r in rows]
    best = trained_once.state.best
    assert best == {
        "epoch": int(np.argmax(values)) + 1,
        "monitor": "val_emotion_accuracy",
        "value": max(values),
    }


def test_training_never_notes_a_test_reading(trained_once: Run) -> None:
    assert not (trained_once.path / "test_reads.jsonl").exists()
    assert not (trained_once.path / "metrics").exists()


def test_the_test_part_changes_nothing_in_training(
    tmp_path: Path,
    tiny: Make,
    face_folder: Callable[..., Path],
    assert_same_training: Callable[[Run, Run], None],
) -> None:
    names = {"happy": "happy", "sad": "sad", "angry": "angry"}
    swapped = {"happy": "sad", "sad": "angry", "angry": "happy"}
    splits = {"train": 8, "val": 4}
    runs = []
    for which in ("clean", "poisoned"):
        root = face_folder(tmp_path / which, splits, names)
        face_folder(root, {"test": 4}, names if which == "clean" else swapped, 1, which == "poisoned")
        recipe = tiny(data={"name": "folder", "options": {"path": str(root)}})
        runs.append(train(recipe, runs=tmp_path / "runs", name=which))
    fingerprints = {r.info("data")["fingerprint"] for r in runs}
    assert len(fingerprints) == 2, "the poison did not arrive"
    assert_same_training(*runs)


def test_overrides_are_recorded_and_name_the_run(tmp_path: Path, tiny: Make) -> None:
    sets = ["train.epochs=1", "optimizer.lr=0.02"]
    recipe = tiny(*sets)
    run = train(recipe, runs=tmp_path, overrides=sets)
    assert run.path.name == f"tiny-{recipe.fingerprint()}" == run_name(recipe, sets)
    assert run.state.overrides == sets
    assert run.recipe.optimizer.lr == 0.02
    assert run_name(recipe, ()) == "tiny"


def test_an_existing_run_is_neither_overwritten_nor_resumed_unasked(trained: Run, tiny: Make) -> None:
    before = (trained.path / "run.json").read_bytes()
    with pytest.raises(RunError, match=r"exists \(finished, 3 of 3 epochs\)") as caught:
        train(tiny(), runs=trained.path.parent)
    for option in ("--resume", "--force", "--name"):
        assert option in caught.value.todo
    assert (trained.path / "run.json").read_bytes() == before


def test_resuming_a_finished_run_changes_nothing_learned(
    trained: Run, trained_once: Run, tiny: Make, assert_same_training: Callable[[Run, Run], None]
) -> None:
    again = train(tiny(), runs=trained.path.parent, resume=True)
    assert again.state.status == "finished"
    assert again.state.num_parameters == trained_once.state.num_parameters
    assert_same_training(again, trained_once)


def test_force_starts_over_and_leaves_no_remains(
    trained: Run, trained_once: Run, tiny: Make, assert_same_training: Callable[[Run, Run], None]
) -> None:
    (trained.path / "old").write_text("x")
    run = train(tiny(), runs=trained.path.parent, force=True)
    assert not (run.path / "old").exists()
    assert [p.name for p in trained.path.parent.iterdir()] == ["tiny"]
    assert_same_training(run, trained_once)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("files", [["thesis.txt"], ["run.json"], ["recipe.json", "run"]])
def test_a_folder_that_is_no_run_is_never_deleted(
    tmp_path: Path, tiny: Make, force: bool, files: list[str]
) -> None:
    for file in files:
        (tmp_path / "tiny").mkdir(exist_ok=True)
        (tmp_path / "tiny" / file).write_text("years of work")
    with pytest.raises(RunError, match="is not a run folder"):
        train(tiny(), runs=tmp_path, force=force)
    assert sorted(p.name for p in (tmp_path / "tiny").iterdir()) == sorted(files)


@pytest.mark.parametrize("force", [False, True])
def test_a_file_of_the_runs_name_is_left_alone(tmp_path: Path, tiny: Make, force: bool) -> None:
    (tmp_path / "tiny").write_text("x")
    with pytest.raises(RunError, match="is not a folder"):
        train(tiny(), runs=tmp_path, force=force)
    assert (tmp_path / "tiny").read_text() == "x"


def test_force_keeps_the_old_run_when_the_new_one_cannot_begin(trained: Run, tiny: Make) -> None:
    with pytest.raises(DuchenneError, match="folder"):
        train(tiny(data={"name": "folder"}), runs=trained.path.parent, force=True)
    assert Run.open(trained.path).state.status == "finished"


def test_force_and_resume_exclude_each_other(trained: Run, tiny: Make) -> None:
    with pytest.raises(RecipeError, match="one of the two"):
        train(tiny(), runs=trained.path.parent, force=True, resume=True)
    assert Run.open(trained.path).state.status == "finished"


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/tmp/x", "a\\b", ".hidden", "a\0b"])
def test_a_name_stays_within_the_runs_folder(tmp_path: Path, tiny: Make, name: str) -> None:
    with pytest.raises(RecipeError, match="plain folder name"):
        train(tiny(), runs=tmp_path / "runs", name=name)
    assert not (tmp_path / "runs").exists()


def test_an_empty_folder_may_become_a_run(tmp_path: Path, tiny: Make) -> None:
    (tmp_path / "tiny").mkdir()
    assert train(tiny("train.epochs=1"), runs=tmp_path).state.status == "finished"


def test_names_with_spaces_and_other_letters(tmp_path: Path, tiny: Make) -> None:
    run = train(tiny("train.epochs=1"), runs=tmp_path / "мои опыты", name="été à 2")
    assert Run.open(tmp_path / "мои опыты" / "été à 2").state == run.state


@pytest.mark.parametrize("runs", ["/proc/nowhere", "FILE"])
def test_a_runs_folder_that_cannot_be_written(tmp_path: Path, tiny: Make, runs: str) -> None:
    (tmp_path / "FILE").write_text("x")
    folder = Path(runs) if runs.startswith("/") else tmp_path / runs
    with pytest.raises(RunError, match="cannot be made") as caught:
        train(tiny(), runs=folder)
    assert "--runs" in caught.value.todo


def test_a_loss_that_becomes_nan_is_a_failed_run_with_its_step(tmp_path: Path, tiny: Make) -> None:
    with pytest.raises(DuchenneError, match=r"epoch \d+, step \d+"):
        train(tiny("optimizer.lr=1e30", "optimizer.name=sgd", "train.epochs=5"), runs=tmp_path)
    state = Run.open(tmp_path / "tiny").state
    assert state.status == "failed"
    assert "the loss became" in state.reason


def test_a_defect_is_recorded_and_passed_on(tmp_path: Path, tiny: Make) -> None:
    class Broken:
        def on_start(self, *args: object) -> None:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError):
        train(tiny(), runs=tmp_path, listener=Broken())  # type: ignore[arg-type]
    state = Run.open(tmp_path / "tiny").state
    assert (state.status, state.reason) == ("failed", "ZeroDivisionError: mine")


def test_what_the_export_needs_is_asked_for_before_training(
    tmp_path: Path, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(MissingExtraError, match="onnxscript"):
        train(tiny(), runs=tmp_path)
    assert not (tmp_path / "tiny").exists()


def test_tensorboard_events_are_written_on_request(tmp_path: Path, tiny: Make) -> None:
    run = train(tiny("train.epochs=1"), runs=tmp_path, tensorboard=True)
    assert list((run.path / "tensorboard").glob("events.*"))


def test_a_run_without_an_epoch_needs_no_option_to_begin_again(
    tmp_path: Path, tiny: Make, trained_once: Run, assert_same_training: Callable[[Run, Run], None]
) -> None:
    Run.create(tmp_path / "tiny", tiny("optimizer.lr=0.5"), ["optimizer.lr=0.5"])
    run = train(tiny(), runs=tmp_path)
    assert run.state.overrides == []
    assert_same_training(run, trained_once)


@pytest.mark.parametrize("option", ["resume", "force"])
def test_a_run_that_another_process_trains_is_left_alone(trained: Run, tiny: Make, option: str) -> None:
    code = (
        "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); "
        "print(flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(trained.path / "checkpoints")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        before = trained.state
        with pytest.raises(RunError, match="another process is training"):
            train(tiny(), runs=trained.path.parent, **{option: True})  # type: ignore[arg-type]
        assert trained.state == before
    finally:
        other.communicate(b"\n")
    assert train(tiny(), runs=trained.path.parent, **{option: True}).state.status == "finished"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.model=foo", "no model 'foo'"),
        ("learner.args.filters=[]", "learner.args.filters"),
        ("stop.monitor=val_los", "did you mean 'val_loss'"),
        ("loss.weights.mood=1", "no output 'mood'"),
    ],
)
def test_force_deletes_nothing_when_the_recipe_cannot_train(
    trained: Run, tiny: Make, override: str, message: str
) -> None:
    before = {p: p.read_bytes() for p in trained.path.rglob("*") if p.is_file()}
    with pytest.raises(RecipeError, match=message):
        train(tiny(override), runs=trained.path.parent, name="tiny", force=True)
    assert {p: p.read_bytes() for p in trained.path.rglob("*") if p.is_file()} == before


def test_force_deletes_nothing_when_there_is_no_such_device(trained: Run, tiny: Make) -> None:
    with pytest.raises(RecipeError, match="accelerator 'abacus'"):
        train(tiny(), runs=trained.path.parent, name="tiny", force=True, accelerator="abacus")
    assert trained.checkpoint("best").is_file()
