"""``duchenne data``: ``inspect``, ``audit``, ``export``, ``labels`` and ``crop``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from .export import export_command
from .options import AllowMissing, AsJson, DataDir, loader_options, print_json

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set: fer2013, sfew, synthetic, ...")]
Options = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of its loader; repeatable.")
]


def inspect_command(
    name: Name,
    data: DataDir = None,
    options: Options = None,
    allow_missing: AllowMissing = False,
    as_json: AsJson = False,
) -> None:
    """Say what a data set holds: parts, splits, classes, notes.

    Example: duchenne data inspect fer2013 --data ~/fer
    """
    from ..datasets import load

    faces = load(name, data, **loader_options(options or [], allow_missing))
    facts = faces.describe() | {"fingerprint": faces.fingerprint(), "missing": list(faces.missing)}
    if as_json:
        print_json(facts)
        return
    typer.echo(f"{facts['name']}: {facts['n']} faces, fingerprint {facts['fingerprint']}")
    for title in ("parts", "splits"):
        typer.echo(f"{title}: " + (", ".join(f"{k} {v}" for k, v in facts[title].items()) or "none"))
    for output, held in facts["outputs"].items():
        typer.echo(f"{output} ({held['kind']})")
        typer.echo(_table(held))
    for note in facts["notes"]:
        typer.echo(f"note: {note}")


def audit_command(
    name: Name,
    data: DataDir = None,
    options: Options = None,
    allow_missing: AllowMissing = False,
    near: Annotated[str, typer.Option(help="Method for near duplicates: thumbnail or dhash.")] = "thumbnail",
    threshold: Annotated[float | None, typer.Option(help="Of that method; default: its own.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find duplicates within and across splits, conflicting labels, blank images.

    Example: duchenne data audit fer2013 --data ~/fer --json
    """
    from ..datasets import load
    from ..datasets.audit import audit
    from ..datasets.near import Method
    from .progress import counting

    faces = load(name, data, **loader_options(options or [], allow_missing))
    with counting("auditing") as progress:
        report = audit(
            faces,
            near=cast(Method, near),
            threshold=threshold,
            progress=lambda done, total: progress(name, done, total),
        )
    if as_json:
        print_json(report.to_json())
    else:
        typer.echo(report.to_text())


def labels_command(
    data: Annotated[
        Path,
        typer.Option("--data-dir", "--data", metavar="DIR", help="Folder that holds sfew/; written into."),
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Write over label files that exist.")] = False,
) -> None:
    """Write SFEW's label files, train_labels.csv and val_labels.csv, beside its folders, as wang2020 does.

    $DUCHENNE_DATA is not heeded, for this writes. Afterwards the data set "sfew" reads the images and labels
    that the files name; edit them, or delete them.

    Example: duchenne data labels --data ~/fer
    """
    from ..datasets.sfew import write_label_csvs

    for path in write_label_csvs(data, replace=replace):
        typer.echo(str(path))


def crop_command(
    photos: Annotated[
        Path, typer.Argument(metavar="PHOTOS", help="Folder of photographs; class folders stay.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder: one PNG a face, and crops.csv.")],
    faces: Annotated[str, typer.Option(help="Finds the faces: auto, yunet, cascade, whole.")] = "auto",
    size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Side of the PNGs; default: each face's own.")
    ] = None,
    min_face: Annotated[int, typer.Option(min=0, metavar="PIXELS", help="Leave out smaller faces.")] = 20,
    square: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Not the faces: of each photograph the square about its face, N wide."
        ),
    ] = None,
    centre: Annotated[
        int | None, typer.Option(min=1, metavar="M", help="Of that square, the M x M in its middle.")
    ] = None,
) -> None:
    """Cut the faces out of photographs, as `predict` does, to train on.

    OUT/crops.csv names each face's photograph and box, and the photographs without faces or with an error.

    Example: duchenne data crop photos faces --size 64

    Frames of CK+ at 640x490 as chan2023 cuts them, names kept (put the label files beside the new folder):
    duchenne data crop ckplus/cohn-kanade-images new/ckplus/cohn-kanade-images --square 480 --centre 300
    """
    from ..errors import RecipeError
    from ..inference import make_finder
    from ..inference.crops import crop_folder
    from ..inference.squares import Square
    from .progress import counting

    if centre is not None and square is None:
        raise RecipeError("--centre is of a square, and none is asked for", "add --square N")
    form = None if square is None else Square(square, centre)
    finder = make_finder(faces, min_face)
    with counting("cropping") as progress:
        done = crop_folder(photos, out, finder, size, lambda n, total: progress(str(photos), n, total), form)
    what = "faces" if form is None else "squares"
    typer.echo(f"{done.faces} {what} from {done.photos - done.failed} photographs: {done.manifest}")
    if done.faceless:
        typer.echo(
            f"{done.faceless} have no face that was found and are cut about the middle; see 'error'", err=True
        )
    if done.failed:
        typer.echo(f"{done.failed} files could not be read; see their column 'error'", err=True)
        raise typer.Exit(1 if done.failed == done.photos else 3)


def _table(held: dict[str, Any]) -> str:
    columns = [k for k in ("train", "val", "test", "all") if k in held]
    width = max(len(label) for label in held["labels"])
    rows = [" " * (width + 2) + "".join(f"{c:>8}" for c in columns)]
    rows += [
        f"  {label:<{width}}" + "".join(f"{held[c][label]:>8}" for c in columns) for label in held["labels"]
    ]
    return "\n".join(rows)


verbs = typer.Typer(
    help="Look at a data set before training on it.\n\nExample: duchenne data inspect synthetic",
    no_args_is_help=True,
)
verbs.command("inspect")(inspect_command)
verbs.command("audit")(audit_command)
verbs.command("export")(export_command)
verbs.command("labels")(labels_command)
verbs.command("crop")(crop_command)
