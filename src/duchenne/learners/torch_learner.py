"""A torch net as a scikit-learn classifier: fit, predict, predict_proba, classes_, save, load, export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..datasets.faceset import FaceSet
from ..errors import RecipeError, RunError
from ..models import make_model
from ..recipe import Balance, Denoise, Loss, Optimizer, Schedule, Stop, Teacher, Train
from ..transforms import Preprocess
from ..transforms.augment import Augment
from .batches import Source
from .checkpoint import Checkpoint, load_checkpoint, load_weights, save_checkpoint
from .classifier import FaceClassifier
from .contract import (
    Array,
    Listener,
    Storage,
    check_loss,
    check_trainable,
    epoch_seed,
    monitor_of,
    outputs_from_json,
    outputs_to_json,
)
from .frozen import check_copies
from .launch import launch, open_fabric
from .loop import EVAL_BATCH
from .norms import check_norms
from .optimizers import parameter_groups
from .plan import Plan
from .start import Labels, Which, begins
from .teacher import check_teacher, soft_targets, taught_places, teacher_name
from .torch_start import begin_from, train_heads_only
from .weighting import balanced


class TorchLearner(FaceClassifier):
    """A net from `duchenne.models`, trained by our own loop.

    Args:
        model: Name in `duchenne.models.MODELS`.
        args: Further arguments of the model.
        preprocess, augment, balance, optimizer, schedule, loss, stop, train: See those classes; None:
            defaults.
        accelerator: Lightning Fabric's name: "auto", "cpu", "cuda" or "mps".
        devices: Processes (one device each); above 1 on CPU they are spawned, so call from under
            ``if __name__ == "__main__":``.
        start: A checkpoint to begin from; labels of its heads are matched by name, new ones are initialised
            with the seed.
        start_train: "all" weights are trained, or the "head" (the last layer of each output) alone: then the
            body's parameters are frozen and its batch norms stay in evaluation mode; its dropout stays on.
        start_labels: "all": a label of the checkpoint that the data lack is an error; "shared": it goes.
        denoise: Which samples training leaves out by their losses; None: all stay.
        teacher: A TorchLearner's checkpoint whose answers are learned beside the labels; None: labels alone.
        teaching: How much they count, and at which temperature; None: the defaults.

    Attributes:
        denoised_: What was left out and when (`duchenne.denoise.Denoiser.records`).
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
        start: Path | None = None,
        start_train: Which = "all",
        start_labels: Labels = "all",
        denoise: Denoise | None = None,
        teacher: Path | None = None,
        teaching: Teacher | None = None,
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
        self.start = start
        self.start_train = start_train
        self.start_labels = start_labels
        self.denoise = denoise
        self.teacher = teacher
        self.teaching = teaching

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
            RunError: A checkpoint cannot be read or written, or the one to begin from, or the teacher's, does
                not fit.
        """
        faces = self._as_faces(X, y)
        check_trainable(faces)
        self.outputs_ = faces.outputs
        plan = self._plan(val is not None, storage)
        torch.manual_seed(epoch_seed(plan.train.seed, 0))
        net = self._begun_net(storage)
        check_copies(net, plan.train, plan.augment)
        check_norms(net, plan.train.precise_norms, plan.only_heads)
        plan = replace(plan, facts=self._facts(net))
        taught = self._taught()
        rows, weight = balanced(faces, self.balance or Balance(), plan.train.seed)
        train = Source(faces if rows is None else faces.select(rows), plan.preprocess, weight)
        if taught is not None:
            train.taught = soft_targets(taught[0], train.faces, taught[1], plan.teacher)
        held_out = None if val is None else Source(self._held_out(val), plan.preprocess)
        outcome = launch(self.accelerator, self.devices, net, train, held_out, plan, listener)
        net.load_state_dict(outcome.weights)
        self.net_ = net.eval()
        self.history_, self.best_ = outcome.progress.history, outcome.progress.best
        self.n_iter_, self.seconds_ = outcome.progress.epoch, outcome.progress.seconds
        self.finished_, self.reason_ = outcome.finished, outcome.reason
        self.denoised_ = outcome.progress.denoised
        return self

    def check(self, faces: FaceSet, val: FaceSet | None = None) -> None:
        """Raise what `fit` would raise of settings, data and devices before its first step; nothing is kept.

        Raises:
            DataError, RecipeError, RunError: As `fit`.
        """
        twin = type(self)(**self.get_params(deep=False))
        check_trainable(faces)
        twin.outputs_ = faces.outputs
        plan = twin._plan(val is not None, None)
        net = twin._begun_net(None)
        twin._taught()
        check_copies(net, plan.train, plan.augment)
        check_norms(net, plan.train.precise_norms, plan.only_heads)
        parameter_groups(net, plan.optimizer)
        balanced(faces, twin.balance or Balance(), plan.train.seed)
        if val is not None:
            twin._held_out(val)
        open_fabric(twin.accelerator, twin.devices, plan.train.precision)

    def _plan(self, validated: bool, storage: Storage | None) -> Plan:
        stop = self.stop or Stop()
        monitor = monitor_of(self.outputs_, stop)
        preprocess, augment = self.preprocess or Preprocess(), self.augment or Augment()
        if preprocess.features is not None and not augment.is_identity:
            raise RecipeError(
                "augment changes images, but preprocess.features gives the net vectors", "leave [augment] out"
            )
        augment.check_channels(preprocess.channels)
        return Plan(
            outputs=self.outputs_,
            optimizer=self.optimizer or Optimizer(),
            schedule=self.schedule or Schedule(),
            loss=check_loss(self.outputs_, self.loss or Loss()),
            stop=stop,
            train=self.train or Train(),
            preprocess=preprocess,
            augment=augment,
            monitor=monitor if validated else "",
            folder=storage.folder if storage else None,
            tag=storage.tag if storage else "",
            resume=storage.resume if storage else False,
            deadline=storage.deadline if storage else None,
            only_heads=self.start_train == "head",
            denoise=self.denoise,
            teacher=self.teaching or Teacher(),
        )

    def _taught(self) -> tuple[TorchLearner, dict[str, list[int]]] | None:
        """The teacher, and which columns of its answers are our labels. Raises RunError."""
        if self.teacher is None:
            return None
        check_teacher(self.teacher)
        teacher = type(self).load(self.teacher)
        return teacher, taught_places(teacher.outputs_, self.outputs_, teacher_name(self.teacher))

    def _begun_net(self, storage: Storage | None) -> torch.nn.Module:
        """The net that training begins with. Raises RecipeError, RunError."""
        begun = begins(self.start, self.start_train, storage)
        net = self._make_net()
        if begun:
            assert self.start is not None
            facts = {"model": self.model, "preprocess": (self.preprocess or Preprocess()).to_json()}
            begin_from(net, self.start, facts, self.outputs_, self.start_labels)
        if self.start_train == "head":
            train_heads_only(net)
        return net

    def _make_net(self) -> torch.nn.Module:
        preprocess = self.preprocess or Preprocess()
        outputs = {o.name: o.num_classes for o in self.outputs_}
        channels, size = preprocess.input_channels, preprocess.input_size
        net = make_model(self.model, channels, size, outputs, self.args or {})
        if (cropped := (self.augment or Augment()).cropped(*size)) != size:
            self._check_takes(net, channels, cropped)
        # Channels last is what the CPU's and GPU's convolutions are fastest in.
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @torch.no_grad()
    def _check_takes(self, net: torch.nn.Module, channels: int, size: tuple[int, int]) -> None:
        """Raise RecipeError where the net takes its own size alone, and training would crop."""
        try:
            net.eval()(torch.zeros(1, channels, *size))
        except RuntimeError:
            raise RecipeError(
                f"augment.crop gives images of {list(size)}, and model '{self.model}' takes none but "
                f"{list((self.preprocess or Preprocess()).input_size)}",
                "leave augment.crop out, or take a model that pools over the whole map ('residual')",
            ) from None
        net.train()

    # -- answering --------------------------------------------------------------------------------

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

    @property
    def num_parameters_(self) -> int:
        """How many numbers the net has."""
        return sum(p.numel() for p in self.net_.parameters())

    # -- keeping --------------------------------------------------------------------------------

    def _facts(self, net: torch.nn.Module) -> dict[str, Any]:
        return {
            "learner": "torch",
            "model": self.model,
            # A net that was read from elsewhere says by what it is made again without that.
            "args": dict(getattr(net, "lasting_args", self.args) or {}),
            "preprocess": (self.preprocess or Preprocess()).to_json(),
            "outputs": outputs_to_json(self.outputs_),
        }

    def save(self, path: Path) -> None:
        """Write weights and what describes the net as one safetensors file."""
        self._check_fitted()
        facts = self._facts(self.net_) | {"best": self.best_, "epoch": self.n_iter_, "history": self.history_}
        if self._values is not None:
            facts["values"] = json.loads(json.dumps(self._values.tolist()))
        save_checkpoint(path, Checkpoint(dict(self.net_.state_dict()), facts=facts))

    def to_onnx(self) -> bytes:
        """The fitted net as ONNX: preprocessed images in, logits per output out."""
        from .onnx_export import export_onnx

        self._check_fitted()
        preprocess = self.preprocess or Preprocess()
        return export_onnx(
            self.net_,
            tuple(o.name for o in self.outputs_),
            preprocess.input_channels,
            preprocess.input_size,
        )

    @classmethod
    def load(cls, path: Path) -> TorchLearner:
        """Read what `save` wrote, or the best checkpoint of a run. Raises RunError."""
        state = load_checkpoint(path)
        facts = state.facts
        try:
            learner = cls(facts["model"], facts["args"], Preprocess.from_json(facts["preprocess"]))
            learner.outputs_ = outputs_from_json(facts["outputs"])
            learner.history_, learner.best_, learner.n_iter_ = facts["history"], facts["best"], facts["epoch"]
        except KeyError as error:
            raise RunError(f"checkpoint {path} does not say its {error}") from None
        learner._values = np.array(facts["values"]) if "values" in facts else None
        net = learner._make_net()
        load_weights(net, state.model, path)
        learner.net_ = net.eval()
        return learner
