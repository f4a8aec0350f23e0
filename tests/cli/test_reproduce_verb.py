"""`duchenne reproduce` on tiny recipes: order, resumption, result files, the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duchenne.experiment.train import train
from duchenne.recipe import load_recipe

Call = Callable[..., Any]

RECIPE = """
schema = 1
id = "{id}"
title = "tiny {id}"
source = "a report, section 1"
cost = {cost}

[data]
name = "synthetic"
outputs = ["emotion"]
options = {{ n = 240 }}

[learner]
model = "smallnet"
args = {{ filters = [4, 8] }}

[train]
epochs = 2
batch_size = 64

[expect.test]
accuracy = 0.5
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two packaged recipes, the dear one first by name."""
    (tmp_path / "recipes").mkdir()
    for name, cost in (("a-dear", 2.0), ("b-cheap", 1.0)):
        (tmp_path / "recipes" / f"{name}.toml").write_text(RECIPE.format(id=name, cost=cost))
    monkeypatch.setattr("duchenne.recipe.recipe.recipe_folder", lambda: tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_rows_cheapest_first_then_nothing_more_to_do(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(load_recipe("a-dear"), runs=place / "runs", deadline=0.0)  # begun, to be resumed
    said = call("reproduce")
    assert said.code == 0
    order = [line.partition(",")[0] for line in said.err.splitlines() if line.endswith(": training")]
    assert order == ["b-cheap", "a-dear"]
    assert "going on after epoch 1 of 2" in said.err
    assert said.out == "docs/results.md\n"
    page = (place / "docs" / "results.md").read_text(encoding="utf-8")
    for name in ("a-dear", "b-cheap"):
        result = json.loads((place / "results" / f"{name}.json").read_text())
        assert result["id"] == name
        assert result["status"] == "complete"
        assert result["claimed"]["test"] == {"accuracy": 0.5}
        measured = json.loads((place / "runs" / name / "metrics" / "test.json").read_text())
        assert result["seeds"][0]["test"]["accuracy"] == measured["outputs"]["emotion"]["accuracy"]
        assert name in page
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    monkeypatch.setattr("duchenne.experiment.reproduce.train", lambda *a, **k: pytest.fail("trained again"))
    again = call("reproduce", "--json")
    assert again.code == 0
    assert set(again.json()) == {"a-dear", "b-cheap"}
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before


def test_without_time_nothing_is_trained_and_nothing_written(call: Call, place: Path) -> None:
    said = call("reproduce", "--time-limit", "0", "--json")
    assert said.code == 0
    assert said.json() == {}
    assert "b-cheap: not begun, the time was over" in said.err
    assert sorted(p.name for p in place.iterdir()) == ["recipes"]


def test_two_seeds_stand_in_one_result(call: Call, place: Path) -> None:
    assert call("reproduce", "b-cheap", "--seeds", "2").code == 0
    result = json.loads((place / "results" / "b-cheap.json").read_text())
    assert [s["seed"] for s in result["seeds"]] == [0, 1]
    assert sorted(p.name for p in (place / "runs").iterdir()) == ["b-cheap", "b-cheap-seed1"]


def test_the_page_alone_is_written_from_the_files(call: Call, place: Path) -> None:
    assert call("reproduce", "b-cheap").code == 0
    page = place / "docs" / "results.md"
    before = page.read_bytes()
    page.unlink()
    assert call("reproduce", "--page").code == 0
    assert page.read_bytes() == before


def test_a_row_that_fails_is_said_and_the_next_one_tried(call: Call, place: Path) -> None:
    broken = (place / "recipes" / "b-cheap.toml").read_text().replace("[4, 8]", "[0]")
    (place / "recipes" / "b-cheap.toml").write_text(broken)
    said = call("reproduce")
    assert said.code == 2
    assert "error: b-cheap: learner.args.filters" in said.err
    assert [p.name for p in (place / "results").iterdir()] == ["a-dear.json"]


SEARCH = """
[stop]
patience = 1

[tune]
method = "grid"
[tune.space]
"optimizer.lr" = [0.01, 0.001]

[[expect.trials]]
set = { "optimizer.lr" = 0.01 }
val = { accuracy = 0.9 }
"""


def test_a_search_is_a_row_like_others(call: Call, place: Path) -> None:
    (place / "recipes" / "c-search.toml").write_text(RECIPE.format(id="c-search", cost=1) + SEARCH)
    said = call("reproduce", "c-search", "--json")
    assert said.code == 0
    assert said.json()["c-search"]["status"] == "complete"
    assert "c-search: searching" in said.err
    result = json.loads((place / "results" / "c-search.json").read_text())
    assert result["seeds"] == []
    (table,) = result["tables"]
    assert [row[0] for row in table["rows"]] == ["lr = 0.01", "lr = 0.001"]
    page = (place / "docs" / "results.md").read_text(encoding="utf-8")
    assert "| lr = 0.01 | 90.00 |" in page
    assert "lr = 0.01, val accuracy:" in page
    assert call("reproduce", "c-search", "--time-limit", "0").code == 0


def test_words_of_a_recipe_reach_the_page_alone(call: Call, place: Path) -> None:
    assert call("reproduce", "b-cheap").code == 0
    recipe = place / "recipes" / "b-cheap.toml"
    recipe.write_text(recipe.read_text() + '[expect]\ndifferences = ["Their cut is unknown."]\n')
    recipe.write_text(recipe.read_text().replace("[expect.test]\naccuracy = 0.5\n", ""))
    assert call("reproduce", "--page").code == 0
    assert "- Their cut is unknown.\n" in (place / "docs" / "results.md").read_text(encoding="utf-8")


def test_weights_that_are_not_there_are_said_before_anything_is_trained(call: Call, place: Path) -> None:
    said = call("reproduce", "chan-transfer", "--weights", place / "nowhere")
    assert said.code == 2
    assert "nowhere: there is no such folder" in said.err
