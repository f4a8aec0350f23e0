"""The search: makes or joins a study, trains its trials here or in several processes, leaves a folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...build import build_learner
from ...errors import DuchenneError, RecipeError, RunError, TrainingError
from ...learners.contract import lower_is_better, monitor_of
from ...recipe import Recipe, parse_recipe
from ..environment import environment, need
from ..run import folder_name, now
from ..train import teacher_facts
from .best import write_best
from .crew import Crew
from .result import Search, SearchState, Status, Trial, best_of
from .shared import Shared, open_shared, refuse_if_searched
from .space import check_space, fields_of, overridden
from .stacked import check_stackable, take_several, train_stack
from .storage import absolute, answering, hidden, open_storage, optuna
from .work import Parts, TimeIsUp, load_parts, make_pruner, make_sampler, train_trial

# How often the storage is asked what other processes have done, in seconds.
_POLL = 0.3


class SearchListener(Protocol):
    """What hears of a search's progress, other processes' trials included."""

    def on_start(self, search: Search, planned: int, settled: int) -> None:
        """The search begins or goes on."""

    def on_stage(self, words: str) -> None:
        """A stage's trials are planned."""

    def on_trial(self, trial: Trial, best: Trial | None, settled: int, planned: int) -> None:
        """A trial began, finished an epoch, or ended."""


def search(
    recipe: Recipe,
    *,
    data: Path | None = None,
    runs: Path = Path("runs"),
    name: str | None = None,
    storage: str | None = None,
    jobs: int = 1,
    trials: int | None = None,
    time_limit: float | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    accelerator: str = "auto",
    stack: bool = False,
    listener: SearchListener | None = None,
) -> Search:
    """Search a recipe's [tune].space; goes on with the search of that name where there is one.

    Several processes or hosts that name one storage share the search. With `jobs` above 1 processes are
    spawned, so call from under ``if __name__ == "__main__":``.

    Args:
        recipe: What to search, overrides applied.
        data: Folder of the published data sets; not needed for "synthetic".
        runs: Folder of the run folders.
        name: The search's folder name, and its study's; by default ``<id>-search``.
        storage: Optuna's address ("sqlite:///search.db", "postgresql://..."); by default a file in the
            search's folder.
        jobs: Processes that train at the same time.
        trials: Replaces the recipe's tune.trials.
        time_limit: Seconds after which the search stops; the same call goes on.
        overrides: The ``--set`` arguments, for the record.
        force: Throw an existing search of that name away.
        accelerator: "auto", "cpu", "cuda" or "mps".
        stack: Train trials of small "scratch" nets together, as one stack of matrices.
        listener: Hears of progress.

    Returns:
        The search, "finished" or (time_limit) "stopped".

    Raises:
        DuchenneError: Anything wrong with recipe, space, data, storage; all trials failed. What was trained
            before is kept.
        KeyboardInterrupt: Passed on after the search is marked as stopped.
    """
    if jobs < 1:
        raise RecipeError(f"--jobs {jobs}: at least one process must train")
    begun = time.monotonic()
    if trials is not None and recipe.tune is not None:
        recipe = parse_recipe(recipe.to_dict(), recipe.id, [f"tune.trials={trials}"])
    fields_of(recipe)
    if stack:
        check_stackable(recipe)
    parts, monitor = _checked(recipe, data, accelerator, runs)
    taught = teacher_facts(recipe.teacher.run, runs) if recipe.teacher.run else {}
    name = folder_name(name or f"{recipe.id}-search")
    folder = Search(runs / name)
    url = _storage_url(folder, storage, force)
    if force:
        with answering(url or _inside(folder)):
            _throw_away(folder, url, name)
    state = SearchState(
        name, recipe.id, monitor, "minimize" if lower_is_better(monitor) else "maximize",
        storage=hidden(url), study=name, overrides=list(overrides), created=now(),
    )  # fmt: skip
    url = url or _inside(folder)
    with answering(url):
        shared = open_shared(
            open_storage(url), name, recipe, state.direction, parts.fingerprint,
            make_sampler(recipe), make_pruner(recipe), taught.get("teacher_sha256", ""),
        )  # fmt: skip
        _check_trials_stand(folder, shared, url)
    if Search.is_one(folder.path):
        before = folder.state
        state.created, state.stages = before.created, before.stages
    folder.save_info("recipe", recipe.to_dict())
    folder.save_info("data", dict(parts.about) | {"fingerprint": parts.fingerprint})
    folder.save_info("environment", environment(accelerator, 1) | {"jobs": jobs} | taught)
    watch = _Watch(folder, state, shared, listener)
    deadline = None if time_limit is None else begun + time_limit
    job = _Job(recipe, data, runs, url, name, state.direction, accelerator, deadline, stack)
    return _run(watch, parts, job, jobs)


@dataclass(frozen=True)
class _Job:
    """What every process of a search needs; picklable."""

    recipe: Recipe
    data: Path | None
    runs: Path
    url: str
    name: str
    direction: str
    accelerator: str
    deadline: float | None
    stack: bool

    def step(self, shared: Shared, parts: Parts, seen: Callable[[], None] = lambda: None) -> bool:
        """Take what waits and train it: one trial, or a stack of them; False where nothing waits."""
        options: dict[str, Any] = {
            "accelerator": self.accelerator, "runs": self.runs, "deadline": self.deadline, "seen": seen,
        }  # fmt: skip
        if self.stack:
            several = take_several(shared)
            if several:
                train_stack(shared, several, parts, **options)
            return bool(several)
        trial = shared.take()
        if trial is not None:
            shared.study.sampler = make_sampler(self.recipe, trial.number)
            train_trial(shared, trial, parts, **options)
        return trial is not None

    @property
    def late(self) -> bool:
        """Whether the search's time is over."""
        return self.deadline is not None and time.monotonic() > self.deadline


def _run(watch: _Watch, parts: Parts, job: _Job, jobs: int) -> Search:
    """Train until the plan is done or the time over; the state says how it ended, whatever happens."""
    try:
        with answering(job.url):
            watch.begin()
            done = _alone(watch, parts, job) if jobs == 1 else _together(watch, job, jobs)
    except KeyboardInterrupt:
        watch.end("stopped", "interrupted")
        raise
    except BaseException as error:
        what = error.what if isinstance(error, DuchenneError) else f"{type(error).__name__}: {error}"
        watch.end("failed", what)
        raise
    best = watch.best
    if done and best is None:
        reasons = [t.reason for t in watch.trials if t.reason and not t.lost]
        example = f"; for example: {reasons[0]}" if reasons else ""
        what = f"none of the {len([t for t in watch.trials if not t.lost])} trials came through{example}"
        watch.end("failed", what)
        raise TrainingError(what, f"`duchenne report {watch.folder.path}` shows them all; widen tune.space")
    watch.end("finished" if done else "stopped", "all trials done" if done else "time limit")
    return watch.folder


def _alone(watch: _Watch, parts: Parts, job: _Job) -> bool:
    """Train in this process; whether the plan is done."""
    shared = watch.shared
    while not shared.fill():
        watch.look()
        if job.late:
            return False
        try:
            if not job.step(shared, parts, watch.look):  # the last trials are other processes'
                time.sleep(_POLL)
        except TimeIsUp:
            return False
    watch.look()
    return True


def _together(watch: _Watch, job: _Job, jobs: int) -> bool:
    """Let a crew of processes train; whether the plan is done."""
    shared = watch.shared
    crew = Crew(job, jobs)
    try:
        while not shared.fill():
            watch.look()
            if job.late:
                return False
            crew.keep_up(watch.settled)
            time.sleep(_POLL)
        return True
    finally:
        pids = crew.dismiss()
        for number in shared.mine(pids):
            shared.stop(number)
        watch.look()


# -- before anything is trained -----------------------------------------------------------------------


def _checked(recipe: Recipe, data: Path | None, accelerator: str, runs: Path) -> tuple[Parts, str]:
    """The faces and the figure that decides; every value of the space tried on the learner, untrained."""
    need("optuna")
    optuna()
    probes = list(check_space(recipe))
    tune = recipe.tune
    assert tune is not None
    if tune.method == "coarse_to_fine" and "train.epochs" in tune.space:
        raise RecipeError(
            f"recipe {recipe.id}: tune.space.train.epochs: 'coarse_to_fine' sets the epochs itself",
            "see tune.coarse_epochs and tune.fine_epochs",
        )
    parts = load_parts(recipe, data)
    monitor = monitor_of(parts.train.outputs, recipe.stop)
    build_learner(overridden(recipe, {}), accelerator, 1, runs).check(parts.train, parts.val)
    for field_name, value, probe in probes:
        try:
            build_learner(probe, accelerator, 1, runs).check(parts.train, parts.val)
        except DuchenneError as error:
            raise RecipeError(
                f"recipe {recipe.id}: tune.space.{field_name} = {value!r}: {error.what}", error.todo
            ) from None
    return parts, monitor


def _inside(folder: Search) -> str:
    return f"sqlite:///{(folder.path / 'search.db').resolve()}"


def _storage_url(folder: Search, storage: str | None, force: bool) -> str:
    """The storage's address, "" for the file in the folder. Raises RunError where the folder has another."""
    path = folder.path
    if storage is not None and not storage.strip():
        raise RunError("--storage is empty", "for example: --storage sqlite:///search.db")
    try:
        path.mkdir(parents=True, exist_ok=True)
        strange = not Search.is_one(path) and any(p.name != "search.db" for p in path.iterdir())
    except OSError as error:
        raise RunError(
            f"{path} cannot be made: {error.strerror}", "choose another --name or --runs"
        ) from None
    if strange:
        raise RunError(f"{path} exists and is not a search's folder", "choose another --name or --runs")
    asked = absolute(storage) if storage is not None else None
    if not Search.is_one(path):
        return asked or ""
    known = folder.state.storage
    if asked is None:
        if "@" in known or "=..." in known:
            raise RunError(
                f"the search {path} lies in {known}",
                "repeat its --storage: addresses with users are not taken from the folder, for passwords are "
                "not written down",
            )
        return known
    if hidden(asked) != (known or _inside(folder)) and not force:
        raise RunError(
            f"the search {path} lies in {known or 'its own folder'}, not in {hidden(asked)}",
            "leave --storage out, choose another --name, or start over with --force",
        )
    return asked


def _check_trials_stand(folder: Search, shared: Shared, url: str) -> None:
    """Raises RunError where the folder has trials and its storage none, lest they be written over."""
    summary = folder.path / "trials.jsonl"
    if summary.is_file() and summary.stat().st_size and not shared.trials():
        raise RunError(
            f"the search {folder.path} has trials, but its storage {hidden(url)} holds none of them",
            "bring the storage back, choose another --name, or start over with --force",
        )


def _throw_away(folder: Search, url: str, name: str) -> None:
    """Delete the study and what is in the folder."""
    lib = optuna()
    url = url or _inside(folder)
    if not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists():
        storage = open_storage(url)
        with suppress(KeyError):
            refuse_if_searched(lib.load_study(study_name=name, storage=storage))
            lib.delete_study(study_name=name, storage=storage)
    try:
        shutil.rmtree(folder.path)
        folder.path.mkdir()
    except OSError as error:
        raise RunError(
            f"{folder.path} cannot be deleted: {error.strerror}",
            "delete it by hand, or choose another --name",
        ) from None


# -- watching -----------------------------------------------------------------------------------------


@dataclass
class _Watch:
    """Looks at the storage, keeps the folder's summary, tells the listener."""

    folder: Search
    state: SearchState
    shared: Shared
    listener: SearchListener | None
    trials: list[Trial] = field(default_factory=list)
    _told: dict[int, tuple[str, int]] = field(default_factory=dict)

    def begin(self) -> None:
        """Say where the search stands."""
        self.trials = self.shared.trials()
        self._told = {t.number: (t.state, t.epochs) for t in self.trials if t.state != "running"}
        self._save()
        if self.listener is not None:
            self.listener.on_start(self.folder, self.state.trials_planned, self.settled)
        self._plan()

    def look(self) -> None:
        """Tell of what changed; rewrite the summary when a trial ended."""
        self.trials = self.shared.trials()
        ended = False
        for t in self.trials:
            if t.state == "waiting" or self._told.get(t.number) == (t.state, t.epochs):
                continue
            ended = ended or t.state != "running"
            self._told[t.number] = (t.state, t.epochs)
            if self.listener is not None:
                self.listener.on_trial(t, self.best, self.settled, self.state.trials_planned)
        self._plan()
        if ended:
            self._save()

    def _plan(self) -> None:
        stages = self.shared.stages(self.trials)
        self.state.trials_planned = sum(len(s.slots) for s in stages)
        for stage in stages:
            if stage.name not in self.state.stages and self.listener is not None:
                self.listener.on_stage(stage.words)
            self.state.stages[stage.name] = stage.words
            self.state.narrowed = stage.narrowed or self.state.narrowed

    def _save(self) -> None:
        self.folder.save_trials(self.trials)
        self.folder.save_state(self.state)

    def end(self, status: Status, reason: str) -> None:
        """Write down how it ended, and the winner."""
        try:
            self.trials = self.shared.trials()
        except Exception:
            if status == "finished":
                raise  # else the storage may be what ended the search: what was seen last counts
            self.trials = self.trials or (self.folder.trials if Search.is_one(self.folder.path) else [])
        self.state.status, self.state.reason = status, reason
        self._save()
        if (best := self.best) is not None:
            write_best(self.folder, self.shared.recipe, self.state, best, self.settled)

    @property
    def best(self) -> Trial | None:
        """The best trial so far."""
        return best_of(self.trials, self.state.direction)

    @property
    def settled(self) -> int:
        """How many trials ended."""
        return sum(t.settled for t in self.trials)
