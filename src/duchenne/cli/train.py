"""``duchenne train``."""

from __future__ import annotations

from typing import Annotated

import typer

from .model import RUNS
from .options import (
    Accelerator,
    AllowMissing,
    AsJson,
    DataDir,
    Devices,
    Force,
    Overrides,
    RecipeName,
    Resume,
    RunsDir,
    TimeLimit,
    print_json,
    with_missing,
)


def train_command(
    recipe: RecipeName,
    data: DataDir = None,
    runs: RunsDir = RUNS,
    sets: Overrides = None,
    allow_missing: AllowMissing = False,
    name: Annotated[
        str | None,
        typer.Option(help="Folder name of the run; default: the recipe's id, with --set and a code."),
    ] = None,
    resume: Resume = False,
    force: Force = False,
    time_limit: TimeLimit = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a recipe into a run folder. Ctrl-C (or a kill) leaves a run that --resume goes on with.

    Example: duchenne train friv-model1 --data ~/fer --set train.epochs=5
    """
    from ..experiment.finish import ensure_artifact
    from ..experiment.train import train
    from ..recipe import load_recipe
    from .progress import TrainingProgress

    overrides = with_missing(sets, allow_missing)
    with TrainingProgress(quiet=as_json) as listener:
        run = train(
            load_recipe(recipe, overrides),
            data=data, runs=runs, name=name, overrides=overrides, resume=resume, force=force,
            deadline=None if time_limit is None else 60 * time_limit,
            accelerator=accelerator, devices=devices, tensorboard=tensorboard, listener=listener,
            note=lambda line: typer.echo(f"note: {line}", err=True),
        )  # fmt: skip
    ensure_artifact(run)
    state = run.state
    if as_json:
        print_json({"run": str(run.path), **vars(state)})
        return
    for note in run.info("data").get("notes", []):
        typer.echo(f"note: {note}", err=True)
    best = f"best epoch {state.best['epoch']}" if state.best else "no epoch done"
    if state.best.get("monitor"):
        best += f" ({state.best['monitor']} {state.best['value']:.4f})"
    done = f"{state.epochs_done} of {state.epochs_planned} epochs"
    typer.echo(f"{run.path}: {state.status} ({state.reason}), {done}, {best}", err=True)
    typer.echo(str(run.path))
