"""The plan of a search: which trials, in which order, the same whenever it is made."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.experiment.search.result import Trial, best_of
from duchenne.experiment.search.space import Field
from duchenne.experiment.search.strategies import Slot, Stage, narrow, plan
from duchenne.recipe import Range, Recipe, parse_recipe

SPACE: dict[str, Any] = {
    "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "optimizer.momentum": {"low": 0.0, "high": 0.9},
    "train.batch_size": {"low": 8, "high": 64, "integer": True},
    "learner.args.hidden": [[4], [8, 4]],
}


def searched(method: str, space: dict[str, Any] = SPACE, **tune: Any) -> Recipe:
    return parse_recipe(
        {
            "id": "try", "title": "try", "data": {"name": "synthetic"},
            "learner": {"name": "scratch", "args": {"hidden": [4]}},
            "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}, "train": {"epochs": 9},
            "tune": {"method": method, "space": space, **tune},
        },
        "try",
    )  # fmt: skip


def done(slot: Slot, number: int, value: float | None, state: str = "complete", lost: bool = False) -> Trial:
    return Trial(number, slot.key, slot.stage, slot.params, state, value, lost=lost)  # type: ignore[arg-type]


def run_through(recipe: Recipe, score: Any) -> tuple[list[Stage], list[Trial]]:
    """Settle all slots of all stages as they become known."""
    trials: list[Trial] = []
    while True:
        stages = plan(recipe, trials, "maximize", {})
        taken = {t.slot for t in trials}
        open_slots = [s for stage in stages for s in stage.slots if s.key not in taken]
        if not open_slots:
            return stages, trials
        trials += [done(s, len(trials) + i, score(s.params)) for i, s in enumerate(open_slots)]


def test_random_draws_lie_in_the_space_and_more_trials_only_add() -> None:
    few = plan(searched("random", trials=10), [], "maximize", {})[0].slots
    many = plan(searched("random", trials=200), [], "maximize", {})[0].slots
    assert many[:10] == few
    for slot in many:
        assert 1e-4 <= slot.params["optimizer.lr"] <= 1e-1
        assert 0 <= slot.params["optimizer.momentum"] <= 0.9
        assert isinstance(slot.params["train.batch_size"], int)
        assert slot.params["learner.args.hidden"] in ([4], [8, 4])
        assert slot.epochs == 9
    # A log range gives each decade as many draws: a third each, here within 5 standard deviations.
    decades = [math.floor(math.log10(s.params["optimizer.lr"])) for s in many]
    for decade in (-4, -3, -2):
        assert abs(decades.count(decade) - 200 / 3) < 5 * math.sqrt(200 * 2 / 9)


def test_other_seeds_draw_other_values() -> None:
    one, two = (plan(searched("random", seed=s), [], "maximize", {})[0].slots for s in (0, 1))
    assert not {repr(s.params) for s in one} & {repr(s.params) for s in two}


def test_grid_has_every_combination_once_in_order() -> None:
    space = {
        "optimizer.lr": [0.1, 0.01], "optimizer.momentum": {"low": 0.0, "high": 0.9, "step": 0.3},
        "learner.args.hidden": [[4], [8, 4]],
    }  # fmt: skip
    (stage,) = plan(searched("grid", space), [], "maximize", {})
    found = [tuple(repr(v) for v in s.params.values()) for s in stage.slots]
    wanted = itertools.product([0.1, 0.01], [0.0, 0.3, 0.6, 0.9], [[4], [8, 4]])
    assert found == [tuple(repr(v) for v in combination) for combination in wanted]


def test_a_field_of_epochs_decides_the_epochs() -> None:
    (stage,) = plan(searched("grid", {"train.epochs": [2, 5]}), [], "maximize", {})
    assert [s.epochs for s in stage.slots] == [2, 5]


def test_coarse_to_fine_waits_for_all_coarse_ones_then_stays_in_what_the_best_span() -> None:
    recipe = searched("coarse_to_fine", trials=12, coarse_epochs=2, fine_trials=30, fine_epochs=7, keep=4)

    def score(params: dict[str, Any]) -> float:
        return -abs(math.log10(params["optimizer.lr"]) + 2)

    (coarse,) = plan(recipe, [], "maximize", {})
    assert [s.epochs for s in coarse.slots] == [2] * 12
    trials = [done(s, i, score(s.params)) for i, s in enumerate(coarse.slots)]
    assert len(plan(recipe, trials[:-1], "maximize", {})) == 1
    _, fine = plan(recipe, trials, "maximize", {})
    assert [s.epochs for s in fine.slots] == [7] * 30
    best = sorted(trials, key=lambda t: -(t.value or 0.0))[:4]
    rates = [t.params["optimizer.lr"] for t in best]
    low, high = fine.narrowed["optimizer.lr"] if fine.narrowed else (0, 0)
    assert 1e-4 <= low <= min(rates)
    assert max(rates) <= high <= 1e-1
    assert math.log(high / low) < math.log(1e3) * 0.9
    assert all(low <= s.params["optimizer.lr"] <= high for s in fine.slots)
    # What was once narrowed stays, whatever coarse trials come later.
    again = plan(recipe, trials, "maximize", {**(fine.narrowed or {}), "optimizer.lr": [0.05, 0.06]})[1]
    assert all(0.05 <= s.params["optimizer.lr"] <= 0.06 for s in again.slots)


def test_nothing_to_narrow_to_when_all_coarse_trials_failed() -> None:
    recipe = searched("coarse_to_fine", trials=3)
    (coarse,) = plan(recipe, [], "maximize", {})
    failed = [done(s, i, None, "failed") for i, s in enumerate(coarse.slots)]
    assert len(plan(recipe, failed, "maximize", {})) == 1


@given(
    st.lists(st.tuples(st.floats(1e-3, 1.0), st.floats(0, 1)), min_size=1, max_size=12),
    st.integers(2, 6),
    st.booleans(),
    st.sampled_from(["maximize", "minimize"]),
)
def test_narrowed_ranges_hold_the_best_and_stay_inside(
    drawn: list[tuple[float, float]], keep: int, log: bool, direction: str
) -> None:
    field = Field("f", range=Range(low=1e-3, high=1.0, log=log))
    trials = [Trial(i, f"c-{i}", "coarse", {"f": x}, "complete", v) for i, (x, v) in enumerate(drawn)]
    low, high = narrow([field], trials, direction, keep)["f"]
    sign = -1 if direction == "maximize" else 1
    best = [x for x, _ in sorted(drawn, key=lambda p: sign * p[1])][:keep]
    digits = 1 + 1e-5  # ends are written with 6 digits
    assert 1e-3 <= low * digits <= min(best) * digits * digits
    assert max(best) <= high * digits
    assert high <= 1.0
    assert low < high


def test_one_at_a_time_fixes_the_others_at_the_best_so_far() -> None:
    space = {
        "optimizer.lr": [1e-3, 1e-2, 1e-1],
        "optimizer.momentum": [0.0, 0.5],
        "learner.args.hidden": [[4], [8]],
    }
    wins = {"optimizer.lr": 1e-2, "optimizer.momentum": 0.5, "learner.args.hidden": [8]}

    def score(params: dict[str, Any]) -> float:
        return sum(params[name] == value for name, value in wins.items())

    stages, trials = run_through(searched("one_at_a_time", space), score)
    assert [s.name for s in stages] == list(space)
    lr, momentum, hidden = (
        [tuple(slot.params[n] for n in space) for slot in stage.slots] for stage in stages
    )
    assert lr == [(1e-3, 0.9, [4]), (1e-2, 0.9, [4]), (1e-1, 0.9, [4])]  # the recipe's own momentum
    assert momentum == [(1e-2, 0.0, [4]), (1e-2, 0.5, [4])]
    assert hidden == [(1e-2, 0.5, [8])]  # [4] stands trained in the stage before
    best = best_of(trials, "maximize")
    assert best is not None
    assert best.params == wins


def test_one_at_a_time_goes_on_where_a_whole_field_failed() -> None:
    space = {"optimizer.lr": [1e-3, 1e-2], "optimizer.momentum": [0.0]}
    first = plan(searched("one_at_a_time", space), [], "maximize", {})[0]
    failed = [done(s, i, None, "failed") for i, s in enumerate(first.slots)]
    stages = plan(searched("one_at_a_time", space), failed, "maximize", {})
    assert stages[1].slots[0].params["optimizer.lr"] == 0.01  # the recipe's own


def test_a_lost_trial_leaves_its_stage_open() -> None:
    recipe = searched("coarse_to_fine", trials=2)
    (coarse,) = plan(recipe, [], "maximize", {})
    trials = [done(coarse.slots[0], 0, 0.5), done(coarse.slots[1], 1, None, "failed", lost=True)]
    assert len(plan(recipe, trials, "maximize", {})) == 1


@pytest.mark.parametrize(("direction", "winner"), [("maximize", 1), ("minimize", 0)])
def test_the_first_of_equals_wins_and_pruned_ones_never_do(direction: str, winner: int) -> None:
    values = [(0.2, "complete"), (0.7, "complete"), (0.7, "complete"), (0.9, "pruned"), (0.1, "pruned")]
    trials = [Trial(i, f"r-{i}", "random", {}, s, v) for i, (v, s) in enumerate(values)]  # type: ignore[arg-type]
    best = best_of(list(reversed(trials)), direction)
    assert best is not None
    assert best.number == winner


def test_a_fine_trial_wins_over_a_coarse_one() -> None:
    trials = [
        Trial(0, "coarse-0", "coarse", {}, "complete", 0.9), Trial(1, "fine-0", "fine", {}, "complete", 0.8),
    ]  # fmt: skip
    best = best_of(trials, "maximize")
    assert best is not None
    assert best.number == 1
