"""Searches on drawn faces with the NumPy engine: what is kept, what is refused, that it goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duchenne.datasets import load
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import DataError, RecipeError, RunError, TrainingError
from duchenne.experiment.search import Search, Trial, search, work
from duchenne.experiment.search.shared import Shared
from duchenne.experiment.search.space import overridden
from duchenne.experiment.search.storage import hidden
from duchenne.recipe import Recipe, load_recipe, parse_recipe

SPACE: dict[str, Any] = {
    "optimizer.lr": {"low": 1e-3, "high": 1.0, "log": True},
    "learner.args.hidden": [[4], [8, 4]],
}


def recipe(space: dict[str, Any] | None = None, *overrides: str, **tune: Any) -> Recipe:
    raw = {
        "id": "tiny", "title": "tiny",
        "data": {"name": "synthetic", "outputs": ["emotion"], "options": {"n": 210, "difficulty": "easy"}},
        "preprocess": {"size": [12, 12]},
        "learner": {"name": "scratch", "args": {"hidden": [4]}},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"epochs": 3, "batch_size": 50},
        "tune": {"space": SPACE if space is None else space, "trials": 4} | tune,
    }  # fmt: skip
    return parse_recipe(raw, "tiny", overrides)


def ended(found: Search) -> list[Trial]:
    return [t for t in found.trials if t.settled]


class Listening:
    """A listener that may break off within the third trial."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error, self.stages = error, []  # type: ignore[var-annotated]

    def on_start(self, search: Search, planned: int, settled: int) -> None:
        self.started = (planned, settled)

    def on_stage(self, words: str) -> None:
        self.stages.append(words)

    def on_trial(self, trial: Trial, best: Trial | None, settled: int, planned: int) -> None:
        if self.error is not None and trial.state == "running" and settled == 2:
            raise self.error


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A finished search of four trials; read it only."""
    return search(recipe(), runs=tmp_path_factory.mktemp("runs"))


def test_a_trial_is_the_training_of_its_recipe(finished: Search, tmp_path: Path) -> None:
    from duchenne.experiment.train import train

    trial = finished.trials[1]
    run = train(overridden(finished.recipe, trial.params), runs=tmp_path)
    same = [{k: v for k, v in row.items() if k != "seconds"} for row in run.history()]
    kept = [{k: v for k, v in row.items() if k != "seconds"} for row in trial.history]
    for ours, theirs in zip(kept, same, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert (trial.best_epoch, trial.value) == (
        run.state.best["epoch"],
        pytest.approx(run.state.best["value"]),
    )


def test_what_a_finished_search_holds(finished: Search) -> None:
    trials = finished.trials
    assert [t.number for t in trials] == [0, 1, 2, 3]
    assert all(t.state == "complete" and t.epochs == 3 and t.seconds > 0 for t in trials)
    for t in trials:
        values = [row["val_emotion_accuracy"] for row in t.history]
        assert t.value == pytest.approx(max(values), rel=1e-5)
        assert t.best_epoch == 1 + values.index(max(values))
    best = finished.best
    assert best is not None
    assert best.value == max(t.value or 0 for t in trials)
    assert finished.state.status == "finished"
    assert finished.state.monitor == "val_emotion_accuracy"
    assert finished.info("data")["splits"]["test"] > 0


def test_the_winner_is_a_recipe_that_train_takes(finished: Search) -> None:
    best = finished.best
    assert best is not None
    written = load_recipe(finished.best_recipe)
    assert written.id == "tiny-best"
    assert written.train.epochs == finished.recipe.train.epochs
    wanted = overridden(finished.recipe, best.params)
    assert written.fingerprint() == wanted.fingerprint()
    assert written.tune is None
    head = finished.best_recipe.read_text(encoding="utf-8").splitlines()[:4]
    assert all(line.startswith("# ") for line in head)
    assert f"Trial {best.number}, val_emotion_accuracy {best.value:.4f}" in "".join(head)


def test_more_trials_are_added_and_old_ones_stay(finished: Search, tmp_path: Path) -> None:
    first = search(recipe(), runs=tmp_path, trials=2)
    before = first.trials
    more = search(recipe(), runs=tmp_path, trials=4)
    assert more.trials[:2] == before
    assert [t.params for t in more.trials] == [t.params for t in finished.trials]
    again = search(recipe(), runs=tmp_path, trials=4)
    assert again.trials == more.trials


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (recipe({"optimizer.lr": [0.1]}), "tune.space.optimizer.lr"),
        (recipe(None, "optimizer.momentum=0.5"), "optimizer.momentum = 0.0, now 0.5"),
        (recipe(None, "tune.seed=3"), "tune.seed = 0, now 3"),
        (recipe(None, "tune.pruner=halving"), "tune.pruner = none, now halving"),
    ],
)
def test_other_settings_are_refused_by_name(finished: Search, other: Recipe, words: str) -> None:
    before = finished.trials
    with pytest.raises(RunError, match="begun with other settings") as caught:
        search(other, runs=finished.path.parent)
    assert words in caught.value.what
    assert finished.trials == before
    assert finished.recipe == recipe()


def test_other_data_are_refused(finished: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(recipe: Recipe, root: Path | None) -> FaceSet:
        faces = load("synthetic", n=210, difficulty="easy", seed=5)
        return faces.keep_outputs(["emotion"])

    monkeypatch.setattr(work, "build_faces", other)
    with pytest.raises(RunError, match="the data changed"):
        search(recipe(), runs=finished.path.parent)


class Guarded:
    """Pixels that may not be read where the split is test."""

    def __init__(self, faces: FaceSet) -> None:
        self.images, self.secret = faces.images, {int(r) for r in faces.rows[faces.split == "test"]}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        assert int(index) not in self.secret, "the test part was read"
        return self.images[int(index)]


@pytest.mark.parametrize("learner", ["scratch", "torch"])
def test_the_test_part_is_never_read(learner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def guarded(recipe: Recipe, root: Path | None) -> FaceSet:
        faces = load("synthetic", n=140, difficulty="easy").keep_outputs(["emotion"])
        return dataclasses.replace(faces, images=Guarded(faces))

    with pytest.raises(AssertionError, match="the test part was read"):
        guarded(recipe(), None).where("test").pixels()
    monkeypatch.setattr(work, "build_faces", guarded)
    tried = recipe({"optimizer.lr": [0.01, 0.1]}, "train.epochs=1")
    if learner == "torch":
        raw = tried.to_dict() | {"learner": {"model": "smallnet", "args": {"filters": [2]}}}
        tried = parse_recipe(raw, "tiny")
    assert len(ended(search(tried, runs=tmp_path, trials=2, accelerator="cpu"))) == 2


def test_a_trial_that_diverges_fails_with_its_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    found = search(recipe({"optimizer.lr": [0.1, 3.3e38]}, method="grid"), runs=tmp_path)
    good, bad = found.trials
    assert (good.state, bad.state) == ("complete", "failed")
    assert "became" in bad.reason
    assert not bad.lost
    assert found.best == good


def test_all_trials_failed_is_an_error_that_keeps_what_happened(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="none of the 2 trials came through; for example"):
        search(recipe({"optimizer.lr": [3.3e38, 3.4e38]}, method="grid"), runs=tmp_path)
    found = Search.open(tmp_path / "tiny-search")
    assert [t.state for t in found.trials] == ["failed", "failed"]
    assert found.state.status == "failed"
    assert not found.best_recipe.exists()


@pytest.mark.parametrize("method", ["tpe", "one_at_a_time"])
def test_methods_come_to_their_end(method: str, tmp_path: Path) -> None:
    space: dict[str, Any] = (
        SPACE if method == "tpe" else {"optimizer.lr": [1e-3, 0.3], "optimizer.momentum": [0.5]}
    )
    tried = recipe(space, "train.epochs=1", method=method)
    listening = Listening()
    found = search(tried, runs=tmp_path, listener=listening)
    assert found.state.status == "finished"
    assert len(listening.stages) == (1 if method == "tpe" else 2)
    assert list(found.state.stages.values()) == listening.stages
    if method == "one_at_a_time":
        assert [t.stage for t in found.trials] == ["optimizer.lr"] * 2 + ["optimizer.momentum"]
        first = max(found.trials[:2], key=lambda t: t.value or 0)
        assert found.trials[2].params["optimizer.lr"] == first.params["optimizer.lr"]


def test_coarse_to_fine_in_two_stages(tmp_path: Path) -> None:
    tried = recipe(method="coarse_to_fine", coarse_epochs=1, fine_trials=2, fine_epochs=2, keep=2)
    found = search(tried, runs=tmp_path)
    assert [(t.stage, t.epochs) for t in found.trials] == [("coarse", 1)] * 4 + [("fine", 2)] * 2
    low, high = found.state.narrowed["optimizer.lr"]
    assert all(low <= t.params["optimizer.lr"] <= high for t in found.trials[4:])
    best = found.best
    assert best is not None
    assert best.stage == "fine"
    assert load_recipe(found.best_recipe).train.epochs == 3  # the recipe's own, not the stage's
    with pytest.raises(RecipeError, match=r"tune.space.train.epochs"):
        search(recipe({"train.epochs": [1, 2]}, method="coarse_to_fine"), runs=tmp_path / "other")


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_pruning_saves_epochs_and_never_the_last_one(pruner: str, tmp_path: Path) -> None:
    tried = recipe({"optimizer.lr": {"low": 1e-6, "high": 1.0, "log": True}}, "train.epochs=4", pruner=pruner)
    found = search(tried, runs=tmp_path, trials=6)
    pruned = [t for t in found.trials if t.state == "pruned"]
    assert pruned
    assert all(t.epochs < 4 for t in pruned)
    assert all(t.epochs == 4 for t in found.trials if t.state == "complete")
    for t in pruned:
        assert t.value == pytest.approx(max(r["val_emotion_accuracy"] for r in t.history), rel=1e-5)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a defect")])
def test_broken_off_it_goes_on_and_finished_trials_stay(
    finished: Search, error: BaseException, tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        search(recipe(), runs=tmp_path, listener=Listening(error))
    broken = Search.open(tmp_path / "tiny-search")
    assert broken.state.status == ("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
    before = ended(broken)
    assert len(before) == 2
    found = search(recipe(), runs=tmp_path)
    assert found.trials[: len(before)] == before
    lost = [t for t in found.trials if t.lost]
    assert len(lost) == 1
    assert "tried again" in lost[0].reason
    assert sorted(repr(t.params) for t in ended(found)) == sorted(repr(t.params) for t in finished.trials)
    assert [t.value for t in sorted(ended(found), key=lambda t: t.slot)] == [t.value for t in finished.trials]


def test_a_storage_that_fails_at_the_start_leaves_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.exceptions import StorageInternalError

    path = tmp_path / "shared.db"
    found = search(recipe(), runs=tmp_path, storage=f"sqlite:///{path}", trials=1)
    before, data = found.trials, bytearray(path.read_bytes())
    # Permissions do not stop root; a write version above 2 makes a file read-only (sqlite.org/fileformat2).
    data[18] = 3
    path.write_bytes(data)
    with pytest.raises(RunError, match="failed: attempt to write a readonly database"):
        search(recipe(), runs=tmp_path, trials=2)
    assert found.trials == before

    def silent(self: Shared) -> list[Trial]:
        raise StorageInternalError("gone")

    path.write_bytes(bytes(data[:18]) + b"\x01" + bytes(data[19:]))
    monkeypatch.setattr(Shared, "trials", silent)
    with pytest.raises(RunError, match="failed: gone"):
        search(recipe(), runs=tmp_path, trials=2)
    assert found.trials == before


def test_a_storage_that_fails_within_a_trial_ends_the_search_not_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.exceptions import StorageInternalError
    from optuna.trial import Trial as OptunaTrial

    report = OptunaTrial.report

    def failing_once(self: OptunaTrial, value: float, step: int) -> None:
        if self.number == 1:
            monkeypatch.setattr(OptunaTrial, "report", report)
            raise StorageInternalError("server gone")
        report(self, value, step)

    monkeypatch.setattr(OptunaTrial, "report", failing_once)
    with pytest.raises(RunError, match="failed: server gone"):
        search(recipe(), runs=tmp_path, trials=2, time_limit=60)
    broken = Search.open(tmp_path / "tiny-search")
    assert broken.state.status == "failed"
    found = search(recipe(), runs=tmp_path, trials=2)
    assert found.trials[0] == broken.trials[0]
    assert [(t.slot, t.lost) for t in found.trials] == [
        ("random-0", False), ("random-1", True), ("random-1", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=secret&a=1", "postgresql://host/db?user=me&password=...&a=1"),
        ("redis://:secret@host:1/0", "redis://@host:1/0"),
        ("sqlite:///search.db", "sqlite:///search.db"),
    ],
)
def test_passwords_are_not_written_down(url: str, shown: str) -> None:
    assert hidden(url) == shown


def test_the_time_limit_stops_it_and_the_same_call_goes_on(tmp_path: Path) -> None:
    stopped = search(recipe(), runs=tmp_path, time_limit=0)
    assert (stopped.state.status, ended(stopped)) == ("stopped", [])
    assert stopped.state.reason == "time limit"
    assert search(recipe(), runs=tmp_path).state.status == "finished"


def test_force_starts_over_but_deletes_searches_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    search(recipe(), runs=tmp_path, storage=url, trials=1)
    other = recipe({"optimizer.lr": [0.2]}, method="grid")
    found = search(other, runs=tmp_path, storage=url, force=True)
    assert [t.params for t in found.trials] == [{"optimizer.lr": 0.2}]
    mine = tmp_path / "mine"
    (mine / "thesis").mkdir(parents=True)
    with pytest.raises(RunError, match="is not a search's folder"):
        search(recipe(), runs=tmp_path, name="mine", force=True)
    assert (mine / "thesis").is_dir()


def test_a_storage_once_named_need_not_be_named_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    search(recipe(), runs=tmp_path, storage=url, trials=1)
    assert not (tmp_path / "tiny-search" / "search.db").exists()
    assert len(search(recipe(), runs=tmp_path, trials=2).trials) == 2
    with pytest.raises(RunError, match="not in sqlite"):
        search(recipe(), runs=tmp_path, storage=f"sqlite:///{tmp_path / 'other.db'}")


def test_a_lost_storage_does_not_take_the_summary_with_it(tmp_path: Path) -> None:
    found = search(recipe(), runs=tmp_path, trials=1)
    before = found.trials
    (found.path / "search.db").rename(tmp_path / "moved.db")
    for _ in range(2):
        with pytest.raises(RunError, match="holds none of them"):
            search(recipe(), runs=tmp_path, trials=1)
        assert found.trials == before
    (tmp_path / "moved.db").replace(found.path / "search.db")
    assert search(recipe(), runs=tmp_path, trials=1).trials == before


def test_journal_files_serve_too(tmp_path: Path) -> None:
    url = f"journal:///{tmp_path / 'search.log'}"
    assert len(search(recipe(), runs=tmp_path, storage=url, trials=1).trials) == 1
    assert len(search(recipe(), runs=tmp_path, storage=url, trials=2).trials) == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("here.db", "is not an address"),
        ("", "is empty"),
        ("sqlite://here.db", "is not an address"),
        ("journal:///{folder}/text", "no journal"),
        ("sqlite:///{folder}/text", "file is not a database"),
        ("sqlite://", "is gone with this process"),
        ("nosuchdb://me:secret@host/db", "there is no database of the kind 'nosuchdb'"),
        ("mysql://me:secret@127.0.0.1:1/db", "the driver of this database is not installed"),
        ("postgresql://me:secret@127.0.0.1:1/db", "the driver of this database is not installed"),
        ("redis://127.0.0.1:1", "driver|reached"),
        ("sqlite:////no/such/folder/x.db", "there is no folder"),
        ("sqlite:///{folder}", "cannot be opened"),
    ],
)  # fmt: skip
def test_storages_that_cannot_be_opened(url: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database\n" * 90, encoding="utf-8")
    with pytest.raises(RunError, match=words) as caught:
        search(recipe(), runs=tmp_path / "runs", storage=url.format(folder=tmp_path))
    assert "secret" not in str(caught.value)
    assert (tmp_path / "text").read_text(encoding="utf-8") == "no database\n" * 90
    assert not (tmp_path / "runs" / "tiny-search" / "trials.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"jobs": 0}, RecipeError, "--jobs 0"),
        ({"trials": 0}, RecipeError, r"tune.trials = 0"),
        ({"name": "../x"}, RecipeError, "plain folder name"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        search(recipe(), runs=tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_values_that_only_the_learner_knows_are_refused_at_the_start(tmp_path: Path) -> None:
    for space in ({"learner.args.hiden": [[4]]}, {"learner.args.hidden": [[4], [0]]}):
        with pytest.raises(RecipeError, match=r"tune\.space\.learner\.args\.hid") as caught:
            search(recipe(space), runs=tmp_path)
        assert not list(tmp_path.iterdir()), caught


def test_no_validation_part_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(recipe: Recipe, root: Path | None) -> FaceSet:
        faces = load("synthetic", n=140).keep_outputs(["emotion"])
        return faces.select(np.flatnonzero(faces.split != "val"))

    monkeypatch.setattr(work, "build_faces", without)
    with pytest.raises(DataError, match="no validation part, which decides a search"):
        search(recipe(), runs=tmp_path)


def test_a_damaged_summary_is_named_and_written_anew(tmp_path: Path) -> None:
    found = search(recipe(), runs=tmp_path, trials=1)
    (found.path / "trials.jsonl").write_text('{"number": 0', encoding="utf-8")
    with pytest.raises(RunError, match="line 1 is damaged"):
        _ = found.trials
    assert len(search(recipe(), runs=tmp_path, trials=1).trials) == 1


def test_opening_what_is_no_search_names_those_that_are(finished: Search) -> None:
    with pytest.raises(RunError, match="tiny-search"):
        Search.open(finished.path.parent / "tiny")


STACKED = {"optimizer.lr": [1e-2, 0.3, 3.3e38], "optimizer.momentum": [0.0, 0.9]}


def test_a_stack_of_trials_gives_what_each_gives_alone(tmp_path: Path) -> None:
    alone = search(recipe(STACKED, method="grid"), runs=tmp_path, name="alone")
    together = search(recipe(STACKED, method="grid"), runs=tmp_path, name="together", stack=True)
    for one, other in zip(alone.trials, together.trials, strict=True):
        assert (one.params, one.state, one.epochs) == (other.params, other.state, other.epochs)
        for row, same in zip(one.history, other.history, strict=True):
            assert row["train_loss"] == pytest.approx(same["train_loss"], rel=1e-3)
            assert row["val_loss"] == pytest.approx(same["val_loss"], rel=1e-3)
    assert [t.state for t in together.trials] == ["complete"] * 4 + ["failed"] * 2
    assert "became nan or infinite" in together.trials[4].reason


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (recipe(STACKED, "learner={model='smallnet'}"), "learner 'torch' has no stacks"),
        (recipe(), r"differ in .* alone, not in learner\.args\.hidden"),
        (recipe(STACKED, "learner.args.hidden=[128]"), "a stack is slower"),
        (recipe(STACKED, pruner="halving"), r"leave out tune\.pruner"),
        (recipe(STACKED, "stop.patience=2"), r"leave out stop\.patience"),
        (recipe(STACKED, "optimizer.name=adam"), "plain SGD"),
    ],
)
def test_what_cannot_be_stacked(made: Recipe, words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"--stack: .*{words}"):
        search(made, runs=tmp_path, stack=True)
    assert not list(tmp_path.iterdir())
