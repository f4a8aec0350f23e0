"""A support vector machine as a learner like the others: recipes, runs, checkpoints, export.

All pairs of classes have a machine of their own; C and kernel are chosen by stratified cross-validation
within the training part (the validation part decides nothing). What counts as logits stands in
`svm.PairwiseSVM`: votes over a temperature that is fitted on the held-out folds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..errors import DataError, RecipeError, RunError
from ..recipe import Balance, Stop, Train
from ..scratch.scores import single_figures
from .arrayfile import read_last, write_arrays
from .classifier import OneShotLearner
from .contract import (
    Array,
    Listener,
    Row,
    Storage,
    check_trainable,
    monitor_of,
    refuse_unused,
    sample_weights,
)
from .svm import PairwiseSVM
from .svm_fit import check_classes, check_pairs, fit_svm
from .svm_settings import SVMSettings
from .weighting import balanced

# Faces whose inputs are made at a time.
EVAL_BATCH = 256

HONOURED = {"train": ("epochs", "seed"), "stop": ("monitor",)}


class SVMLearner(OneShotLearner):
    """A support vector machine (scikit-learn's SVC) on one single-label output.

    The whole training is one epoch, and one history row.

    Args:
        args: kernel, C, gamma, folds, limit; see `SVMSettings`.
        preprocess: From faces to inputs, in most cases with features.
        balance: Weights of faces; a repeated face is one face of more weight.
        stop: Only the figure to watch (`monitor`); it decides nothing.
        train: `seed`; `epochs`, where given, must be 1.
        start, start_train: Not to be given: an SVM is fitted from nothing.

    Attributes:
        svm_: The fitted machine.
        selection_: One row a setting that was tried: kernel, gamma, C, accuracy (cross-validated).
    """

    NAME: ClassVar[str] = "svm"

    svm_: PairwiseSVM
    selection_: list[dict[str, Any]]

    # -- fitting --------------------------------------------------------------------------------

    def fit(
        self,
        X: FaceSet | Array,
        y: Any = None,
        val: FaceSet | tuple[Array, Any] | None = None,
        *,
        storage: Storage | None = None,
        listener: Listener | None = None,
    ) -> SVMLearner:
        """Choose a setting and fit it; arguments as in `TorchLearner.fit`.

        Raises:
            DataError: No samples, one class only, a class of one face, other labels in `val`, or more faces
                than can be compared in pairs.
            RecipeError: A setting that an SVM has not, or an output it cannot learn.
            RunError: A checkpoint cannot be read or written.
        """
        faces = self._as_faces(X, y)
        held_out, settings = self._checked(faces, val)
        if storage is not None and storage.resume and self._resumed(storage):
            if listener is not None:
                listener.on_start(1, 1, 1)
            return self
        if listener is not None:
            listener.on_start(0, 1, 1)
        begun = time.monotonic()
        rows, codes, weight = self._training(faces, settings)
        x = self._inputs(faces, rows)
        seed, size = self._train.seed, self.outputs_[0].num_classes
        self.svm_, self.selection_, chosen = fit_svm(x, codes, weight, size, settings, seed)
        row: Row = {"epoch": 1, **_chosen_row(self.selection_[chosen], self.svm_, len(rows))}
        row |= _figures(self.svm_.logits(x), codes, self.outputs_[0].name, "train")
        if held_out is not None:
            truth = held_out.hard(self.outputs_[0].name)
            known = np.flatnonzero(truth >= 0)
            found = self.svm_.logits(self._inputs(held_out, known))
            row |= _figures(found, truth[known], self.outputs_[0].name, "val")
        row["seconds"] = round(time.monotonic() - begun, 3)
        monitor = monitor_of(self.outputs_, self.stop or Stop()) if held_out is not None else ""
        self.best_ = {"epoch": 1, "monitor": monitor, "value": row.get(monitor)}
        self._finished([row])
        if storage is not None:
            facts = self._facts() | {
                "tag": storage.tag, "best": self.best_, "epoch": self.n_iter_, "history": self.history_,
            }  # fmt: skip
            for name in ("best", "last"):
                write_arrays(storage.folder / f"{name}.safetensors", {"model": self._arrays()}, facts)
        if listener is not None:
            listener.on_batch(1)
            listener.on_epoch(row, self.history_, self.best_)
        return self

    def check(self, faces: FaceSet, val: FaceSet | None = None) -> None:
        """Raise what `fit` would raise of settings and data before its first step; nothing is kept.

        Raises:
            DataError, RecipeError: As `fit`.
        """
        twin = type(self)(**self.get_params(deep=False))
        twin._values = None
        _, settings = twin._checked(faces, val)
        twin._training(faces, settings)

    @property
    def _train(self) -> Train:
        return self.train or Train()

    def _checked(
        self, faces: FaceSet, val: FaceSet | tuple[Array, Any] | None
    ) -> tuple[FaceSet | None, SVMSettings]:
        """The held-out faces and the settings, checked; sets `outputs_`."""
        check_trainable(faces)
        self.outputs_ = faces.outputs
        if len(faces.outputs) != 1 or faces.outputs[0].kind != "single":
            named = ", ".join(f"{o.name} ({o.kind})" for o in faces.outputs)
            raise RecipeError(
                f"learner 'svm' learns one single-label output, but {faces.name} has {named}",
                "name one in data.outputs",
            )
        if self.start is not None or self.start_train != "all":
            raise RecipeError("start.run: learner 'svm' is fitted from nothing", "leave [start] out")
        stop = self.stop or Stop()
        refuse_unused("svm", {"train": self._train, "stop": stop}, HONOURED)
        if self._train.epochs not in (Train().epochs, 1):
            raise RecipeError(
                f"train.epochs = {self._train.epochs}: learner 'svm' is fitted once", "leave it out"
            )
        monitor_of(faces.outputs, stop)
        return (None if val is None else self._held_out(val)), SVMSettings.from_args(self.args or {})

    def _training(self, faces: FaceSet, settings: SVMSettings) -> tuple[Array, Array, Array]:
        """Rows that are trained on ``(n,)``, their codes and weights."""
        rows, weight = balanced(faces, self.balance or Balance(), self._train.seed)
        if rows is not None:
            copies = np.bincount(rows, minlength=len(faces)).astype(np.float32)
            weight = copies if weight is None else np.bincount(rows, weight, len(faces)).astype(np.float32)
        weights = sample_weights(faces, weight).astype(np.float64)
        codes = faces.hard(self.outputs_[0].name)
        chosen = np.flatnonzero((codes >= 0) & (weights > 0))
        check_classes(codes[chosen], self.outputs_[0].labels)
        if 0 < settings.limit < len(chosen):
            chosen = _drawn(chosen, codes[chosen], settings.limit, self._train.seed)
            check_classes(codes[chosen], self.outputs_[0].labels)
        check_pairs(len(chosen))
        return chosen, codes[chosen].astype(np.int64), weights[chosen]

    def _inputs(self, X: FaceSet | Array, rows: Array | None = None) -> npt.NDArray[np.float32]:
        """``(n, D)`` float32 of some rows, or of all."""
        rows = np.arange(len(X)) if rows is None else rows
        height, width = self._preprocess.input_size
        out = np.empty((len(rows), self._preprocess.input_channels * height * width), np.float32)
        for begin in range(0, len(rows), EVAL_BATCH):
            some = rows[begin : begin + EVAL_BATCH]
            pixels = X.pixels(some) if isinstance(X, FaceSet) else np.asarray(X)[some]
            out[begin : begin + len(some)] = self._preprocess(pixels).reshape(len(some), -1)
        return out

    # -- answering --------------------------------------------------------------------------------

    def logits(self, X: FaceSet | Array) -> dict[str, npt.NDArray[np.float32]]:
        """Logits ``{output: (N, K)}`` float32 of images or a FaceSet; see `svm.PairwiseSVM`."""
        self._check_fitted()
        output = self.outputs_[0]
        parts = [np.empty((0, output.num_classes), np.float32)]
        for begin in range(0, len(X), EVAL_BATCH):
            rows = np.arange(begin, min(begin + EVAL_BATCH, len(X)))
            parts.append(self.svm_.logits(self._inputs(X, rows)))
        return {output.name: np.concatenate(parts)}

    @property
    def num_parameters_(self) -> int:
        """How many numbers the machine has: support vectors, weights, intercepts."""
        return int(self.svm_.support.size + self.svm_.weights.size + self.svm_.intercepts.size)

    # -- keeping --------------------------------------------------------------------------------

    def _arrays(self) -> dict[str, Array]:
        return self.svm_.to_arrays()

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {"kernel": self.svm_.kernel, "selection": self.selection_}

    def _recall(self, facts: Mapping[str, Any]) -> None:
        self.selection_, self.best_ = facts["selection"], facts["best"]
        self._finished(facts["history"])

    def _take(self, arrays: Mapping[str, Array]) -> None:
        height, width = self._preprocess.input_size
        features = self._preprocess.input_channels * height * width
        self.svm_ = PairwiseSVM.from_arrays(arrays, self.outputs_[0].num_classes, features)

    def _finished(self, history: list[Row]) -> None:
        self.history_, self.n_iter_ = history, 1
        self.finished_, self.reason_ = True, "fitted"

    def _resumed(self, storage: Storage) -> bool:
        """Take up ``last.safetensors``; False where there is none."""
        if (last := read_last(storage, ("model",))) is None:
            return False
        groups, facts = last
        path = storage.folder / "last.safetensors"
        try:
            self._recall(facts)
            self._take(groups["model"])
        except KeyError as error:
            raise RunError(f"checkpoint {path} does not say its {error}") from None
        except ValueError as error:
            raise RunError(f"checkpoint {path} is damaged: {error}", "train again with --force") from None
        return True

    def to_onnx(self) -> bytes:
        """The machine as ONNX: preprocessed images in, logits out."""
        from .svm_export import export_svm

        self._check_fitted()
        preprocess = self._preprocess
        return export_svm(self.svm_, self.outputs_[0].name, preprocess.input_channels, preprocess.input_size)


def _drawn(rows: Array, codes: Array, limit: int, seed: int) -> Array:
    """`limit` of the rows, stratified by class, in order."""
    from sklearn.model_selection import train_test_split

    classes = len(np.unique(codes))
    if limit < classes:
        raise DataError(
            f"learner.args.limit = {limit}: there are {classes} classes", f"take {classes} or more"
        )
    if len(rows) - limit < classes:  # too few are left out to be drawn by class
        return np.sort(np.random.default_rng(seed).permutation(rows)[:limit])
    taken, _ = train_test_split(rows, train_size=limit, random_state=seed, stratify=codes)
    return np.sort(taken)


def _chosen_row(chosen: Mapping[str, Any], svm: PairwiseSVM, faces: int) -> Row:
    """What a history row says of the chosen setting."""
    return {
        "kernel": chosen["kernel"],
        "gamma": chosen["gamma"],
        "C": chosen["C"],
        "cv_accuracy": chosen["accuracy"],
        "temperature": svm.temperature,
        "faces": faces,
        "support_vectors": chosen["support_vectors"],
    }


def _figures(logits: Array, codes: Array, output: str, prefix: str) -> dict[str, float]:
    """Loss, accuracy and macro F1 as the other learners' rows have them."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    loss = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(codes)), codes]
    figures = single_figures(z.argmax(axis=1), codes, z.shape[1])
    return {f"{prefix}_loss": float(loss.mean()) if len(loss) else 0.0} | {
        f"{prefix}_{output}_{name}": value for name, value in figures.items()
    }
