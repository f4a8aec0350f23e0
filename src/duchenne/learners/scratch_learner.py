"""The NumPy engine as a learner like the others: recipes, runs, checkpoints, export."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..errors import RecipeError, TrainingError, did_you_mean
from ..recipe import Balance, Denoise, Loss, Optimizer, Schedule, Stop, Train
from ..scratch import SGD, Adam, Head, Net, Solver
from ..transforms import Preprocess
from .classifier import ArrayLearner
from .contract import (
    Array,
    Listener,
    Storage,
    check_loss,
    check_trainable,
    denoiser_of,
    monitor_of,
    positive_weights,
    refuse_unused,
    sample_weights,
    target_arrays,
)
from .pixels import ShapedPixels
from .schedules import factor
from .scratch_keeper import ScratchKeeper
from .start import Slots, Which, begins, read_trained, side_by_side, take_over
from .threads import one_blas_thread
from .weighting import balanced

# Samples per batch of a prediction.
EVAL_BATCH = 256

# What the engine heeds of each section; anything else set is refused.
HONOURED = {
    "optimizer": ("name", "lr", "momentum", "nesterov", "betas", "eps"),
    "loss": ("weights", "positive_weights", "label_smoothing", "l2"),
    "train": ("epochs", "batch_size", "seed"),
}


class FaceExamples:
    """A FaceSet as the engine takes it: inputs are made a batch at a time, of uint8 pixels or features."""

    def __init__(self, faces: FaceSet, preprocess: Preprocess, weight: Array | None = None) -> None:
        arrays = {o.name: target_arrays(faces, o) for o in faces.outputs}
        self.targets = {k: values for k, (values, _) in arrays.items()}
        self.masks = {k: mask for k, (_, mask) in arrays.items()}
        self.faces = faces
        self.weight = sample_weights(faces, weight)
        self._pixels = ShapedPixels(faces, preprocess)
        self._preprocess = preprocess

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def told(self) -> npt.NDArray[np.bool_]:
        """``(N,)``, whether a sample is annotated at all, and of weight above 0."""
        has = [m > 0 if m.ndim == 1 else (m > 0).any(axis=1) for m in self.masks.values()]
        return np.asarray(np.any(has, axis=0) & (self.weight > 0))

    def positive_weights(self, loss: Loss) -> dict[str, npt.NDArray[np.float32]]:
        """What the labels' positives weigh in training on these samples."""
        arrays = {k: (values, self.masks[k]) for k, values in self.targets.items()}
        return positive_weights(self.faces.outputs, loss, arrays, self.weight)

    def fill(self, rows: Array, out: Array) -> None:
        """Write the preprocessed pixels of `rows` ``(n,)`` into `out` ``(n, D)`` float32, planes in order."""
        out[...] = self._preprocess(self._pixels[rows]).reshape(len(rows), -1)


class ScratchLearner(ArrayLearner):
    """A fully connected net of `duchenne.scratch`, on CPU.

    Args:
        args: Of the net: hidden (list of layer sizes), activation, slope, dropout (the probability to drop),
            init, init_std; see `duchenne.scratch.Net`.
        preprocess, balance, optimizer, schedule, loss, stop, train: See those classes; None: defaults. What
            the engine has not (averaged weights, L1, mixed precision, decoupled decay) is refused.
        start: A checkpoint to begin from; labels of its output layer are matched by name, new ones are
            initialised with the seed.
        start_train: "all" weights are trained, or the "head" (the output layer) alone; dropout stays on.
        denoise: Which samples training leaves out by their losses; None: all stay.

    Attributes:
        sample_losses_: ``(N,)`` float32, the loss of each training sample as computed in the last epoch; nan
            for one that took no part.
        denoised_: What was left out and when (`duchenne.denoise.Denoiser.records`).
    """

    NAME = "scratch"

    def __init__(
        self,
        args: Mapping[str, Any] | None = None,
        preprocess: Preprocess | None = None,
        balance: Balance | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        loss: Loss | None = None,
        stop: Stop | None = None,
        train: Train | None = None,
        start: Path | None = None,
        start_train: Which = "all",
        denoise: Denoise | None = None,
    ) -> None:
        self.args = args
        self.preprocess = preprocess
        self.balance = balance
        self.optimizer = optimizer
        self.schedule = schedule
        self.loss = loss
        self.stop = stop
        self.train = train
        self.start = start
        self.start_train = start_train
        self.denoise = denoise

    # -- fitting --------------------------------------------------------------------------------

    def fit(
        self,
        X: FaceSet | Array,
        y: Any = None,
        val: FaceSet | tuple[Array, Any] | None = None,
        *,
        storage: Storage | None = None,
        listener: Listener | None = None,
    ) -> ScratchLearner:
        """Train; arguments as in `TorchLearner.fit`.

        Raises:
            DataError: No samples, one class only, targets that do not fit, other labels in `val`.
            RecipeError: A setting that does not fit the outputs or the data, or that the engine has not.
            TrainingError: The loss or a weight became nan or infinite.
            RunError: A checkpoint cannot be read or written, or the one to begin from does not fit.
        """
        faces = self._as_faces(X, y)
        self.outputs_ = faces.outputs
        begun = begins(self.start, self.start_train, storage)
        train = self._examples(faces)
        held_out = None if val is None else FaceExamples(self._held_out(val), self._preprocess)
        net, solver = self._solver(len(train))
        solver.positive_weights = dict(train.positive_weights(self.loss or Loss()))
        if begun:
            self._begin(net)
        denoiser = denoiser_of(self.denoise, train.faces)
        keeper = ScratchKeeper(self._facts(), solver, storage, listener, denoiser, train.told)
        solver.on_epoch, solver.on_batch, solver.stop = keeper.on_epoch, keeper.on_batch, keeper.stop
        keeper.begin(math.ceil(len(train) / solver.batch_size))
        try:
            if keeper.halted() is None:
                with one_blas_thread():
                    solver.fit(train, held_out)
        except FloatingPointError as error:
            raise TrainingError(f"{error}; {keeper.kept()}", "a lower optimizer.lr usually helps") from None
        if solver.best_parameters:
            net.load(solver.best_parameters)
        self.net_ = net
        self.history_, self.best_, self.n_iter_ = solver.history, solver.best, solver.epoch
        halted = keeper.halted()
        self.finished_, self.reason_ = solver.finished or halted is not None, solver.reason or halted or ""
        self.sample_losses_ = solver.sample_losses
        self.denoised_ = [] if denoiser is None else denoiser.records
        return self

    def check(self, faces: FaceSet, val: FaceSet | None = None) -> None:
        """Raise what `fit` would raise of settings and data before its first step; nothing is kept.

        Raises:
            DataError, RecipeError, RunError: As `fit`.
        """
        begun = begins(self.start, self.start_train, None)
        twin = type(self)(**self.get_params(deep=False))
        twin.outputs_ = faces.outputs
        rows, _ = twin._balanced(faces)
        if val is not None:
            twin._held_out(val)
        net, _ = twin._solver(len(faces) if rows is None else len(rows))
        if begun:
            twin._begin(net)

    @property
    def _train(self) -> Train:
        return self.train or Train()

    def _balanced(self, faces: FaceSet) -> tuple[Array | None, Array | None]:
        check_trainable(faces)
        return balanced(faces, self.balance or Balance(), self._train.seed)

    def _examples(self, faces: FaceSet) -> FaceExamples:
        rows, weight = self._balanced(faces)
        return FaceExamples(faces if rows is None else faces.select(rows), self._preprocess, weight)

    def _make_net(self) -> Net:
        """The net with initial weights. Raises RecipeError for an argument that it does not take."""
        args, size = dict(self.args or {}), self._preprocess.input_size
        known = [
            p.name for p in inspect.signature(Net).parameters.values() if p.name not in
            ("in_features", "heads", "seed", "dtype")
        ]  # fmt: skip
        for name in args:
            if name not in known:
                raise RecipeError(f"learner.args.{name}: no such argument", did_you_mean(name, known))
        for name in ("slope", "dropout", "init_std"):
            if isinstance(value := args.get(name, 0), bool) or not isinstance(value, int | float):
                raise RecipeError(f"learner.args.{name} = {value!r}: must be a number")
        hidden = args.pop("hidden", (512, 256))
        if not isinstance(hidden, list | tuple):
            raise RecipeError(
                f"learner.args.hidden = {hidden!r}: must be a list of layer sizes", "for example [512, 256]"
            )
        heads = [Head(o.name, o.kind, o.num_classes) for o in self.outputs_]
        features = size[0] * size[1] * self._preprocess.input_channels
        try:
            return Net(features, hidden, heads, seed=self._train.seed, **args)
        except ValueError as error:
            raise RecipeError(f"learner.args.{error}") from None

    def _begin(self, net: Net) -> None:
        """Put the weights of `start` into the net. Raises RunError where they do not fit."""
        assert self.start is not None
        trained = read_trained(self.start, "scratch", {"preprocess": self._preprocess.to_json()})
        places = side_by_side(trained, self.outputs_)
        last = net.output_layer
        heads = {f"{last}.weight": Slots(1, places), f"{last}.bias": Slots(0, places)}
        net.load(take_over(net.parameters(), trained, heads))

    def _solver(self, n: int) -> tuple[Net, Solver]:
        """Net and solver for `n` training samples. Raises RecipeError."""
        opt, loss, train, stop = self.optimizer or Optimizer(), self.loss or Loss(), self._train, self.stop
        refuse_unused("scratch", {"optimizer": opt, "loss": loss, "train": train}, HONOURED)
        if opt.name == "adamw":
            raise RecipeError("optimizer.name = 'adamw': learner 'scratch' has sgd and adam")
        if train.batch_size > n:
            raise RecipeError(
                f"train.batch_size = {train.batch_size} is larger than the training part ({n} faces)",
                f"take {n} or less",
            )
        net = self._make_net()
        steps = math.ceil(n / train.batch_size)
        schedule = self.schedule or Schedule()
        total = steps * train.epochs
        chosen = stop or Stop()
        solver = Solver(
            net,
            SGD(opt.lr, opt.momentum, opt.nesterov)
            if opt.name == "sgd"
            else Adam(opt.lr, opt.betas, opt.eps),
            batch_size=train.batch_size,
            epochs=train.epochs,
            seed=train.seed,
            lr_factor=lambda step: factor(schedule, step, steps, total),
            l2=loss.l2,
            head_weights=dict(check_loss(self.outputs_, loss).weights),
            label_smoothing=loss.label_smoothing,
            patience=chosen.patience,
            monitor=monitor_of(self.outputs_, chosen),
            min_delta=chosen.min_delta,
            targets=chosen.targets,
            past_patience=chosen.past_patience,
            only_output_layer=self.start_train == "head",
        )
        return net, solver

    # -- answering --------------------------------------------------------------------------------

    def logits(self, X: FaceSet | Array) -> dict[str, npt.NDArray[np.float32]]:
        """Logits ``{output: (N, K)}`` float32 of images or a FaceSet."""
        self._check_fitted()
        widths = [o.num_classes for o in self.outputs_]
        out = np.empty((len(X), sum(widths)), np.float32)
        for start in range(0, len(X), EVAL_BATCH):
            rows = np.arange(start, min(start + EVAL_BATCH, len(X)))
            pixels = X.pixels(rows) if isinstance(X, FaceSet) else np.asarray(X)[rows]
            out[rows] = self.net_.logits(self._preprocess(pixels).reshape(len(rows), -1))
        parts = np.split(out, np.cumsum(widths)[:-1], axis=1)
        return {o.name: np.ascontiguousarray(p) for o, p in zip(self.outputs_, parts, strict=True)}

    @property
    def num_parameters_(self) -> int:
        """How many numbers the net has."""
        return int(self.net_.num_parameters)

    # -- keeping --------------------------------------------------------------------------------

    def _arrays(self) -> dict[str, Array]:
        return dict(self.net_.parameters())

    def _take(self, arrays: Mapping[str, Array]) -> None:
        net = self._make_net()
        net.load(arrays)
        self.net_ = net

    def to_onnx(self) -> bytes:
        """The fitted net as ONNX: preprocessed images in, logits per output out."""
        from .scratch_export import export_scratch

        self._check_fitted()
        preprocess = self._preprocess
        return export_scratch(self.net_, self.outputs_, preprocess.input_channels, preprocess.input_size)
