"""A recipe: one TOML file per system, complete by itself, typed and frozen."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ..errors import RecipeError, did_you_mean
from . import sections as s
from .teacher import Teacher
from .tune import Range, Tune

SCHEMA = 1

# Sections that decide what is learned; the rest (title, source, expect, evaluate) may change without making a
# checkpoint another recipe's.
LEARNING_SECTIONS = (
    "data",
    "preprocess",
    "augment",
    "balance",
    "learner",
    "start",
    "teacher",
    "optimizer",
    "schedule",
    "loss",
    "stop",
    "train",
    "denoise",
)


class Recipe(s.Section):
    """A data set, a learner and a protocol, by name.

    Attributes:
        id: Lower case letters, digits and hyphens.
        title: One line: what this is.
        source: Report, paper and section the settings come from.
        cost: Rough relative cost of one training; `reproduce` takes the cheapest first.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    source: str = ""
    cost: s.Positive = 1.0
    data: s.Data
    preprocess: s.PreprocessSection = s.PreprocessSection()
    augment: s.AugmentSection = s.AugmentSection()
    balance: s.Balance = s.Balance()
    learner: s.LearnerSection
    start: s.Start = s.Start()
    teacher: Teacher = Teacher()
    optimizer: s.Optimizer = s.Optimizer()
    schedule: s.Schedule = s.Schedule()
    loss: s.Loss = s.Loss()
    stop: s.Stop = s.Stop()
    train: s.Train = s.Train()
    denoise: s.Denoise = s.Denoise()
    evaluate: s.Evaluate = s.Evaluate()
    tune: Tune | None = None
    expect: s.Expect = s.Expect()

    def to_dict(self) -> dict[str, Any]:
        """All fields, defaults included, as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def fingerprint(self) -> str:
        """First 8 hex digits of SHA-256 over what decides the learning.

        Two recipes that train alike share it. Fields at their default do not count, so that a field
        added later leaves old runs their fingerprint.
        """
        changed = self.model_dump(mode="json", exclude_defaults=True)
        decisive = {k: v for k, v in changed.items() if k in LEARNING_SECTIONS}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:8]


def recipe_folder() -> Path:
    """The folder of the packaged recipes."""
    return Path(__file__).resolve().parent.parent / "recipes"


def recipe_ids() -> list[str]:
    """Ids of the packaged recipes, sorted."""
    return sorted(p.stem for p in recipe_folder().glob("*.toml"))


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a packaged recipe by id, or a TOML file by path.

    Args:
        name: A packaged id (``"demo"``), or the path of a ``.toml`` file.
        overrides: ``"train.epochs=5"``: dotted field and value, the value as TOML writes it (a bare word is
            text).

    Raises:
        RecipeError: Unknown id, unreadable file, unknown key (with the nearest name) or a value out of range.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in recipe_ids():
            raise RecipeError(f"there is no recipe '{name}'", did_you_mean(str(name), recipe_ids()))
        path = recipe_folder() / f"{name}.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"recipe {path} cannot be read: {error.strerror}", "`duchenne recipes` lists the packaged ones"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} is not TOML: {error}") from None
    return parse_recipe(raw, where=str(name), overrides=overrides)


def parse_recipe(raw: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as nested tables; `where` names it in errors. Raises RecipeError."""
    table = json.loads(json.dumps(raw, default=str))
    for override in overrides:
        _apply(table, override)
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError(*_explain(error, where)) from None


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {override} is not FIELD=VALUE", "for example: --set train.epochs=5")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = key.strip().split(".")
    here = table
    for parent in parents:
        here = here.setdefault(parent, {})
        if not isinstance(here, dict):
            raise RecipeError(f"--set {override}: '{parent}' is a value, not a section")
    here[last] = json.loads(json.dumps(value, default=str))  # a TOML date is text, as in a file


def _known_fields(location: Sequence[str | int]) -> list[str]:
    """Field names of the section that holds the last element of a location."""
    if location[:2] == ("tune", "space"):
        return list(Range.model_fields)
    model: Any = Recipe
    for step in location[:-1]:
        fields = model.model_fields if isinstance(model, type) and issubclass(model, s.Section) else {}
        if str(step) not in fields:
            return []
        model = fields[str(step)].annotation
    if isinstance(model, type) and issubclass(model, s.Section):
        return [f.alias or name for name, f in model.model_fields.items()]
    return []


def _explain(error: ValidationError, where: str) -> tuple[str, str]:
    """Turn pydantic's first complaints into one message and one advice."""
    lines, advice = [], "`duchenne recipes show ID` prints a complete recipe"
    for problem in error.errors()[:5]:
        location = problem["loc"]
        if location[:2] == ("tune", "space"):  # which of its two shapes it has is no part of its name
            location = tuple(step for i, step in enumerate(location) if i != 3)
        # Nor which of several kinds a value was held against.
        location = tuple(step for step in location if not str(step).startswith(("constrained-", "literal[")))
        dotted = ".".join(str(step) for step in location)
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key '{dotted}'")
            if known := _known_fields(location):
                advice = did_you_mean(str(location[-1]), known)
        elif problem["type"] == "missing":
            lines.append(f"'{dotted}' is missing")
        elif problem["type"] in ("model_type", "model_attributes_type"):
            lines.append(f"'{dotted}' is a section, not a value: {_short(problem['input'])}")
        elif problem["type"] == "tuple_type" and location[:2] == ("tune", "space"):
            lines.append(f"{dotted} = {_short(problem['input'])}: neither a list of values nor a range")
            advice = "a range is a table: { low = 1e-4, high = 1e-1, log = true }"
        elif problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
            # A section's own rule: its words name the fields, and the whole table would hide them.
            words = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{dotted}{'.' if words.startswith('space') else ': '}{words}")
        else:
            lines.append(f"{dotted} = {_short(problem['input'])}: {problem['msg']}")
    return f"recipe {where}: " + "; ".join(lines), advice


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
