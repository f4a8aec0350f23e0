"""Options that several verbs share, so that they read and mean the same everywhere."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..experiment import Run

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        "--data",
        envvar="DUCHENNE_DATA",
        metavar="DIR",
        help="Folder of the published data sets.",
    ),
]
RunsDir = Annotated[
    Path, typer.Option("--runs", envvar="DUCHENNE_RUNS", metavar="DIR", help="Where runs lie.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Override a recipe field, e.g. train.epochs=5; repeatable."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RecipeName = Annotated[str, typer.Argument(metavar="ID|FILE.toml", help="A packaged recipe, or a file.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run of that name.")]
Force = Annotated[bool, typer.Option("--force", help="Throw the run of that name away first.")]


def some_number(value: float | None) -> float | None:
    """The value of a limit; refuses "nan", which is below no limit and above none."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


def minutes(help: str) -> Any:
    """The option of a limit of time."""
    return typer.Option(min=0, metavar="MINUTES", help=help, callback=some_number)


TimeLimit = Annotated[float | None, minutes("Stop at the end of an epoch, resumable.")]
ModelName = Annotated[
    str | None,
    typer.Option(
        metavar="RUN_OR_DIR",
        help="A run, its name, or a folder with model.onnx and card.json. Default: the package's own model, "
        "else the newest finished run.",
    ),
]
Faces = Annotated[
    str,
    typer.Option(
        help="Finds the faces: auto (yunet where its file is there, else cascade), yunet, cascade, whole "
        "(each image is one face)."
    ),
]
MinFace = Annotated[
    int, typer.Option(min=0, metavar="PIXELS", help="Leave out faces narrower or lower than this.")
]
Abstain = Annotated[
    float, typer.Option(min=0, max=1, metavar="SCORE", help="Say 'unsure' where the best score is below.")
]
Every = Annotated[int | None, typer.Option(min=1, metavar="N", help="Videos: look at every N-th frame.")]
Fps = Annotated[
    float | None,
    typer.Option(metavar="F", help="Videos: look at F frames a second. Default: 5, unless --every is given."),
]
Smooth = Annotated[
    float | None,
    typer.Option(
        min=0, metavar="SECONDS", help="Videos: time constant of the smoothed scores. Default: 0.5; 0: none."
    ),
]
TimelineFiles = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Videos: who showed what when, as .csv (all videos) or as a picture .png (a second video's is "
        "FILE-2.png); may be given twice.",
    ),
]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Devices = Annotated[int, typer.Option(min=1, help="Processes that share each batch.")]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Leave out what is labelled and has no image (ckplus); else that is an error."
    ),
]


def open_run(name: str, runs: Path) -> Run:
    """Open a run given by folder, or by name under the runs folder. Raises RunError."""
    from ..experiment import Run

    direct = Path(name)
    return Run.open(direct if (direct / "run.json").is_file() else runs / name)


def loader_options(pairs: list[str], allow_missing: bool = False) -> dict[str, Any]:
    """Options of a data set's loader by ``--option KEY=VALUE``, and by ``--allow-missing``.

    Raises:
        RecipeError: A pair is none.
    """
    import tomllib

    from ..errors import RecipeError

    options: dict[str, Any] = {"allow_missing": True} if allow_missing else {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise RecipeError(f"--option {pair} is not KEY=VALUE")
        *parents, last = key.strip().split(".")
        here = options
        for parent in parents:  # split.val=0.1, as with --set
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise RecipeError(f"--option {pair}: '{parent}' is a value already")
        try:
            here[last] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            here[last] = text
    return options


def with_missing(sets: list[str] | None, allow_missing: bool) -> list[str]:
    """A recipe's overrides, with ``--allow-missing`` as the one that it is short for."""
    return [*(sets or []), *(["data.options.allow_missing=true"] if allow_missing else [])]


def print_json(value: Any) -> None:
    """Print strict JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, default=_plain))


def _plain(value: Any) -> Any:
    """What JSON lacks: paths as text, NumPy's numbers and arrays as Python's."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def percent(value: float | None) -> str:
    """A share as percent with two digits; "n/a" where it is undefined."""
    return "n/a" if value is None else f"{100 * value:.2f}%"
