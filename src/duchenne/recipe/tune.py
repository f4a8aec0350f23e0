"""The section [tune]: what a search varies, and how."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from .sections import Count, Positive, Section

# Of a search: its plan is made anew, which takes 0.1 ms a trial, whenever a trial ends.
MOST_TRIALS = 10_000


class Range(Section):
    """A range that a search draws from; both ends belong to it.

    Attributes:
        log: Draw the logarithm evenly (learning rates, penalties); low must then be above 0.
        step: Distance between values; with `integer` 1 by default.
        integer: Whole numbers only.
    """

    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    log: bool = False
    step: Positive | None = None
    integer: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range cannot begin at {self.low:g}: low must be above 0")
        if self.log and self.step is not None:
            raise ValueError("a log range has no step")
        if self.integer and not all(v.is_integer() for v in (self.low, self.high, self.step or 1.0)):
            raise ValueError("integer = true needs whole numbers as low, high and step")
        return self

    def count(self) -> int:
        """How many values a range with steps has."""
        return math.floor((self.high - self.low) / (self.step or 1.0) + 1e-9) + 1


def _list_or_range(value: Any) -> str:
    return "range" if isinstance(value, Mapping | Range) else "list"


# Chosen by its shape, so that what is wrong with one is not told as what is wrong with the other.
Values = Annotated[
    Annotated[tuple[Any, ...], Tag("list")] | Annotated[Range, Tag("range")], Discriminator(_list_or_range)
]


class Tune(Section):
    """A search over the recipe's own fields; it sees validation only (`Stop.monitor` says which figure).

    Attributes:
        method: "grid": every combination (ranges need a step); "random"; "tpe" (tree-structured Parzen
            estimator); "coarse_to_fine": `trials` random ones of `coarse_epochs`, then `fine_trials` of
            `fine_epochs` within the ranges that the best `keep` span (wright2019, section 5.1);
            "one_at_a_time": one field after the other in the order of `space`, the others at the best so far
            (kontogouris2018, section 5).
        trials: How many trials (the coarse ones); "grid" and "one_at_a_time" ignore it.
        pruner: "none", "halving" (successive halving) or "hyperband": bad trials end early.
        seed: Of the draws.
        space: Dotted recipe field -> list of values, or `Range`.
    """

    method: Literal["grid", "random", "tpe", "coarse_to_fine", "one_at_a_time"] = "random"
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = 20
    pruner: Literal["none", "halving", "hyperband"] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    coarse_epochs: Count = 2
    fine_trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = 10
    fine_epochs: Count = 10
    keep: Annotated[int, Field(ge=2)] = 5
    space: dict[str, Values]

    @field_validator("space", mode="before")
    @classmethod
    def _dotted(cls, space: Any) -> Any:
        """TOML reads ``optimizer.lr = ...`` without quotes as a table in a table; both spellings are one."""
        if not isinstance(space, Mapping):
            return space
        flat: dict[str, Any] = {}
        for name, values in space.items():
            if isinstance(values, Mapping) and values and not set(values) & set(Range.model_fields):
                flat |= {f"{name}.{k}": v for k, v in cls._dotted(values).items()}
            else:
                flat[name] = values
        return flat

    @model_validator(mode="after")
    def _is_searchable(self) -> Tune:
        if not self.space:
            raise ValueError("space is empty: name at least one recipe field")
        for field, values in self.space.items():
            if isinstance(values, tuple):
                _check_list(field, values)
            endless = isinstance(values, Range) and values.step is None and not values.integer
            if endless and self.method in ("grid", "one_at_a_time"):
                raise ValueError(f"space.{field}: method '{self.method}' needs a list of values or a step")
        counts = [v.count() if isinstance(v, Range) else len(v) for v in self.space.values()]
        if self.method == "grid" and (size := math.prod(counts)) > MOST_TRIALS:
            raise ValueError(f"space: a grid of {size:,} combinations; {MOST_TRIALS:,} is the most")
        if self.method == "one_at_a_time" and (size := sum(counts)) > MOST_TRIALS:
            raise ValueError(f"space: {size:,} values one at a time; {MOST_TRIALS:,} is the most")
        return self


def _check_list(field: str, values: tuple[Any, ...]) -> None:
    if not values:
        raise ValueError(f"space.{field}: the list of values is empty")
    seen = set()
    for value in values:
        try:
            key = value if isinstance(value, float | int | str) else json.dumps(value, sort_keys=True)
        except (TypeError, ValueError):
            raise ValueError(f"space.{field}: {value!r} is no text, number, list or table") from None
        if key in seen:
            raise ValueError(f"space.{field}: {value!r} stands twice in the list")
        seen.add(key)
