"""``duchenne grow``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .model import RUNS
from .options import (
    Accelerator,
    AsJson,
    DataDir,
    Devices,
    Force,
    Overrides,
    Resume,
    RunsDir,
    TimeLimit,
    open_run,
    percent,
    print_json,
)

if TYPE_CHECKING:
    from ..experiment.grow import Grown


def grow_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or its name under --runs.")],
    label: Annotated[
        str, typer.Option("--class", metavar="NAME", help="The class to add, as the data call it.")
    ],
    data: DataDir = None,
    runs: RunsDir = RUNS,
    which: Annotated[
        str,
        typer.Option("--train", metavar="all|head", help="Train all weights, or the output layer alone."),
    ] = "all",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the grown run; default: as in RUN's recipe.")
    ] = None,
    sets: Overrides = None,
    name: Annotated[str | None, typer.Option(help="Folder name of the run; default: RUN-grown-NAME.")] = None,
    resume: Resume = False,
    force: Force = False,
    time_limit: TimeLimit = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Add a class to a trained run: a new output unit beside the old ones, then training goes on.

    A new run begins from RUN's best epoch, whether RUN is finished or not. The weights of the old classes
    are kept bit for bit, those of the new one are initialised; then all are trained, or the output layer
    alone (trees: the trees of the old classes stay, and only the new class's is built). Settings are
    those of RUN's recipe, its learning-rate schedule from the start; --set changes them. The data are RUN's
    with the class no longer left out (data.without), or others that have it (--set data.name=...).
    Printed is the old classes' accuracy before and after, on validation.

    Example: duchenne grow wright-new-class-base --class surprise --data ~/fer --epochs 20
    """
    from ..experiment.grow import grow
    from .progress import TrainingProgress

    opened = open_run(run, runs)
    state = opened.state
    typer.echo(
        f"starting from epoch {state.best.get('epoch', state.epochs_done)} of {opened.path} "
        f"({state.status}, {state.epochs_done} of {state.epochs_planned} epochs)",
        err=True,
    )
    with TrainingProgress(quiet=as_json) as listener:
        grown = grow(
            opened, label, data=data, runs=runs, name=name, which=which, epochs=epochs, overrides=sets or [],
            resume=resume, force=force, deadline=None if time_limit is None else 60 * time_limit,
            accelerator=accelerator, devices=devices, listener=listener,
        )  # fmt: skip
    if as_json:
        print_json(_facts(grown))
    else:
        _say(grown)


def _say(grown: Grown) -> None:
    """The outcome in words; what a script wants, the folder, last and on standard output."""
    after = grown.run.state
    typer.echo(
        f"{after.status} ({after.reason}), {after.epochs_done} of {after.epochs_planned} epochs, "
        f"best epoch {after.best.get('epoch', 'none')}",
        err=True,
    )
    old = f"{percent(grown.old_before)} before, {percent(grown.old_after)} after"
    typer.echo(f"old classes, validation ({grown.n_old:,} faces): {old}")
    typer.echo(f"{grown.label}, validation ({grown.n_new:,} faces): {percent(grown.new_after)}")
    typer.echo(str(grown.run.path))


def _facts(grown: Grown) -> dict[str, Any]:
    begun = {k: v for k, v in grown.run.info("environment").items() if k.startswith("start_")}
    return {
        "run": str(grown.run.path),
        "class": grown.label,
        **begun,
        "validation": {
            "old_classes": {"before": grown.old_before, "after": grown.old_after, "n": grown.n_old},
            "new_class": {"after": grown.new_after, "n": grown.n_new},
        },
        "state": vars(grown.run.state),
    }
