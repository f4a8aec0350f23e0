"""The space of a search: what is refused before anything is trained, and how values travel."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.errors import RecipeError
from duchenne.experiment.search.space import Field, check_space, decode, encode, fields_of, overridden
from duchenne.recipe import Range, Recipe, parse_recipe


def recipe_with(space: Mapping[str, Any] | None, **tune: Any) -> Recipe:
    raw: dict[str, Any] = {
        "id": "try", "title": "try", "data": {"name": "synthetic"},
        "learner": {"name": "scratch", "args": {"hidden": [8]}},
    }  # fmt: skip
    if space is not None:
        raw["tune"] = {"space": space, **tune}
    return parse_recipe(raw, "try")


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"optimizer.lr": {"low": 2, "high": 1}}, "tune.space.optimizer.lr: low = 2 is above high = 1"),
        ({"optimizer.lr": {"low": 0, "high": 1, "log": True}}, "a log range cannot begin at 0"),
        ({"optimizer.lr": {"low": 1}}, "'tune.space.optimizer.lr.high' is missing"),
        ({"optimizer.lr": {"low": 1, "high": 2, "lgo": True}}, "unknown key 'tune.space.optimizer.lr.lgo'"),
        ({"optimizer.lr": {"low": 1, "high": math.inf}}, "tune.space.optimizer.lr.high"),
        ({"optimizer.lr": {"low": 1, "high": 2, "step": 0}}, "tune.space.optimizer.lr.step"),
        ({"optimizer.lr": 0.1}, "tune.space.optimizer.lr = 0.1: neither a list of values nor a range"),
        ({"optimizer.lr": "0.1"}, "neither a list of values nor a range"),
        ({"optimizer.lr": []}, "tune.space.optimizer.lr: the list of values is empty"),
        ({"optimizer.lr": [0.1, 0.1]}, "tune.space.optimizer.lr: 0.1 stands twice in the list"),
        ({"learner.args.hidden": [[4], [4]]}, "[4] stands twice in the list"),
        (
            {"train.batch_size": {"low": 8, "high": 64, "step": 1.5, "integer": True}},
            "whole numbers as low, high and step",
        ),
        ({}, "tune.space is empty"),
        ({"lr": [0.1]}, "tune.space.lr: in which section?\n  did you mean 'optimizer.lr'"),
        ({"optimizer.lrr": [1.0]}, "unknown key 'optimizer.lrr'\n  did you mean 'lr'"),
        ({"optimiser.lr": [1.0]}, "did you mean 'optimizer'"),
        ({"optimizer.lr": [0.1, -1.0]}, "tune.space.optimizer.lr: optimizer.lr = -1.0"),
        ({"optimizer.momentum": {"low": 0.5, "high": 1.0}}, "tune.space.optimizer.momentum"),
        ({"optimizer.name": ["sgd", "adm"]}, "tune.space.optimizer.name: optimizer.name = 'adm'"),
        ({"train.batch_size": {"low": 8, "high": 64}}, "a range of whole numbers needs integer = true"),
        ({"train": [1]}, "'train' is a section"),
        ({"data.options.n": [100]}, "tune.space.data.options.n: a search cannot change data"),
        ({"stop.monitor": ["val_loss"]}, "a search cannot change stop.monitor"),
        ({"title": ["a"]}, "title does not decide what is learned"),
        ({"expect.notes": [["a"]]}, "expect does not decide what is learned"),
    ],
)  # fmt: skip
def test_refused_in_plain_words(space: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        list(check_space(recipe_with(space)))
    assert words in str(caught.value)
    assert "tuple[" not in str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ({"trials": 0}, "tune.trials = 0"),
        ({"trials": 10_001}, "tune.trials = 10001"),
        ({"method": "gird"}, "tune.method = 'gird'"),
        ({"method": "grid"}, "tune.space.optimizer.lr: method 'grid' needs a list of values or a step"),
        ({"pruner": "median"}, "tune.pruner = 'median'"),
    ],
)
def test_refused_settings_of_the_search(tune: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_with({"optimizer.lr": {"low": 0.1, "high": 1}}, **tune)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("method", "words"), [("grid", "a grid of 999,001 combinations"), ("one_at_a_time", "999,001 values")]
)
def test_plans_that_never_end_are_refused(method: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe_with({"optimizer.lr": {"low": 0.001, "high": 1, "step": 1e-6}}, method=method)


def test_without_a_space_the_error_shows_how_to_add_one() -> None:
    with pytest.raises(RecipeError, match=r"has no \[tune\]") as caught:
        fields_of(recipe_with(None))
    example = "\n".join(line.strip() for line in caught.value.todo.splitlines()[1:])
    assert recipe_with(tomllib.loads(example)["tune"]["space"]).tune is not None


def test_every_listed_value_and_both_ends_are_tried() -> None:
    recipe = recipe_with(
        {"optimizer.lr": {"low": 0.001, "high": 0.1, "log": True}, "learner.args.hidden": [[4], [4, 4]]}
    )
    tried = [(name, value) for name, value, _ in check_space(recipe)]
    assert {("optimizer.lr", 0.001), ("optimizer.lr", 0.1)} <= set(tried[:3])
    assert tried[3:] == [("learner.args.hidden", [4]), ("learner.args.hidden", [4, 4])]


def test_names_without_quotes_are_the_same_space() -> None:
    quoted = recipe_with({"optimizer.lr": [0.1], "learner.args.hidden": [[4]]})
    bare = recipe_with({"optimizer": {"lr": [0.1]}, "learner": {"args": {"hidden": [[4]]}}})
    assert quoted == bare


def test_overridden_has_the_values_and_their_types() -> None:
    recipe = recipe_with({"optimizer.lr": [0.1]})
    made = overridden(
        recipe,
        {
            "optimizer.lr": 1e-05,
            "learner.args.hidden": [5, 6],
            "optimizer.nesterov": False,
            "stop.patience": 3,
        },
        epochs=7,
    )
    assert (made.optimizer.lr, made.learner.args["hidden"], made.train.epochs) == (1e-05, [5, 6], 7)
    assert made.stop.patience == 3
    assert made.tune is None
    assert recipe.train.epochs == 10


values = st.none() | st.booleans() | st.integers(-99, 99) | st.text("ab[],1", max_size=4)


@given(st.lists(values | st.lists(st.integers(1, 9), max_size=3), min_size=1, max_size=5))
def test_listed_values_come_back_as_they_were(listed: list[Any]) -> None:
    field = Field("f", values=tuple(listed))
    texts = [encode(v) for v in listed]
    for value in listed:
        back = decode(field, encode(value))
        if (
            texts.count(encode(value)) == 1
        ):  # the text "[1]" and the list [1] in one list are told apart by neither
            assert back == value
            assert type(back) is type(value)


@given(st.integers(1, 9999), st.integers(1, 3000), st.integers(0, 40), st.floats(0, 0.9))
def test_steps_are_counted_out_to_the_end(a: int, b: int, count: int, more: float) -> None:
    low, step = a / 1000, b / 1000
    field = Field("f", range=Range(low=low, high=low + (count + more) * step, step=step))
    listed = field.listed()
    assert len(listed) == count + 1
    assert listed == pytest.approx([low + i * step for i in range(count + 1)])
    distribution: Any = field.distribution()
    assert distribution.low == low
    assert distribution.high == pytest.approx(low + count * step)


def test_integer_ranges_give_whole_numbers() -> None:
    field = Field("f", range=Range(low=1, high=64, log=True, integer=True))
    assert type(decode(field, 7)) is int
    assert [type(v) for v in field.probes()] == [int, int]
