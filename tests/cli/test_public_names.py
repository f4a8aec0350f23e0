"""The same from Python: public names, imported on first use."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import duchenne
import duchenne.inference
from duchenne import Predictor, Run, evaluate, load_dataset, load_recipe, train


@pytest.fixture(params=[duchenne, duchenne.inference], ids=lambda room: room.__name__)
def room(request: pytest.FixtureRequest) -> Any:
    """A package that imports its names on first use."""
    return request.param


def test_every_public_name_is_in_the_table_and_there(room: Any) -> None:
    assert sorted(room.__all__) == sorted(room._PUBLIC)
    for name in room.__all__:
        assert getattr(room, name) is not None
        assert name in dir(room)


def test_type_checkers_see_the_names_that_the_table_gives(room: Any) -> None:
    tree = ast.parse(Path(room.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        a.asname or a.name: (i.module, a.name)
        for i in block.body
        if isinstance(i, ast.ImportFrom)
        for a in i.names
    }
    # The package's own table has modules by their whole names, and some names are others there.
    table = {
        name: (at, name) if isinstance(at, str) else (at[0].removeprefix("duchenne."), at[1])
        for name, at in room._PUBLIC.items()
    }
    assert seen == table


def test_an_unknown_name_is_an_attribute_error(room: Any) -> None:
    with pytest.raises(AttributeError, match=f"module '{room.__name__}' has no attribute 'trian'"):
        _ = room.trian


def test_the_whole_way_from_python(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["data.options.n=210", "train.epochs=1", "learner.args={filters=[4,8]}"])
    run = train(recipe, runs=tmp_path, name="tiny")
    assert isinstance(run, Run)
    figures = {e.name: e.metrics["outputs"]["emotion"]["accuracy"] for e in evaluate(run)}
    assert set(figures) == {"val", "test"}
    faces = load_dataset("synthetic", n=10)
    records = list(Predictor.from_run(run.path, faces="whole").predict([faces.image(0), faces.image(1)]))
    assert [r["error"] for r in records] == [None, None]
