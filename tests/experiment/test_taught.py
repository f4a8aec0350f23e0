"""Runs with a teacher: what is on record, the order of `reproduce`, and teachers that are not there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from duchenne.errors import RecipeError, RunError
from duchenne.experiment.finish import terms_of
from duchenne.experiment.grow import grow
from duchenne.experiment.reproduce import Step, plan, reproduce
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.recipe import Recipe

Make = Callable[..., Recipe]
TAUGHT = {"run": "tiny", "share": 0.5}


def test_a_taught_run_says_by_whom(trained: Run, tiny: Make) -> None:
    runs = trained.path.parent
    run = train(tiny(teacher=TAUGHT), runs=runs, name="pupil")
    said = run.info("environment")
    weights = trained.checkpoint("best").read_bytes()
    assert said["teacher_sha256"] == hashlib.sha256(weights).hexdigest()
    assert said["teacher_recipe"] == f"tiny {trained.recipe.fingerprint()}"
    assert (said["teacher_run"], said["teacher_epoch"]) == ("tiny", trained.state.best["epoch"])
    assert run.recipe.fingerprint() != trained.recipe.fingerprint()
    assert run.history() != trained.history()  # the same seed and data: it is the teacher that differs


def test_other_terms_of_the_teacher_are_passed_on(trained: Run, tiny: Make) -> None:
    run = train(tiny(teacher=TAUGHT), runs=trained.path.parent, name="pupil")
    own = terms_of(trained)
    assert terms_of(run) == own
    run.save_info("environment", run.info("environment") | {"teacher_terms": "Not to be published."})
    assert terms_of(run) == f"{own} They learned from others' answers: Not to be published."


def test_resumed_equals_unbroken(
    trained: Run, tiny: Make, assert_same_training: Callable[[Run, Run], None]
) -> None:
    runs, recipe = trained.path.parent, tiny(teacher=TAUGHT)
    whole = train(recipe, runs=runs, name="whole")
    train(recipe, runs=runs, name="cut", deadline=0.0)
    assert_same_training(whole, train(recipe, runs=runs, name="cut", resume=True))


def test_a_run_does_not_go_on_with_another_teacher(trained: Run, tiny: Make) -> None:
    runs, recipe = trained.path.parent, tiny(teacher=TAUGHT)
    run = train(recipe, runs=runs, name="cut", deadline=0.0)
    before = run.checkpoint("last").read_bytes()
    train(tiny("train.seed=1"), runs=runs, name="tiny", force=True)
    with pytest.raises(RunError, match="the weights of teacher tiny changed since"):
        train(recipe, runs=runs, name="cut", resume=True)
    shutil.rmtree(trained.path)
    with pytest.raises(RunError, match=r"teacher\.run = 'tiny': there is no such run") as caught:
        train(recipe, runs=runs, name="cut", resume=True)
    assert "train it first: duchenne train tiny" in caught.value.todo
    assert run.checkpoint("last").read_bytes() == before


def test_a_run_is_not_its_own_teacher(trained: Run, tiny: Make) -> None:
    before = trained.checkpoint("best").read_bytes()
    with pytest.raises(RunError, match="cannot be its own teacher"):
        train(tiny(teacher=TAUGHT), runs=trained.path.parent, name="tiny", force=True)
    assert trained.checkpoint("best").read_bytes() == before


def test_a_grown_run_has_no_teacher(trained: Run, tiny: Make) -> None:
    """The teacher knows nothing of the class that is new."""
    runs = trained.path.parent
    without = {"name": "synthetic", "outputs": ["emotion"], "without": ["happy"], "options": {"n": 240}}
    train(tiny(data=without), runs=runs, name="tiny", force=True)
    base = train(tiny(data=without, teacher=TAUGHT), runs=runs, name="base")
    assert grow(base, "happy", runs=runs).run.recipe.teacher.run == ""


def test_learners_without_teachers_say_so(trained: Run, tiny: Make) -> None:
    scratch = tiny(
        teacher=TAUGHT,
        learner={"name": "scratch", "args": {"hidden": [8]}},
        augment={},
        optimizer={"name": "sgd"},
    )
    with pytest.raises(RecipeError, match=r"teacher\.run = 'tiny': learner 'scratch' has no such setting"):
        train(scratch, runs=trained.path.parent, name="pupil")


# -- reproduce ----------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes packaged recipes of id and teacher."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    monkeypatch.setattr("duchenne.recipe.recipe.recipe_folder", lambda: folder)

    def write(name: str, cost: float, teacher: str) -> None:
        (folder / f"{name}.toml").write_text(
            f'id = "{name}"\ntitle = "{name}"\nsource = "a report"\ncost = {cost}\n'
            'data = { name = "synthetic", options = { n = 240 } }\n'
            f'learner = {{ model = "smallnet" }}\nteacher = {{ run = "{teacher}" }}\n'
        )

    return write


def test_the_teacher_is_trained_first(package: Callable[..., None]) -> None:
    package("a-pupil", 1, "b-teacher")
    package("b-teacher", 5, "")
    assert [s.name for s in plan(["a-pupil"])] == ["b-teacher", "a-pupil"]


def test_teachers_that_learn_from_each_other_are_refused(package: Callable[..., None]) -> None:
    package("a", 1, "b")
    package("b", 1, "a")
    with pytest.raises(RecipeError, match="in a circle: a -> b -> a"):
        plan(["a"])


def test_nothing_is_learned_from_an_unfinished_teacher(
    package: Callable[..., None], tmp_path: Path, tiny: Make
) -> None:
    package("a", 1, "b")
    package("b", 1, "")
    train(tiny(), runs=tmp_path / "runs", name="b", deadline=0.0)
    step: Step = plan(["a"])[1]
    [(_, error)] = reproduce([step], data=None, runs=tmp_path / "runs")
    assert isinstance(error, RunError)
    assert "a needs run b, which is not finished" in error.what


# -- teachers of other kinds ------------------------------------------------------------------------------


def test_a_teacher_of_another_learner_is_named_as_such(trained: Run, tiny: Make) -> None:
    runs = trained.path.parent
    scratch = tiny(
        learner={"name": "scratch", "args": {"hidden": [8]}}, augment={}, optimizer={"name": "sgd"},
        train={"epochs": 1, "batch_size": 32},
    )  # fmt: skip
    train(scratch, runs=runs, name="numpy")
    with pytest.raises(RunError, match="teacher numpy is of learner 'scratch'") as caught:
        train(tiny(teacher={"run": "numpy"}), runs=runs, name="pupil")
    assert 'learner.name = "torch"' in caught.value.todo
    assert not (runs / "pupil").exists()


def test_the_packaged_model_may_teach(trained: Run, tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from duchenne.experiment.export import export_run

    runs, folder = trained.path.parent, trained.path.parent.parent / "flagship"
    export_run(trained, folder, half_weights=True)
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: folder)
    monkeypatch.setattr("duchenne.experiment.train.packaged_folder", lambda: folder)
    run = train(tiny(teacher={"run": "flagship"}), runs=runs, name="pupil")
    about = run.info("environment")
    assert about["teacher_run"] == "the packaged model tiny"
    assert (
        about["teacher_sha256"] == hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    )
    assert "The weights began from" not in terms_of(run)


def test_an_unfinished_teacher_is_noted(trained: Run, tiny: Make) -> None:
    runs, notes = trained.path.parent, []
    train(tiny(), runs=runs, name="cut", deadline=0.0)
    train(tiny(teacher={"run": "cut"}), runs=runs, name="pupil", note=notes.append)
    assert "teacher cut is not finished (stopped, 1 of 3 epochs); its best epoch so far teaches" in notes
    notes.clear()
    train(tiny(teacher=TAUGHT), runs=runs, name="other", note=notes.append)
    assert not any("teacher" in note for note in notes)


def test_a_search_does_not_go_on_with_another_teacher(trained: Run, tiny: Make) -> None:
    from duchenne.experiment.search import search

    runs = trained.path.parent
    tune = {"method": "grid", "space": {"optimizer.lr": [0.01, 0.02]}}
    recipe = tiny("train.epochs=1", teacher=TAUGHT, tune=tune)
    found = search(recipe, runs=runs)
    assert found.info("environment")["teacher_run"] == "tiny"
    search(recipe, runs=runs)
    train(tiny("train.seed=1"), runs=runs, name="tiny", force=True)
    with pytest.raises(RunError, match="the weights of teacher tiny changed since the search"):
        search(recipe, runs=runs)


# -- what reports say -------------------------------------------------------------------------------------


def test_the_report_names_the_teacher_and_the_start(trained: Run, tiny: Make) -> None:
    from duchenne.reports.overview import origins, training_section

    runs = trained.path.parent
    run = train(tiny(teacher=TAUGHT, start={"run": "tiny"}), runs=runs, name="pupil")
    began, taught = origins(run)
    code, epoch = trained.recipe.fingerprint(), trained.state.best["epoch"]
    whom = f"tiny (recipe tiny {code}; epoch {epoch}; finished, 3 of 3 epochs)"
    assert began == f"The weights began from {whom}."
    assert "counted for 50 % beside the labels (temperature 1): " + whom in taught
    shown = [getattr(block, "text", "") for block in training_section(run, run.state).blocks]
    assert {began, taught} <= set(shown)
    assert origins(trained) == []


def test_a_comparison_says_that_a_teacher_of_one_name_was_two(trained: Run, tiny: Make) -> None:
    from duchenne.experiment.evaluate import evaluate
    from duchenne.reports.compare import compare_runs

    runs = trained.path.parent
    one = train(tiny(teacher=TAUGHT), runs=runs, name="one")
    train(tiny("train.seed=1"), runs=runs, name="tiny", force=True)
    two = train(tiny(teacher=TAUGHT), runs=runs, name="two")
    for run in (one, two):
        evaluate(run, splits=["val"])
    notes = compare_runs([one, two], "val", bootstrap=20)["notes"]
    assert "The runs that teacher 'tiny' taught learned from different weights of it." in notes
    assert not any("teacher" in note for note in compare_runs([one, one], "val", bootstrap=20)["notes"])
