"""The training loop: short, ours; devices, processes and mixed precision are Lightning Fabric's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel

from ..errors import DuchenneError, RunError, TrainingError
from ..scratch.stopping import figure_of, improves
from .arrayfile import check_tag
from .batches import Batch, Source, batches
from .checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_weights,
    pack_optimizer,
    save_checkpoint,
    unpack_optimizer,
)
from .contract import Listener, Row, denoiser_of, epoch_seed, positive_weights, stop_rule
from .frozen import FeatureTable, copies_to_keep, is_frozen, keep_features
from .losses import penalty, sample_losses, taught_losses, total_loss
from .norms import precise_norms
from .optimizers import make_optimizer, parameter_groups
from .plan import Outcome, Plan, Progress
from .schedules import factor
from .scores import EpochLosses, EpochScores
from .torch_start import hold_body

# Samples per batch where no gradient is needed; larger batches gain nothing on CPU and cost memory.
EVAL_BATCH = 256

# Torch refuses a step that float32 cannot hold (3.4e38); Adam's first is lr / (1 - beta1).
LARGEST_STEP = 3e38


def _ema_rule(decay: float) -> Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor], Any], None]:
    """How an average of weights moves: see `Train.ema`."""

    @torch.no_grad()
    def move(averages: Sequence[torch.Tensor], values: Sequence[torch.Tensor], n: Any) -> None:
        # The first averages would else be the initial weights for 1 / (1 - decay) updates.
        kept = min(decay, (1 + int(n)) / (10 + int(n)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - kept)
            else:
                average.copy_(value)

    return move


class Loop:
    """One training: `run` does all epochs. Holds the net, the optimiser and the average of weights."""

    def __init__(
        self,
        fabric: Fabric,
        net: torch.nn.Module,
        train: Source,
        val: Source | None,
        plan: Plan,
        listener: Listener | None,
    ) -> None:
        self.fabric, self.train, self.val, self.plan, self.listener = fabric, train, val, plan, listener
        optimizer = make_optimizer(parameter_groups(net, plan.optimizer), plan.optimizer)
        self.bare = net
        self.net, self.optimizer = fabric.setup(net, optimizer)
        ema = plan.train.ema
        self.ema = AveragedModel(net, multi_avg_fn=_ema_rule(ema), use_buffers=True) if ema else None
        self.steps_per_epoch = math.ceil(len(train) / plan.train.batch_size)
        self.denoiser = denoiser_of(plan.denoise, train.faces)
        arrays = {k: (t.values.numpy(), t.mask.numpy()) for k, t in train.targets.items()}
        positive = positive_weights(plan.outputs, plan.loss, arrays, train.weight.numpy())
        self.positive = {k: torch.from_numpy(w).to(fabric.device) for k, w in positive.items()}
        self.stopping = stop_rule(plan.monitor, plan.stop)
        self.progress = Progress()
        if self.denoiser is not None:
            self.progress.denoised = self.denoiser.records
        self.best_weights: dict[str, torch.Tensor] = {}
        self.table: FeatureTable | None = None
        if is_frozen(net):
            self._keep_features()

    # -- the whole --------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Train until the epochs are done, patience ends, or the deadline passes.

        Raises:
            TrainingError: The loss or a weight became nan or infinite.
            RunError: A checkpoint cannot be read or written.
        """
        if self.plan.resume:
            self._resume()
        begun = time.monotonic()
        if self.listener is not None and self.fabric.is_global_zero:
            self.listener.on_start(self.progress.epoch, self.plan.train.epochs, self.steps_per_epoch)
        while (reason := self._over(begun)) is None:
            self._epoch()
        finished = not reason.startswith("time")
        return Outcome(self.best_weights or self._weights(), self.progress, finished, reason)

    def _keep_features(self) -> None:
        """A frozen body's features take the place of the images."""
        copies, drawn = copies_to_keep(self.plan.train, self.plan.augment), not self.plan.augment.is_identity
        seed = self.plan.train.seed if drawn else None
        if copies:
            self.table = keep_features(self.fabric, self.bare, self.train, self.inputs, copies, seed)
        if self.table is not None:
            self.train = self.train.of(self.table)
        if self.val is not None:
            held_out = keep_features(self.fabric, self.bare, self.val, self.inputs, 1, None)
            self.val = self.val if held_out is None else self.val.of(held_out)

    def _over(self, begun: float) -> str | None:
        """Why training is over, or None."""
        done, history = self.progress.epoch, self.progress.history
        if (reason := self.stopping.over(history, done >= self.plan.train.epochs)) is not None:
            return reason
        if self.denoiser is not None and (halted := self.denoiser.halted(history)) is not None:
            return halted
        if self.plan.deadline is not None and history:
            # The decision is the first process's, or the others would wait for it for ever.
            late = time.monotonic() - begun + history[-1]["seconds"] > self.plan.deadline
            if self.fabric.broadcast(late):
                return f"time limit of {self.plan.deadline:.0f} s"
        return None

    def _epoch(self) -> None:
        start, epoch = time.monotonic(), self.progress.epoch + 1
        row: Row = {"epoch": epoch}
        row |= self._train_epoch(epoch)
        trained = (p for p in self.bare.parameters() if p.requires_grad)
        if not all(bool(p.isfinite().all()) for p in trained):
            raise TrainingError(
                *self._diverged(epoch, self.steps_per_epoch, "a weight became nan or infinite")
            )
        if self.plan.train.precise_norms:
            self._take_norms()
        if self.val is not None:
            row |= self._validate(self.val)
            if not math.isfinite(row["val_loss"]):
                raise TrainingError(
                    *self._diverged(
                        epoch, self.steps_per_epoch, f"the validation loss became {row['val_loss']}"
                    )
                )
        row["seconds"] = round(time.monotonic() - start, 3)
        self.progress.epoch = epoch
        self.progress.seconds += row["seconds"]
        self.progress.history.append(row)
        monitor = self.plan.monitor
        if better := improves(row, self.progress.best, monitor, self.plan.stop.min_delta):
            self.progress.best = {"epoch": epoch, "monitor": monitor, "value": figure_of(row, monitor)}
            self.best_weights = self._weights()
        failure = self._record(row, better) if self.fabric.is_global_zero else None
        # The first process alone writes; the others must hear that it failed, or they would wait for ever.
        if (failure := self.fabric.broadcast(failure)) is not None:
            raise failure

    def _record(self, row: Row, better: bool) -> DuchenneError | None:
        """Write the checkpoints and tell the listener; return what went wrong."""
        try:
            if self.plan.folder is not None and better:
                save_checkpoint(self.plan.folder / "best.safetensors", self._checkpoint(full=False))
            if self.plan.folder is not None:
                save_checkpoint(self.plan.folder / "last.safetensors", self._checkpoint(full=True))
            if self.listener is not None:
                self.listener.on_epoch(row, self.progress.history, self.progress.best)
        except DuchenneError as error:
            return error
        return None

    # -- one epoch --------------------------------------------------------------------------------

    def _train_epoch(self, epoch: int) -> Row:
        seed = self.plan.train.seed
        # Dropout draws from torch's own generator; every process its own stream, every epoch anew.
        torch.manual_seed(epoch_seed(seed, epoch, 1 + self.fabric.global_rank))
        generator = torch.Generator(self.fabric.device).manual_seed(
            epoch_seed(seed, epoch, 10_000 + self.fabric.global_rank)
        )
        order = np.random.default_rng(epoch_seed(seed, epoch)).permutation(len(self.train))
        scores = EpochScores(self.plan.outputs, self.fabric.device)
        losses = None
        if self.denoiser is not None:
            order = order[self.denoiser.rows[order]]
            losses = EpochLosses(self.train, self.plan.loss.weights, self.fabric.device)
        if self.table is not None:
            self.table.turn = epoch - 1
        optimizer = self.plan.optimizer
        largest = LARGEST_STEP * (1 if optimizer.name == "sgd" else 1 - optimizer.betas[0])
        largest /= max(1.0, optimizer.head_lr_factor)
        self.net.train()
        if self.plan.only_heads:
            hold_body(self.bare)
        for step, whole in enumerate(batches(order, self.plan.train.batch_size)):
            lr = self._set_lr((epoch - 1) * self.steps_per_epoch + step)
            if not lr < largest:
                raise TrainingError(*self._diverged(epoch, step + 1, f"the learning rate became {lr:g}"))
            batch = self.train.batch(whole, self.fabric.global_rank, self.fabric.world_size)
            value = self._update(batch, generator, scores, losses)
            if not math.isfinite(value):
                raise TrainingError(*self._diverged(epoch, step + 1, f"the loss became {value}"))
            if self.listener is not None and self.fabric.is_global_zero:
                self.listener.on_batch(step + 1)
        self._sum_over_processes(scores)
        row = {"lr": lr, **scores.row("train", self.plan.loss.weights)}
        if self.denoiser is not None and losses is not None:
            losses.sums.copy_(self._summed(losses.sums))
            row |= self.denoiser.after_epoch(epoch, losses.of(order), self.progress.history)
        return row

    def _update(
        self, batch: Batch, generator: torch.Generator, scores: EpochScores, kept: EpochLosses | None
    ) -> float:
        """One forward, backward and step; returns the batch's loss, summed over the processes."""
        x = self.inputs(batch.images, generator)
        targets = {k: t.to(self.fabric.device) for k, t in batch.targets.items()}
        taught = {k: t.to(self.fabric.device) for k, t in batch.taught.items()}
        weight = batch.weight.to(self.fabric.device)
        other, share = None, 1.0
        if self.plan.augment.mixup:
            x, other, share = self.plan.augment.mix(x, generator)
        logits = self.net(x)
        smoothing = self.plan.loss.label_smoothing
        losses = self._losses(logits, targets, smoothing, self.positive, taught)
        if other is not None:
            swapped = {k: t.take(other) for k, t in targets.items()}
            answers = {k: t[other] for k, t in taught.items()}
            blended = self._losses(logits, swapped, smoothing, self.positive, answers)
            losses = {k: share * v + (1 - share) * blended[k] for k, v in losses.items()}
        # Divided by the samples of the whole batch, so that shards of unequal size add up to its mean.
        means = {k: (v * weight).sum() / (batch.counts[k] or 1.0) for k, v in losses.items()}
        loss = total_loss(means, self.plan.loss.weights)
        world = self.fabric.world_size
        asked = self.plan.loss
        extra = penalty(self.bare, asked.l1, asked.l2, asked.penalised == "dense")
        if extra is not None:
            loss = loss + extra / world
        self.optimizer.zero_grad(set_to_none=True)
        # Processes' gradients are averaged by DDP; times world gives their sum.
        self.fabric.backward(loss * world)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update_parameters(self.bare)
        with torch.no_grad():
            asis = smoothing == 0 and not self.positive and not taught and other is None
            plain = losses if asis else self._losses(logits, targets)
            scores.add({k: v.detach() for k, v in logits.items()}, targets, plain, weight > 0)
            if kept is not None:
                kept.add(batch, plain)
        return float(self._summed(loss.detach()))

    def inputs(self, images: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """What `Preprocess.shape` gave to the net's input, augmented when a generator is given.

        A frozen body's features, ``(n, F)``, are an input already.
        """
        if images.ndim == 2:
            return images.to(self.fabric.device)
        x: torch.Tensor = self.plan.preprocess.scale(images.to(self.fabric.device))
        if generator is not None and not self.plan.augment.is_identity:
            x = self.plan.augment(x, generator)
        x = self.plan.preprocess.normalise(x)
        return x.contiguous(memory_format=torch.channels_last)

    def _losses(
        self,
        logits: Any,
        targets: Any,
        smoothing: float = 0.0,
        positive: Mapping[str, torch.Tensor] = MappingProxyType({}),
        taught: Mapping[str, torch.Tensor] = MappingProxyType({}),
    ) -> dict[str, torch.Tensor]:
        losses = {
            o.name: sample_losses(o, logits[o.name].float(), targets[o.name], smoothing, positive.get(o.name))
            for o in self.plan.outputs
        }
        share = self.plan.teacher.share
        for name, probs in taught.items():
            soft = taught_losses(logits[name].float(), probs, targets[name])
            losses[name] = (1 - share) * losses[name] + share * soft
        return losses

    def _take_norms(self) -> None:
        """Batch norms' statistics of what is validated and kept; every process takes the same."""
        net = self.bare if self.ema is None else self.ema.module
        rows = np.arange(len(self.train)) if self.denoiser is None else np.flatnonzero(self.denoiser.rows)
        seed = epoch_seed(self.plan.train.seed, 0)
        with self.fabric.autocast():
            precise_norms(net, self.train, rows, seed, lambda images: self.inputs(images, None))

    @torch.no_grad()
    def _validate(self, val: Source) -> Row:
        net = self.ema if self.ema is not None else self.net
        net.eval()
        scores = EpochScores(self.plan.outputs, self.fabric.device)
        for whole in batches(np.arange(len(val)), EVAL_BATCH * self.fabric.world_size):
            batch = val.batch(whole, self.fabric.global_rank, self.fabric.world_size)
            targets = {k: t.to(self.fabric.device) for k, t in batch.targets.items()}
            # The average is not wrapped by Fabric, and would be validated in float32: three times slower.
            with self.fabric.autocast():
                logits = net(self.inputs(batch.images, None))
            real = torch.full(
                (len(batch.index),), len(whole) > self.fabric.global_rank, device=self.fabric.device
            )
            scores.add(logits, targets, self._losses(logits, targets), real)
        self._sum_over_processes(scores)
        return scores.row("val", self.plan.loss.weights)

    def _sum_over_processes(self, scores: EpochScores) -> None:
        for tensor in scores.tensors():
            tensor.copy_(self._summed(tensor))

    def _summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, the same in each."""
        if self.fabric.world_size == 1:
            return tensor
        total = self.fabric.all_reduce(tensor, reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        return total

    def _set_lr(self, step: int) -> float:
        total = self.steps_per_epoch * self.plan.train.epochs
        lr = self.plan.optimizer.lr * factor(self.plan.schedule, step, self.steps_per_epoch, total)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1.0)
        return lr

    def _diverged(self, epoch: int, step: int, what: str) -> tuple[str, str]:
        best = self.progress.best.get("epoch")
        kept = "no epoch was finished, so there is no checkpoint"
        if best:
            kept = f"the checkpoint of epoch {best} is kept" if self.plan.folder else "nothing was stored"
        return (
            f"{what} in epoch {epoch}, step {step} (of {self.steps_per_epoch}); {kept}",
            "a lower optimizer.lr usually helps",
        )

    # -- state --------------------------------------------------------------------------------

    def _weights(self) -> dict[str, torch.Tensor]:
        module = self.bare if self.ema is None else self.ema.module
        return {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}

    def _checkpoint(self, full: bool) -> Checkpoint:
        p = self.progress
        facts = {
            **self.plan.facts, "tag": self.plan.tag, "epoch": p.epoch, "history": p.history, "best": p.best,
            "seconds": p.seconds, "denoised": p.denoised,
        }  # fmt: skip
        if not full:
            return Checkpoint(self._weights(), facts=facts)
        ema = {} if self.ema is None else dict(self.ema.state_dict())
        return Checkpoint(dict(self.bare.state_dict()), pack_optimizer(self.optimizer), ema, facts)

    def _resume(self) -> None:
        """Put back the state of ``last.safetensors``, where there is one."""
        assert self.plan.folder is not None
        path = self.plan.folder / "last.safetensors"
        if not path.is_file():
            return
        state = load_checkpoint(path)
        check_tag(path, state.facts, self.plan.tag)
        load_weights(self.bare, state.model, path)
        unpack_optimizer(self.optimizer, state.optimizer, path)
        if self.ema is not None:
            load_weights(self.ema, state.ema, path)
        facts = state.facts
        try:
            self.progress = Progress(facts["epoch"], facts["history"], facts["best"], facts["seconds"])
            if self.denoiser is not None:
                self.denoiser.restore(facts["denoised"])
                self.progress.denoised = self.denoiser.records
        except KeyError as error:
            raise RunError(f"checkpoint {path} does not say its {error}") from None
        self.best_weights = load_checkpoint(self.plan.folder / "best.safetensors").model
