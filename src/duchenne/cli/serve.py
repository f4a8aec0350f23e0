"""``duchenne serve``: predictions over HTTP, and a page with the webcam. Needs the extra `serve`."""

from __future__ import annotations

import logging
import math
import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from ..errors import RecipeError
from .model import RUNS, model_folder
from .options import Faces, MinFace, ModelName, RunsDir

VARIABLE = "DUCHENNE_API_KEY"
_MAX_KEY_FILE = 4096
_MIB = 1 << 20


def serve_command(
    model: ModelName = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's own needs an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    faces: Faces = "auto",
    min_face: MinFace = 20,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"Holds the API key on its first line. Default: ${VARIABLE}."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name the server goes by (Host header); repeatable."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Images predicted at once. Default: the CPUs.")
    ] = None,
    max_request_mib: Annotated[float, typer.Option(metavar="MIB", help="Bytes of a request.")] = 32,
    max_image_mib: Annotated[float, typer.Option(metavar="MIB", help="Bytes of an image.")] = 16,
    max_megapixels: Annotated[float, typer.Option(metavar="MILLIONS", help="Pixels of an image.")] = 25,
    max_images: Annotated[int, typer.Option(help="Images of a request.")] = 64,
    max_requests: Annotated[int, typer.Option(help="Requests being answered; beyond it 429.")] = 256,
    max_held_mib: Annotated[float, typer.Option(metavar="MIB", help="Bodies in memory, together.")] = 256,
    max_connections: Annotated[int, typer.Option(help="Open connections.")] = 512,
    head_seconds: Annotated[float, typer.Option(help="To send a request's headers.")] = 10,
    body_seconds: Annotated[float, typer.Option(help="To send a request's body.")] = 30,
    predict_seconds: Annotated[float, typer.Option(help="To predict a request's images.")] = 60,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line a request on standard error.")] = False,
    runs: RunsDir = RUNS,
) -> None:
    """Answer predictions over HTTP, with a page to try pictures and the webcam on.

    POST /predict takes images (multipart/form-data, field `images`; or JSON {"images": [base64, ...]}) and
    answers the records of `duchenne predict`. GET /model, /health, /openapi.json. Images are never stored
    and never logged.

    Only this machine may ask, unless --host says otherwise, which needs an API key. Put a proxy with TLS in
    front of it then: the key and the pictures travel as they are, and browsers give a webcam to https alone.

    Example: duchenne serve --model demo --port 8000
    """
    from ..inference import Predictor
    from ..serve import Access, Limits, Server, bind, is_loopback

    access = Access(host, allow_host or (), _key(api_key_file))
    limits = Limits(
        request_bytes=_whole(max_request_mib, _MIB), image_bytes=_whole(max_image_mib, _MIB),
        pixels=_whole(max_megapixels, 1_000_000), images=max_images, requests=max_requests,
        held_bytes=_whole(max_held_mib, _MIB), connections=max_connections, head_seconds=head_seconds,
        body_seconds=body_seconds, predict_seconds=predict_seconds,
    )  # fmt: skip
    folder = model_folder(model, runs)
    server = Server(
        Predictor.load(folder, threads=1, faces=faces, min_face=min_face), access, limits, workers
    )
    sock = bind(host, port)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    if not quiet:
        logging.getLogger("duchenne.serve").setLevel(logging.INFO)
    named = f"[{host}]" if ":" in host else host
    typer.echo(f"serving http://{named}:{sock.getsockname()[1]}/ (Ctrl-C ends)", err=True)
    if not is_loopback(host):
        typer.echo("the key and the images travel unencrypted; put a proxy with TLS in front", err=True)
    server.run(sock)


def _whole(value: float, unit: int) -> int:
    return int(value * unit) if math.isfinite(value) else 0  # 0 is refused by name


def _key(file: Path | None) -> str | None:
    """The API key from the file, else from the environment; never from the command line, which others see."""
    if file is None:
        return os.environ.get(VARIABLE) or None
    try:
        with file.open("rb") as stream:
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                typer.echo(f"others of this machine may read the key in {file}; chmod 600 it", err=True)
            lines = stream.read(_MAX_KEY_FILE).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise RecipeError(f"the API key's file {file} cannot be read: {error.strerror}") from None
    key = lines[0].strip() if lines else ""
    if not key:
        raise RecipeError(f"the API key's file {file} is empty", "put the key on its first line")
    return key
