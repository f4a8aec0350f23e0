"""Reproduce: cheapest first, what is finished is kept, what was begun is resumed, limits hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from duchenne.errors import RecipeError, RunError
from duchenne.experiment.reproduce import Step, plan, reproduce
from duchenne.experiment.run import Run
from duchenne.experiment.search import Search
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
    assert steps[2].overrides == ("train.seed=1", "data.options.seed=1")


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


RECIPE = """
id = "{id}"
title = "tiny {id}"
source = "a report, section 1"
cost = {cost}
data = {{ name = "synthetic", outputs = ["emotion"], options = {{ n = 240 }} }}
learner = {{ model = "smallnet", args = {{ filters = [4, 8] }} }}
start = {{ run = "{start}" }}
train = {{ epochs = 2, batch_size = 64 }}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes packaged recipes of id, cost, what each begins from, and further TOML."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    monkeypatch.setattr("duchenne.recipe.recipe.recipe_folder", lambda: folder)

    def write(name: str, cost: float, start: str = "", more: str = "") -> None:
        (folder / f"{name}.toml").write_text(RECIPE.format(id=name, cost=cost, start=start) + more)

    return write


def test_what_a_recipe_begins_from_comes_before_it(package: Callable[..., None]) -> None:
    package("a-child", 1, "c-base")
    package("b-seeded", 2, "c-base-seed3")
    package("c-base", 9)
    package("d-elsewhere", 3, "some-run-of-mine")
    names = ["c-base", "a-child", "c-base-seed3", "b-seeded", "d-elsewhere"]
    assert [s.name for s in plan()] == names
    assert [s.seed for s in plan()] == [0, 0, 3, 0, 0]
    assert [s.name for s in plan(["a-child"])] == ["c-base", "a-child"]
    assert [s.name for s in plan(["a-child"], seeds=2)] == ["c-base", "a-child", "a-child-seed1"]


def test_recipes_that_begin_from_each_other_are_refused(package: Callable[..., None]) -> None:
    package("a", 1, "b")
    package("b", 1, "a")
    with pytest.raises(RecipeError, match="in a circle: a -> b -> a"):
        plan(["a"])


def test_nothing_begins_from_an_unfinished_run(
    package: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("a", 1, "b")
    package("b", 1)
    train(load_recipe("b"), runs=tmp_path / "runs", deadline=0.0)  # begun
    monkeypatch.setattr("duchenne.experiment.reproduce.train", lambda *a, **k: pytest.fail("trained"))
    [(_, error)] = reproduce(plan(["a"])[1:], data=None, runs=tmp_path / "runs")
    assert isinstance(error, RunError)
    assert "needs run b, which is not finished" in error.what


TUNE = """
[tune]
method = "grid"
[tune.space]
"optimizer.lr" = [0.01, 0.001]
"""


def test_a_recipe_with_a_search_is_searched_once(
    package: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("s", 1, more=TUNE)
    assert [s.name for s in plan(["s"], seeds=3)] == ["s-search"]
    runs = tmp_path / "runs"
    assert list(reproduce(plan(["s"]), data=None, runs=runs, time_limit=0)) == [(plan(["s"])[0], None)]
    [(_, found)] = reproduce(plan(["s"]), data=None, runs=runs)
    assert isinstance(found, Search)
    assert [(t.state, t.epochs) for t in found.trials] == [("complete", 2)] * 2
    assert [p.name for p in runs.iterdir()] == ["s-search"]
    monkeypatch.setattr("duchenne.experiment.reproduce.search", lambda *a, **k: pytest.fail("searched"))
    [(_, again)] = reproduce(plan(["s"]), data=None, runs=runs, time_limit=0)
    assert isinstance(again, Search)
    assert again.trials == found.trials


def test_a_protocol_that_asks_for_more_is_evaluated_without_training(
    tmp_path: Path, trained: Run, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(_, run)] = reproduce([step(tiny(), "tiny")], data=None, runs=trained.path.parent)
    assert isinstance(run, Run)
    assert set(run.metrics()) == {"val", "test"}
    monkeypatch.setattr("duchenne.experiment.reproduce.train", lambda *a, **k: pytest.fail("trained again"))
    more = tiny(evaluate={"also": {"Hard": {"difficulty": "hard"}}})
    [(_, run)] = reproduce([step(more, "tiny")], data=None, runs=trained.path.parent)
    assert isinstance(run, Run)
    assert set(run.metrics()) == {"val", "test", "Hard"}


def test_further_seeds_draw_the_split_anew_where_the_recipe_names_its_seed() -> None:
    steps = plan(["wang-mlp", "kontogouris-fer-fcn"], seeds=3)
    drawn = {s.name: (s.recipe.train.seed, s.recipe.data.options.get("seed")) for s in steps}
    assert drawn["wang-mlp"] == (0, 0)
    assert drawn["wang-mlp-seed2"] == (2, 2)
    assert drawn["kontogouris-fer-fcn-seed1"] == (1, None)
