"""results/ID.json: what a recipe reached on its real data, small enough to keep beside the code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import RunError
from ..experiment.run import write_json
from .measured import Figures

SCHEMA = 1

ResultStatus = Literal["complete", "partial", "not comparable"]

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass
class Confusion:
    """A confusion matrix: row = true class, column = predicted class."""

    __pydantic_config__ = _STRICT

    split: str
    labels: list[str]
    counts: list[list[int]]


@dataclass
class SeedResult:
    """What one training reached.

    Attributes:
        epochs_planned: Epochs of the packaged recipe, whatever was trained.
        best_epoch: The epoch that validation chose; the figures are of it.
        train, val, test: Figures of the best epoch; train figures are means over the epoch, in training mode,
            where the training part was not evaluated by itself.
        last: "train" and "val" figures of the last epoch, for reports that print those.
        n_test: Faces in the test part; 0 where it was not read.
        intervals: Split -> 95% interval of its accuracy.
        train_seconds: Time spent in epochs.
        num_parameters: Trained numbers of the model.
        run_fingerprint: SHA-256 (16 hex digits) over the run's recipe, history, predictions and metrics.
        confusion: Of the test part, or of validation where the test part was not read.
        also: Name -> figures of what the recipe evaluates also, such as FER2013's other test part.
        views: Which views of a face were averaged, other than "single".
    """

    __pydantic_config__ = _STRICT

    seed: int
    epochs_done: int
    epochs_planned: int
    best_epoch: int | None
    train: Figures
    val: Figures
    test: Figures
    n_test: int
    train_seconds: float
    run_fingerprint: str
    last: dict[str, Figures] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    num_parameters: int = 0
    confusion: Confusion | None = None
    also: dict[str, Figures] = field(default_factory=dict)
    views: list[str] = field(default_factory=list)

    def figures(self, part: str) -> Figures:
        """Figures of "train", "val", "test" or of a part in `also`; empty where there are none."""
        found: Figures = getattr(self, part) if part in ("train", "val", "test") else self.also.get(part, {})
        return found


@dataclass
class ResultTable:
    """A table of its own, for what is not one training a row: a search, a growing, a comparison.

    Attributes:
        columns: Names; those that end in "(%)" hold percent. A column "claimed X (%)" stands against one
            "measured X (%)".
        rows: Cells as many as columns; the first one names the row. None: nothing there.
        note: A sentence under it.
    """

    __pydantic_config__ = _STRICT

    title: str
    columns: list[str]
    rows: list[list[str | float | int | None]]
    note: str = ""


@dataclass
class DataUsed:
    """Which data: the set's name and the fingerprint of what was read; split -> the publisher's parts."""

    __pydantic_config__ = _STRICT

    name: str
    fingerprint: str
    parts: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class ResultFile:
    """One row of the results page.

    Attributes:
        id: The recipe's id, also the file's name.
        status: "complete": exact settings, all epochs; "partial"; "not comparable".
        sentence: Why that is the status, in one plain sentence.
        claimed: Split -> figure -> what the source claims.
        seeds: One entry a training; empty where tables say it all.
        versions: Package -> version.
        command: What brings these figures again.
        notes: What the source leaves open or gets wrong, and what was chosen.
        claimed_confusion: The confusion matrix of the test part as the source prints it, rows true classes.
        differences: Why measured and claimed figures differ.
        headline, claimed_headline: The row's measured and claimed figure in the list of rows, where there are
            no seeds or no `claimed` to take them from.
        tables: Further tables.
    """

    __pydantic_config__ = _STRICT

    id: str
    title: str
    source: str
    status: ResultStatus
    sentence: str
    claimed: dict[str, dict[str, float]]
    seeds: list[SeedResult]
    data: DataUsed
    versions: dict[str, str]
    command: str
    notes: list[str] = field(default_factory=list)
    claimed_confusion: list[list[int]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    headline: str = ""
    claimed_headline: str = ""
    tables: list[ResultTable] = field(default_factory=list)
    schema: int = SCHEMA


def write_result(result: ResultFile, folder: Path) -> Path:
    """Write `folder`/ID.json in one step; returns its path. Raises RunError when it cannot be written."""
    path = folder / f"{result.id}.json"
    write_json(path, asdict(result))
    return path


def load_result(path: Path) -> ResultFile:
    """Read one result file.

    Raises:
        RunError: It is missing, damaged, of another schema, holds unknown or wrong fields, or is not named
            after the recipe it is of.
    """
    again = f"`duchenne reproduce {path.stem}` writes it anew"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}", again) from None
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}", again) from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        found = raw.get("schema") if isinstance(raw, dict) else None
        raise RunError(f"{path} has schema {found}; this version reads {SCHEMA}", again)
    try:
        result = TypeAdapter(ResultFile).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise RunError(f"{path}, field '{where}': {first['msg']}", again) from None
    if result.id != path.stem:
        raise RunError(f"{path} is of the recipe '{result.id}'", "name a result file after its recipe")
    if not result.seeds and not result.tables:
        raise RunError(f"{path} holds no training and no table", again)
    for t, table in enumerate(result.tables):
        for r, row in enumerate(table.rows):
            if len(row) != len(table.columns):
                where = f"field 'tables.{t}.rows.{r}': {len(row)} cells for {len(table.columns)} columns"
                raise RunError(f"{path}, {where}", again)
    if any(len(row) != len(result.claimed_confusion) for row in result.claimed_confusion):
        raise RunError(f"{path}, field 'claimed_confusion': the matrix is not square", again)
    return result


def load_results(folder: Path) -> list[ResultFile]:
    """All result files of a folder, by id; empty where the folder is missing."""
    return [load_result(path) for path in sorted(folder.glob("*.json"))]
