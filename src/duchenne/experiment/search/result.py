"""What a search holds: its trials as typed records, read from its storage or from its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...errors import RunError
from ...recipe import Recipe, parse_recipe
from ..run import now, read_json, write_json, write_text

SCHEMA = 1

State = Literal["waiting", "running", "complete", "pruned", "failed"]
Status = Literal["running", "stopped", "finished", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: Its number in the storage.
        slot: Its place in the plan, for example "random-3"; a repeated trial has that of the one it repeats.
        stage: The part of the search it belongs to.
        params: Dotted recipe field -> value.
        state: "failed" is a training that ended with an error, or whose process died.
        value: The best epoch's monitored figure; None before the first epoch.
        epochs: Epochs done.
        epochs_planned: Epochs it would have at most.
        history: One dict an epoch, as a run's.
        reason: Why it failed.
        lost: Its process died or was stopped; the same values are tried again.
    """

    number: int
    slot: str
    stage: str
    params: dict[str, Any]
    state: State
    value: float | None = None
    best_epoch: int | None = None
    epochs: int = 0
    epochs_planned: int = 0
    history: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    reason: str = ""
    lost: bool = False

    @property
    def settled(self) -> bool:
        """Whether its place in the plan is done: it ended, and not by its process' death."""
        return self.state in ("complete", "pruned", "failed") and not self.lost


@dataclass
class SearchState:
    """What search.json holds.

    Attributes:
        status: "running" (or killed while it was), "stopped" (the same command goes on),
            "finished", "failed".
        monitor: The validation figure that decides.
        storage: Optuna's address, without password; "" is search.db in the folder.
        study: The study's name in the storage.
        stages: Name -> sentence, in order.
        narrowed: Of "coarse_to_fine": field -> [low, high], or the values kept.
    """

    name: str
    recipe_id: str
    monitor: str
    direction: Literal["maximize", "minimize"]
    storage: str = ""
    study: str = ""
    status: Status = "running"
    reason: str = ""
    overrides: list[str] = field(default_factory=list)
    trials_planned: int = 0
    stages: dict[str, str] = field(default_factory=dict)
    narrowed: dict[str, list[Any]] = field(default_factory=dict)
    created: str = ""
    updated: str = ""
    schema: int = SCHEMA


class Search:
    """A search's folder. `Search.open` reads one.

    Layout::

        search.json    state (`SearchState`)
        recipe.json    the resolved recipe, [tune] included
        data.json      what the data set held, environment.json: versions, machine
        search.db      Optuna's storage, unless another one was named
        trials.jsonl   one row a trial, rebuilt from the storage
        best.toml      the winner, complete, for `duchenne train`
        report/        index.html and PNGs
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a folder is a search's."""
        return (path / "search.json").is_file()

    @classmethod
    def open(cls, path: Path) -> Search:
        """Open an existing search. Raises RunError when it is not one."""
        if not cls.is_one(path):
            near = sorted(p.parent.name for p in path.parent.glob("[!.]*/search.json"))
            raise RunError(
                f"{path} is not a search's folder (no search.json)",
                f"searches there: {', '.join(near)}" if near else "`duchenne tune ID` makes one",
            )
        return cls(path)

    @property
    def state(self) -> SearchState:
        """The state as it is on disk now."""
        raw = read_json(self.path / "search.json")
        try:
            state = SearchState(**raw)
        except TypeError as error:
            raise RunError(f"{self.path / 'search.json'} is damaged: {error}") from None
        if state.schema != SCHEMA:
            raise RunError(f"{self.path} has schema {state.schema}; this version reads {SCHEMA}")
        return state

    def save_state(self, state: SearchState) -> None:
        """Replace search.json."""
        state.updated = now()
        write_json(self.path / "search.json", asdict(state))

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe that is searched."""
        return parse_recipe(read_json(self.path / "recipe.json"), where=str(self.path / "recipe.json"))

    def info(self, name: Literal["environment", "data"]) -> dict[str, Any]:
        """environment.json or data.json; empty where it is missing."""
        path = self.path / f"{name}.json"
        return dict(read_json(path)) if path.is_file() else {}

    def save_info(self, name: Literal["environment", "data", "recipe"], value: Mapping[str, Any]) -> None:
        """Replace environment.json, data.json or recipe.json."""
        write_json(self.path / f"{name}.json", dict(value))

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number."""
        path = self.path / "trials.jsonl"
        if not path.is_file():
            return []
        rows = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                raw = json.loads(line)
                rows.append(Trial(**(raw | {"history": tuple(raw["history"])})))
            except (ValueError, TypeError, KeyError):
                raise RunError(
                    f"{path}, line {number} is damaged",
                    "the same `duchenne tune` command writes the file anew from the storage",
                ) from None
        return rows

    def save_trials(self, trials: Sequence[Trial]) -> None:
        """Replace trials.jsonl."""
        lines = [json.dumps(_plain(asdict(trial)), allow_nan=False) for trial in trials]
        write_text(self.path / "trials.jsonl", "".join(f"{line}\n" for line in lines))

    @property
    def best(self) -> Trial | None:
        """The winner: of the last stage that has a complete trial."""
        return best_of(self.trials, self.state.direction)

    @property
    def best_recipe(self) -> Path:
        """Path of the winner's recipe."""
        return self.path / "best.toml"


def best_of(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The best complete trial; of a "fine" stage, where one has begun to bear: coarse ones saw fewer epochs.

    The first of equals wins, so that the answer is the same in every process.
    """
    done = [t for t in trials if t.state == "complete" and t.value is not None]
    done = [t for t in done if t.stage == "fine"] or done
    if not done:
        return None
    sign = 1.0 if direction == "maximize" else -1.0
    return max(sorted(done, key=lambda t: t.number), key=lambda t: sign * (t.value or 0.0))


def _plain(value: Any) -> Any:
    """JSON has no nan and no infinity: null."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
