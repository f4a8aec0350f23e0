"""Reproduce: cheapest first, what is finished is kept, what was begun is resumed, limits hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from duchenne.errors import RecipeError, RunError
from duchenne.experiment.reproduce import Step, plan, reproduce
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.recipe import Recipe, load_recipe, recipe_ids

Make = Callable[..., Recipe]


def step(recipe: Recipe, name: str) -> Step:
    return Step(recipe, (), name)


def test_the_plan_of_all_rows_is_cheapest_first_and_leaves_the_demo_out() -> None:
    steps = plan()
    assert "demo" not in [s.recipe.id for s in steps]
    assert {s.recipe.id for s in steps} == {i for i in recipe_ids() if load_recipe(i).source}
    costs = [s.recipe.cost for s in steps]
    assert costs == sorted(costs)


def test_second_seeds_come_after_all_first_ones() -> None:
    steps = plan(["friv-model3", "demo", "demo"], seeds=2)
    assert [(s.name, s.seed) for s in steps] == [
        ("demo", 0), ("friv-model3", 0), ("demo-seed1", 1), ("friv-model3-seed1", 1),
    ]  # fmt: skip
    assert steps[2].overrides == ("train.seed=1",)


def test_an_unknown_id_gets_the_nearest_before_anything_is_trained() -> None:
    with pytest.raises(RecipeError, match="did you mean 'friv-model1'"):
        plan(["demo", "friv-modle1"])


def test_nothing_is_trained_without_time(tmp_path: Path, tiny: Make) -> None:
    assert [
        (s.name, r) for s, r in reproduce([step(tiny(), "a")], data=None, runs=tmp_path, time_limit=0)
    ] == [("a", None)]
    assert list(tmp_path.iterdir()) == []


def test_what_was_begun_is_resumed_and_a_second_call_does_nothing(
    tmp_path: Path, tiny: Make, trained_once: Run, assert_same_training: Callable[[Run, Run], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    recipe = tiny()
    train(recipe, runs=tmp_path, name="a", deadline=0.0)
    ((_, run),) = reproduce([step(recipe, "a")], data=None, runs=tmp_path)
    assert run is not None
    assert run.state.status == "finished"
    assert_same_training(run, trained_once)
    assert set(run.metrics()) == {"val", "test"}
    assert run.metrics()["test"]["partial"] is False
    log = run.path / "test_reads.jsonl"
    assert [json.loads(line)["command"] for line in log.read_text().splitlines()] == [
        "evaluate test, views single"
    ]
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
    monkeypatch.setattr("duchenne.experiment.reproduce.train", lambda *a, **k: pytest.fail("trained again"))
    ((_, again),) = reproduce([step(recipe, "a")], data=None, runs=tmp_path, time_limit=0)
    assert again is not None
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*")} == before


def test_without_time_left_what_was_begun_is_evaluated_as_partial(tmp_path: Path, tiny: Make) -> None:
    train(tiny(), runs=tmp_path, name="a", deadline=0.0)
    ((_, run),) = reproduce([step(tiny(), "a")], data=None, runs=tmp_path, time_limit=0)
    assert run is not None
    assert run.state.epochs_done == 1
    assert run.metrics()["test"]["partial"] is True


def test_the_time_limit_holds_for_all_rows_together(tmp_path: Path, tiny: Make) -> None:
    clock = iter([0.0, 0.0, 100.0, 100.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("duchenne.experiment.reproduce.time.monotonic", lambda: next(clock, 100.0))
        patch.setattr(
            "duchenne.experiment.reproduce.train", lambda recipe, **k: train(recipe, **k | {"deadline": None})
        )
        steps = [step(tiny("train.epochs=1"), "a"), step(tiny("train.epochs=1", "train.seed=1"), "b")]
        done = [
            (s.name, run is not None) for s, run in reproduce(steps, data=None, runs=tmp_path, time_limit=50)
        ]
    assert done == [("a", True), ("b", False)]


@pytest.mark.parametrize("time_limit", [None, 0])
def test_a_run_of_another_recipe_under_the_name_is_refused(
    trained: Run, tiny: Make, time_limit: float | None
) -> None:
    steps = [step(tiny("optimizer.lr=0.5"), "tiny")]
    before = trained.state
    [(_, error)] = reproduce(steps, data=None, runs=trained.path.parent, time_limit=time_limit)
    assert isinstance(error, RunError)
    assert "another recipe" in error.what
    assert trained.state == before
