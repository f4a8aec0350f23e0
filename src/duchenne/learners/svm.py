"""A fitted support vector machine as plain arrays: decisions of all pairs of classes, and logits.

Source: Chang & Lin 2011, "LIBSVM: a library for support vector machines", sections 2.1 and 7 (one against
one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

# A vote of a pair is sigma(SHARPNESS * decision), not a step. At 10 the class of most votes is as often right
# on SFEW's training part (cross-validated) as that of whole votes, and one near 0 changes the sum but little.
SHARPNESS = 10.0

# The logit of a class without a training face: next to no probability, and still a plain number.
NEVER = -100.0


@dataclass(frozen=True, eq=False)
class PairwiseSVM:
    """Decisions d_ij of each pair of classes i < j, above 0 for i, and votes counted from them.

    With v_ij = sigma(10 d_ij) and v_ji = 1 - v_ij, the logit of class k is the sum over j of v_kj, less its
    mean (k - 1) / 2, over the temperature.

    Attributes:
        kernel: "linear" or "rbf".
        gamma: Of "rbf"; 0 for "linear".
        classes: ``(k,)`` the codes that have training faces, rising.
        support: ``(m, D)`` float32, the support vectors; ``(0, D)`` for "linear".
        weights: ``(m, P)`` float64 of each support vector in each of the P = k (k - 1) / 2 pairs; for
            "linear" ``(D, P)`` of each input.
        intercepts: ``(P,)`` float64.
        temperature: By which the votes are divided, above 0.
        num_classes: K, absent classes included.
    """

    kernel: str
    gamma: float
    classes: npt.NDArray[np.int64]
    support: npt.NDArray[np.float32]
    weights: Doubles
    intercepts: Doubles
    temperature: float
    num_classes: int

    def decisions(self, x: Array) -> Doubles:
        """``(N, P)`` float64 of inputs ``(N, D)``; pairs in the order (0, 1), (0, 2), ..., (1, 2), ..."""
        doubles = np.asarray(x, np.float64)
        features = doubles if self.kernel == "linear" else rbf(doubles, self.support, self.gamma)
        found: Doubles = features @ self.weights + self.intercepts
        return found

    def logits(self, x: Array) -> npt.NDArray[np.float32]:
        """``(N, K)`` float32 of inputs ``(N, D)``."""
        out = np.full((len(x), self.num_classes), NEVER, np.float32)
        out[:, self.classes] = votes(self.decisions(x), len(self.classes)) / self.temperature
        return out

    def to_arrays(self) -> dict[str, Array]:
        """The numbers, by name, for an array file."""
        return {
            "classes": self.classes,
            "support": self.support,
            "weights": self.weights,
            "intercepts": self.intercepts,
            "gamma": np.array([self.gamma]),
            "temperature": np.array([self.temperature]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], num_classes: int, num_features: int) -> PairwiseSVM:
        """What `to_arrays` wrote. Raises ValueError where something is missing or does not fit."""
        wanted = {"classes", "support", "weights", "intercepts", "gamma", "temperature"}
        if set(arrays) != wanted or arrays["gamma"].shape != (1,):
            raise ValueError(f"a machine with arrays {', '.join(sorted(arrays)) or 'none'}")
        kernel = "linear" if arrays["gamma"][0] == 0 else "rbf"
        classes, support, weights = arrays["classes"], arrays["support"], arrays["weights"]
        k = len(classes)
        known = np.arange(num_classes)
        rows = num_features if kernel == "linear" else len(support)
        if classes.ndim != 1 or k < 2 or not np.isin(classes, known).all() or (np.diff(classes) <= 0).any():
            raise ValueError(f"class codes {classes.tolist()} are not of {num_classes} classes")
        shapes = {
            "support": (0 if kernel == "linear" else len(support), num_features),
            "weights": (rows, k * (k - 1) // 2),
            "intercepts": (k * (k - 1) // 2,),
            "gamma": (1,),
            "temperature": (1,),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise ValueError(f"'{name}' is {arrays[name].shape}, not finite numbers {shape}")
        gamma, temperature = float(arrays["gamma"][0]), float(arrays["temperature"][0])
        if temperature <= 0:
            raise ValueError(f"temperature {temperature}")
        return cls(
            kernel, gamma, classes.astype(np.int64), support.astype(np.float32), weights.astype(np.float64),
            arrays["intercepts"].astype(np.float64), temperature, num_classes,
        )  # fmt: skip


def rbf(x: Array, y: Array, gamma: float) -> Doubles:
    """``exp(-gamma |x_i - y_j|^2)``, ``(N, M)`` float64."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return rbf_of(a @ b.T, np.einsum("nd,nd->n", a, a), np.einsum("md,md->m", b, b), gamma)


def rbf_of(products: Doubles, a: Doubles, b: Doubles, gamma: float) -> Doubles:
    """The same of dot products ``(N, M)`` and squared lengths ``(N,)`` and ``(M,)``."""
    squared = a[:, None] + b[None, :] - 2 * products
    done: Doubles = np.exp(-gamma * np.maximum(squared, 0))
    return done


def votes(decisions: Doubles, k: int) -> Doubles:
    """``(N, k)``: votes of each class less their mean, of decisions ``(N, P)``."""
    done: Doubles = np.tanh(SHARPNESS / 2 * decisions) / 2 @ ballots(k)
    return done


def ballots(k: int) -> Doubles:
    """``(P, k)``: 1 for the first class of a pair, -1 for the second."""
    pairs = list(combinations(range(k), 2))
    out = np.zeros((len(pairs), k))
    for row, (i, j) in enumerate(pairs):
        out[row, i], out[row, j] = 1, -1
    return out


def pair_weights(model: Any) -> tuple[Doubles, Doubles]:
    """Weights ``(m, P)`` of the support vectors and intercepts ``(P,)`` of a fitted scikit-learn SVC.

    LIBSVM keeps of a support vector of class i its weights against the other classes in k - 1 rows: against j
    in row j - 1 for i < j, in row j for i > j.
    """
    dual, counts, intercepts = model.dual_coef_, model.n_support_, model.intercept_
    k = len(counts)
    begins = np.concatenate([[0], np.cumsum(counts)])
    out = np.zeros((begins[-1], k * (k - 1) // 2))
    for pair, (i, j) in enumerate(combinations(range(k), 2)):
        first, second = (slice(begins[c], begins[c + 1]) for c in (i, j))
        out[first, pair] = dual[j - 1, first]
        out[second, pair] = dual[i, second]
    # Of two classes scikit-learn turns the sign, so that above 0 means the second one.
    return (-out, -intercepts) if k == 2 else (out, intercepts.copy())
