"""The table of verbs. The file of a verb is imported when that verb is named, or when all are listed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from .. import __version__

# Verb -> file of this folder and, in it, the function or the group of further verbs; help keeps this order.
VERBS: dict[str, tuple[str, str]] = {
    "train": ("train", "train_command"),
    "tune": ("tune", "tune_command"),
    "finetune": ("finetune", "finetune_command"),
    "grow": ("grow", "grow_command"),
    "growth": ("growth", "growth_command"),
    "evaluate": ("evaluate", "evaluate_command"),
    "report": ("report", "report_command"),
    "compare": ("compare", "compare_command"),
    "reproduce": ("reproduce", "reproduce_command"),
    "predict": ("predict", "predict_command"),
    "webcam": ("webcam", "webcam_command"),
    "serve": ("serve", "serve_command"),
    "export": ("export_model", "export_model_command"),
    "recipes": ("recipes", "verbs"),
    "data": ("data", "verbs"),
    "detector": ("detector", "verbs"),
}


def make_app(words: Sequence[str] = ()) -> typer.Typer:
    """The command line for these words: with the verb they begin with, or with all of them.

    Making the parsers of all verbs would be a third of the time that one takes to start.
    """
    app = typer.Typer(
        name="duchenne",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for verb in words[:1] if words and words[0] in VERBS else VERBS:
        file, name = VERBS[verb]
        part = getattr(import_module(f".{file}", __package__), name)
        if isinstance(part, typer.Typer):
            app.add_typer(part, name=verb)
        else:
            app.command(verb)(part)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"duchenne {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, tune, evaluate, explain and serve classifiers of facial expression.

    Start with: duchenne train demo && duchenne evaluate demo && duchenne report demo
    """
