"""Fitting a support vector machine: cross-validation chooses the setting and the temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .svm import Array, Doubles, PairwiseSVM, ballots, pair_weights, rbf_of, votes
from .svm_settings import Candidate, SVMSettings

# The matrix of all pairs and one kernel of it, float64, must fit into this many bytes: 11,585 faces.
PAIRS_LIMIT = 1 << 31

# What the temperature is sought among; 400 steps of 2%.
TEMPERATURES = np.geomspace(0.02, 50, 400)


def check_pairs(faces: int) -> None:
    """Raise DataError where the matrices of all pairs of faces are too large."""
    if 16 * faces * faces > PAIRS_LIMIT:
        most = int((PAIRS_LIMIT / 16) ** 0.5)
        raise DataError(
            f"an SVM compares all pairs of faces: {faces:,} need {16 * faces * faces / 2**30:.1f} GiB",
            f"set learner.args.limit to {most:,} or less: so many training faces are drawn then",
        )


def check_classes(codes: Array, labels: Sequence[str]) -> None:
    """Raise DataError where a class has a single face: cross-validation could not hold it out."""
    classes, counts = np.unique(codes, return_counts=True)
    if len(classes) and counts.min() < 2:
        raise DataError(
            f"class '{labels[int(classes[counts.argmin()])]}' has a single training face: "
            "cross-validation needs two of each",
            "take more faces (learner.args.limit), or leave the label out (data.without)",
        )


def fit_svm(
    x: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float64],
    num_classes: int,
    settings: SVMSettings,
    seed: int,
) -> tuple[PairwiseSVM, list[dict[str, Any]], int]:
    """Choose a setting, and fit it on all faces.

    Args:
        x: ``(N, D)`` inputs.
        codes: ``(N,)`` class codes 0..K-1.
        weight: ``(N,)`` weights of the faces, above 0.
        num_classes: K.
        settings: What is tried.
        seed: Of the folds.

    Returns:
        The machine, each setting with its cross-validated accuracy, and the number of the chosen one (the
        first of the best), which also says how many support vectors it has.

    Raises:
        DataError: A class has a single face, so that it cannot be held out.
    """
    check_classes(codes, [str(k) for k in range(num_classes)])
    classes, counts = np.unique(codes, return_counts=True)
    folds = _folds(codes, min(settings.folds, int(counts.min())), seed)
    kernels = _Kernels(x)
    tried: list[dict[str, Any]] = []
    held_out: list[Doubles] = []
    for candidate in settings.candidates():
        kernel, gamma = kernels.of(candidate)
        decisions = _held_out_decisions(kernel, codes, weight, folds, candidate.C, len(classes))
        right = classes[votes(decisions, len(classes)).argmax(axis=1)] == codes
        tried.append(
            {"kernel": candidate.kernel, "gamma": gamma, "C": candidate.C, "accuracy": float(right.mean())}
        )
        held_out.append(decisions)
    best = int(np.argmax([row["accuracy"] for row in tried]))
    temperature = fit_temperature(votes(held_out[best], len(classes)), np.searchsorted(classes, codes))
    candidate = list(settings.candidates())[best]
    kernel, gamma = kernels.of(candidate)
    model = _machine(candidate.C).fit(kernel, codes, sample_weight=weight)
    tried[best]["support_vectors"] = len(model.support_)
    weights, intercepts = pair_weights(model)
    support = x[model.support_]
    if candidate.kernel == "linear":
        weights, support = support.astype(np.float64).T @ weights, support[:0]
    fitted = PairwiseSVM(
        candidate.kernel, gamma, classes.astype(np.int64), support, weights, intercepts, temperature,
        num_classes,
    )  # fmt: skip
    return fitted, tried, best


def fit_temperature(scores: Doubles, codes: Array) -> float:
    """The number by which scores ``(N, k)`` must be divided for the least cross-entropy of their softmax.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2, here on held-out folds.
    """
    losses = []
    for temperature in TEMPERATURES:
        z = scores / temperature
        z -= z.max(axis=1, keepdims=True)
        losses.append(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), codes]))
    return float(TEMPERATURES[int(np.argmin(losses))])


class _Kernels:
    """Kernel matrices of all pairs of faces, from one matrix of dot products."""

    def __init__(self, x: npt.NDArray[np.float32]) -> None:
        doubles = x.astype(np.float64)
        self._products: Doubles = doubles @ doubles.T
        self._squares = np.ascontiguousarray(np.diag(self._products))
        variance = float(doubles.var())
        # As scikit-learn's gamma="scale", where a variance of 0 counts as 1.
        self._scale = 1 / (x.shape[1] * (variance if variance > 0 else 1.0))
        self._last: tuple[float, Doubles] | None = None

    def of(self, candidate: Candidate) -> tuple[Doubles, float]:
        """Matrix and gamma (0 for "linear") of a setting."""
        if candidate.kernel == "linear":
            return self._products, 0.0
        gamma = self._scale if isinstance(candidate.gamma, str) else float(candidate.gamma or 0)
        if self._last is None or self._last[0] != gamma:
            self._last = None  # before the next one is made: two would not fit
            self._last = gamma, rbf_of(self._products, self._squares, self._squares, gamma)
        return self._last[1], gamma


def _machine(penalty: float) -> Any:
    from sklearn.svm import SVC

    return SVC(kernel="precomputed", C=penalty, decision_function_shape="ovo")


def _folds(codes: Array, folds: int, seed: int) -> list[tuple[Array, Array]]:
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(codes, codes))


def _held_out_decisions(
    kernel: Doubles, codes: Array, weight: Array, folds: list[tuple[Array, Array]], penalty: float, k: int
) -> Doubles:
    """``(N, P)``: of each face by the machine that was fitted on the other folds."""
    out = np.zeros((len(codes), len(ballots(k))))
    for train, test in folds:
        model = _machine(penalty).fit(kernel[np.ix_(train, train)], codes[train], sample_weight=weight[train])
        weights, intercepts = pair_weights(model)
        out[test] = kernel[np.ix_(test, train[model.support_])] @ weights + intercepts
    return out
