"""A run folder: everything that happened in one training, and everything later steps read.

Layout::

    run.json            state of the run (`RunState`), replaced atomically
    recipe.json         the resolved recipe, overrides applied
    environment.json    versions, machine, threads
    denoise.json        which training samples were left out, when and at what loss, where denoise was on
    data.json           what the data set held (FaceSet.describe) and its fingerprint
    history.jsonl       one row an epoch
    checkpoints/        last.safetensors, best.safetensors, each with the epoch's facts in its header
    artifact/           model.onnx and card.json, for use without torch
    predictions/        NAME.csv, one row a sample; NAME is "val", "test" or "<dataset>-<split>"
    metrics/            NAME.json beside each predictions file
    test_reads.jsonl    each reading of the test split: when, by which command, of which epoch
    report/             index.html and PNGs
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import RecipeError, RunError
from ..recipe import Recipe, parse_recipe

SCHEMA = 1

Status = Literal["running", "stopped", "finished", "failed"]


@dataclass
class RunState:
    """What run.json holds.

    Attributes:
        status: "running" (or killed while it was), "stopped" (can be resumed), "finished", "failed".
        reason: Why it ended, a sentence.
        epochs_done: Finished epochs.
        best: {"epoch", "monitor", "value"} of the best epoch so far; empty before the first.
        overrides: The ``--set`` arguments.
        train_seconds: Time spent in epochs, over all resumptions.
    """

    name: str
    recipe_id: str
    recipe_fingerprint: str
    seed: int
    epochs_planned: int
    status: Status = "running"
    reason: str = ""
    epochs_done: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    num_parameters: int = 0
    train_seconds: float = 0.0
    created: str = ""
    updated: str = ""
    schema: int = SCHEMA


def now() -> str:
    """The time, in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def folder_name(name: str) -> str:
    """A name that stays within the runs folder. Raises RecipeError."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or name[0] == ".":
        raise RecipeError(
            f"--name {name!r} is not a plain folder name", "--runs DIR says in which folder runs lie"
        )
    return name


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that a kill leaves the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        scratch.replace(path)
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise RunError(
            f"{path} cannot be written: {error.strerror}",
            "free some space or name another folder with --runs",
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step; nan is refused (write None)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run. Raises RunError when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}", "train again with --force") from None


def _finite(value: Any) -> Any:
    """JSON has no nan and no infinity: null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cannot_make(path: Path, error: OSError) -> RunError:
    return RunError(f"run folder {path} cannot be made: {error.strerror}", "name another folder with --runs")


class Run:
    """A run folder. `Run.create` makes one, `Run.open` reads one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, recipe: Recipe, overrides: list[str]) -> Run:
        """Make the folder of a new run. Raises RunError when it cannot be written."""
        # Made under another name first, so that a kill leaves a run or nothing, never half of one.
        scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        shutil.rmtree(scratch, ignore_errors=True)  # of a killed process that had our number
        run = cls(scratch)
        try:
            (scratch / "checkpoints").mkdir(parents=True)
        except OSError as error:
            raise _cannot_make(path, error) from None
        write_json(scratch / "recipe.json", recipe.to_dict())
        run.save_state(
            RunState(
                name=path.name,
                recipe_id=recipe.id,
                recipe_fingerprint=recipe.fingerprint(),
                seed=recipe.train.seed,
                epochs_planned=recipe.train.epochs,
                overrides=list(overrides),
                created=now(),
            )
        )
        try:
            scratch.replace(path)
        except OSError as error:
            raise _cannot_make(path, error) from None
        return cls(path)

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a folder is a run folder: it has the two files that every run has."""
        return all((path / name).is_file() for name in ("run.json", "recipe.json"))

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open an existing run. Raises RunError when it is not one."""
        if not (path / "run.json").is_file():
            near = sorted(p.parent.name for p in path.parent.glob("[!.]*/run.json"))
            raise RunError(
                f"{path} is not a run folder (no run.json)",
                f"runs there: {', '.join(near)}" if near else "`duchenne train ID` makes one",
            )
        return cls(path)

    # -- what is stored -----------------------------------------------------------------------------

    @property
    def state(self) -> RunState:
        """The state as it is on disk now."""
        raw = read_json(self.path / "run.json")
        try:
            state = RunState(**raw)
        except TypeError as error:
            raise RunError(f"{self.path / 'run.json'} is damaged: {error}") from None
        if state.schema != SCHEMA:
            raise RunError(f"{self.path} has schema {state.schema}; this version reads {SCHEMA}")
        return state

    def save_state(self, state: RunState) -> None:
        """Replace run.json."""
        state.updated = now()
        write_json(self.path / "run.json", asdict(state))

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe the run was made with."""
        return parse_recipe(read_json(self.path / "recipe.json"), where=str(self.path / "recipe.json"))

    def info(self, name: Literal["environment", "data", "denoise"]) -> dict[str, Any]:
        """environment.json, data.json or denoise.json; empty where it is missing."""
        path = self.path / f"{name}.json"
        found = read_json(path) if path.is_file() else {}
        if not isinstance(found, dict):
            raise RunError(f"{path} is damaged: it holds no JSON object", "train again with --force")
        return dict(found)

    def save_info(self, name: Literal["environment", "data", "denoise"], value: Mapping[str, Any]) -> None:
        """Replace environment.json, data.json or denoise.json."""
        write_json(self.path / f"{name}.json", dict(value))

    # -- history ------------------------------------------------------------------------------------

    def history(self) -> list[dict[str, Any]]:
        """One dict an epoch: epoch, lr, seconds, train_loss, val_loss, train_/val_<output>_<metric>."""
        path = self.path / "history.jsonl"
        if not path.is_file():
            return []
        rows = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                rows.append(json.loads(line))
            except ValueError:
                raise RunError(f"{path}, line {number} is damaged", "remove that line") from None
        return rows

    def save_history(self, rows: list[dict[str, Any]]) -> None:
        """Replace the history (rows are few; replacing keeps it whole when killed)."""
        lines = [json.dumps({k: _finite(v) for k, v in row.items()}, allow_nan=False) for row in rows]
        write_text(self.path / "history.jsonl", "".join(f"{line}\n" for line in lines))

    # -- where things are ---------------------------------------------------------------------------

    def checkpoint(self, which: Literal["last", "best"]) -> Path:
        """Path of a checkpoint."""
        return self.path / "checkpoints" / f"{which}.safetensors"

    def holds_work(self) -> bool:
        """Whether an epoch was ever finished; a run without one holds nothing to lose."""
        kept = (self.checkpoint("last"), self.checkpoint("best"), self.path / "history.jsonl")
        return any(path.exists() for path in kept)

    @property
    def artifact(self) -> Path:
        """Folder of the artifact (model.onnx, card.json)."""
        return self.path / "artifact"

    def predictions_path(self, name: str) -> Path:
        """Path of the predictions of "val", "test" or "<dataset>-<split>"."""
        return self.path / "predictions" / f"{name}.csv"

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Name -> metrics of everything evaluated so far."""
        return {p.stem: read_json(p) for p in sorted((self.path / "metrics").glob("*.json"))}

    def save_metrics(self, name: str, value: Mapping[str, Any]) -> None:
        """Write metrics/NAME.json."""
        write_json(self.path / "metrics" / f"{name}.json", dict(value))

    def note_test_read(self, command: str, epoch: int) -> None:
        """Append a line to test_reads.jsonl: each reading of the test split is on record."""
        path = self.path / "test_reads.jsonl"
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        row = {"when": now(), "command": command, "epoch": epoch}
        write_text(path, before + json.dumps(row) + "\n")
