"""How a recipe's [balance] becomes rows and weights of the training part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..errors import RecipeError
from ..recipe import Balance
from ..transforms.balance import class_weights, oversample

Array = npt.NDArray[Any]


def balanced(faces: FaceSet, spec: Balance, seed: int) -> tuple[Array | None, Array | None]:
    """Rows to train on (None: all, once) and their weights ``(rows,)`` float32 (None: ones).

    Raises:
        RecipeError: `spec.output` is not a single-label output of the set.
    """
    if spec.class_weights == "none" and spec.oversample is None:
        return None, None
    singles = [o for o in faces.outputs if o.kind == "single" and spec.output in ("", o.name)]
    if not singles:
        raise RecipeError(
            f"balance.output: {faces.name} has no single-label output '{spec.output}' to balance"
        )
    codes = faces.hard(singles[0].name)
    rows = (
        None if spec.oversample is None else oversample(codes, np.random.default_rng(seed), spec.oversample)
    )
    if spec.class_weights == "none":
        return rows, None
    drawn = codes if rows is None else codes[rows]
    per_class = class_weights(drawn, singles[0].num_classes)
    return rows, np.where(drawn >= 0, per_class[np.maximum(drawn, 0)], 1.0).astype(np.float32)
