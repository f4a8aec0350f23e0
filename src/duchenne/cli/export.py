"""``duchenne data export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import AllowMissing, DataDir, loader_options


def export_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets PNGs and manifest.csv.")],
    data: DataDir = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Option of its loader; repeatable."),
    ] = None,
    allow_missing: AllowMissing = False,
) -> None:
    """Write a data set as PNG files and a manifest, which the data set "folder" reads back.

    Example: duchenne data export synthetic --option n=100 --out faces
    """
    from ..datasets import load
    from ..datasets.export import export_faces
    from .progress import counting

    faces = load(name, data, **loader_options(options or [], allow_missing))
    with counting("writing") as progress:
        manifest = export_faces(faces, out, lambda done, total: progress(name, done, total))
    typer.echo(str(manifest))
