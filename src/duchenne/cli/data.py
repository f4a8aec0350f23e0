"""``duchenne data inspect``, ``duchenne data audit`` and ``duchenne data labels``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from .evaluate import loader_options
from .options import AsJson, DataDir, print_json

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set: fer2013, sfew, synthetic, ...")]
Options = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of its loader; repeatable.")
]


def inspect_command(
    name: Name, data: DataDir = None, options: Options = None, as_json: AsJson = False
) -> None:
    """Say what a data set holds: parts, splits, classes, notes.

    Example: duchenne data inspect fer2013 --data ~/fer
    """
    from ..datasets import load

    faces = load(name, data, **loader_options(options or []))
    facts = faces.describe() | {"fingerprint": faces.fingerprint()}
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

    faces = load(name, data, **loader_options(options or []))
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


def _table(held: dict[str, Any]) -> str:
    columns = [k for k in ("train", "val", "test", "all") if k in held]
    width = max(len(label) for label in held["labels"])
    rows = [" " * (width + 2) + "".join(f"{c:>8}" for c in columns)]
    rows += [
        f"  {label:<{width}}" + "".join(f"{held[c][label]:>8}" for c in columns) for label in held["labels"]
    ]
    return "\n".join(rows)
