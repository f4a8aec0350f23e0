"""One process' part of a search: take trials and train them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...build import build_faces, build_learner
from ...errors import DataError, DuchenneError, MissingExtraError
from ...recipe import Recipe
from .shared import Beating, Shared
from .space import max_epochs, overridden
from .storage import optuna, quiet

if TYPE_CHECKING:
    from ...datasets.faceset import FaceSet

# SuccessiveHalving's and Hyperband's factor: of the trials at a rung the best third goes on.
# Li et al. 2018, "Hyperband", section 2.6 find 3 or 4 best; 3 keeps more of the late bloomers.
REDUCTION = 3

# Epochs may be short; other processes' trials are looked at so often, in seconds.
_LOOK = 0.5


@dataclass(frozen=True)
class Parts:
    """What a search sees of the faces; the test part is never among it."""

    train: FaceSet
    val: FaceSet
    fingerprint: str
    about: Mapping[str, Any]


def load_parts(recipe: Recipe, data: Path | None, *, fingerprint: bool = True) -> Parts:
    """Load the faces of a search. Raises DataError where there is no training or validation part."""
    faces = build_faces(recipe, data)
    train, val = faces.where("train"), faces.where("val")
    if len(train) == 0:
        raise DataError(f"{faces.name} has no training part", "see data.options in the recipe")
    if len(val) == 0:
        raise DataError(
            f"{faces.name} has no validation part, which decides a search", "see data.options in the recipe"
        )
    seen = faces.select((faces.split == "train") | (faces.split == "val"))
    code = seen.fingerprint() if fingerprint else ""
    return Parts(train, val, code, faces.describe() if fingerprint else {})


def make_pruner(recipe: Recipe) -> Any:
    """The pruner that the recipe names."""
    lib = optuna()
    assert recipe.tune is not None
    if recipe.tune.pruner == "halving":
        return lib.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
    if recipe.tune.pruner == "hyperband":
        most = max_epochs(recipe)
        with quiet():
            return lib.pruners.HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=REDUCTION)
    return lib.pruners.NopPruner()


def make_sampler(recipe: Recipe, number: int = 0) -> Any:
    """The sampler that proposes what the plan leaves open; made anew for each trial.

    Its stream depends on the trial's number, or processes that share a search would all begin alike.
    """
    lib = optuna()
    assert recipe.tune is not None
    if recipe.tune.method != "tpe":
        return lib.samplers.RandomSampler(seed=recipe.tune.seed)
    seed = (recipe.tune.seed * 1_000_003 + number) % 2**32
    with quiet():
        # The liar counts running trials as bad ones, so that two processes do not try the same place.
        return lib.samplers.TPESampler(seed=seed, constant_liar=True)


class TimeIsUp(Exception):
    """The search's time ended within a trial."""


class Lost(Exception):
    """Somebody took this process for dead and marked its trial as failed."""


class _Reporter:
    """A listener of one training: reports each epoch to the study, ends what is not worth going on."""

    def __init__(self, trial: Any, epochs: int, deadline: float | None, seen: Callable[[], None]) -> None:
        self.trial, self.epochs, self.deadline, self.seen = trial, epochs, deadline, seen
        self.looked = time.monotonic()
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        """Nothing to report."""
        self.seen()

    def on_batch(self, step: int) -> None:
        """Nothing to report."""

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        """Report the best value so far, which is what the trial will be judged by."""
        lib = optuna()
        self.history, self.best = list(history), dict(best)
        try:
            self.trial.report(float(best["value"]), row["epoch"])
        except lib.exceptions.UpdateFinishedTrialError as error:
            raise Lost from error
        if time.monotonic() - self.looked > _LOOK:
            self.seen()
            self.looked = time.monotonic()
        if row["epoch"] >= self.epochs:
            return  # the last rung prunes nothing: the training is complete
        if self.trial.should_prune():
            raise lib.TrialPruned
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeIsUp


def train_trial(
    shared: Shared,
    trial: Any,
    parts: Parts,
    *,
    accelerator: str = "auto",
    runs: Path = Path("runs"),
    deadline: float | None = None,
    seen: Callable[[], None] = lambda: None,
) -> None:
    """Train one taken trial and tell the study what came of it.

    Raises:
        TimeIsUp, KeyboardInterrupt: Passed on; the trial's values will be tried again.
        MissingExtraError: No trial can be trained.
    """
    lib = optuna()
    state = lib.trial.TrialState
    begun = time.monotonic()
    reporter: _Reporter | None = None
    try:
        params = shared.values(trial)
        epochs = int(params.get("train.epochs", trial.user_attrs["epochs"]))
        recipe = overridden(shared.recipe, params, epochs)
        reporter = _Reporter(trial, epochs, deadline, seen)
        with Beating(trial):
            learner = build_learner(recipe, accelerator, 1, runs)
            learner.fit(parts.train, val=parts.val, listener=reporter)
        _tell(shared, trial, reporter, begun, state.COMPLETE)
    except lib.TrialPruned:
        _tell(shared, trial, reporter, begun, state.PRUNED)
    except Lost:
        return
    except MissingExtraError:
        shared.stop(trial.number)
        raise
    except (DuchenneError, MemoryError) as error:
        what = error.what if isinstance(error, DuchenneError) else "out of memory"
        _tell(shared, trial, reporter, begun, state.FAIL, what)
    except RuntimeError as error:  # torch's error for a full GPU is a kind of it
        if type(error).__name__ != "OutOfMemoryError":
            shared.stop(trial.number)
            raise
        _tell(shared, trial, reporter, begun, state.FAIL, "out of memory on the GPU")
    except BaseException:
        shared.stop(trial.number)
        raise


def _tell(
    shared: Shared, trial: Any, reporter: _Reporter | None, begun: float, state: Any, reason: str = ""
) -> None:
    history, best = (reporter.history, reporter.best) if reporter is not None else ([], {})
    tell(shared, trial, history, best, time.monotonic() - begun, state, reason)


def tell(
    shared: Shared,
    trial: Any,
    history: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any],
    seconds: float,
    state: Any,
    reason: str = "",
) -> None:
    """Write down what a trial leaves, then its end: a trial that ended has all its facts.

    Args:
        trial: Optuna's, running in this process.
        history: One row an epoch.
        best: "epoch" and "value" of the best one.
        seconds: What it took.
        state: Optuna's final state.
        reason: Why it failed.
    """
    lib = optuna()
    try:
        if history:
            trial.set_user_attr("history", [_short(row) for row in history])
            trial.set_user_attr("best_epoch", best.get("epoch"))
        trial.set_user_attr("seconds", round(seconds, 3))
        if reason:
            trial.set_user_attr("reason", reason)
        shared.study.tell(trial, float(best["value"]) if state.name == "COMPLETE" else None, state)
    except (lib.exceptions.UpdateFinishedTrialError, ValueError, RuntimeError):
        return  # somebody took this process for dead: the values are tried again


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """A history row with 6 digits: hundreds of trials go into one table."""
    return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}
