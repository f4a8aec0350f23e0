"""``duchenne predict``: photographs in, one record an image out. Needs neither torch nor scikit-learn."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO, cast

import typer

from ..errors import RecipeError, RunError, did_you_mean
from . import importing
from .options import RUNS, Abstain, AsJson, Faces, MinFace, ModelName, RunsDir, model_folder
from .text import PrintableLines, TextWriter, printable
from .video import Every, Fps, Smooth, TimelineFiles, Timelines, VideoTextWriter, make_settings, mixed_records

if TYPE_CHECKING:
    from ..inference import FrameRecord, Record, Source
    from ..inference.draw import DrawingFolder
    from ..labels import Output

FORMATS = ("jsonl", "csv", "text")
_SUFFIX_FORMATS = {".csv": "csv", ".txt": "text"}
# malloc.h: M_MMAP_THRESHOLD (at its largest), M_TRIM_THRESHOLD, M_TOP_PAD; bytes.
_MALLOC = {-3: 32 << 20, -1: 256 << 20, -2: 16 << 20}
_NOTHING, _SOME_FAILED = 1, 3  # exit codes; 2 is a usage error


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
    with importing():
        _import_libraries()
        from ..artifacts import Artifact

    # What decoders murmur about a damaged file stands in its record.
    warnings.filterwarnings("ignore", module=r"PIL\..*")
    settings = make_settings(every, fps, smooth)
    if as_json and format not in (None, "jsonl"):
        raise RecipeError(f"--json is --format jsonl, and --format {format} is asked for", "give one of them")
    kind = _format(format or ("jsonl" if as_json else None), out)
    # Opened beside the first search for faces: importing onnxruntime and that search take the same time.
    artifact = Artifact.load(model_folder(model, runs), wait=False)
    with importing():
        from ..datasets.decode import SUFFIXES
        from ..inference import Predictor, expand, is_video
        from ..inference.videofile import VIDEO_SUFFIXES

    predictor = Predictor(artifact, faces, min_face)
    predictor.check(batch_size, views, abstain, None)  # before a file is begun anew
    sources = list(expand(paths, suffixes=SUFFIXES | VIDEO_SUFFIXES))
    _check_targets(sources, out, timeline or [])
    moving = list(map(is_video, sources))
    if draw or out or timeline or kind == "csv" or any(moving):
        # Files and a header are begun, and what is wrong with a video is said, before the net is asked; and
        # opening a video writes to the environment, which nothing may do while the net is opened.
        artifact.ready()
    done = failed = noted = 0
    # Refused before a file of --timeline is begun anew.
    drawing = None if draw is None else _drawing(draw, artifact.outputs)
    with Timelines(timeline or [], artifact.outputs) as timelines, _opened(out) as file:
        writer = _writer(kind, file, artifact.outputs, sources, top, any(moving))
        quiet = any(moving) or (out is None and sys.stdout.isatty())
        answers = mixed_records(
            predictor, sources, moving, settings, timelines, drawing,
            batch_size=batch_size, views=views, abstain=abstain,
        )  # fmt: skip
        with closing(answers) as records:
            for record in _progress(records, len(sources), quiet):
                writer.write(record)
                done += 1
                failed += record["error"] is not None
                noted += record["note"] is not None and "frame" not in record
    if noted:
        typer.echo(f"of {noted} images with several frames or pages the first was taken", err=True)
    if failed:
        where = "" if kind == "text" and out is None else "; see their field 'error'"
        _end_with_failures(done, failed, "images and frames" if any(moving) else "images", where)


def _import_libraries() -> None:
    """Import NumPy and OpenCV without OpenBLAS's threads: making them takes a tenth of the whole start.

    Nothing is multiplied here that would need them. The variable goes again, for it would be inherited.
    """
    _keep_memory()
    if (name := "OPENBLAS_NUM_THREADS") in os.environ:
        return
    os.environ[name] = "1"
    for library in ("numpy", "cv2"):
        import_module(library)
    del os.environ[name]


def _keep_memory() -> None:
    """Let glibc use freed memory again, in pieces up to 32 MiB, instead of giving it back and asking anew.

    New pages, which the system fills with zeros, were a fourteenth of the whole start. Of photographs of 12
    megapixels a tenth more memory stays. What the user has set stays too.
    """
    if sys.platform != "linux" or any(n.startswith(("MALLOC_", "GLIBC_TUNABLES")) for n in os.environ):
        return
    from ctypes import CDLL

    if hasattr(libc := CDLL(None), "mallopt"):  # not in every C library
        for option, size in _MALLOC.items():
            libc.mallopt(option, size)


def _drawing(folder: Path, outputs: Sequence[Output]) -> DrawingFolder:
    from ..inference.draw import DrawingFolder

    return DrawingFolder(folder, outputs)


def _check_targets(sources: Sequence[Source], out: Path | None, timelines: Sequence[Path]) -> None:
    """Raise RecipeError where a file to be written is a picture or video to be read, or is named twice.

    Of ``--out *.jpg`` the shell makes ``--out first.jpg second.jpg``: the first photograph would be gone.
    """
    from ..datasets.decode import SUFFIXES
    from ..inference.videofile import VIDEO_SUFFIXES

    if out is not None and out.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES:
        raise RecipeError(f"--out {out} is a picture's or a video's name", "end it in .jsonl, .csv or .txt")
    targets = [*([] if out is None else [out]), *timelines]
    if len({target.absolute() for target in targets}) < len(targets):
        raise RecipeError("--out and --timeline name the same file twice", "give each its own")
    read = {os.path.realpath(s.data) for s in sources if isinstance(s.data, Path)} if targets else set()
    for target in targets:
        if os.path.realpath(target) in read:
            raise RecipeError(f"{target} is to be read, and would be written over", "name another file")


def _end_with_failures(done: int, failed: int, what: str, where: str) -> NoReturn:
    typer.echo(f"{failed} of {done} {what} could not be predicted{where}", err=True)
    raise typer.Exit(_NOTHING if failed == done else _SOME_FAILED)


def _format(named: str | None, out: Path | None) -> str:
    if named is None:
        if out is not None:
            return _SUFFIX_FORMATS.get(out.suffix.lower(), "jsonl")
        return "text" if sys.stdout.isatty() else "jsonl"
    if named not in FORMATS:
        raise RecipeError(f"there is no format '{named}'", did_you_mean(named, FORMATS))
    return named


def _writer(
    kind: str, file: TextIO, outputs: Sequence[Output], sources: Sequence[Source], top: int, videos: bool
) -> Any:
    from ..inference import CsvWriter, JsonLinesWriter

    if kind == "csv":
        from ..inference.video_files import VideoCsvWriter

        file = cast(TextIO, PrintableLines(file)) if file.isatty() else file
        return VideoCsvWriter(file, outputs) if videos else CsvWriter(file, outputs)
    if kind == "jsonl":
        return JsonLinesWriter(file)
    width = max((len(printable(s.path or "")) for s in sources), default=0)
    if videos:
        return VideoTextWriter(TextWriter(file, outputs, width + len(" 1234.56 s face 12"), top))
    return TextWriter(file, outputs, width, top)


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output; or a file, which gets its name when it is whole."""
    if out is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be no text
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader (`head`) has seen enough; the interpreter's last flush must not fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            raise RunError(
                f"standard output cannot be written: {error.strerror}", "free some space"
            ) from None
        return
    if out.exists() and not out.is_file():  # a pipe or a device: nothing to replace
        with _writable(out), out.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        return
    part = out.with_name(out.name + ".part")
    stopped = False
    try:
        with _writable(out):
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                try:
                    yield file
                except OSError:  # of this file
                    raise
                except BaseException:
                    stopped = True
                    raise
            os.replace(part, out)
    except BaseException as error:
        if stopped and (part.stat().st_size or isinstance(error, KeyboardInterrupt)):
            how = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
            typer.echo(f"{how}; the records so far are in {part}", err=True)
        else:
            part.unlink(missing_ok=True)
        raise


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{out} cannot be written: {error.strerror}", "free some space or name another file with --out"
        ) from None


def _progress(
    records: Iterator[Record | FrameRecord], total: int, quiet: bool
) -> Iterator[Record | FrameRecord]:
    """Pass the records through; a bar on standard error where nothing else is on the terminal."""
    if quiet or not sys.stderr.isatty():
        yield from records
        return
    from rich.console import Console
    from rich.progress import track

    console: Any = Console(stderr=True)
    yield from track(records, "predict", total=total, console=console, transient=True)
