"""``duchenne report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .model import RUNS
from .options import AsJson, DataDir, RunsDir, open_run, print_json


def report_command(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A folder of a run or search, or its name under --runs.")
    ],
    data: DataDir = None,
    runs: RunsDir = RUNS,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Show faces, or leave them out.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run or search: one self-contained page, report/index.html, and its PNGs.

    Example: duchenne report demo --no-images
    """
    from ..experiment.pixels import image_lookup
    from ..reports import write_report

    for folder in (Path(run), runs / run):
        if (folder / "search.json").is_file():
            from ..experiment.search import Search
            from ..reports.search_page import write_search_report

            _say(write_search_report(Search.open(folder)), as_json)
            return
    opened = open_run(run, runs)
    lookup = image_lookup(opened, data) if images else None
    if images and lookup is None:
        typer.echo(
            "the run's data are not here, so the page shows no faces (--data names their folder)", err=True
        )
    _say(write_report(opened, image_of=lookup, images=images), as_json)


def _say(page: Path, as_json: bool) -> None:
    if as_json:
        print_json({"report": str(page)})
    else:
        typer.echo(str(page))
