"""``duchenne detector`` and ``duchenne detector fetch``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, print_json


def show_command(context: typer.Context, as_json: AsJson = False) -> None:
    """Say what finds faces here, and why."""
    if context.invoked_subcommand is not None:
        return
    from ..inference import detector_in_use

    used = detector_in_use()
    if as_json:
        print_json(asdict(used))
    else:
        typer.echo(f"{used.name}: {used.why}")
        typer.echo(f"file: {used.path}")


def fetch_command(
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A local copy in the download's place.")
    ] = None,
) -> None:
    """Download YuNet (233 kB, MIT licence) from the OpenCV zoo on GitHub, once; its sha256 is checked.

    It goes where $DUCHENNE_YUNET says, else into the cache ($DUCHENNE_CACHE, default ~/.cache/duchenne).
    Prediction itself uses no network.

    Example: duchenne detector fetch
    """
    from ..inference.fetch import fetch_yunet

    path, written = fetch_yunet(source)
    typer.echo(str(path) if written else f"{path} is there already")


verbs = typer.Typer(help="Say what finds faces here, or fetch a better finder.\n\nExample: duchenne detector")
verbs.callback(invoke_without_command=True)(show_command)
verbs.command("fetch")(fetch_command)
