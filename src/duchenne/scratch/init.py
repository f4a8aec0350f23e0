"""Initial weights; biases start at 0. Neither report says what it used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def he(rng: np.random.Generator, d: int, b: int) -> Array:
    """Normal with variance 2 / D, ``(d, b)`` float64: keeps the size of signals through ReLUs.

    A ReLU passes half of a symmetric input, so y = x W with Var(W) = 2 / D has E[relu(y)^2] = E[x^2].

    Source: He et al. 2015 (arXiv:1502.01852), equation 10.
    """
    return rng.standard_normal((d, b)) * math.sqrt(2.0 / d)


def glorot(rng: np.random.Generator, d: int, b: int) -> Array:
    """Uniform in +-sqrt(6 / (D + B)), ``(d, b)`` float64: variance 2 / (D + B), between what the forward pass
    (1 / D) and the backward pass (1 / B) ask for.

    Source: Glorot and Bengio 2010, equation 16 (wright2019's reference 1).
    """
    limit = math.sqrt(6.0 / (d + b))
    return rng.uniform(-limit, limit, (d, b))


def normal(rng: np.random.Generator, d: int, b: int, std: float = 0.01) -> Array:
    """Normal with one standard deviation for all layers, ``(d, b)`` float64: the usual start of courses."""
    return rng.standard_normal((d, b)) * std
