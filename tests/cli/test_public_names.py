"""The same from Python: public names, imported on first use."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import duchenne
from duchenne import Predictor, Run, evaluate, load_dataset, load_recipe, train


def test_every_public_name_is_in_the_table_and_there() -> None:
    assert sorted(duchenne.__all__) == sorted(duchenne._PUBLIC)
    for name in duchenne.__all__:
        assert getattr(duchenne, name) is not None
        assert name in dir(duchenne)


def test_type_checkers_see_the_names_that_the_table_gives() -> None:
    tree = ast.parse(Path(duchenne.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        a.asname or a.name: (f"duchenne.{i.module}", a.name)
        for i in block.body
        if isinstance(i, ast.ImportFrom)
        for a in i.names
    }
    assert seen == duchenne._PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    module: Any = duchenne
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = module.trian


def test_the_whole_way_from_python(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["data.options.n=210", "train.epochs=1", "learner.args={filters=[4,8]}"])
    run = train(recipe, runs=tmp_path, name="tiny")
    assert isinstance(run, Run)
    figures = {e.name: e.metrics["outputs"]["emotion"]["accuracy"] for e in evaluate(run)}
    assert set(figures) == {"val", "test"}
    faces = load_dataset("synthetic", n=10)
    records = list(Predictor.from_run(run.path, faces="whole").predict([faces.image(0), faces.image(1)]))
    assert [r["error"] for r in records] == [None, None]
