"""What all learners have in common: the scikit-learn contract on arrays and FaceSets, labels, answers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ..artifacts.artifact import to_probs
from ..datasets.arrays import from_arrays
from ..datasets.faceset import FaceSet
from ..errors import DataError, RunError
from ..labels import Output
from ..recipe import Balance, Stop, Train
from ..transforms import Preprocess
from .arrayfile import learner_of, read_arrays, write_arrays
from .contract import Array, outputs_from_json, outputs_to_json
from .start import Which


class FaceClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn ships no types
    """A learner of faces. A subclass fits (setting `outputs_`, `n_iter_`, `history_`, ...) and gives logits.

    Attributes:
        outputs_: What is learned, with label names.
        classes_: Labels of the single output, or output name -> labels where there are several.
        history_: One dict an epoch.
        best_: {"epoch", "monitor", "value"}.
        n_iter_: Finished epochs.
        finished_, reason_: Whether training is over, and why it ended.
    """

    outputs_: tuple[Output, ...]
    history_: list[dict[str, Any]]
    best_: dict[str, Any]
    n_iter_: int
    finished_: bool
    reason_: str
    # The classes that arrays were given with, sorted; None for a FaceSet, whose labels are text.
    _values: Array | None

    # -- what goes in -------------------------------------------------------------------------------

    def _as_faces(self, X: FaceSet | Array, y: Any) -> FaceSet:
        if isinstance(X, FaceSet):
            self._values = None
            return X
        if y is None:
            raise DataError("arrays need classes: fit(X, y)")
        values, codes = np.unique(np.asarray(y), return_inverse=True)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError("y: a class is nan or infinite", "leave out the faces whose class is not known")
        self._values = values
        output = Output("class", "single", tuple(str(v) for v in values))
        return from_arrays(np.asarray(X), {"class": codes.astype(np.int64)}, outputs=(output,), name="arrays")

    def _held_out(self, val: FaceSet | tuple[Array, Any]) -> FaceSet:
        """The validation part with the outputs of `fit`. Raises DataError when its labels are others."""
        if not isinstance(val, FaceSet):
            images, y = val
            labels = self.outputs_[0].labels
            truth = np.array([str(v) for v in np.asarray(y).tolist()], dtype=str)
            if self._values is None or not np.isin(truth, labels).all():
                raise DataError("val holds classes that the training part does not have")
            val = from_arrays(np.asarray(images), {"class": truth}, outputs=self.outputs_, name="val")
        if len(val) == 0:
            raise DataError(f"{val.name}: the validation part is empty", "leave val out to train without one")
        return self._matched(val)

    def _matched(self, faces: FaceSet) -> FaceSet:
        """The faces with the outputs of `fit`. Raises DataError when their labels are others."""
        faces = faces.keep_outputs([o.name for o in self.outputs_])
        for ours, theirs in zip(self.outputs_, faces.outputs, strict=True):
            if ours != theirs:
                raise DataError(
                    f"{faces.name}: output '{ours.name}' has the labels {', '.join(theirs.labels)}; "
                    f"trained are {', '.join(ours.labels)}"
                )
        return faces

    # -- what comes out -----------------------------------------------------------------------------

    @abstractmethod
    def logits(self, X: FaceSet | Array) -> dict[str, npt.NDArray[np.float32]]:
        """Logits ``{output: (N, K)}`` float32 of images or a FaceSet."""

    @property
    @abstractmethod
    def num_parameters_(self) -> int:
        """How many numbers the model has, trained or held still."""

    @property
    def classes_(self) -> Any:
        """Labels of the single output, or output name -> labels where there are several."""
        if getattr(self, "_values", None) is not None:
            return self._values
        named = {o.name: np.array(o.labels) for o in self.outputs_}
        return next(iter(named.values())) if len(named) == 1 else named

    def _check_fitted(self) -> None:
        if not hasattr(self, "n_iter_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit first")

    def predict_proba(self, X: FaceSet | Array) -> Any:
        """Probs ``(N, K)`` of the single output, or ``{output: (N, K)}`` where there are several."""
        logits = self.logits(X)
        probs = {o.name: to_probs(logits[o.name], o.kind) for o in self.outputs_}
        return next(iter(probs.values())) if len(probs) == 1 else probs

    def predict(self, X: FaceSet | Array) -> Any:
        """Labels ``(N,)`` (``multi``: ``(N, A)`` bool at 0.5), or a dict of them by output."""
        values = getattr(self, "_values", None)
        if values is not None:
            return values[self.predict_proba(X).argmax(axis=1)]
        logits = self.logits(X)
        said = {
            o.name: np.array(o.labels)[logits[o.name].argmax(axis=1)]
            if o.kind == "single"
            else logits[o.name] > 0
            for o in self.outputs_
        }
        return next(iter(said.values())) if len(said) == 1 else said

    def score(self, X: FaceSet | Array, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy; of a FaceSet, that of its first single-label output.

        Raises:
            DataError: There is no single-label output, nothing is annotated, or the labels are others.
        """
        if not isinstance(X, FaceSet):
            return float(super().score(X, y, sample_weight))
        self._check_fitted()
        output = next((o for o in self.outputs_ if o.kind == "single"), None)
        if output is None:
            raise DataError(f"{X.name}: accuracy needs a single-label output")
        truth = self._matched(X).hard(output.name)
        if not (truth >= 0).any():
            raise DataError(f"{X.name}: no face is annotated with '{output.name}'")
        said = self.logits(X)[output.name].argmax(axis=1)
        return float((said == truth)[truth >= 0].mean())


class ArrayLearner(FaceClassifier):
    """A learner that is kept as named arrays, without torch. A subclass takes `args` and `preprocess` first.

    Attributes:
        NAME: The learner's name, as checkpoints say it.
    """

    NAME: ClassVar[str]
    args: Mapping[str, Any] | None
    preprocess: Preprocess | None

    @property
    def _preprocess(self) -> Preprocess:
        return self.preprocess or Preprocess()

    @abstractmethod
    def _arrays(self) -> dict[str, Array]:
        """What was fitted, by name."""

    @abstractmethod
    def _take(self, arrays: Mapping[str, Array]) -> None:
        """Put back what `_arrays` gave. Raises ValueError where it does not fit."""

    def _recall(self, facts: Mapping[str, Any]) -> None:
        """Put back what `_facts` says beyond the settings. Raises KeyError."""

    def _facts(self) -> dict[str, Any]:
        """What describes the learner, for its checkpoints."""
        facts = {
            "learner": self.NAME,
            "args": dict(self.args or {}),
            "preprocess": self._preprocess.to_json(),
            "outputs": outputs_to_json(self.outputs_),
        }
        if self._values is not None:
            facts["values"] = json.loads(json.dumps(self._values.tolist()))
        return facts

    def save(self, path: Path) -> None:
        """Write what was fitted and what describes it as one safetensors file."""
        self._check_fitted()
        facts = self._facts() | {"best": self.best_, "epoch": self.n_iter_, "history": self.history_}
        write_arrays(path, {"model": self._arrays()}, facts)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote, or the best checkpoint of a run. Raises RunError."""
        groups, facts = read_arrays(path, ("model", "optimizer", "ema"))
        if (kind := learner_of(facts)) != cls.NAME:
            raise RunError(f"checkpoint {path} is of learner '{kind}', not of '{cls.NAME}'")
        try:
            learner = cls(facts["args"], Preprocess.from_json(facts["preprocess"]))
            learner.outputs_ = outputs_from_json(facts["outputs"])
            learner.history_, learner.best_, learner.n_iter_ = facts["history"], facts["best"], facts["epoch"]
            learner._recall(facts)
        except KeyError as error:
            raise RunError(f"checkpoint {path} does not say its {error}") from None
        learner._values = np.array(facts["values"]) if "values" in facts else None
        try:
            learner._take(groups["model"])
        except ValueError as error:
            raise RunError(
                f"checkpoint {path} does not fit its own description: {error}", "train again with --force"
            ) from None
        return learner


class OneShotLearner(ArrayLearner):
    """A learner that scikit-learn fits at once: no optimiser, no augmentation, no epochs over the data."""

    def __init__(
        self,
        args: Mapping[str, Any] | None = None,
        preprocess: Preprocess | None = None,
        balance: Balance | None = None,
        stop: Stop | None = None,
        train: Train | None = None,
        start: Path | None = None,
        start_train: Which = "all",
    ) -> None:
        self.args = args
        self.preprocess = preprocess
        self.balance = balance
        self.stop = stop
        self.train = train
        self.start = start
        self.start_train = start_train
