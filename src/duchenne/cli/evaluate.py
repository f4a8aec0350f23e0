"""``duchenne evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .model import RUNS
from .options import AllowMissing, AsJson, RunsDir, loader_options, open_run, percent, print_json

if TYPE_CHECKING:
    from ..experiment.evaluate import Evaluated


def evaluate_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or its name under --runs.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|DIR",
            help="NAME: another data set to test on. DIR: folder of the published data sets. Repeatable.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar="DUCHENNE_DATA", metavar="DIR", help="Folder of the published data sets."),
    ] = None,
    runs: RunsDir = RUNS,
    split: Annotated[list[str] | None, typer.Option(help="train, val or test; repeatable.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Loader option of NAME; repeatable."),
    ] = None,
    allow_missing: AllowMissing = False,
    views: Annotated[str, typer.Option(help="single, flip or ten-crop; default: the recipe's.")] = "",
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ATTRIBUTE",
            help="All figures by group too: subject, or an attribute of the set, as skin_tone; repeatable.",
        ),
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(help="fit or vector (fitted on the validation part), or one; default: the recipe's."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Evaluate a run's best epoch; the only verb that reads the test split. Figures go into the run.

    Example: duchenne evaluate demo --split test --views flip

    On other data, classes matched by name: duchenne evaluate friv-model1 --data synthetic

    How groups of people fare: duchenne evaluate demo --split test --by skin_tone
    """
    from ..errors import RecipeError
    from ..experiment.evaluate import evaluate
    from ..experiment.untaught import untaught_notes
    from .progress import counting

    other, folder = _which_data(data or [], data_dir)
    other_options = loader_options(options or [], allow_missing)
    if other_options and not other:
        raise RecipeError(
            f"{'--allow-missing' if allow_missing else '--option'} is of another data set, and none is named",
            "name it with --data NAME; the run's own is read as its recipe says",
        )
    opened = open_run(run, runs)
    with counting("evaluating") as progress:
        done = evaluate(
            opened, data=folder, splits=split or (), other=other, other_options=other_options,
            views=views, by=by or (), temperature=temperature, progress=progress,
        )  # fmt: skip
    for line in [*warnings(done), *untaught_notes(opened.info("data"))]:
        typer.echo(line, err=True)
    if as_json:
        print_json({e.name: e.metrics for e in done})
        return
    for evaluated in done:
        typer.echo(summary(evaluated.name, evaluated.metrics))
        for entry in evaluated.metrics["by"]:
            typer.echo(by_group(entry))


def _which_data(values: list[str], folder: Path | None) -> tuple[str, Path | None]:
    """Tell names of data sets from folders: a known name is a name (a folder so called: ./NAME)."""
    from ..datasets import DATASETS
    from ..errors import RecipeError

    names = [v for v in values if v in DATASETS]
    folders = [Path(v) for v in values if v not in DATASETS]
    for f in folders:
        if not f.is_dir():
            raise RecipeError(
                f"--data {f} is neither a data set nor a folder", f"data sets: {', '.join(DATASETS)}"
            )
    if len(names) > 1 or len(folders) > 1:
        raise RecipeError("--data takes one data set and one folder at most")
    return names[0] if names else "", folders[0] if folders else folder


def warnings(done: Sequence[Evaluated]) -> list[str]:
    """What a reader must know beside the figures: other data, a part cut here, what did not match."""
    from ..datasets import SPLITS

    lines = []
    if any(e.metrics["data_changed"] for e in done):
        lines.append("the run's own data changed since it was trained: these figures are of other data")
    for e in done:
        if e.name not in SPLITS:  # of another set, of which the reader may want all
            lines += [f"{e.name}: {n}" for n in e.metrics["notes"] if n.startswith("No split is given")]
        for output, sides in e.metrics["matching"].items():
            if output == "left_out":
                continue
            if e.metrics["outputs"][output]["n"] == 0:
                lines.append(f"{e.name}: the data say nothing of '{output}'")
                continue
            for side, where in (
                ("only_in_data", "the model does not know"),
                ("only_in_model", "the data lack"),
            ):
                if sides[side]:
                    lines.append(f"{e.name}, {output}: {where} {', '.join(sides[side])}")
        if left_out := e.metrics["matching"]["left_out"]:
            lines.append(f"{e.name}: {left_out} faces left out, no label of theirs is known to the model")
    return list(dict.fromkeys(lines))


def summary(name: str, metrics: dict[str, Any]) -> str:
    """A few lines: each output's main figures, with the number of faces and what is partial about them."""
    partial = (
        f", partial: {metrics['epochs_done']} of {metrics['epochs_planned']} epochs"
        if metrics["partial"]
        else ""
    )
    lines = [f"{name} ({metrics['views']} view, best epoch {metrics['epoch']}{partial})"]
    for output, figures in metrics["outputs"].items():
        if figures["n"] == 0:
            continue
        shown = [
            f"{key.replace('_', ' ')} {percent(figures[key])}"
            for key in ("accuracy", "binary_accuracy", "macro_f1", "map")
            if key in figures
        ]
        lines.append(f"  {output}: {', '.join(shown)} (n = {figures['n']})")
    return "\n".join(lines)


_SHOWN = {
    "single": ("accuracy", "macro_f1"),
    "multi": ("binary_accuracy", "macro_f1", "map"),
}


def by_group(entry: dict[str, Any]) -> str:
    """One attribute's groups and gaps as lines (layout: `duchenne.evaluation.groups`)."""
    lines = [f"  by {entry['attribute']}:"]
    for output, found in entry["outputs"].items():
        width = max((len(r["group"]) for r in found["rows"]), default=0)
        for r in found["rows"]:
            shown = [_with_interval(f, r[f], r["intervals"][f]) for f in _SHOWN[found["kind"]]]
            small = f"  (small: under {entry['small']})" if r["small"] else ""
            lines.append(f"    {output}, {r['group']:{width}}  n = {r['n']}: {', '.join(shown)}{small}")
        for g in found["gaps"]:
            among = "" if g["among"] == "all" else f", groups of {entry['small']} or more"
            figure = g["figure"].replace("_", " ")
            low, high = g["interval"]
            around = "" if low is None else f" [{percent(low)}, {percent(high)}]"
            test = ""
            if "p_value" in g:
                test = (
                    f"; by chance {percent(g['gap_by_chance'])}, p = {g['p_value']:.3f}, "
                    f"adjusted {g['p_adjusted']:.3f}"
                )
            lines.append(
                f"    {output}, largest gap in {figure}{among}: {percent(g['gap'])}{around}, "
                f"{g['highest']} over {g['lowest']}{test}"
            )
    if entry["unknown"]:
        lines.append(f"    {entry['unknown']} faces whose {entry['attribute']} is not known are in no group")
    return "\n".join(lines)


def _with_interval(figure: str, value: float | None, interval: list[float | None]) -> str:
    low, high = interval
    around = "" if low is None else f" [{percent(low)}, {percent(high)}]"
    return f"{figure.replace('_', ' ')} {percent(value)}{around}"
