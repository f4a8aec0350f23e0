"""A torch net as a scikit-learn classifier: fit, predict, predict_proba, classes_, save, load, export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin

from ..datasets.arrays import from_arrays
from ..datasets.faceset import FaceSet
from ..errors import DataError, RecipeError, RunError, did_you_mean
from ..labels import Output
from ..models import make_model
from ..recipe import Balance, Loss, Optimizer, Schedule, Stop, Train
from ..transforms import Preprocess
from ..transforms.augment import Augment
from .batches import Source
from .checkpoint import Checkpoint, load_checkpoint, load_weights, save_checkpoint
from .launch import launch, open_fabric
from .loop import EVAL_BATCH, Listener, Plan, epoch_seed
from .weighting import balanced

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Storage:
    """Where a training keeps its state.

    Attributes:
        folder: Gets last.safetensors and best.safetensors after each epoch.
        tag: What the checkpoints belong to; resuming from another tag is refused.
        resume: Go on from what the folder holds.
        deadline: Seconds after which training ends at the end of an epoch.
    """

    folder: Path
    tag: str = ""
    resume: bool = False
    deadline: float | None = None


class TorchLearner(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A net from `duchenne.models`, trained by our own loop.

    Args:
        model: Name in `duchenne.models.MODELS`.
        args: Further arguments of the model.
        preprocess, augment, balance, optimizer, schedule, loss, stop, train: See those classes; None:
            defaults.
        accelerator: Lightning Fabric's name: "auto", "cpu", "cuda" or "mps".
        devices: Processes (one device each); above 1 on CPU they are spawned, so call from under
            ``if __name__ == "__main__":``.

    Attributes:
        outputs_: What is learned, with label names.
        classes_: Labels of the single output, or output name -> labels where there are several.
        history_: One dict an epoch.
        best_: {"epoch", "monitor", "value"}.
    """

    def __init__(
        self,
        model: str = "smallnet",
        args: Mapping[str, Any] | None = None,
        preprocess: Preprocess | None = None,
        augment: Augment | None = None,
        balance: Balance | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        loss: Loss | None = None,
        stop: Stop | None = None,
        train: Train | None = None,
        accelerator: str = "auto",
        devices: int = 1,
    ) -> None:
        self.model = model
        self.args = args
        self.preprocess = preprocess
        self.augment = augment
        self.balance = balance
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        self.stop = stop
        self.train = train
        self.accelerator = accelerator
        self.devices = devices

    # -- fitting --------------------------------------------------------------------------------

    def fit(
        self,
        X: FaceSet | Array,
        y: Any = None,
        val: FaceSet | tuple[Array, Any] | None = None,
        *,
        storage: Storage | None = None,
        listener: Listener | None = None,
    ) -> TorchLearner:
        """Train.

        Args:
            X: A FaceSet with targets, or uint8 images ``(N, H, W)`` or ``(N, H, W, 3)``.
            y: With arrays: ``(N,)`` classes of any sort that sorts.
            val: For early stopping and the best epoch, a FaceSet or (images, classes); without it the last
                epoch is kept and `stop` is off.
            storage: Where to keep checkpoints, and whether to resume.
            listener: Hears of progress.

        Raises:
            DataError: No samples, one class only, targets that do not fit, other labels in `val`.
            RecipeError: A setting does not fit the outputs, or this machine has no such devices.
            TrainingError: The loss or a weight became nan or infinite.
            RunError: A checkpoint cannot be read or written.
        """
        faces = self._as_faces(X, y)
        _check_trainable(faces)
        self.outputs_ = faces.outputs
        plan = self._plan(val is not None, storage)
        torch.manual_seed(epoch_seed(plan.train.seed, 0))
        net = self._make_net()
        rows, weight = balanced(faces, self.balance or Balance(), plan.train.seed)
        train = Source(faces if rows is None else faces.select(rows), plan.preprocess, weight)
        held_out = None if val is None else Source(self._held_out(val), plan.preprocess)
        outcome = launch(self.accelerator, self.devices, net, train, held_out, plan, listener)
        net.load_state_dict(outcome.weights)
        self.net_ = net.eval()
        self.history_, self.best_ = outcome.progress.history, outcome.progress.best
        self.n_iter_, self.seconds_ = outcome.progress.epoch, outcome.progress.seconds
        self.finished_, self.reason_ = outcome.finished, outcome.reason
        return self

    def check(self, faces: FaceSet, val: FaceSet | None = None) -> None:
        """Raise what `fit` would raise of settings, data and devices before its first step; nothing is kept.

        Raises:
            DataError, RecipeError: As `fit`.
        """
        twin = type(self)(**self.get_params(deep=False))
        _check_trainable(faces)
        twin.outputs_ = faces.outputs
        plan = twin._plan(val is not None, None)
        twin._make_net()
        balanced(faces, twin.balance or Balance(), plan.train.seed)
        if val is not None:
            twin._held_out(val)
        open_fabric(twin.accelerator, twin.devices, plan.train.precision)

    def _as_faces(self, X: FaceSet | Array, y: Any) -> FaceSet:
        if isinstance(X, FaceSet):
            self._values = None
            return X
        if y is None:
            raise DataError("arrays need classes: fit(X, y)")
        values, codes = np.unique(np.asarray(y), return_inverse=True)
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

    def _plan(self, validated: bool, storage: Storage | None) -> Plan:
        stop = self.stop or Stop()
        known = [f"val_{o.name}_{f}" for o in self.outputs_ for f in _figures(o)] + ["val_loss"]
        first = next((o for o in self.outputs_ if o.kind == "single"), self.outputs_[0])
        monitor = stop.monitor or f"val_{first.name}_{_figures(first)[0]}"
        if monitor not in known:
            raise RecipeError(f"stop.monitor: there is no figure '{monitor}'", did_you_mean(monitor, known))
        return Plan(
            outputs=self.outputs_,
            optimizer=self.optimizer or Optimizer(),
            schedule=self.schedule or Schedule(),
            loss=self._loss(),
            stop=stop,
            train=self.train or Train(),
            preprocess=self.preprocess or Preprocess(),
            augment=self.augment or Augment(),
            monitor=monitor if validated else "",
            facts=self._facts(),
            folder=storage.folder if storage else None,
            tag=storage.tag if storage else "",
            resume=storage.resume if storage else False,
            deadline=storage.deadline if storage else None,
        )

    def _loss(self) -> Loss:
        loss = self.loss or Loss()
        names = [o.name for o in self.outputs_]
        for name in loss.weights:
            if name not in names:
                raise RecipeError(f"loss.weights: there is no output '{name}'", did_you_mean(name, names))
        return loss

    def _make_net(self) -> torch.nn.Module:
        preprocess = self.preprocess or Preprocess()
        outputs = {o.name: o.num_classes for o in self.outputs_}
        net = make_model(self.model, preprocess.channels, preprocess.size, outputs, self.args or {})
        # Channels last is what the CPU's and GPU's convolutions are fastest in.
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    # -- answering --------------------------------------------------------------------------------

    @property
    def classes_(self) -> Any:
        """Labels of the single output, or output name -> labels where there are several."""
        if getattr(self, "_values", None) is not None:
            return self._values
        named = {o.name: np.array(o.labels) for o in self.outputs_}
        return next(iter(named.values())) if len(named) == 1 else named

    def _check_fitted(self) -> None:
        if not hasattr(self, "net_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this TorchLearner is not fitted yet: call fit first")

    @torch.no_grad()
    def logits(self, X: FaceSet | Array) -> dict[str, npt.NDArray[np.float32]]:
        """Logits ``{output: (N, K)}`` float32 of images or a FaceSet."""
        self._check_fitted()
        preprocess = self.preprocess or Preprocess()
        device = next(self.net_.parameters()).device
        parts: dict[str, list[npt.NDArray[np.float32]]] = {o.name: [] for o in self.outputs_}
        for start in range(0, len(X), EVAL_BATCH):
            rows = np.arange(start, min(start + EVAL_BATCH, len(X)))
            pixels = X.pixels(rows) if isinstance(X, FaceSet) else np.asarray(X)[rows]
            x = torch.from_numpy(preprocess(pixels)).to(device).contiguous(memory_format=torch.channels_last)
            for name, value in self.net_(x).items():
                parts[name].append(value.float().cpu().numpy())
        return {
            o.name: np.concatenate(parts[o.name])
            if parts[o.name]
            else np.empty((0, o.num_classes), np.float32)
            for o in self.outputs_
        }

    def predict_proba(self, X: FaceSet | Array) -> Any:
        """Probs ``(N, K)`` of the single output, or ``{output: (N, K)}`` where there are several."""
        logits = self.logits(X)
        probs = {o.name: _activate(o, torch.from_numpy(logits[o.name])) for o in self.outputs_}
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

    # -- keeping --------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "args": dict(self.args or {}),
            "preprocess": (self.preprocess or Preprocess()).to_json(),
            "outputs": [{"name": o.name, "kind": o.kind, "labels": list(o.labels)} for o in self.outputs_],
        }

    def save(self, path: Path) -> None:
        """Write weights and what describes the net as one safetensors file."""
        self._check_fitted()
        facts = self._facts() | {"best": self.best_, "epoch": self.n_iter_, "history": self.history_}
        if self._values is not None:
            facts["values"] = json.loads(json.dumps(self._values.tolist()))
        save_checkpoint(path, Checkpoint(dict(self.net_.state_dict()), facts=facts))

    def to_onnx(self) -> bytes:
        """The fitted net as ONNX: preprocessed images in, logits per output out."""
        from .onnx_export import export_onnx

        self._check_fitted()
        preprocess = self.preprocess or Preprocess()
        return export_onnx(
            self.net_, tuple(o.name for o in self.outputs_), preprocess.channels, preprocess.size
        )

    @classmethod
    def load(cls, path: Path) -> TorchLearner:
        """Read what `save` wrote, or the best checkpoint of a run. Raises RunError."""
        state = load_checkpoint(path)
        facts = state.facts
        try:
            learner = cls(facts["model"], facts["args"], Preprocess.from_json(facts["preprocess"]))
            learner.outputs_ = tuple(
                Output(o["name"], o["kind"], tuple(o["labels"])) for o in facts["outputs"]
            )
            learner.history_, learner.best_, learner.n_iter_ = facts["history"], facts["best"], facts["epoch"]
        except KeyError as error:
            raise RunError(f"checkpoint {path} does not say its {error}") from None
        learner._values = np.array(facts["values"]) if "values" in facts else None
        net = learner._make_net()
        load_weights(net, state.model, path)
        learner.net_ = net.eval()
        return learner


def _figures(output: Output) -> list[str]:
    return ["accuracy", "macro_f1"] if output.kind == "single" else ["binary_accuracy", "macro_f1"]


def _activate(output: Output, logits: torch.Tensor) -> npt.NDArray[np.float32]:
    probs = logits.softmax(dim=1) if output.kind == "single" else logits.sigmoid()
    return np.asarray(probs.numpy(), dtype=np.float32)


def _check_trainable(faces: FaceSet) -> None:
    """Raises DataError where nothing can be learned."""
    if len(faces) == 0:
        raise DataError(f"{faces.name}: the training part is empty")
    for output in faces.outputs:
        if output.kind == "single" and sum(c > 0 for c in faces.class_counts(output.name).values()) < 2:
            raise DataError(f"{faces.name}: the training part has fewer than two classes of '{output.name}'")
