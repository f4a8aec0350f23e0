"""The training: shuffled batches, figures of each epoch, early stopping, the best epoch's weights, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .epoch import EpochFigures, Examples, Targets
from .net import Head, Net, load_into
from .optim import Optimizer
from .stopping import StopRule, figure_of, improves, terms

Array = npt.NDArray[Any]
Row = dict[str, Any]


def constant(update: int) -> float:
    """The learning rate stays."""
    return 1.0


def epoch_seed(seed: int, epoch: int, purpose: int = 0) -> int:
    """A seed that depends on nothing but these, so that a resumed epoch draws what an unbroken one would."""
    return int(np.random.SeedSequence((seed, epoch, purpose)).generate_state(1, np.uint32)[0])


def best_key(monitor: str, heads: Sequence[Head]) -> str:
    """The monitor, or the accuracy of the first single head, or the loss."""
    return monitor or next((f"val_{h.name}_accuracy" for h in heads if h.kind == "single"), "val_loss")


class Solver:
    """Trains a net.

    Args:
        net: Its weights are trained in place.
        optimizer: A fresh one; it belongs to this net from now on.
        batch_size: Samples of an update; the last batch of an epoch may be smaller.
        epochs: Passes over the training samples.
        seed: Of the order and of dropout.
        lr_factor: Factor on the optimiser's lr by the number of updates made before.
        l2: Adds l2 / 2 * sum w^2 over weight matrices (not biases) to what is minimised.
        head_weights: Head name -> weight of its loss in the sum; not named: 1.
        label_smoothing: For single heads (`losses.softmax_cross_entropy`).
        patience, min_delta, targets, past_patience: See `stopping.StopRule`; without validation it is off.
        monitor: Key of a history row, or several joined by " + "; "": accuracy of the first single head on
            validation (`val_loss` when there is none). Names ending in "loss" are better when lower.
        positive_weights: Multi head -> ``(K,)`` weight of each label's positives
            (`losses.sigmoid_cross_entropy`).
        only_output_layer: Train the last linear layer alone.
        on_batch: Called after each update with its number within the epoch, from 1.
        on_epoch: Called after each epoch with its row and whether it is the best so far.
        stop: Asked after each epoch; a reason ends the training so that it can be taken up again.

    Attributes:
        history: One row an epoch: epoch, lr (of its last update), train_loss, train_<head>_accuracy and
            train_<head>_macro_f1 (multi heads: train_<head>_binary_accuracy), with several heads also
            train_<head>_loss; the same with val_; seconds. Figures of training are running ones, taken before
            each update with dropout on; losses are without penalty, smoothing, sample and positive weights.
        best: {"epoch", "monitor", "value"} of the best epoch; without validation, of the last one.
        best_parameters: Copies of that epoch's weights.
        epoch: Epochs done.
        finished: Whether training is over for good.
        reason: Why it ended.
        sample_losses: ``(N,)`` float32, each training sample's loss as computed in the latest epoch; nan for
            one that took no part.
        rows: ``(N,)`` bool, which training samples take part from the next epoch on; None: all. May be
            changed in `on_epoch`.
    """

    def __init__(
        self,
        net: Net,
        optimizer: Optimizer,
        *,
        batch_size: int,
        epochs: int,
        seed: int = 0,
        lr_factor: Callable[[int], float] = constant,
        l2: float = 0.0,
        head_weights: Mapping[str, float] | None = None,
        label_smoothing: float = 0.0,
        patience: int | None = None,
        monitor: str = "",
        min_delta: float = 0.0,
        targets: Mapping[str, float] | None = None,
        past_patience: bool = False,
        positive_weights: Mapping[str, Array] | None = None,
        only_output_layer: bool = False,
        on_batch: Callable[[int], None] | None = None,
        on_epoch: Callable[[Row, bool], None] | None = None,
        stop: Callable[[], str | None] | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("epochs", epochs), ("patience", patience)):
            if value is not None and (value != int(value) or value < 1):
                raise ValueError(f"{name}: {value!r} is not a whole number of 1 or more")
        if not 0 <= l2 < math.inf:
            raise ValueError(f"l2: {l2!r} is not a finite number of 0 or more")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing: {label_smoothing!r} is not in [0, 1)")
        self.net, self.optimizer = net, optimizer
        optimizer.attach(net, only_output_layer)
        self.batch_size, self.epochs, self.seed = batch_size, epochs, seed
        self.lr_factor, self.l2, self.patience, self.min_delta = lr_factor, l2, patience, min_delta
        self.smoothing, self.only_output_layer = label_smoothing, only_output_layer
        self.head_weights = {h.name: float((head_weights or {}).get(h.name, 1.0)) for h in net.heads}
        self.monitor = best_key(monitor, net.heads)
        self.targets, self.past_patience = dict(targets or {}), past_patience
        self.positive_weights = dict(positive_weights or {})
        self.on_batch, self.on_epoch, self.stop = on_batch, on_epoch, stop
        self.history: list[Row] = []
        self.best: Row = {}
        self.best_parameters: dict[str, Array] = {}
        self.epoch, self.finished, self.reason = 0, False, ""
        self.sample_losses = np.zeros(0, np.float32)
        self.rows: Array | None = None

    def fit(self, train: Examples, val: Examples | None = None) -> None:
        """Train until the epochs are done, patience ends, or `stop` gives a reason.

        Raises:
            ValueError: `train` is empty or a target does not fit its head.
            FloatingPointError: The loss or a weight became nan or infinite; `best_parameters` keep what was
                best before.
        """
        # The only inputs held as floats: one batch.
        longest = min(self.batch_size, max(len(train), 0 if val is None else len(val)))
        self._x = np.empty((longest, self.net.in_features), np.float32)
        known = Targets(train, self.net.heads)
        checked = None if val is None else Targets(val, self.net.heads)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            while not self._over(val is not None):
                start = time.monotonic()
                row = self._train_epoch(train, known) | ({} if val is None else self._validate(val, checked))
                self._end_epoch(row, val is not None, start)
                if self.stop is not None and (reason := self.stop()) is not None:
                    if not self._over(val is not None):
                        self.reason = reason
                    return

    def _over(self, validated: bool) -> bool:
        """Whether training is over for good; sets `reason`."""
        rule = StopRule(
            self.monitor if validated else "", self.patience, self.min_delta, self.targets, self.past_patience
        )
        if (reason := rule.over(self.history, self.epoch >= self.epochs)) is not None:
            self.finished, self.reason = True, reason
        return self.finished

    def _train_epoch(self, train: Examples, targets: Targets) -> Row:
        epoch, n = self.epoch + 1, len(train)
        order = np.random.default_rng(epoch_seed(self.seed, epoch)).permutation(n)
        # The learning rate goes by epochs of all samples, or it would lag once some are left out.
        updates = self.epoch * math.ceil(n / self.batch_size)
        if self.rows is not None:
            order = order[self.rows[order]]
        # Dropout draws from a stream of its own, every epoch anew.
        rng = np.random.default_rng(epoch_seed(self.seed, epoch, 1))
        figures = EpochFigures(targets, order, self.head_weights, self.positive_weights)
        net, optimizer = self.net, self.optimizer
        steps = math.ceil(len(order) / self.batch_size)
        for step in range(steps):
            at = slice(step * self.batch_size, min((step + 1) * self.batch_size, len(order)))
            x = self._x[: at.stop - at.start]
            train.fill(order[at], x)
            loss, d = figures.add(at, net.forward(x, rng), self.smoothing)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} in epoch {epoch}, step {step + 1} of {steps}"
                )
            net.backward(d, optimizer.accumulate, only_output_layer=self.only_output_layer)
            factor = self.lr_factor(updates + step)
            optimizer.step(factor, self.l2)
            if self.on_batch is not None:
                self.on_batch(step + 1)
        if not np.isfinite(net.values).all():
            raise FloatingPointError(
                f"a weight became nan or infinite in epoch {epoch}, step {steps} of {steps}"
            )
        self.sample_losses = np.full(n, np.nan, np.float32)
        self.sample_losses[order] = figures.total()
        return {"epoch": epoch, "lr": optimizer.lr * factor, **figures.row("train")}

    def _validate(self, val: Examples, targets: Targets | None) -> Row:
        assert targets is not None
        order = np.arange(len(val))
        figures = EpochFigures(targets, order, self.head_weights)
        for start in range(0, len(val), self.batch_size):
            at = slice(start, min(start + self.batch_size, len(val)))
            x = self._x[: at.stop - at.start]
            val.fill(order[at], x)
            figures.add(at, self.net.forward(x))
        row = figures.row("val")
        if not math.isfinite(row["val_loss"]):
            raise FloatingPointError(
                f"the validation loss became {row['val_loss']} in epoch {self.epoch + 1}"
            )
        return row

    def _end_epoch(self, row: Row, validated: bool, start: float) -> None:
        if validated:
            for field, names in (("monitor", terms(self.monitor)), ("targets", list(self.targets))):
                if absent := [name for name in names if name not in row]:
                    raise ValueError(f"{field}: {absent[0]!r} is not in the history rows ({', '.join(row)})")
        row["seconds"] = round(time.monotonic() - start, 3)
        self.epoch = row["epoch"]
        self.history.append(row)
        monitor = self.monitor if validated else ""
        if better := improves(row, self.best, monitor, self.min_delta):
            self.best = {"epoch": self.epoch, "monitor": monitor, "value": figure_of(row, monitor)}
            self.best_parameters = {k: v.copy() for k, v in self.net.parameters().items()}
        if self.on_epoch is not None:
            self.on_epoch(row, better)

    def state(self) -> dict[str, Array]:
        """Copies of all that going on needs beside `history` and `best`: "model/...", "optimizer/..."."""
        model = {f"model/{k}": v.copy() for k, v in self.net.parameters().items()}
        return model | {f"optimizer/{k}": v for k, v in self.optimizer.state().items()}

    def restore(
        self,
        arrays: Mapping[str, Array],
        epoch: int,
        history: list[Row],
        best: Row,
        best_parameters: Mapping[str, Array],
    ) -> None:
        """Go on from `state()` after `epoch` epochs: gives bit for bit what an unbroken training gives.

        Raises:
            ValueError: An array is missing, unknown or of another shape; the text names it.
        """
        parts: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            if part not in parts:
                raise ValueError(f"{name}: neither model/... nor optimizer/...")
            parts[part][rest] = array
        kept = {k: np.empty_like(v) for k, v in self.net.parameters().items()}
        load_into(kept, best_parameters)
        self.net.load(parts["model"])
        self.optimizer.load_state(parts["optimizer"])
        self.epoch, self.history, self.best = epoch, list(history), dict(best)
        self.best_parameters, self.finished, self.reason = kept, False, ""
