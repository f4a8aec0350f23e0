"""What happens around the engine's epochs: resuming, checkpoints, denoising, the deadline, the listener."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..denoise import Denoiser
from ..errors import RunError
from ..scratch import Solver
from .arrayfile import read_arrays, read_last, write_arrays
from .contract import Array, Listener, Row, Storage


class ScratchKeeper:
    """Hears of a solver's epochs.

    Args:
        facts: What describes the learner, for the checkpoints.
        solver: Whose `on_epoch`, `on_batch` and `stop` call this object's.
        storage, listener: As of a learner's `fit`.
        denoiser: Takes samples out of the solver's `rows`; None: all stay.
        told: ``(N,)`` bool, the training samples whose loss says something: annotated, and of weight above 0.
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        solver: Solver,
        storage: Storage | None,
        listener: Listener | None,
        denoiser: Denoiser | None,
        told: Array,
    ) -> None:
        self.facts, self.solver, self.storage, self.listener = facts, solver, storage, listener
        self.denoiser, self.told = denoiser, told
        self._begun = time.monotonic()

    def begin(self, steps_per_epoch: int) -> None:
        """Take up a stored training where there is one, and tell the listener."""
        if self.storage is not None and self.storage.resume:
            self._resume(self.storage)
        if self.listener is not None:
            self.listener.on_start(self.solver.epoch, self.solver.epochs, steps_per_epoch)

    def on_batch(self, step: int) -> None:
        """Pass it on."""
        if self.listener is not None:
            self.listener.on_batch(step)

    def on_epoch(self, row: Row, better: bool) -> None:
        """Leave samples out where that is due, write the checkpoints, then tell the listener."""
        solver = self.solver
        if self.denoiser is not None:
            losses = np.where(self.told, solver.sample_losses, np.nan)
            row |= self.denoiser.after_epoch(row["epoch"], losses, solver.history[:-1])
            solver.rows = self.denoiser.rows
        if self.storage is not None:
            facts = dict(self.facts) | {
                "tag": self.storage.tag, "epoch": solver.epoch, "history": solver.history,
                "best": solver.best,
            }  # fmt: skip
            if self.denoiser is not None:
                facts["denoised"] = self.denoiser.records
            if better:
                best = {"model": solver.best_parameters}
                write_arrays(self.storage.folder / "best.safetensors", best, facts)
            groups: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}}
            for name, array in solver.state().items():
                group, _, rest = name.partition("/")
                groups[group][rest] = array
            write_arrays(self.storage.folder / "last.safetensors", groups, facts)
        if self.listener is not None:
            self.listener.on_epoch(row, solver.history, solver.best)

    def halted(self) -> str | None:
        """Why the denoiser ends the training for good, or None."""
        return None if self.denoiser is None else self.denoiser.halted(self.solver.history)

    def stop(self) -> str | None:
        """The denoiser's reason to stop, or the deadline's, where the next epoch would pass it."""
        if (reason := self.halted()) is not None:
            return reason
        deadline = None if self.storage is None else self.storage.deadline
        if deadline is None:
            return None
        late = time.monotonic() - self._begun + self.solver.history[-1]["seconds"] > deadline
        return f"time limit of {deadline:.0f} s" if late else None

    def kept(self) -> str:
        """What a training that failed leaves."""
        if not self.solver.best:
            return "no epoch was finished, so there is no checkpoint"
        if self.storage is None:
            return "nothing was stored"
        return f"the checkpoint of epoch {self.solver.best['epoch']} is kept"

    def _resume(self, storage: Storage) -> None:
        path = storage.folder / "last.safetensors"
        last = read_last(storage, ("model", "optimizer"))
        if last is None:
            return
        groups, facts = last
        best, _ = read_arrays(storage.folder / "best.safetensors", ("model", "optimizer"))
        arrays = {f"{g}/{k}": v for g, group in groups.items() for k, v in group.items()}
        try:
            self.solver.restore(arrays, facts["epoch"], facts["history"], facts["best"], best["model"])
            if self.denoiser is not None:
                self.denoiser.restore(facts["denoised"])
                self.solver.rows = self.denoiser.rows
        except KeyError as error:
            raise RunError(f"checkpoint {path} does not say its {error}") from None
        except ValueError as error:
            raise RunError(f"checkpoint {path} is of another net: {error}") from None
