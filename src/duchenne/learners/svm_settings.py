"""Settings of a support vector machine, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from ..errors import RecipeError, did_you_mean

KERNELS = ("linear", "rbf")


@dataclass(frozen=True)
class Candidate:
    """One setting that cross-validation tries; gamma is None for a linear kernel."""

    kernel: str
    gamma: float | str | None
    C: float


@dataclass(frozen=True)
class SVMSettings:
    """What is tried, and how it is chosen; a single value may stand for a list of one.

    Attributes:
        kernel: "linear" (x . y) and "rbf" (exp(-gamma |x - y|^2)). On features with ``root`` these are the
            Hellinger kernel and its exponential form.
        C: Penalties on a face within the margin, above 0.
        gamma: Of "rbf": numbers above 0, or "scale": 1 / (D * variance of all training inputs), as
            scikit-learn.
        folds: Parts of the cross-validation, 2 to 20; fewer where a class has fewer faces.
        limit: Most training faces used, drawn by the seed, stratified by class; 0: all. For sets too large
            for a matrix of all pairs.
    """

    kernel: tuple[str, ...] = KERNELS
    C: tuple[float, ...] = (1.0, 10.0, 100.0)
    gamma: tuple[float | str, ...] = ("scale",)
    folds: int = 5
    limit: int = 0

    def __post_init__(self) -> None:
        for name in ("kernel", "C", "gamma"):
            value = getattr(self, name)
            row = tuple(value) if isinstance(value, list | tuple) else (value,)
            if not row or len(set(row)) < len(row):
                raise _refused(name, value, "one value or a list of different ones")
            object.__setattr__(self, name, row)
        for kernel in self.kernel:
            if kernel not in KERNELS:
                raise RecipeError(
                    f"learner.args.kernel = {kernel!r}: there is no such kernel",
                    did_you_mean(str(kernel), KERNELS),
                )
        for value in self.C:
            if not _positive(value):
                raise _refused("C", value, "a number above 0")
        for gamma in self.gamma:
            if gamma != "scale" and not _positive(gamma):
                raise _refused("gamma", gamma, 'a number above 0, or "scale"')
        if not _whole(self.folds) or not 2 <= self.folds <= 20:
            raise _refused("folds", self.folds, "a whole number from 2 to 20")
        if not _whole(self.limit) or self.limit < 0:
            raise _refused("limit", self.limit, "a number of faces, or 0 for all")

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> SVMSettings:
        """Settings from a recipe's [learner] args. Raises RecipeError naming the argument."""
        known = [f.name for f in fields(cls)]
        for name in args:
            if name not in known:
                raise RecipeError(f"learner.args.{name}: no such argument", did_you_mean(name, known))
        return cls(**args)

    def candidates(self) -> Iterator[Candidate]:
        """All settings, simplest first: the order that decides among equal ones."""
        for kernel in sorted(self.kernel, key=KERNELS.index):
            for gamma in self.gamma if kernel == "rbf" else (None,):
                for penalty in sorted(self.C):
                    yield Candidate(kernel, gamma, float(penalty))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0


def _refused(name: str, value: Any, wanted: str) -> RecipeError:
    return RecipeError(f"learner.args.{name} = {value!r}: must be {wanted}")
