"""Several hand-made features as one vector, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import RecipeError, did_you_mean
from .histogram import Floats
from .lpq import LPQ
from .phog import PHOG


class Feature(Protocol):
    """What a feature is: frozen options, a length, and a call on grey images."""

    @property
    def length(self) -> int:
        """D, numbers an image."""
        ...

    def check_size(self, height: int, width: int) -> None:
        """Raises RecipeError where images of that size are too small."""
        ...

    def __call__(self, images: npt.NDArray[Any]) -> Floats:
        """uint8 ``(N, H, W)`` -> float32 ``(N, D)``."""
        ...


# A feature's line is its whole registration.
FEATURES: dict[str, type[LPQ] | type[PHOG]] = {
    "lpq": LPQ,
    "phog": PHOG,
}


@dataclass(frozen=True)
class Features:
    """Named features, one after the other.

    Attributes:
        parts: (name in `FEATURES`, options); options left out have their defaults. Kept complete: two equal
            sets of features compare equal however they were written.
    """

    parts: tuple[tuple[str, Mapping[str, Any]], ...]
    _features: tuple[Feature, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        made = [_make(name, options) for name, options in self.parts]
        if not made:
            raise RecipeError("features is empty", f"known: {', '.join(FEATURES)}")
        names = [name for name, _ in self.parts]
        complete = tuple((name, asdict(feature)) for name, feature in zip(names, made, strict=True))
        object.__setattr__(self, "parts", complete)
        object.__setattr__(self, "_features", tuple(made))

    def __hash__(self) -> int:
        return hash(self._features)

    @property
    def length(self) -> int:
        """D, numbers an image."""
        return sum(f.length for f in self._features)

    def check_size(self, height: int, width: int) -> None:
        """Raises RecipeError where images of that size are too small for one of them."""
        for feature in self._features:
            feature.check_size(height, width)

    def __call__(self, images: npt.NDArray[Any]) -> Floats:
        """Features of grey images: uint8 ``(N, H, W)`` -> float32 ``(N, D)``.

        Raises:
            DataError: Not grey uint8 images.
            RecipeError: The images are too small.
        """
        return np.concatenate([f(images) for f in self._features], axis=1)

    def place(self, index: int) -> tuple[str, int]:
        """Which feature a number of the vector belongs to, and its number there, from 0."""
        for (name, _), feature in zip(self.parts, self._features, strict=True):
            if index < feature.length:
                return name, index
            index -= feature.length
        raise IndexError(index)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain JSON values, one table a feature; `from_json` gives back an equal object."""
        return [
            {"name": name} | {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
            for name, options in self.parts
        ]

    @classmethod
    def from_json(cls, tables: Sequence[Mapping[str, Any]]) -> Features:
        """Read what `to_json` wrote, or a recipe's list of tables.

        Raises:
            RecipeError: Not a list of tables with a name each, an unknown feature or option, or a value out
                of range; named.
        """
        if isinstance(tables, str | Mapping) or not isinstance(tables, Sequence):
            raise RecipeError(f"features must be a list of tables, not {tables!r}", _EXAMPLE)
        parts = []
        for table in tables:
            if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
                raise RecipeError(f"features: {table!r} is not a table with a name", _EXAMPLE)
            parts.append((table["name"], {k: v for k, v in table.items() if k != "name"}))
        return cls(tuple(parts))

    def describe(self) -> str:
        """One phrase for a report or a model card."""
        shown = []
        for (name, options), feature in zip(self.parts, self._features, strict=True):
            said = ", ".join(f"{k} {_plain(v)}" for k, v in options.items())
            shown.append(f"{name} ({feature.length} numbers: {said})")
        return " and ".join(shown)


_EXAMPLE = 'for example features = [{ name = "lpq", window = 7 }, { name = "phog", bins = 8 }]'


def _plain(value: Any) -> str:
    return "x".join(str(v) for v in value) if isinstance(value, tuple) else str(value).lower()


def _make(name: str, options: Mapping[str, Any]) -> LPQ | PHOG:
    if name not in FEATURES:
        raise RecipeError(f"features: there is no feature '{name}'", did_you_mean(str(name), FEATURES))
    known = [f.name for f in fields(FEATURES[name])]
    for key in options:
        if key not in known:
            raise RecipeError(f"features.{name}.{key}: no such option", did_you_mean(str(key), known))
    return FEATURES[name](**options)
