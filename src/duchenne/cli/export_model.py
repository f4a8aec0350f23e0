"""``duchenne export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .model import RUNS
from .options import AsJson, DataDir, RunsDir, open_run, print_json


def export_model_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or its name under --runs.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Gets the files: new, empty or an earlier export."),
    ] = None,
    data: DataDir = None,
    runs: RunsDir = RUNS,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also in 8 bits, calibrated on training faces.")
    ] = False,
    half_weights: Annotated[
        bool, typer.Option("--half-weights", help="Also the weights in half precision, to train on from.")
    ] = False,
    package: Annotated[
        bool,
        typer.Option("--package", help="Make the model inside the package of a finished, evaluated run."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export a run's best epoch: model.onnx, its card, and a README for people (a model card).

    The ONNX file carries labels, preprocess, temperature and terms, so that onnxruntime and NumPy are enough
    to use it; README.md holds a script that does, and reads the picture with OpenCV. With --int8,
    model.int8.onnx is made beside it and its loss measured on the validation part; above 0.5
    points it is not the default.

    Example: duchenne export demo --out demo-model --int8
    """
    from ..errors import RecipeError
    from ..experiment.export import export_package, export_run

    def say(text: str) -> None:
        typer.echo(f"making {text}", err=True)

    opened = open_run(run, runs)
    if package:
        done = export_package(opened, out, data=data, say=say)
    elif out is None:
        raise RecipeError("--out is missing", "it names the folder that gets the model: --out DIR")
    else:
        done = export_run(opened, out, data=data, int8=int8, half_weights=half_weights, say=say)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        print_json(
            {"folder": done.folder, "files": done.sizes, "notes": done.notes, "card": done.card.to_json()}
        )
        return
    for name, size in done.sizes.items():
        typer.echo(f"{name}: {size / 1e6:.2f} MB", err=True)
    typer.echo(str(done.folder))
