"""Where a training runs: in this process, or in several spawned ones on this machine."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from ..errors import DuchenneError, RecipeError
from .batches import Source
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .contract import Listener
from .loop import Loop
from .plan import Outcome, Plan, Progress


def launch(
    accelerator: str,
    devices: int,
    net: torch.nn.Module,
    train: Source,
    val: Source | None,
    plan: Plan,
    listener: Listener | None,
) -> Outcome:
    """Train on one device here, or on several in spawned processes.

    Args:
        accelerator: Lightning Fabric's name: "auto", "cpu", "cuda" or "mps".
        devices: Processes, one device each.
        net: The net with its initial weights; of one process it is trained in place.
        train: The training part.
        val: The validation part, if any.
        plan: The settings.
        listener: Hears of progress.

    Raises:
        RecipeError: This machine has no such devices.
        TrainingError: The loss or a weight became nan or infinite.
        RunError: A checkpoint cannot be read or written.
    """
    fabric = open_fabric(accelerator, devices, plan.train.precision)
    if devices == 1:
        fabric.launch()
        return Loop(fabric, net, train, val, plan, listener).run()
    start: Any = fabric.launch  # typed for functions of Fabric alone, but passes further arguments on
    with TemporaryDirectory(prefix="duchenne-") as folder:
        reply = Path(folder) / "outcome.safetensors"
        error = start(_process, net, _Job(train, val, plan, listener, reply))
        if error is not None:
            assert isinstance(error, DuchenneError)
            raise error
        return _read_outcome(reply)


def open_fabric(accelerator: str, devices: int, precision: Any) -> Fabric:
    """Fabric for these devices, not launched. Raises RecipeError when this machine has none such."""
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise RecipeError(f"devices = {devices!r}: must be a whole number of 1 or more")
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if precision == "16-mixed" and (accelerator == "cpu" or (accelerator == "auto" and not gpu)):
        # Fabric would take bfloat16 instead, and the record would name what was not done.
        raise RecipeError("train.precision = '16-mixed' needs a GPU", "'bf16-mixed' works on a CPU")
    strategy = "auto" if devices == 1 else "ddp_spawn"
    try:
        return Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision=precision)
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"no training on accelerator '{accelerator}' with {devices} device(s): {error}",
            "--accelerator cpu works on any machine",
        ) from None


class _Job:
    """What each process gets besides the net. No dataclass, for the launcher would look into it and refuse.

    The net must stay outside: the launcher gives each process its own copy of its weights.
    """

    def __init__(
        self, train: Source, val: Source | None, plan: Plan, listener: Listener | None, reply: Path
    ) -> None:
        self.train, self.val, self.plan, self.listener, self.reply = train, val, plan, listener, reply


def _process(fabric: Fabric, net: torch.nn.Module, job: _Job) -> DuchenneError | None:
    """What a spawned process runs; its errors come back as values, for a raised one would lose its type.

    The outcome goes through a file: the launcher reads its queue only after this process has ended, and a
    queue holds no more than a pipe does, nor the tensors of an ended process.
    """
    # A shard of one sample takes another convolution, whose gradients lie elsewhere in memory.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    try:
        outcome = Loop(fabric, net, job.train, job.val, job.plan, job.listener).run()
        if fabric.is_global_zero:
            p = outcome.progress
            facts = {
                "epoch": p.epoch, "history": p.history, "best": p.best, "seconds": p.seconds,
                "denoised": p.denoised, "finished": outcome.finished, "reason": outcome.reason,
            }  # fmt: skip
            save_checkpoint(job.reply, Checkpoint(outcome.weights, facts=facts))
    except DuchenneError as error:
        return error.with_traceback(None)  # which would keep the net and its process group alive
    finally:
        # The group's threads must end before the interpreter does, or the process aborts now and then.
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return None


def _read_outcome(path: Path) -> Outcome:
    state = load_checkpoint(path)
    f = state.facts
    progress = Progress(f["epoch"], f["history"], f["best"], f["seconds"], f["denoised"])
    return Outcome(state.model, progress, f["finished"], f["reason"])
