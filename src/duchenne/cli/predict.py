"""``duchenne predict``: photographs in, one record an image out. Needs neither torch nor scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import RecipeError
from .model import RUNS
from .options import (
    Abstain,
    AsJson,
    Every,
    Faces,
    Fps,
    MinFace,
    ModelName,
    RunsDir,
    Smooth,
    TimelineFiles,
)  # fmt: skip
from .predicting import Wishes, predict_paths


def predict_command(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Images, videos, folders, patterns, or '-'.")
    ],
    model: ModelName = None,
    faces: Faces = "auto",
    min_face: MinFace = 20,
    abstain: Abstain = 0.0,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="jsonl, csv or text. Default: by the ending of --out, else text on a terminal, else jsonl.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write there; a file appears only when it is whole.")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new folder: pictures with boxes and labels drawn."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces per call of the net.")] = 64,
    views: Annotated[str, typer.Option(help="single, flip or ten-crop: views that are averaged.")] = "single",
    top: Annotated[int, typer.Option(min=1, help="Labels shown per output, as text only.")] = 3,
    every: Every = None,
    fps: Fps = None,
    smooth: Smooth = None,
    timeline: TimelineFiles = None,
    runs: RunsDir = RUNS,
    as_json: AsJson = False,
) -> None:
    """Predict the faces on photographs and videos: files, folders, patterns, or '-' for standard input.

    Faces are found first; with --faces whole each image is one face. One record an image: JSON Lines (label
    and score lists, best first), CSV with fixed columns, or text. A bad file is reported in its row and stops
    nothing; an image without faces is no failure.

    Videos (MP4, AVI, WebM, Matroska, ...) may stand among the images: one record a frame looked at, each face
    with its number over time (track), its scores and the smoothed ones. --draw writes them as MP4.

    --json is --format jsonl.

    Exit code 0: all images predicted; 1: none could be; 2: a wrong option; 3: some could not.

    Example: duchenne predict photos/ --abstain 0.5 --format csv --out faces.csv
    """
    if as_json and format not in (None, "jsonl"):
        raise RecipeError(f"--json is --format jsonl, and --format {format} is asked for", "give one of them")
    wished = Wishes(
        model=model, faces=faces, min_face=min_face, abstain=abstain, out=out, draw=draw, top=top,
        format=format or ("jsonl" if as_json else None), batch_size=batch_size, views=views, every=every,
        fps=fps, smooth=smooth, timeline=timeline or (), runs=runs,
    )  # fmt: skip
    predict_paths(paths, wished)
