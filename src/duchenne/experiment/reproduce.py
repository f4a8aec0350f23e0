"""Reproduce: train what is missing among named recipes, cheapest first, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DuchenneError, RecipeError, RunError
from ..recipe import Recipe, load_recipe, recipe_ids
from ..recipe.sections import Evaluate
from .evaluate import Progress, evaluate
from .run import Run
from .search import Search, search
from .train import check_free, train

if TYPE_CHECKING:
    from ..learners.contract import Listener
    from .search.search import SearchListener


@dataclass(frozen=True)
class Step:
    """One training (or search) of the plan: a recipe with a seed, and its folder's name."""

    recipe: Recipe
    overrides: tuple[str, ...]
    name: str

    @property
    def seed(self) -> int:
        """The training's seed."""
        return self.recipe.train.seed


def plan(ids: Sequence[str] = (), seeds: int = 1) -> list[Step]:
    """Which trainings, cheapest first; all first seeds come before any second one.

    What a recipe begins from (`start.run`), and its teacher (`teacher.run`), come before it.

    Args:
        ids: Recipe ids; empty: every packaged recipe that names a source.
        seeds: Trainings per recipe, seeds counted up from the recipe's own; a search is made once. Where the
            recipe names the seed of its split (data.options.seed), that is counted up as well.

    Raises:
        RecipeError: An unknown id, or recipes that begin from each other.
    """
    chosen = [load_recipe(name) for name in dict.fromkeys(ids or recipe_ids())]
    if not ids:
        chosen = [r for r in chosen if r.source]
    steps: list[Step] = []
    for turn in range(seeds):
        for recipe in sorted(chosen, key=lambda r: r.cost):
            if turn == 0 or recipe.tune is None:
                _add(steps, _step(recipe.id, recipe.train.seed + turn if turn else None), ())
    return steps


def _step(recipe_id: str, seed: int | None = None) -> Step:
    """The training of a packaged recipe; `seed` where it is not the recipe's own."""
    overrides: tuple[str, ...] = ()
    if seed is not None:
        own = load_recipe(recipe_id)
        overrides = (f"train.seed={seed}",)
        if "seed" in own.data.options:
            overrides += (f"data.options.seed={own.data.options['seed'] + seed - own.train.seed}",)
    recipe = load_recipe(recipe_id, overrides)
    suffix = "" if seed is None else f"-seed{seed}"
    # A search's folder is that which `duchenne tune ID` makes.
    return Step(recipe, overrides, recipe_id + suffix if recipe.tune is None else f"{recipe_id}-search")


def _add(steps: list[Step], step: Step, waiting: tuple[str, ...]) -> None:
    """Append a step, before it what it needs; none of them twice."""
    if any(step.name == other.name for other in steps):
        return
    if step.name in waiting:
        chain = " -> ".join((*waiting, step.name))
        raise RecipeError(
            f"start.run and teacher.run go in a circle: {chain}",
            "let one of them begin from initial weights, without a teacher",
        )
    for first in _needed(step):
        _add(steps, first, (*waiting, step.name))
    steps.append(step)


def _needed(step: Step) -> list[Step]:
    """The steps whose runs this one begins from or learns from, where they are packaged recipes'."""
    needed, known = [], recipe_ids()
    for name in (step.recipe.start.run, step.recipe.teacher.run):
        base, _, seed = name.rpartition("-seed")
        if name in known:
            needed.append(_step(name))
        elif base in known and seed.isdecimal():
            needed.append(_step(base, int(seed)))
    return needed


def reproduce(
    steps: Sequence[Step],
    *,
    data: Path | None,
    runs: Path,
    time_limit: float | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    listener: Callable[[Step], Listener | None] = lambda step: None,
    search_listener: Callable[[Step], SearchListener | None] = lambda step: None,
    progress: Progress | None = None,
) -> Iterator[tuple[Step, Run | Search | DuchenneError | None]]:
    """Train and evaluate each step of a plan, or search where its recipe says so; give it with its run.

    Instead of these stands None where time ended before its first epoch, and the error where it failed:
    one row that cannot be had does not keep the others from being tried.

    Args:
        steps: From `plan`.
        data: Folder of the published data sets.
        runs: Folder of the run folders; what is finished there is kept, what was begun is resumed.
        time_limit: Seconds for all steps together; training stops at the end of an epoch.
        accelerator, devices: As for `train`.
        listener, search_listener: Give the listener of a step's training or search.
        progress: As for `evaluate`.
    """
    begun = time.monotonic()
    for step in steps:
        left = None if time_limit is None else time_limit - (time.monotonic() - begun)
        outcome: Run | Search | DuchenneError | None
        try:
            if step.recipe.tune is not None:
                outcome = _searched(step, data, runs, left, accelerator, search_listener)
            else:
                outcome = run = _trained(
                    step, data=data, runs=runs, left=left, accelerator=accelerator, devices=devices,
                    listener=listener,
                )  # fmt: skip
                if run is not None and not _is_evaluated(run, step.recipe.evaluate):
                    evaluate(run, data=data, protocol=step.recipe.evaluate, progress=progress)
        except DuchenneError as error:
            outcome = error
        yield step, outcome


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
    if not over and run is None and (missing := _unfinished(step, runs)):
        raise RunError(
            f"{step.name} needs run {missing[0]}, which is not finished",
            f"`duchenne reproduce {step.recipe.id}` trains both",
        )
    if not over and (run is None or run.state.status != "finished"):
        run = train(
            step.recipe, data=data, runs=runs, name=step.name, overrides=step.overrides, resume=True,
            deadline=left, accelerator=accelerator, devices=devices, listener=listener(step),
        )  # fmt: skip
    return run if run is not None and run.history() else None


def _unfinished(step: Step, runs: Path) -> list[str]:
    """The packaged recipes' runs that a step needs and that are not whole."""
    needed = [(first.name, runs / first.name) for first in _needed(step)]
    return [n for n, path in needed if not Run.is_one(path) or Run.open(path).state.status != "finished"]


def _searched(
    step: Step,
    data: Path | None,
    runs: Path,
    left: float | None,
    accelerator: str,
    listener: Callable[[Step], SearchListener | None],
) -> Search | None:
    """The step's search, done as far as the time allows; None where no trial has an epoch."""
    found = Search(runs / step.name)
    there = Search.is_one(found.path)
    same = there and (found.recipe.fingerprint(), found.recipe.tune) == (
        step.recipe.fingerprint(), step.recipe.tune,
    )  # fmt: skip
    over = left is not None and left <= 0
    # A finished search of another recipe goes to `search`, which refuses it.
    if not over and not (same and found.state.status == "finished"):
        found = search(
            step.recipe, data=data, runs=runs, name=step.name, time_limit=left, accelerator=accelerator,
            listener=listener(step),
        )  # fmt: skip
        there = True
    return found if there and any(trial.history for trial in found.trials) else None


def _is_evaluated(run: Run, protocol: Evaluate) -> bool:
    """Whether all splits were evaluated at the run's present state: test is not read twice for nothing."""
    state, metrics = run.state, run.metrics()
    return all(
        split in metrics
        and metrics[split]["epochs_done"] == state.epochs_done
        and metrics[split]["partial"] == (state.status != "finished")
        and protocol.temperature in ("one", metrics[split].get("temperature", {}).get("how"))
        and {b["attribute"] for b in metrics[split].get("by", [])} >= set(protocol.by)
        for split in (*protocol.splits, *protocol.also)
    )
