"""Reproduce: train what is missing among named recipes, cheapest first, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DuchenneError
from ..recipe import Recipe, load_recipe, recipe_ids
from ..recipe.sections import Evaluate
from .evaluate import Progress, evaluate
from .run import Run
from .train import check_free, train

if TYPE_CHECKING:
    from ..learners.contract import Listener


@dataclass(frozen=True)
class Step:
    """One training of the plan: a recipe with a seed, and its run's folder name."""

    recipe: Recipe
    overrides: tuple[str, ...]
    name: str

    @property
    def seed(self) -> int:
        """The training's seed."""
        return self.recipe.train.seed


def plan(ids: Sequence[str] = (), seeds: int = 1) -> list[Step]:
    """Which trainings, cheapest first; all first seeds come before any second one.

    Args:
        ids: Recipe ids; empty: every packaged recipe that names a source.
        seeds: Trainings per recipe, seeds counted up from the recipe's own.
    """
    chosen = [load_recipe(name) for name in dict.fromkeys(ids or recipe_ids())]
    if not ids:
        chosen = [r for r in chosen if r.source]
    steps = []
    for turn in range(seeds):
        for recipe in sorted(chosen, key=lambda r: r.cost):
            overrides = (f"train.seed={recipe.train.seed + turn}",) if turn else ()
            suffix = f"-seed{recipe.train.seed + turn}" if turn else ""
            steps.append(Step(load_recipe(recipe.id, overrides), overrides, recipe.id + suffix))
    return steps


def reproduce(
    steps: Sequence[Step],
    *,
    data: Path | None,
    runs: Path,
    time_limit: float | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    listener: Callable[[Step], Listener | None] = lambda step: None,
    progress: Progress | None = None,
) -> Iterator[tuple[Step, Run | DuchenneError | None]]:
    """Train and evaluate each step of a plan; give it with its run.

    Instead of the run stands None where time ended before its first epoch, and the error where it failed:
    one row that cannot be had does not keep the others from being tried.

    Args:
        steps: From `plan`.
        data: Folder of the published data sets.
        runs: Folder of the run folders; what is finished there is kept, what was begun is resumed.
        time_limit: Seconds for all steps together; training stops at the end of an epoch.
        accelerator, devices: As for `train`.
        listener: Gives the listener of a step's training.
        progress: As for `evaluate`.
    """
    begun = time.monotonic()
    for step in steps:
        left = None if time_limit is None else time_limit - (time.monotonic() - begun)
        try:
            run = _trained(
                step, data=data, runs=runs, left=left, accelerator=accelerator, devices=devices,
                listener=listener,
            )  # fmt: skip
            if run is not None and not _is_evaluated(run, step.recipe.evaluate):
                evaluate(run, data=data, protocol=step.recipe.evaluate, progress=progress)
        except DuchenneError as error:
            yield step, error
        else:
            yield step, run


def _trained(
    step: Step,
    *,
    data: Path | None,
    runs: Path,
    left: float | None,
    accelerator: str,
    devices: int,
    listener: Callable[[Step], Listener | None],
) -> Run | None:
    """The step's run, trained as far as the time allows; None where no epoch is done."""
    path = runs / step.name
    check_free(path, step.recipe, resume=True, force=False)
    run = Run.open(path) if Run.is_one(path) else None
    over = left is not None and left <= 0
    if not over and (run is None or run.state.status != "finished"):
        run = train(
            step.recipe, data=data, runs=runs, name=step.name, overrides=step.overrides, resume=True,
            deadline=left, accelerator=accelerator, devices=devices, listener=listener(step),
        )  # fmt: skip
    return run if run is not None and run.history() else None


def _is_evaluated(run: Run, protocol: Evaluate) -> bool:
    """Whether all splits were evaluated at the run's present state: test is not read twice for nothing."""
    state, metrics = run.state, run.metrics()
    return all(
        split in metrics
        and metrics[split]["epochs_done"] == state.epochs_done
        and metrics[split]["partial"] == (state.status != "finished")
        for split in (*protocol.splits, *protocol.also)
    )
