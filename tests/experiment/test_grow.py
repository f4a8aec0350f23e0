"""Growing a run by a class: what the new run is, what is compared, and what cannot be grown."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from duchenne.build import build_faces, build_learner
from duchenne.errors import DataError, RecipeError, RunError
from duchenne.experiment.grow import grow, plan_growth
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.learners.arrayfile import read_arrays, write_arrays
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.recipe import Recipe, parse_recipe

Same = Callable[[Run, Run], None]


def six(*overrides: str, **data: Any) -> Recipe:
    """Synthetic faces without `happy` and `fear`, on the NumPy engine."""
    raw = {
        "id": "six",
        "title": "six",
        "cost": 3.0,
        "data": {
            "name": "synthetic", "outputs": ["emotion", "au"], "without": ["fear", "happy"],
            "options": {"n": 240, "difficulty": "easy"},
        } | data,
        "preprocess": {"size": [24, 24]},
        "learner": {"name": "scratch", "args": {"hidden": [24]}},
        "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9},
        "train": {"epochs": 4, "batch_size": 16},
        "expect": {"test": {"accuracy": 0.9}},
    }  # fmt: skip
    return parse_recipe(raw, "six", overrides)


@pytest.fixture(scope="module")
def base_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs folder with the finished run "six"."""
    return train(six(), runs=tmp_path_factory.mktemp("base")).path.parent


@pytest.fixture
def runs(base_once: Path, tmp_path: Path) -> Path:
    """A copy of it, to be written to."""
    shutil.copytree(base_once, tmp_path / "runs")
    return tmp_path / "runs"


def labels_of(run: Run) -> list[str]:
    return list(run.info("data")["outputs"]["emotion"]["labels"])


def test_a_grown_run_says_what_it_is(runs: Path) -> None:
    base = Run.open(runs / "six")
    grown = grow(base, "happy", runs=runs)
    run, recipe = grown.run, grown.run.recipe
    assert run.path == runs / "six-grown-happy"
    assert (recipe.id, recipe.start.run, recipe.start.train) == ("six-grown-happy", "six", "all")
    assert recipe.data.without == ("fear",)  # asked for was one class
    assert labels_of(run) == [*labels_of(base)[:2], "happy", *labels_of(base)[2:]]
    assert recipe.evaluate.groups == {"old": tuple(labels_of(base)), "new": ("happy",)}
    assert not recipe.expect.test
    started = run.info("environment")
    checkpoint = base.checkpoint("best").read_bytes()
    assert started["start_sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert started["start_recipe"] == f"six {base.recipe.fingerprint()}"
    assert (started["start_run"], started["start_epoch"]) == ("six", base.state.best["epoch"])
    assert str(runs) not in (run.path / "recipe.json").read_text()


def test_accuracies_before_and_after_are_those_of_the_histories(runs: Path) -> None:
    """The loop counts them while it validates, on pixels and logits; `grow` from the exported artifacts."""
    base = Run.open(runs / "six")
    grown = grow(base, "happy", runs=runs)
    assert grown.old_before == pytest.approx(base.state.best["value"])
    assert grown.old_after is not None
    assert grown.new_after is not None
    right = grown.old_after * grown.n_old + grown.new_after * grown.n_new
    assert right / (grown.n_old + grown.n_new) == pytest.approx(grown.run.state.best["value"])
    val = build_faces(grown.run.recipe, None).where("val")
    said = ScratchLearner.load(grown.run.checkpoint("best")).predict(val)["emotion"]
    truth = np.array(val.output("emotion").labels)[val.hard("emotion")]
    assert grown.n_new == (truth == "happy").sum()
    assert grown.new_after == pytest.approx(float((said == truth)[truth == "happy"].mean()))


def test_head_only_leaves_the_base_and_its_body(runs: Path) -> None:
    base = Run.open(runs / "six")
    before = {p: p.read_bytes() for p in (base.path / "checkpoints").iterdir()}
    grown = grow(base, "happy", runs=runs, which="head", epochs=2, name="headed")
    assert grown.run.path == runs / "headed"
    assert grown.run.state.epochs_done == 2
    assert {p: p.read_bytes() for p in (base.path / "checkpoints").iterdir()} == before
    old, new = (load_file(r.checkpoint("best")) for r in (base, grown.run))
    for name in ("model/linear0.weight", "model/linear0.bias"):
        assert old[name].tobytes() == new[name].tobytes()
    assert old["model/linear1.weight"].shape[1] + 1 == new["model/linear1.weight"].shape[1]


def test_a_head_that_grows_leaves_the_norms_of_its_body(tmp_path: Path) -> None:
    """A run whose norms were taken anew may grow either way; of a head alone they stay."""
    torch_net = 'learner={name="torch", model="smallnet", args={filters=[3, 4]}}'
    base = train(six(torch_net, "train.precise_norms=true", "train.epochs=1"), runs=tmp_path)
    for which in ("all", "head"):
        grown = grow(base, "happy", runs=tmp_path, which=which, epochs=1, name=which)
        assert grown.run.recipe.train.precise_norms == (which == "all")
    old, new = (load_file(r.checkpoint("best")) for r in (base, Run.open(tmp_path / "head")))
    norms = [name for name in old if "running" in name]
    assert norms
    assert all(np.array_equal(old[name], new[name]) for name in norms)


@pytest.mark.parametrize("which", ["all", "head"])
def test_resumed_equals_unbroken(runs: Path, assert_same_training: Same, which: str) -> None:
    base = Run.open(runs / "six")
    whole = grow(base, "happy", runs=runs, which=which).run
    broken = grow(base, "happy", runs=runs, which=which, name="broken", deadline=0.0).run
    assert (broken.state.status, broken.state.epochs_done) == ("stopped", 1)
    resumed = grow(base, "happy", runs=runs, which=which, name="broken", resume=True).run
    assert resumed.state.status == "finished"
    assert_same_training(whole, resumed)


@pytest.mark.parametrize("which", ["all", "head"])
def test_a_run_goes_on_without_the_run_it_began_from(
    runs: Path, assert_same_training: Same, which: str
) -> None:
    recipe = six("data.without=['fear']", "start.run=six", f"start.train={which}")
    whole = train(recipe, runs=runs, name="whole")
    cut = train(recipe, runs=runs, name="cut", deadline=0)
    assert cut.state.status == "stopped"
    begun = {k: v for k, v in cut.info("environment").items() if k.startswith("start_")}
    shutil.rmtree(runs / "six")
    assert_same_training(train(recipe, runs=runs, name="cut", resume=True), whole)
    assert begun.items() <= cut.info("environment").items()
    with pytest.raises(RunError, match=r"start\.run = 'six': there is no such run"):
        train(recipe, runs=runs, name="another")


@pytest.mark.parametrize("epochs", [{}, {"epochs": 5}])
def test_trees_are_grown_by_one(tmp_path: Path, epochs: dict[str, int]) -> None:
    raw = {
        "id": "trees", "title": "trees", "cost": 0.1, "train": epochs, "preprocess": {"size": [12, 12]},
        "data": six().data.model_dump() | {"outputs": ["emotion"]},
        "learner": {"name": "trees", "args": {"max_depth": 3}},
    }  # fmt: skip
    base = train(parse_recipe(raw, "trees"), runs=tmp_path)
    run = grow(base, "happy", runs=tmp_path, which="head").run
    assert (run.state.status, run.state.epochs_done, run.state.epochs_planned) == ("finished", 6, 6)
    assert [row["class"] for row in run.history() if row["built"]] == ["happy"]


def test_what_was_begun_from_stays_on_record(runs: Path) -> None:
    base = Run.open(runs / "six")
    first = grow(base, "happy", runs=runs, deadline=0.0).run.info("environment")["start_sha256"]
    arrays, facts = read_arrays(base.checkpoint("best"), ("model",))
    arrays["model"]["linear0.bias"] += 1  # the run it began from is now another
    write_arrays(base.checkpoint("best"), arrays, facts)
    again = grow(Run.open(runs / "six"), "happy", runs=runs, resume=True).run
    assert again.info("environment")["start_sha256"] == first
    anew = grow(Run.open(runs / "six"), "happy", runs=runs, force=True).run
    assert anew.info("environment")["start_sha256"] != first


def test_an_unfinished_run_is_grown_from_its_best_epoch(runs: Path) -> None:
    half = train(six("train.epochs=9"), runs=runs, name="half", deadline=0.0)
    assert half.state.status == "stopped"
    started = grow(half, "happy", runs=runs, epochs=1).run.info("environment")
    assert (started["start_epoch"], started["start_status"]) == (1, "stopped, 1 of 9 epochs")


def test_a_run_outside_the_runs_folder_is_named_by_its_path(runs: Path, tmp_path: Path) -> None:
    plan = plan_growth(Run.open(runs / "six"), "happy", runs=tmp_path / "others")
    assert plan.recipe.start.run == str(runs / "six")


def test_other_data_that_have_the_class(runs: Path, tmp_path: Path, face_folder: Callable[..., Path]) -> None:
    root = face_folder(tmp_path / "faces", {"train": 6, "val": 3}, {"sad": "sad", "angry": "angry"})
    folder = {"name": "folder", "options": {"path": str(root)}, "outputs": ["emotion"], "without": []}
    train(six("train.batch_size=4", **folder), runs=runs, name="two")
    face_folder(root, {"train": 6, "val": 3}, {"happy": "happy", "fear": "fear"})
    other = [f"data.options.path={root}"]
    grown = grow(Run.open(runs / "two"), "happy", runs=runs, overrides=other)
    assert set(labels_of(grown.run)) == {"angry", "happy", "sad"}
    assert (grown.n_old, grown.n_new) == (6, 3)


# -- what cannot be grown -----------------------------------------------------------------------------------


def test_a_class_that_is_known_or_not_there(runs: Path) -> None:
    base = Run.open(runs / "six")
    with pytest.raises(RunError, match="knows the class 'sad' of 'emotion' already"):
        grow(base, "sad", runs=runs)
    with pytest.raises(DataError, match="has no class 'hapy'") as caught:
        grow(base, "hapy", runs=runs)
    assert "did you mean 'happy'?" in caught.value.todo
    with pytest.raises(DataError, match="has no class 'surprised'") as caught:
        grow(base, "surprised", runs=runs)
    assert "known: fear, happy" in caught.value.todo
    assert [p.name for p in runs.iterdir()] == ["six"]


def test_a_class_without_training_faces(runs: Path, tmp_path: Path, face_folder: Callable[..., Path]) -> None:
    root = face_folder(tmp_path / "faces", {"train": 6, "val": 3}, {"sad": "sad", "angry": "angry"})
    folder = {"name": "folder", "options": {"path": str(root)}, "outputs": ["emotion"], "without": []}
    train(six("train.batch_size=4", **folder), runs=runs, name="two")
    face_folder(root, {"val": 3}, {"happy": "happy"})
    with pytest.raises(DataError, match="no face of class 'happy'"):
        grow(Run.open(runs / "two"), "happy", runs=runs)


def test_data_without_an_old_class(runs: Path, tmp_path: Path, face_folder: Callable[..., Path]) -> None:
    splits = {"train": 6, "val": 3}
    old = face_folder(tmp_path / "old", splits, {"sad": "sad", "angry": "angry"})
    new = face_folder(tmp_path / "new", splits, {"sad": "sad", "happy": "happy"})
    folder = {"name": "folder", "options": {"path": str(old)}, "outputs": ["emotion"], "without": []}
    two = train(six("train.batch_size=4", **folder), runs=runs, name="two")
    with pytest.raises(RunError, match=r"label\(s\) angry of 'emotion', the data has only happy, sad"):
        grow(two, "happy", runs=runs, overrides=[f"data.options.path={new}"])
    assert sorted(p.name for p in runs.iterdir()) == ["six", "two"]


def test_a_run_that_is_not_begun_or_has_no_classes(runs: Path) -> None:
    empty = Run.create(runs / "empty", six(), [])
    with pytest.raises(RunError, match="no checkpoint yet"):
        grow(empty, "happy", runs=runs)
    units = train(six("train.epochs=1", outputs=["au"], without=[]), runs=runs, name="units")
    with pytest.raises(RunError, match="no single-label output"):
        grow(units, "happy", runs=runs)


def test_a_run_is_not_thrown_away_for_what_starts_from_it(runs: Path) -> None:
    base = Run.open(runs / "six")
    with pytest.raises(RunError, match="exists"):
        grow(base, "happy", runs=runs, name="six")
    with pytest.raises(RunError, match="cannot start from itself"):
        grow(base, "happy", runs=runs, name="six", force=True)
    assert base.checkpoint("best").is_file()


def test_a_setting_out_of_range(runs: Path) -> None:
    base = Run.open(runs / "six")
    with pytest.raises(RecipeError, match=r"start\.train = 'tail'"):
        grow(base, "happy", runs=runs, which="tail")
    with pytest.raises(RunError, match=r"'linear0.weight' is \(576, 24\) float32, the net needs \(576, 5\)"):
        grow(base, "happy", runs=runs, overrides=["learner.args.hidden=[5]"])
    with pytest.raises(RunError, match=r"preprocess\.size = \[24, 24\]"):
        grow(base, "happy", runs=runs, overrides=["preprocess.size=[20, 20]"])


# -- starting from a run, without growing -------------------------------------------------------------------


def test_a_recipe_that_starts_from_a_run_that_is_not_there(runs: Path) -> None:
    with pytest.raises(RunError, match="there is no such run") as caught:
        train(six("start.run=sixx"), runs=runs, name="new")
    assert "train it first: duchenne train sixx" in caught.value.todo
    assert "did you mean 'six'?" in caught.value.todo
    Run.create(runs / "empty", six(), [])
    with pytest.raises(RunError, match="no finished epoch"):
        build_learner(six("start.run=empty"), runs=runs)
    assert not (runs / "new").exists()


def test_the_same_classes_can_be_trained_on(runs: Path) -> None:
    learner = build_learner(six("start.run=six", "start.train=head"), runs=runs)
    assert (learner.start, learner.start_train) == (runs / "six" / "checkpoints" / "best.safetensors", "head")
    by_path = build_learner(six(f"start.run={runs / 'six'}"), runs=Path("elsewhere"))
    assert by_path.start == learner.start
    run = train(six("start.run=six", "optimizer.lr=1e-9", "optimizer.momentum=0"), runs=runs, name="on")
    assert run.state.best["value"] >= Run.open(runs / "six").state.best["value"] - 1e-9
