"""Card: what is written is read back; anything else is refused by file and field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.artifacts import Card, parse_card
from duchenne.errors import RunError
from duchenne.labels import Output

OUTPUTS = (Output("emotion", "single", ("happy", "sad")), Output("au", "multi", ("AU6",)))


def card(**changes: Any) -> Card:
    return Card(**{"name": "demo", "outputs": OUTPUTS, "preprocess": {"size": [48, 48]}, **changes})


def test_written_and_read_back(tmp_path: Path) -> None:
    one = card(
        temperature={"emotion": 1.5},
        scaling={"emotion": {"scale": [1.0, 0.5], "shift": [0.0, -1.5]}},
        figures={"val": {"accuracy": 0.5, "f1": [None, 0.25]}},
        terms="research only",
        training={"epoch": 3, "seed": 0},
        created="2026-01-01T00:00:00Z",
    )
    one.save(tmp_path / "card.json")
    again = Card.load(tmp_path / "card.json")
    assert again == one
    assert again.temperature == {"emotion": 1.5, "au": 1.0}
    assert [p.name for p in tmp_path.iterdir()] == ["card.json"]


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), _json, max_size=3), st.text(max_size=9))
def test_any_figures_and_terms_survive(figures: dict[str, Any], terms: str) -> None:
    one = card(figures=figures, terms=terms)
    assert parse_card(json.loads(json.dumps(one.to_json())), "x") == one


@given(_json | st.dictionaries(st.sampled_from(sorted(card().to_json())), _json))
def test_any_json_is_a_card_or_a_clear_error(raw: Any) -> None:
    with pytest.raises(RunError, match="here"):
        parse_card(raw, "here")


@given(st.sampled_from(sorted(card().to_json())), _json)
def test_one_strange_field_is_a_card_or_a_clear_error(key: str, value: Any) -> None:
    raw = card().to_json() | {key: value}
    try:
        read = parse_card(raw, "here")
    except RunError as error:
        assert re.match(rf"here: .*'{key}", error.what), error.what  # noqa: PT017
    else:
        assert read.to_json()[key] == value or key == "temperature"


@pytest.mark.parametrize("key", sorted(card().to_json()))
def test_each_missing_field_is_named(tmp_path: Path, key: str) -> None:
    raw = card().to_json()
    del raw[key]
    (tmp_path / "card.json").write_text(json.dumps(raw))
    with pytest.raises(RunError, match=rf"card\.json: field '{key}' is missing"):
        Card.load(tmp_path / "card.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "field 'schema' is 2; this version reads 1"),
        ({"temprature": {}}, "unknown field 'temprature'"),
        ({"outputs": {}}, "field 'outputs' must be a list"),
        ({"outputs": []}, "field 'outputs' is empty"),
        ({"outputs": [{"name": "emotion"}]}, r"field 'outputs\[0\]' must be an object"),
        ({"outputs": [{"name": "e", "kind": "both", "labels": ["a"]}]}, r"outputs\[0\].kind"),
        ({"outputs": [{"name": "e", "kind": "single", "labels": [1]}]}, r"outputs\[0\].labels"),
        ({"outputs": [{"name": "e", "kind": "single", "labels": ["a", "a"]}]}, "must be there and differ"),
        ({"outputs": [{"name": "e", "kind": "single", "labels": ["a"]}] * 2}, "names an output twice"),
        ({"temperature": {"emotion": 0}}, "field 'temperature.emotion' must be a number from 0.001 to 1000"),
        ({"temperature": {"emotion": -1.5}}, "'temperature.emotion' must be a number from 0.001"),
        ({"temperature": {"emotion": 1e-320}}, "'temperature.emotion' must be a number from 0.001"),
        ({"temperature": {"emotion": float("inf")}}, "'temperature.emotion' must be a number from 0.001"),
        ({"temperature": {"emotion": float("nan")}}, "field 'temperature.emotion'"),
        ({"temperature": {"emotions": 1.0}}, "no output 'emotions'"),
        ({"scaling": []}, "field 'scaling' must be an object"),
        ({"scaling": {"emotions": {}}}, "no output 'emotions'"),
        ({"scaling": {"emotion": {"scale": [1, 1]}}}, "'scaling.emotion' must be an object with scale and"),
        ({"scaling": {"emotion": {"scale": [1], "shift": [0, 0]}}}, "scale' must be a list of 2 numbers"),
        (
            {"scaling": {"emotion": {"scale": [1, 0], "shift": [0, 0]}}},
            "2 numbers from 0.001 to 1000",
        ),
        ({"scaling": {"emotion": {"scale": [1, 1], "shift": [0, "0"]}}}, "shift' must be a list of 2"),
        ({"scaling": {"emotion": {"scale": [1, 1], "shift": [0, 1001]}}}, "shift' must be a list of 2"),
        ({"terms": None}, "field 'terms' must be a string"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "card.json").write_text(json.dumps(card().to_json() | changes))
    with pytest.raises(RunError, match=message):
        Card.load(tmp_path / "card.json")


@pytest.mark.parametrize("text", ["", '{"schema": 1', "[]", "[" * 100_000, "\xff"])
def test_broken_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"card\.json"):
        Card.load(tmp_path / "card.json")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read: No such file"):
        Card.load(tmp_path / "card.json")


def test_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="JSON cannot"):
        card(figures={"loss": float("nan")}).save(tmp_path / "card.json")
    assert list(tmp_path.iterdir()) == []
