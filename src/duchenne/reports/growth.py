"""A class added to a trained run, beside training from nothing: from run folders to a result file."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from ..errors import RunError
from ..experiment.run import Run
from .measured import evaluations, main_output
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
    new = ", ".join(label for label in _labels(anew) if label not in _labels(base))
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
        headline=_headline(runs),
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


def _among(run: Run, split: str, labels: Sequence[str]) -> float | None:
    """Accuracy in percent over the faces of some classes, from the confusion matrix; None without any."""
    main = main_output(run)
    found = next((o for e in evaluations(run) if e.name == split for o in e.outputs if o.name == main), None)
    if found is None or not found.confusion:
        raise RunError(
            f"run {run.path.name} is not evaluated on '{split}'", f"duchenne evaluate {run.path.name}"
        )
    rows = [(i, found.confusion[i]) for i, label in enumerate(found.labels) if label in labels]
    faces = sum(sum(row) for _, row in rows)
    return round(100 * sum(row[i] for i, row in rows) / faces, 2) if faces else None


def _labels(run: Run) -> list[str]:
    return [str(label) for label in run.info("data")["outputs"][main_output(run)]["labels"]]


def _accuracies(runs: Sequence[Run]) -> ResultTable:
    old, every = _labels(runs[0]), _labels(runs[-1])
    kinds = {"old classes": old, "new class": [k for k in every if k not in old], "all": every}
    columns = [f"{kind}, {split} (%)" for split in _SPLITS for kind in kinds]
    rows: list[list[str | float | int | None]] = [
        [run.path.name, *(_among(run, split, labels) for split in _SPLITS for labels in kinds.values())]
        for run in runs
    ]
    return ResultTable(
        "Accuracy over the faces of the old classes, of the new one and of all, before and after",
        ["run", *columns],
        rows,
        f"Old classes: {', '.join(old)}. {runs[0].path.name} is before, {runs[-1].path.name} from nothing.",
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
    note = "Seconds are by the clock: other work on the machine lengthens them."
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


def _headline(runs: Sequence[Run]) -> str:
    old = _labels(runs[0])
    found = {run.path.name: _among(run, "test", old) for run in runs}
    return "old classes, test: " + "; ".join(f"{k} {v:.2f} %" for k, v in found.items() if v is not None)
