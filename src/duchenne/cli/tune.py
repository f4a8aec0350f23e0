"""``duchenne tune``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .model import RUNS
from .options import Accelerator, AsJson, DataDir, Overrides, RecipeName, RunsDir, minutes, print_json

if TYPE_CHECKING:
    from ..experiment.search import Search, Trial


def tune_command(
    recipe: RecipeName,
    data: DataDir = None,
    runs: RunsDir = RUNS,
    sets: Overrides = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="How many trials (coarse ones); grid and one_at_a_time take all listed values. "
            "Default: the recipe's."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes that train at the same time.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Optuna's storage, for example sqlite:///search.db; all with one storage and --name share "
            "the search. Default: a file in the search's folder.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Folder name of the search; default: ID-search.")] = None,
    method: Annotated[
        str | None, typer.Option(help="grid, random, tpe, coarse_to_fine or one_at_a_time.")
    ] = None,
    pruner: Annotated[
        str | None, typer.Option(help="none, halving or hyperband: bad trials end early.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Throw the search of that name away first.")] = False,
    time_limit: Annotated[float | None, minutes("Stop then; the same command goes on.")] = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Train many small nets of learner scratch at once.")
    ] = False,
    accelerator: Accelerator = "auto",
    as_json: AsJson = False,
) -> None:
    """Search the fields that a recipe's [tune] names; validation alone decides.

    The winner is written as a recipe for `train`. The same command goes on with a search that was stopped or
    killed, and several processes or hosts share one where they name one --storage.

    Example: duchenne tune wright-search --data ~/fer --trials 50 --jobs 2
    """
    from ..experiment.search import search
    from ..experiment.search.space import fields_of
    from ..recipe import load_recipe

    overrides = list(sets or [])
    fields_of(load_recipe(recipe, overrides))  # says how to add [tune], before --method asks for the rest
    overrides += [f"tune.{k}={v}" for k, v in (("method", method), ("pruner", pruner)) if v is not None]
    listener = SearchProgress(quiet=as_json)
    try:
        done = search(
            load_recipe(recipe, overrides),
            data=data, runs=runs, name=name, storage=storage, jobs=jobs, trials=trials, overrides=overrides,
            time_limit=None if time_limit is None else 60 * time_limit,
            force=force, accelerator=accelerator, stack=stack, listener=listener,
        )  # fmt: skip
    except KeyboardInterrupt:
        listener.close()
        typer.echo("stopped; the same command goes on, without --force", err=True)
        raise
    finally:
        listener.close()
    from ..reports.search_page import write_search_report

    _say(done, write_search_report(done), as_json)


def _say(done: Search, page: Path, as_json: bool) -> None:
    """The outcome on standard error, what a program wants on standard output."""
    state, best, trials = done.state, done.best, done.trials
    if as_json:
        print_json(
            {
                "search": str(done.path),
                **vars(state),
                "best": None if best is None else _row(best),
                "best_recipe": str(done.best_recipe) if best is not None else None,
                "report": str(page),
                "trials": [_row(t) for t in trials],
            }
        )
        return
    counts = {s: sum(t.state == s and not t.lost for t in trials) for s in ("complete", "pruned", "failed")}
    told = ", ".join(f"{n} {s}" for s, n in counts.items() if n)
    typer.echo(f"{done.path}: {state.status} ({state.reason}); {told or 'no trial done'}", err=True)
    if best is not None:
        values = ", ".join(f"{k} = {shown(v)}" for k, v in best.params.items())
        typer.echo(f"best: trial {best.number}, {state.monitor} {best.value:.4f}; {values}", err=True)
        typer.echo(f"`duchenne train {done.best_recipe}` trains it in full", err=True)
    typer.echo(str(page))


def _row(trial: Trial) -> dict[str, Any]:
    return {k: v for k, v in vars(trial).items() if k != "history"}


def shown(value: Any) -> str:
    """A value in few characters."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class SearchProgress:
    """Lines on standard error; on a terminal also a bar of trials."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def on_start(self, search: Search, planned: int, settled: int) -> None:
        """Say where the search stands."""
        if self.quiet:
            return
        if settled:
            print(f"going on with {search.path}: {settled} trials are done", file=sys.stderr)
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("trials", total=planned, completed=settled)

    def on_stage(self, words: str) -> None:
        """A stage's sentence."""
        self._print(f"stage {words}")

    def on_trial(self, trial: Trial, best: Trial | None, settled: int, planned: int) -> None:
        """A line when a trial ended; the bar says what runs."""
        if self.quiet:
            return
        top = "" if best is None else f"  best {best.value:.4f} (trial {best.number})"
        if self._bar is not None:
            running = f"trial {trial.number} epoch {trial.epochs}/{trial.epochs_planned}"
            self._bar.update(self._task, description=running + top, completed=settled, total=planned)
        if trial.state != "running":
            self._print(trial_line(trial) + top)

    def _print(self, line: str) -> None:
        if self.quiet:
            return
        if self._bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(line, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def trial_line(trial: Trial) -> str:
    """One trial in one line: number, state, value, epochs, seconds, parameters."""
    value = "" if trial.value is None else f" {trial.value:.4f}"
    parts = [
        f"trial {trial.number} {'lost' if trial.lost else trial.state}{value}",
        f"epochs {trial.epochs}/{trial.epochs_planned}",
        f"{trial.seconds:.1f} s",
        ", ".join(f"{k} = {shown(v)}" for k, v in trial.params.items()),
    ]
    if trial.reason:
        parts.append(trial.reason)
    return "  ".join(parts)
