"""Learners: the scikit-learn contract, whatever is inside.

The table says where each one is; importing is left to use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingExtraError, RecipeError, did_you_mean

# Name -> module and class. Text, so that no learner's packages are imported before it is asked for.
LEARNERS: dict[str, tuple[str, str]] = {
    "torch": ("duchenne.learners.torch_learner", "TorchLearner"),
    "scratch": ("duchenne.learners.scratch_learner", "ScratchLearner"),
    "trees": ("duchenne.learners.tree_learner", "TreeLearner"),
    "svm": ("duchenne.learners.svm_learner", "SVMLearner"),
}


def learner_class(name: str) -> Any:
    """The class of a learner.

    Raises:
        RecipeError: Unknown name.
        MissingExtraError: Its packages are not installed.
    """
    if name not in LEARNERS:
        raise RecipeError(f"learner.name: there is no learner '{name}'", did_you_mean(name, LEARNERS))
    module, attribute = LEARNERS[name]
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "duchenne":
            raise
        raise MissingExtraError(error.name.partition(".")[0], "train") from None
