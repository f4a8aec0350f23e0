"""A recipe's text is TOML that reads back to the same recipe."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.recipe import load_recipe, parse_recipe, recipe_ids
from duchenne.recipe.text import toml_text

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", recipe_ids())
def test_packaged_recipes_read_back(name: str) -> None:
    recipe = load_recipe(name)
    assert parse_recipe(tomllib.loads(toml_text(recipe.to_dict())), where=name) == recipe


@given(st.dictionaries(st.sampled_from("abcd"), st.dictionaries(KEYS, VALUES, min_size=1), min_size=1))
def test_any_tables_read_back(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(table)) == table
