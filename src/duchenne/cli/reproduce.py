"""``duchenne reproduce``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .model import RUNS
from .options import Accelerator, AsJson, DataDir, Devices, RunsDir, minutes, print_json

if TYPE_CHECKING:
    from ..experiment import Run
    from ..experiment.reproduce import Step
    from ..experiment.search import Search
    from .progress import TrainingProgress
    from .tune import SearchProgress


def reproduce_command(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Recipes; default: all.")] = None,
    data: DataDir = None,
    runs: RunsDir = RUNS,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings per recipe.")] = 1,
    time_limit: Annotated[float | None, minutes("For all of it; 0 trains nothing more.")] = None,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Gets ID.json.")] = Path("results"),
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Only write docs/results.md anew, from the files and the recipes' words."
        ),
    ] = False,
    page_file: Annotated[Path, typer.Option(metavar="FILE", help="The results page.")] = Path(
        "docs/results.md"
    ),
    weights: Annotated[
        Path | None,
        typer.Option(
            envvar="DUCHENNE_WEIGHTS",
            metavar="DIR",
            help="Folder of published weights, one folder a net, called as recipes name it (mobilenet-v1).",
        ),
    ] = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Train what is missing among the recipes, cheapest first, and write claimed beside measured.

    What is finished is kept, what was begun is resumed; each row is evaluated; results/ID.json and the
    results page are written after every row. A recipe with [tune] is searched; what a recipe begins from
    is trained first. A row that fails is said and the next one tried.

    Example: duchenne reproduce friv-model1 --data ~/fer --time-limit 60
    """
    if page:
        from ..errors import RunError
        from ..reports.results import renew_claims
        from ..reports.results_page import write_results_page

        if not results.is_dir():
            raise RunError(f"there is no folder {results}, so the page would be empty", "--results names it")
        renew_claims(results)
        write_results_page(results, page_file)
        typer.echo(str(page_file))
        return
    from ..experiment.reproduce import plan

    if weights is not None:
        _use_weights(weights)
    rows, failed = _reproduce(
        plan(ids or (), seeds), results, page_file, quiet=as_json, data=data, runs=runs,
        time_limit=None if time_limit is None else 60 * time_limit, accelerator=accelerator, devices=devices,
    )  # fmt: skip
    if as_json:
        print_json(rows)
    elif rows:
        typer.echo(str(page_file))
    if failed:
        raise typer.Exit(failed)


def _use_weights(folder: Path) -> None:
    """Where nets by name find their published weights; processes of a training inherit it."""
    import os

    from ..errors import RecipeError

    if not folder.is_dir():
        raise RecipeError(f"--weights {folder}: there is no such folder", "it holds one folder a net")
    os.environ["DUCHENNE_WEIGHTS"] = str(folder.resolve())


def _reproduce(
    steps: list[Step], results: Path, page_file: Path, *, quiet: bool, **options: Any
) -> tuple[dict[str, dict[str, str]], int]:
    """Go through the plan, writing after each row; return id -> status, sentence, and the worst exit code."""
    from ..errors import DuchenneError
    from ..experiment import Run
    from ..experiment.reproduce import reproduce
    from .progress import counting

    trained: dict[str, list[Run]] = {}
    rows: dict[str, dict[str, str]] = {}
    failed = 0
    bars = _Bars(quiet)
    with closing(bars), counting("evaluating") as counted:

        def progress(label: str, done: int, total: int) -> None:
            bars.close()  # the training's bar: a terminal holds one
            counted(label, done, total)

        for step, run in reproduce(
            steps, listener=bars.next, search_listener=bars.search, progress=progress, **options
        ):
            bars.close()
            if run is None:
                typer.echo(f"{step.name}: not begun, the time was over", err=True)
            elif isinstance(run, DuchenneError):
                typer.echo(f"error: {step.name}: {run}", err=True)
                failed = max(failed, run.exit_code)
            else:
                if isinstance(run, Run):
                    trained.setdefault(step.recipe.id, []).append(run)
                row = _write(trained[step.recipe.id] if isinstance(run, Run) else run, results, page_file)
                rows[step.recipe.id] = row
                typer.echo(f"{step.name}: {row['status']}. {row['sentence']}", err=True)
    return rows, failed


def _write(done: list[Run] | Search, results: Path, page_file: Path) -> dict[str, str]:
    from ..reports import result_from_runs
    from ..reports.resultfile import write_result
    from ..reports.results_page import write_results_page
    from ..reports.searched import result_from_search

    result = result_from_runs(done) if isinstance(done, list) else result_from_search(done)
    write_result(result, results)
    write_results_page(results, page_file)
    return {"status": result.status, "sentence": result.sentence}


class _Bars:
    """One training bar after another."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._last: TrainingProgress | SearchProgress | None = None

    def next(self, step: Step) -> TrainingProgress:
        """Announce a training and return its listener."""
        from .progress import TrainingProgress

        self.close()
        typer.echo(f"{step.recipe.id}, seed {step.seed}: training", err=True)
        bar = self._last = TrainingProgress(quiet=self._quiet)
        return bar

    def search(self, step: Step) -> SearchProgress:
        """Announce a search and return its listener."""
        from .tune import SearchProgress

        self.close()
        typer.echo(f"{step.recipe.id}: searching", err=True)
        bar = self._last = SearchProgress(quiet=self._quiet)
        return bar

    def close(self) -> None:
        """Take the bar away."""
        if self._last is not None:
            self._last.close()
