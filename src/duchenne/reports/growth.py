"""A class added to a trained run, beside training from nothing: from run folders to a result file."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from ..errors import RunError
from ..experiment.grow import NEW, OLD
from ..experiment.run import Run
from .measured import AMONG, Figures, evaluations, split_figures
from .resultfile import DataUsed, ResultFile, ResultStatus, ResultTable
from .results import versions_of

_SPLITS = ("val", "test")


def result_from_growth(name: str, base: Run, grown: Sequence[Run], anew: Run, command: str) -> ResultFile:
    """Two tables: accuracies of old and new classes before and after, and what each training took.

    Args:
        name: Id of the result file.
        base: The run without the class, evaluated.
        grown: Runs that started from it, evaluated.
        anew: The run with the class from initial weights, evaluated on the same data.
        command: What brings these figures again.

    Raises:
        RunError: A run did not start from `base`, is of other data than `anew`, or is not evaluated.
    """
    for run in grown:
        _check(run, base, anew)
    runs = [base, *grown, anew]
    unfinished = [r.path.name for r in runs if r.state.status != "finished"]
    status: ResultStatus = "partial" if unfinished else "complete"
    sentence = f"Not finished: {', '.join(unfinished)}." if unfinished else "All trainings are finished."
    data = anew.info("data")
    parts = {e.name: e.part for e in evaluations(anew) if e.part and "-" not in e.name}
    new = ", ".join(anew.recipe.evaluate.groups.get(NEW, ()))
    return ResultFile(
        id=name,
        title=f"a class ({new}) added to a trained run, beside training from nothing",
        source=grown[0].recipe.source,
        status=status,
        sentence=f"{sentence} Seed {anew.state.seed}.",
        claimed={},
        seeds=[],
        data=DataUsed(str(data.get("name", "")), str(data.get("fingerprint", "")), parts),
        versions=versions_of(anew),
        command=command,
        headline=_headline(grown, anew),
        tables=[_accuracies(runs), _costs(base, grown, anew)],
    )


def _check(run: Run, base: Run, anew: Run) -> None:
    if run.recipe.start.run.rstrip("/").rpartition("/")[2] != base.path.resolve().name:
        raise RunError(
            f"run {run.path} started from '{run.recipe.start.run}', not from {base.path.name}",
            "give the run that it started from first",
        )
    prints = [r.info("data").get("fingerprint") for r in (run, anew)]
    if prints[0] != prints[1]:
        raise RunError(f"runs {run.path.name} and {anew.path.name} saw different data ({prints})")


def _figure(run: Run, split: str, name: str) -> float | None:
    figures: Figures = split_figures(run)[split]
    if split not in {e.name for e in evaluations(run)}:
        raise RunError(
            f"run {run.path.name} is not evaluated on '{split}'", f"duchenne evaluate {run.path.name}"
        )
    value = figures.get(name)
    return None if value is None else round(100 * value, 2)


def _accuracies(runs: Sequence[Run]) -> ResultTable:
    kinds = {"old classes": f"{AMONG}.{OLD}", "new class": f"{AMONG}.{NEW}", "all": "accuracy"}
    columns = [f"{kind}, {split} (%)" for split in _SPLITS for kind in kinds]
    rows: list[list[str | float | int | None]] = [
        [run.path.name, *(_figure(run, split, name) for split in _SPLITS for name in kinds.values())]
        for run in runs
    ]
    old = ", ".join(runs[0].recipe.evaluate.groups.get(OLD, ()))
    return ResultTable(
        "Accuracy over the faces of the old classes, of the new one and of all, before and after",
        ["run", *columns],
        rows,
        f"Old classes: {old}. {runs[0].path.name} is before, {runs[-1].path.name} from nothing.",
    )


def _costs(base: Run, grown: Sequence[Run], anew: Run) -> ResultTable:
    trees = anew.recipe.learner.name == "trees"
    rows = []
    for run in (base, *grown, anew):
        seconds = [row["seconds"] for row in run.history() if row.get("built", 1)]
        start = run.recipe.start
        what: list[str | float | int | None] = [run.path.name, _trained(run, trees), len(seconds)]
        if not trees:
            matched = _first_as_good(anew, run) if start.run else None
            what += [run.state.best.get("epoch"), _updates(run), matched]
        rows.append([*what, round(statistics.median(seconds), 2), round(sum(seconds), 1)])
    step = "tree" if trees else "epoch"
    nets = ["best epoch", "updates", "epochs from nothing"]
    note = "Seconds were taken on two cores shared with other work, so that epochs of one run differ."
    if not trees:
        note = (
            "Epochs from nothing: after how many epochs the training from nothing first has the validation "
            f"accuracy of the grown run's best epoch; empty where it never has. {note}"
        )
    columns = [
        "run",
        "trained",
        f"{step}s",
        *([] if trees else nets),
        f"median seconds of one {step}",
        "seconds",
    ]
    return ResultTable("What the trainings took", columns, rows, note)


def _trained(run: Run, trees: bool) -> str:
    start = run.recipe.start
    if not start.run:
        return "all trees" if trees else "all weights, from initial ones"
    if start.train == "head":
        return "the new class's tree" if trees else "output layer"
    return "all trees" if trees else "all weights"


def _updates(run: Run) -> int:
    """Updates of the weights over all epochs."""
    faces = int(run.info("data")["splits"]["train"])
    return math.ceil(faces / run.recipe.train.batch_size) * run.state.epochs_done


def _first_as_good(anew: Run, grown: Run) -> int | None:
    monitor, wanted = grown.state.best.get("monitor"), grown.state.best.get("value")
    if not monitor or wanted is None:
        return None
    return next((row["epoch"] for row in anew.history() if row.get(monitor, -math.inf) >= wanted), None)


def _headline(grown: Sequence[Run], anew: Run) -> str:
    name = f"{AMONG}.{OLD}"
    found = {run.path.name: _figure(run, "test", name) for run in (*grown, anew)}
    return "old classes, test: " + "; ".join(f"{k} {v:.2f} %" for k, v in found.items() if v is not None)
