"""Trials of small fully connected nets trained together, as one stack of matrices (``--stack``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ...build import build_learner
from ...errors import DuchenneError, RecipeError
from ...recipe import Denoise, Recipe
from .shared import Beating, Shared
from .space import fields_of, overridden
from .storage import optuna
from .work import Parts, TimeIsUp, tell

# Trials of one stack; above 16 nets little more is won (docs/engine.md).
SIZE = 16

# What each net of a stack may have of its own.
OWN = ("optimizer.lr", "optimizer.momentum", "loss.l2", "learner.args.dropout")


def check_stackable(recipe: Recipe) -> None:
    """Whether the trials of a search can be trained as stacks, and that is worth it.

    Raises:
        RecipeError: They cannot; it says why.
    """
    from ...scratch import stack_wins

    assert recipe.tune is not None
    hidden = recipe.learner.args.get("hidden", (512, 256))
    plain = recipe.optimizer.name == "sgd" and not recipe.optimizer.nesterov
    others = [f.name for f in fields_of(recipe) if f.name not in OWN]
    reasons = {
        f"learner '{recipe.learner.name}' has no stacks, 'scratch' has": recipe.learner.name != "scratch",
        f"nets of a stack differ in {', '.join(OWN)} alone, not in {', '.join(others)}": bool(others),
        "nets of a stack run all epochs: leave out tune.pruner": recipe.tune.pruner != "none",
        "nets of a stack run all epochs: leave out stop.patience": recipe.stop.patience is not None,
        "nets of a stack run all epochs: leave out stop.targets": bool(recipe.stop.targets),
        "a stack weighs no positives: leave out loss.positive_weights": bool(recipe.loss.positive_weights),
        "stacks have plain SGD with momentum alone": not plain,
        "nets of a stack see all samples: leave out [denoise]": recipe.denoise != Denoise(),
        "nets of a stack begin from initial weights: leave out [start]": bool(recipe.start.run),
        f"method '{recipe.tune.method}' needs each trial's result for the next": recipe.tune.method == "tpe",
    }
    for reason, holds in reasons.items():
        if holds:
            raise RecipeError(f"--stack: {reason}", "leave --stack out")
    if not (isinstance(hidden, list | tuple) and stack_wins(list(hidden), SIZE)):
        raise RecipeError(
            f"--stack: with learner.args.hidden = {list(hidden)} a stack is slower than its nets one by one",
            "it wins for layers of at most 64 units; leave --stack out",
        )


def take_several(shared: Shared) -> list[Any]:
    """Waiting trials of one length, at most `SIZE`, now running in this process."""
    taken: list[Any] = []
    while len(taken) < SIZE and (trial := shared.take()) is not None:
        taken.append(trial)
    return taken


def train_stack(
    shared: Shared,
    trials: list[Any],
    parts: Parts,
    *,
    accelerator: str = "auto",
    runs: Path = Path("runs"),
    deadline: float | None = None,
    seen: Callable[[], None] = lambda: None,
) -> None:
    """Train taken trials as one stack and tell the study what came of each.

    Raises:
        TimeIsUp, KeyboardInterrupt: Passed on; the trials' values will be tried again.
    """
    from ...learners.scratch_stack import fit_stacked

    lib, begun = optuna(), time.monotonic()
    state = lib.trial.TrialState
    epochs = trials[0].user_attrs["epochs"]
    histories: list[list[dict[str, Any]]] = [[] for _ in trials]
    bests: list[dict[str, Any]] = [{} for _ in trials]

    def on_epoch(epoch: int, rows: list[list[dict[str, Any]]], best: list[dict[str, Any]]) -> None:
        histories[:], bests[:] = [list(r) for r in rows], [dict(b) for b in best]
        for trial, history, top in zip(trials, rows, best, strict=True):
            if len(history) == epoch:
                with suppress(lib.exceptions.UpdateFinishedTrialError):  # taken for dead; tried again
                    trial.report(float(top["value"]), epoch)
        seen()
        if deadline is not None and time.monotonic() > deadline and epoch < epochs:
            raise TimeIsUp

    try:
        recipes = [overridden(shared.recipe, shared.values(t), epochs) for t in trials]
        learners = [build_learner(r, accelerator, 1, runs) for r in recipes]
        with ExitStack() as beating:
            for trial in trials:
                beating.enter_context(Beating(trial))
            failures = fit_stacked(learners, parts.train, parts.val, on_epoch)
    except DuchenneError as error:
        for trial, history, top in zip(trials, histories, bests, strict=True):
            tell(shared, trial, history, top, 0.0, state.FAIL, error.what)
        return
    except BaseException:
        for trial in trials:
            shared.stop(trial.number)
        raise
    # Each trial's share of the time that all of them took.
    seconds = (time.monotonic() - begun) / len(trials)
    for g, (trial, history, top) in enumerate(zip(trials, histories, bests, strict=True)):
        reason = failures.get(g, "")
        tell(shared, trial, history, top, seconds, state.FAIL if reason else state.COMPLETE, reason)
