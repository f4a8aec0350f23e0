"""``duchenne reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import RUNS, Accelerator, AsJson, DataDir, Devices, RunsDir, print_json

if TYPE_CHECKING:
    from ..experiment import Run


def reproduce_command(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Recipes; default: all.")] = None,
    data: DataDir = None,
    runs: RunsDir = RUNS,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings per recipe.")] = 1,
    time_limit: Annotated[
        float | None, typer.Option(min=0, metavar="MINUTES", help="For all of it; 0 trains nothing more.")
    ] = None,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Gets ID.json.")] = Path("results"),
    page: Annotated[
        bool, typer.Option("--page", help="Only write docs/results.md anew from the files.")
    ] = False,
    page_file: Annotated[Path, typer.Option(metavar="FILE", help="The results page.")] = Path(
        "docs/results.md"
    ),
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Train what is missing among the recipes, cheapest first, and write claimed beside measured.

    What is finished is kept, what was begun is resumed; each row is evaluated; results/ID.json and the
    results page are written after every row. A row that fails is said and the next one tried.

    Example: duchenne reproduce friv-model1 --data ~/fer --time-limit 60
    """
    from ..errors import DuchenneError
    from ..reports.resultfile import write_result
    from ..reports.results_page import write_results_page

    if page:
        write_results_page(results, page_file)
        typer.echo(str(page_file))
        return
    from ..experiment.reproduce import plan, reproduce
    from ..reports import result_from_runs
    from .progress import TrainingProgress, counting

    trained: dict[str, list[Run]] = {}
    rows: dict[str, Any] = {}
    failed = 0
    listeners: list[TrainingProgress] = []

    def listener(step: Any) -> TrainingProgress:
        typer.echo(f"{step.recipe.id}, seed {step.seed}: training", err=True)
        listeners.append(TrainingProgress(quiet=as_json))
        return listeners[-1]

    def close() -> None:
        for bar in listeners:
            bar.close()

    steps = plan(ids or (), seeds)
    try:
        with counting("evaluating") as counted:

            def progress(label: str, done: int, total: int) -> None:
                close()  # the training's bar: a terminal holds one
                counted(label, done, total)

            for step, run in reproduce(
                steps, data=data, runs=runs, time_limit=None if time_limit is None else 60 * time_limit,
                accelerator=accelerator, devices=devices, listener=listener, progress=progress,
            ):  # fmt: skip
                close()
                if run is None:
                    typer.echo(f"{step.name}: not begun, the time was over", err=True)
                    continue
                if isinstance(run, DuchenneError):
                    typer.echo(f"error: {step.name}: {run}", err=True)
                    failed = max(failed, run.exit_code)
                    continue
                trained.setdefault(step.recipe.id, []).append(run)
                result = result_from_runs(trained[step.recipe.id])
                write_result(result, results)
                write_results_page(results, page_file)
                rows[step.recipe.id] = {"status": result.status, "sentence": result.sentence}
                typer.echo(f"{step.name}: {result.status}. {result.sentence}", err=True)
    finally:
        close()
    if as_json:
        print_json(rows)
    elif trained:
        typer.echo(str(page_file))
    if failed:
        raise typer.Exit(failed)
