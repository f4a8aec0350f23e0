"""The table of verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .compare import compare_command
from .data import audit_command, crop_command, inspect_command, labels_command
from .detector import fetch_command
from .detector import show_command as detector_command
from .evaluate import evaluate_command
from .export import export_command
from .export_model import export_model_command
from .finetune import finetune_command
from .grow import grow_command
from .growth import growth_command
from .predict import predict_command
from .recipes import list_command, show_command
from .report import report_command
from .reproduce import reproduce_command
from .serve import serve_command
from .train import train_command
from .tune import tune_command
from .webcam import webcam_command

app = typer.Typer(
    name="duchenne",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
recipes = typer.Typer(
    help="List the packaged recipes, or show one.\n\nExample: duchenne recipes", no_args_is_help=False
)
data = typer.Typer(
    help="Look at a data set before training on it.\n\nExample: duchenne data inspect synthetic",
    no_args_is_help=True,
)
detector = typer.Typer(
    help="Say what finds faces here, or fetch a better finder.\n\nExample: duchenne detector",
    no_args_is_help=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"duchenne {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, tune, evaluate, explain and serve classifiers of facial expression.

    Start with: duchenne train demo && duchenne evaluate demo && duchenne report demo
    """


recipes.callback(invoke_without_command=True)(list_command)
recipes.command("show")(show_command)
data.command("inspect")(inspect_command)
data.command("audit")(audit_command)
data.command("export")(export_command)
data.command("labels")(labels_command)
data.command("crop")(crop_command)
detector.callback(invoke_without_command=True)(detector_command)
detector.command("fetch")(fetch_command)
app.add_typer(recipes, name="recipes")
app.add_typer(data, name="data")
app.add_typer(detector, name="detector")
app.command("train")(train_command)
app.command("tune")(tune_command)
app.command("finetune")(finetune_command)
app.command("grow")(grow_command)
app.command("growth")(growth_command)
app.command("evaluate")(evaluate_command)
app.command("report")(report_command)
app.command("compare")(compare_command)
app.command("reproduce")(reproduce_command)
app.command("predict")(predict_command)
app.command("webcam")(webcam_command)
app.command("serve")(serve_command)
app.command("export")(export_model_command)
