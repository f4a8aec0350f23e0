"""``duchenne webcam``: the faces before a camera, live, in a window or in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError
from .live import Bars, Lines, Window
from .model import RUNS, model_folder
from .options import Abstain, AsJson, Faces, MinFace, ModelName, RunsDir, some_number

if TYPE_CHECKING:
    from ..inference.videofile import Frame, VideoFile


def webcam_command(
    camera: Annotated[
        str, typer.Option(metavar="NUMBER|FILE", help="The camera's number, or a video in its place.")
    ] = "0",
    model: ModelName = None,
    faces: Faces = "auto",
    min_face: MinFace = 20,
    abstain: Abstain = 0.0,
    smooth: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Time constant of the smoothed scores; 0: none.")
    ] = 0.5,
    seconds: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="End after so long.", callback=some_number)
    ] = None,
    views: Annotated[str, typer.Option(help="single, flip or ten-crop: views that are averaged.")] = "single",
    window: Annotated[
        bool, typer.Option("--window/--no-window", help="Show a window where this OpenCV can.")
    ] = True,
    runs: RunsDir = RUNS,
    as_json: AsJson = False,
) -> None:
    """Predict the faces before a camera, live: boxes in a window, else bars in the terminal.

    The package's OpenCV (headless) has no window; one of the same version with windows is used where it is
    installed in its place. `duchenne serve` shows a page with a live camera in any browser. Nothing is
    written or sent. q, Escape or Ctrl-C ends it. --json prints one record a frame.

    Exit code 0: ended by the user, by --seconds, or at the end of a file; 1: the camera is absent or stopped,
    or the file is no video or broke off; 2: a wrong option.

    Example: duchenne webcam --camera 0
    """
    from ..inference import Predictor, VideoSettings
    from ..inference.camera import has_window
    from ..inference.video import predict_live

    settings = VideoSettings(smooth=smooth)
    name, frames, file = _frames(camera)
    predictor = Predictor.load(model_folder(model, runs), faces=faces, min_face=min_face)
    shown: Window | Bars | Lines
    if as_json:
        shown = Lines(sys.stdout)
    elif window and has_window():
        shown = Window(predictor.artifact.outputs)
    else:
        shown = Bars(sys.stdout, predictor.artifact.outputs)
        hint = "no window: this OpenCV has none, or there is no display. " if window else ""
        typer.echo(f"{hint}`duchenne serve` has a live page. Ctrl-C ends.", err=True)
    try:
        answers = predict_live(predictor, frames, name, settings, views=views, abstain=abstain)
        for frame, record in answers:
            if not shown.show(frame, record) or (seconds is not None and frame.time >= seconds):
                break
    except KeyboardInterrupt as stop:
        if type(stop) is not KeyboardInterrupt:  # a signal from outside, not the user's Ctrl-C
            raise
    finally:
        frames.close()
        shown.close()
    if file is not None and file.broken:
        raise DataError(file.broken)


def _frames(camera: str) -> tuple[str, Generator[Frame, None, None], VideoFile | None]:
    """The name in records, the frames, and the file that is in the camera's place."""
    from ..inference.camera import camera_frames, open_camera
    from ..inference.videofile import VideoFile

    if camera.isdecimal():
        return f"camera {camera}", camera_frames(open_camera(int(camera)), f"camera {camera}"), None
    try:
        file = VideoFile(Path(camera), every=1)
    except OSError as error:
        raise DataError(
            f"--camera {camera}: {error.strerror}", "name a camera's number or a video file"
        ) from None
    return camera, file.frames(), file
