"""Several runs side by side: figures, what their recipes differ in, and tests on the faces they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import RunError
from ..evaluation import Predictions, compare_predictions
from ..experiment.run import Run
from .blocks import decimal, duration, percent, with_interval
from .claims import figure_title
from .measured import Evaluated, OutputFigures, evaluations
from .results import flat_fields

# Fields that name a recipe and say nothing about what is learned.
_NAMING = ("id", "title", "source", "cost", "expect")

_SHOWN = {
    "single": ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"),
    "multi": ("binary_accuracy", "macro_f1", "weighted_f1"),
}


def compare_runs(runs: Sequence[Run], part: str = "test", *, bootstrap: int = 1000) -> dict[str, Any]:
    """Compare runs with the first of them.

    Args:
        runs: At least two.
        part: Which predictions: "test", "val" or "<dataset>-<split>".
        bootstrap: Paired resamples.

    Returns:
        Plain JSON: ``part``; ``runs``: name, recipe, status, epochs, seconds, parameters, n and ``outputs``
        (name -> figures and intervals); ``differing``: dotted recipe field -> one value a run; ``pairs``: for
        each other run and shared output what `compare_predictions` gives, with ``run`` and ``against``
        (differences are run minus against); ``notes``: sentences.

    Raises:
        RunError: Fewer than two runs, one without these predictions, other data sets, no output or no face in
            common, or other true labels.
    """
    if len(runs) < 2:
        raise RunError("a comparison needs at least two runs", "duchenne compare RUN RUN")
    measured = [_evaluated(run, part) for run in runs]
    notes = _check_data(runs) + _check_teachers(runs)
    predictions = [Predictions.load(run.predictions_path(part)) for run in runs]
    pairs = []
    for run, own in zip(runs[1:], predictions[1:], strict=True):
        shared = [o.name for o in predictions[0].outputs if o.name in {p.name for p in own.outputs}]
        shared = [n for n in shared if n in own.targets and n in predictions[0].targets]
        if not shared:
            raise RunError(
                f"{run.path.name} and {runs[0].path.name} have no labelled output in common",
                "compare runs that answer the same question",
            )
        for name in shared:
            found = compare_predictions(own, predictions[0], name, bootstrap=bootstrap)
            pairs.append({"run": run.path.name, "against": runs[0].path.name, **found})
            if left_out := found["only_in_a"] + found["only_in_b"]:
                notes.append(
                    f"{run.path.name} and {runs[0].path.name} share {found['n']:,} faces; {left_out:,} that "
                    "only one of them was tested on are left out of the tests."
                )
    return {
        "part": part,
        "runs": [_row(run, e) for run, e in zip(runs, measured, strict=True)],
        "differing": differing_fields(runs),
        "pairs": pairs,
        "notes": list(dict.fromkeys(notes)),
    }


def _evaluated(run: Run, part: str) -> Evaluated:
    found = next((e for e in evaluations(run) if e.name == part), None)
    if found is None or not run.predictions_path(part).is_file():
        raise RunError(
            f"run {run.path.name} has no '{part}' predictions",
            f"evaluated are: {', '.join(e.name for e in evaluations(run)) or 'none'}; "
            f"`duchenne evaluate {run.path.name}` adds more",
        )
    return found


def _check_data(runs: Sequence[Run]) -> list[str]:
    """Raises RunError for other data sets; a sentence where only their content differs."""
    names = [str(run.info("data").get("name", "")) for run in runs]
    if len(set(names)) > 1:
        raise RunError(
            f"these runs were tested on different data: {', '.join(names)}",
            "evaluate them on one data set first (duchenne evaluate RUN --data NAME)",
        )
    prints = [str(run.info("data").get("fingerprint", "")) for run in runs]
    if len(set(prints)) > 1:
        return [
            "The runs' data fingerprints differ ("
            + ", ".join(prints)
            + "): other splits, outputs or images. Faces "
            "are matched by id."
        ]
    return []


def _check_teachers(runs: Sequence[Run]) -> list[str]:
    """A sentence where runs name one teacher that was another one's weights."""
    seen: dict[str, set[str]] = {}
    for run in runs:
        if name := run.recipe.teacher.run:
            seen.setdefault(name, set()).add(str(run.info("environment").get("teacher_sha256", "")))
    return [
        f"The runs that teacher '{name}' taught learned from different weights of it."
        for name, weights in seen.items()
        if len(weights) > 1
    ]


def _row(run: Run, e: Evaluated) -> dict[str, Any]:
    state = run.state
    return {
        "name": run.path.name,
        "recipe": state.recipe_id,
        "recipe_fingerprint": state.recipe_fingerprint,
        "seed": state.seed,
        "status": state.status,
        "epochs_done": state.epochs_done,
        "epochs_planned": state.epochs_planned,
        "train_seconds": state.train_seconds,
        "num_parameters": state.num_parameters,
        "views": e.views,
        "n": e.n,
        "outputs": {o.name: _figures(o) for o in e.outputs},
    }


def _figures(o: OutputFigures) -> dict[str, Any]:
    return {
        name: {"value": o.figures.get(name), "interval": o.intervals.get(name)} for name in _SHOWN[o.kind]
    }


def differing_fields(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Dotted recipe field -> one value a run, for fields that are not the same in all; None: absent."""
    tables = [flat_fields(run.recipe.to_dict()) for run in runs]
    fields = sorted({f for t in tables for f in t if f.split(".")[0] not in _NAMING})
    return {
        f: [t.get(f) for t in tables] for f in fields if any(t.get(f) != tables[0].get(f) for t in tables)
    }


def compare_text(found: dict[str, Any]) -> str:
    """What `compare_runs` found, as text for a terminal."""
    runs = found["runs"]
    lines = [f"Part: {found['part']}"]
    for output in dict.fromkeys(name for r in runs for name in r["outputs"]):
        those = [r for r in runs if output in r["outputs"]]
        figures = list(those[0]["outputs"][output])
        head = [
            "run",
            "recipe",
            "epochs",
            "time",
            "parameters",
            "faces",
            *(f.replace("_", " ") for f in figures),
        ]
        rows = [
            [
                r["name"], r["recipe"], f"{r['epochs_done']}/{r['epochs_planned']}",
                duration(r["train_seconds"]),
                f"{r['num_parameters']:,}", f"{r['n']:,}",
                *(_cell(f, r["outputs"][output].get(f, {})) for f in figures),
            ]
            for r in those
        ]  # fmt: skip
        lines += ["", f"Output {output} (95% intervals in brackets)", *_columns([head, *rows])]
    if found["differing"]:
        rows = [[field, *map(str, values)] for field, values in found["differing"].items()]
        lines += ["", "Recipe fields that differ", *_columns([["field", *(r["name"] for r in runs)], *rows])]
    for pair in found["pairs"]:
        lines += ["", *_pair_lines(pair)]
    return "\n".join(lines + [""] * bool(found["notes"]) + list(found["notes"])) + "\n"


def _pair_lines(pair: dict[str, Any]) -> list[str]:
    lines = [
        f"{pair['run']} minus {pair['against']}, output {pair['output']}: {pair['n']:,} faces in common "
        f"(paired bootstrap over {pair['resampled']})"
    ]
    for name, figure in pair["figures"].items():
        interval = figure["interval"]
        if figure["difference"] is None or interval is None or None in interval:
            lines.append(f"  {figure_title(name)}: n/a")
            continue
        low, high = interval
        verdict = "includes 0" if low <= 0 <= high else "excludes 0"
        lines.append(
            f"  {figure_title(name)}: {100 * figure['difference']:+.2f} points "
            f"[{100 * low:+.2f}, {100 * high:+.2f}] ({verdict})"
        )
    if "mcnemar" in pair:
        m = pair["mcnemar"]
        lines.append(
            f"  McNemar ({m['method']}): right in {pair['run']} alone {m['only_a']}, "
            f"in {pair['against']} alone {m['only_b']}, p = {m['p_value']:.3g}"
        )
    return lines


def _cell(name: str, figure: dict[str, Any]) -> str:
    value, interval = figure.get("value"), figure.get("interval")
    if name.endswith("loss"):
        return decimal(value)
    return with_interval(value, tuple(interval)) if interval else percent(value)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of aligned columns, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines
