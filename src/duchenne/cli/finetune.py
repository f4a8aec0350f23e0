"""``duchenne finetune``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .model import RUNS
from .options import Accelerator, AsJson, Devices, Overrides, RunsDir, TimeLimit, print_json
from .text import printable

if TYPE_CHECKING:
    from ..experiment.finetune import Plan


def finetune_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Faces, cut out, in a folder a class.")],
    runs: RunsDir = RUNS,
    name: Annotated[str | None, typer.Option(help="Folder name of the run; default: finetune-DIR.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs at most; default: 12.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the validation part and of the training.")] = 0,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")
    ] = False,
    sets: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run of that name.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Throw the run of that name away first.")] = False,
    time_limit: TimeLimit = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Train the packaged model on with your own images; class names are the folders' names.

    DIR holds a folder a class (or train, val and test folders of these, or a manifest.csv). Labels that the
    packaged model knows, by name or synonym, begin with its weights; others with new ones. Without a val
    folder, 15% of each class are cut off to choose the best epoch.

    Example: duchenne finetune my-faces --name mine && duchenne predict photo.jpg --model mine
    """
    from ..experiment.finetune import check_apart, finetune, plan_finetuning
    from .evaluate import summary
    from .progress import TrainingProgress

    overrides = sets or []
    check_apart(folder, runs)
    plan = plan_finetuning(folder, epochs=epochs, seed=seed, skip_broken=skip_broken, overrides=overrides)
    _say(plan)
    with TrainingProgress(quiet=as_json) as listener:
        done = finetune(
            plan, runs=runs, name=name, overrides=overrides, resume=resume, force=force,
            deadline=None if time_limit is None else 60 * time_limit,
            accelerator=accelerator, devices=devices, listener=listener,
        )  # fmt: skip
    state = done.run.state
    if as_json:
        print_json(
            {
                "run": done.run.path,
                "known": plan.known,
                "new": plan.new,
                "train": plan.counts,
                "state": vars(state),
                "metrics": {e.name: e.metrics for e in done.evaluated},
            }
        )
        return
    typer.echo(f"{state.status} ({state.reason}), {state.epochs_done} epochs", err=True)
    for evaluated in done.evaluated:
        typer.echo(summary(evaluated.name, evaluated.metrics), err=True)
    typer.echo(f"now: duchenne predict photo.jpg --model {shlex.quote(str(done.run.path))}", err=True)
    typer.echo(str(done.run.path))


def _say(plan: Plan) -> None:
    """What is there and what is new, before the training begins."""
    if plan.counts:
        counts = ", ".join(f"{printable(label)} {n:,}" for label, n in plan.counts.items())
        typer.echo(f"training images: {counts}", err=True)
    typer.echo(
        f"labels that the packaged model knows: {printable(', '.join(plan.known)) or 'none'}", err=True
    )
    if plan.new:
        typer.echo(f"new labels: {printable(', '.join(plan.new))}", err=True)
    for note in plan.notes:
        typer.echo(f"note: {printable(note)}", err=True)
