"""``duchenne compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from .model import RUNS
from .options import AsJson, RunsDir, open_run, print_json


def compare_command(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two or more runs.")],
    runs: RunsDir = RUNS,
    split: Annotated[
        str, typer.Option(metavar="SPLIT|NAME-SPLIT", help="What to compare on; evaluated before.")
    ] = "test",
    as_json: AsJson = False,
) -> None:
    """Compare runs on the samples they share: figures, what their recipes differ in, McNemar's test.

    Example: duchenne compare friv-model1 friv-model2
    """
    from ..errors import RecipeError
    from ..reports import compare_runs, compare_text

    if len(names) < 2:
        raise RecipeError(
            "compare needs at least two runs", "for example: duchenne compare friv-model1 friv-model2"
        )
    comparison = compare_runs([open_run(name, runs) for name in names], split)
    if as_json:
        print_json(comparison)
    else:
        typer.echo(compare_text(comparison))
