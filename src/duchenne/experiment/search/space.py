"""The space of a search: recipe fields, what each may be, and recipes made of such values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...errors import RecipeError
from ...recipe import Range, Recipe, parse_recipe
from ...recipe.recipe import LEARNING_SECTIONS
from ...recipe.text import toml_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Faces are loaded once for all trials, and all trials must be measured alike.
_FIXED = ("data", "start", "stop.monitor")


@dataclass(frozen=True)
class Field:
    """One field of the space.

    Attributes:
        name: Dotted recipe field.
        values: The listed values; empty where it is a range.
        range: The range, where it is one.
        own: The recipe's own value, where it states one.
        stated: Whether it states one.
    """

    name: str
    values: tuple[Any, ...] = ()
    range: Range | None = None
    own: Any = None
    stated: bool = False

    @property
    def log(self) -> bool:
        """Whether the logarithm is drawn evenly."""
        return self.range is not None and self.range.log

    def listed(self) -> list[Any]:
        """All values, those of a range with steps counted out."""
        if self.range is None:
            return list(self.values)
        low, step = self.range.low, self.range.step or 1.0
        return [self.number(low + i * step) for i in range(self.range.count())]

    def number(self, value: float) -> float | int:
        """A drawn number in the field's own type."""
        if self.range is not None and self.range.integer:
            return round(value)
        return float(f"{value:.12g}")  # 0.1 + 2 * 0.1 is meant to be 0.3

    def distribution(self, own: bool = False) -> BaseDistribution:
        """Optuna's distribution of the field; with `own`, the recipe's own value is one of the choices."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.range is None or own:
            choices = [encode(v) for v in self.listed()]
            if own and self.stated and encode(self.own) not in choices:
                choices.append(encode(self.own))
            return CategoricalDistribution(tuple(choices))
        low, high, step = self.range.low, self.range.high, self.range.step
        if step is not None:  # in decimal, as written: Optuna asks whether the step divides the range
            count = math.floor((high - low) / step + 1e-9)
            high = float(Decimal(str(low)) + count * Decimal(str(step)))
        if self.range.integer:
            return IntDistribution(int(low), int(high), log=self.range.log, step=int(step or 1))
        return FloatDistribution(low, high, log=self.range.log, step=step)

    def probes(self) -> Iterator[Any]:
        """The values that are checked before anything is trained: all listed ones, or ends and middle."""
        if self.range is None:
            yield from self.values
            return
        yield self.number(self.range.low)
        yield self.number(self.range.high)
        if self.range.low < self.range.high and not self.range.integer and self.range.step is None:
            # Not a whole number, so that a field of whole numbers shows.
            yield self.range.low + (self.range.high - self.range.low) / math.pi


def fields_of(recipe: Recipe) -> list[Field]:
    """The fields of the recipe's space, in the order of its table.

    Raises:
        RecipeError: The recipe has no [tune], or names a field that a search cannot change.
    """
    if recipe.tune is None:
        raise RecipeError(
            f"recipe {recipe.id} has no [tune], which says what to search",
            'add to its file, for example:\n    [tune]\n    method = "random"\n    trials = 20\n'
            "    [tune.space]\n"
            '    "optimizer.lr" = { low = 1e-4, high = 1e-1, log = true }\n'
            '    "train.batch_size" = [32, 64, 128]',
        )
    table = recipe.to_dict()
    fields = []
    for name, values in recipe.tune.space.items():
        if fixed := next((f for f in _FIXED if name == f or name.startswith(f"{f}.")), None):
            raise RecipeError(
                f"tune.space.{name}: a search cannot change {fixed}",
                "all its trials see the same faces and are measured alike",
            )
        section = name.partition(".")[0]
        if section in table and section not in LEARNING_SECTIONS:
            raise RecipeError(
                f"tune.space.{name}: {section} does not decide what is learned",
                f"a search changes fields of {', '.join(s for s in LEARNING_SECTIONS if s not in _FIXED)}",
            )
        meant = [f"{s}.{name}" for s in LEARNING_SECTIONS if name in (table.get(s) or {})]
        if section not in table and name == section and meant:
            raise RecipeError(f"tune.space.{name}: in which section?", f"did you mean '{meant[0]}'?")
        stated, own = _look_up(table, name)
        if isinstance(values, Range):
            fields.append(Field(name, range=values, own=own, stated=stated))
        else:
            plain = json.loads(json.dumps(list(values)))
            fields.append(Field(name, values=tuple(plain), own=own, stated=stated))
    return fields


def _look_up(table: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    here: Any = table
    for step in name.split("."):
        if not isinstance(here, Mapping) or step not in here:
            return False, None
        here = here[step]
    return True, here


def overridden(recipe: Recipe, params: Mapping[str, Any], epochs: int | None = None) -> Recipe:
    """The recipe with these values, by the mechanism of ``--set``; without [tune] and [expect].

    Args:
        recipe: The searched recipe.
        params: Dotted field -> value.
        epochs: Replaces train.epochs where given.

    Raises:
        RecipeError: A field is unknown or a value is refused.
    """
    raw = {k: v for k, v in recipe.to_dict().items() if k not in ("tune", "expect")}
    overrides = [f"{name}={toml_value(value)}" for name, value in params.items()]
    if epochs is not None:
        overrides.append(f"train.epochs={epochs}")
    return parse_recipe(raw, recipe.id, overrides)


def check_space(recipe: Recipe) -> Iterator[tuple[str, Any, Recipe]]:
    """Make a recipe of each value that the space lists and of both ends of each range; yield all of them.

    Raises:
        RecipeError: The recipe refuses one; the message names ``tune.space.<field>``.
    """
    for field in fields_of(recipe):
        for value in field.probes():
            try:
                yield field.name, value, overridden(recipe, {field.name: value})
            except RecipeError as error:
                what = error.what.removeprefix(f"recipe {recipe.id}: ")
                todo = error.todo
                if field.range is not None and value not in (field.range.low, field.range.high):
                    todo = "a range of whole numbers needs integer = true"
                raise RecipeError(f"recipe {recipe.id}: tune.space.{field.name}: {what}", todo) from None


def encode(value: Any) -> Any:
    """A value as Optuna's choices hold it: what is no plain value as its JSON text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value)


def decode(field: Field, value: Any) -> Any:
    """The value that `encode` was given; a number of a range in the field's own type."""
    if field.range is not None and not isinstance(value, str | bool):
        return field.number(value)
    for choice in [*field.listed(), *([field.own] if field.stated else [])]:
        if encode(choice) == value and type(encode(choice)) is type(value):
            return choice
    return value


def max_epochs(recipe: Recipe) -> int:
    """The most epochs that a trial may have."""
    tune = recipe.tune
    assert tune is not None
    most = [recipe.train.epochs]
    for field in fields_of(recipe):
        if field.name == "train.epochs":
            most = [int(v) for v in field.values] or [int(field.range.high) if field.range else 1]
    if tune.method == "coarse_to_fine":
        most = [tune.coarse_epochs, tune.fine_epochs]
    return max(most)
