"""``duchenne growth``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .model import RUNS
from .options import RunsDir, open_run


def growth_command(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The run that was grown.")],
    grown: Annotated[list[str], typer.Argument(metavar="GROWN...", help="Runs that started from it.")],
    against: Annotated[
        str, typer.Option(metavar="RUN", help="The run on the same data from initial weights.")
    ],
    name: Annotated[str, typer.Option("--id", metavar="ID", help="Id of the result: writes ID.json.")],
    runs: RunsDir = RUNS,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Gets ID.json.")] = Path("results"),
    page_file: Annotated[Path, typer.Option(metavar="FILE", help="The results page.")] = Path(
        "docs/results.md"
    ),
) -> None:
    """Hold grown runs against the run before and against training from nothing; write results and page.

    All runs must be evaluated on validation and test (`duchenne evaluate RUN`, or `duchenne reproduce`).

    Example: duchenne growth wright-new-class-base wright-new-class-all --against wright-new-class-nothing
    --id wright-new-class
    """
    from ..reports.growth import result_from_growth
    from ..reports.resultfile import write_result
    from ..reports.results_page import write_results_page

    command = f"duchenne growth {base} {' '.join(grown)} --against {against} --id {name}"
    result = result_from_growth(
        name, open_run(base, runs), [open_run(g, runs) for g in grown], open_run(against, runs), command
    )
    typer.echo(str(write_result(result, results)))
    write_results_page(results, page_file)
    typer.echo(str(page_file))
