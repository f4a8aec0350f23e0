"""Settings of one-vs-rest trees, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeGuard

from ..errors import RecipeError, did_you_mean

CRITERIA = ("gini", "entropy", "log_loss")


@dataclass(frozen=True)
class TreeSettings:
    """How each tree is built; defaults and meaning as in scikit-learn's DecisionTreeClassifier.

    Attributes:
        max_depth: Most splits from the root to a leaf; None: until leaves are pure.
        min_samples_leaf: Fewest training samples a leaf may hold: a number, or a share of all in (0, 1).
        criterion: "gini", "entropy" or "log_loss" (another name of "entropy").
        max_features: How many inputs each split looks at, drawn anew: a number, a share in (0, 1], "sqrt",
            "log2"; None: all.
        class_weight: "balanced" gives the positives and the negatives of each tree the same total weight;
            None: each sample counts alike.
    """

    max_depth: int | None = None
    min_samples_leaf: int | float = 1
    criterion: str = "gini"
    max_features: int | float | str | None = None
    class_weight: str | None = None

    def __post_init__(self) -> None:
        if self.max_depth is not None and not _whole(self.max_depth):
            raise _refused("max_depth", self.max_depth, "a whole number of 1 or more")
        if not _whole(self.min_samples_leaf) and not _share(self.min_samples_leaf, 1.0, closed=False):
            raise _refused("min_samples_leaf", self.min_samples_leaf, "1 or more, or a share in (0, 1)")
        if self.criterion not in CRITERIA:
            raise _refused("criterion", self.criterion, " or ".join(f'"{c}"' for c in CRITERIA))
        features = self.max_features
        if not (features in (None, "sqrt", "log2") or _whole(features) or _share(features, 1.0, closed=True)):
            raise _refused("max_features", features, '1 or more, a share in (0, 1], "sqrt" or "log2"')
        if self.class_weight not in (None, "balanced"):
            raise _refused("class_weight", self.class_weight, '"balanced", or left out')

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> TreeSettings:
        """Settings from a recipe's [learner] args. Raises RecipeError naming the argument."""
        known = [f.name for f in fields(cls)]
        for name in args:
            if name not in known:
                raise RecipeError(f"learner.args.{name}: no such argument", did_you_mean(name, known))
        return cls(**args)

    def check_features(self, features: int) -> None:
        """Raises RecipeError where a split would look at more inputs than the D = `features` there are."""
        if _whole(self.max_features) and self.max_features > features:
            raise RecipeError(
                f"learner.args.max_features = {self.max_features}: there are {features} inputs "
                "(preprocess.size x preprocess.channels)",
                "take fewer, or leave it out to look at all",
            )


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _share(value: Any, most: float, *, closed: bool) -> bool:
    return isinstance(value, float) and value > 0 and (value <= most if closed else value < most)


def _refused(name: str, value: Any, wanted: str) -> RecipeError:
    return RecipeError(f"learner.args.{name} = {value!r}: must be {wanted}")
