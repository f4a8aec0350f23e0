"""Training: a recipe in, a run folder out."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifacts import Card
from ..artifacts.artifact import CARD
from ..artifacts.packaged import packaged_folder
from ..build import (
    build_faces,
    build_learner,
    is_packaged,
    start_checkpoint,
    start_folder,
    teacher_checkpoint,
)
from ..datasets.faceset import FaceSet
from ..denoise import VARIANCE
from ..errors import DataError, DuchenneError, RecipeError, RunError
from ..recipe import Recipe
from .environment import environment, need
from .finish import terms_of
from .run import Run, RunState, folder_name
from .untaught import untaught_notes

if TYPE_CHECKING:
    from ..learners.contract import Listener


def run_name(recipe: Recipe, overrides: Sequence[str]) -> str:
    """Folder name of a run: the recipe's id, and what was overridden as a fingerprint."""
    return recipe.id if not overrides else f"{recipe.id}-{recipe.fingerprint()}"


def train(
    recipe: Recipe,
    *,
    data: Path | None = None,
    runs: Path = Path("runs"),
    name: str | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    deadline: float | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    tensorboard: bool = False,
    listener: Listener | None = None,
    note: Callable[[str], None] | None = None,
) -> Run:
    """Train a recipe into a run folder.

    Args:
        recipe: What to train, overrides applied.
        data: Folder of the published data sets; not needed for "synthetic".
        runs: Folder of the run folders.
        name: The run's folder name; by default from the recipe's id.
        overrides: The ``--set`` arguments, for the record.
        resume: Go on with the run of that name where it was left.
        force: Throw an existing run of that name away.
        deadline: Seconds after which training stops at the end of an epoch, resumable.
        accelerator: "auto", "cpu", "cuda" or "mps".
        devices: Processes.
        tensorboard: Also write the history as TensorBoard events into the run.
        listener: Hears of progress.
        note: Hears, before training begins, of labels that no face of the training part has, and of a
            teacher whose own training is not finished.

    Returns:
        The run, "finished" or (deadline) "stopped".

    Raises:
        DuchenneError: Anything wrong with data, recipe, folder or training; what was trained before is kept.
        KeyboardInterrupt: Passed on after the run is marked as stopped.
    """
    if resume and force:
        raise RecipeError("--resume goes on with a run, --force throws it away: give one of the two")
    path = runs / folder_name(run_name(recipe, overrides) if name is None else name)
    check_free(path, recipe, resume=resume, force=force)
    # A run that goes on has weights of its own; the run that it began from may be gone.
    own = Run(path).checkpoint("best")
    goes_on = resume and own.is_file() and Run(path).checkpoint("last").is_file()
    _check_others(recipe, runs, path, goes_on)
    learner = build_learner(recipe, accelerator, devices, runs, own if goes_on else None)
    # What the end needs is asked for at the start, not after hours.
    need("onnx", "onnxscript", *(["tensorboard"] if tensorboard else []))
    from ..learners.contract import Storage

    faces = build_faces(recipe, data)
    parts = {s: faces.where(s) for s in ("train", "val")}
    if len(parts["train"]) == 0:
        raise DataError(f"{faces.name} has no training part", "see data.options in the recipe")
    # Before --force deletes anything.
    learner.check(parts["train"], parts["val"] if len(parts["val"]) else None)
    fingerprint = faces.fingerprint()
    run = _opened(path, recipe, list(overrides), force)
    _check_same_data(run, fingerprint)
    circumstances = environment(accelerator, devices) | _start_record(run, runs) | _teacher_record(run, runs)
    about = faces.describe() | {"fingerprint": fingerprint}
    run.save_info("data", about)
    if note is not None:
        for line in [*untaught_notes(about), *_teacher_notes(circumstances)]:
            note(line)
    run.save_info("environment", circumstances)
    storage = Storage(path / "checkpoints", f"{recipe.fingerprint()}-{fingerprint}", resume, deadline)
    recorder = Recorder(run.path, listener, run.path / "tensorboard" if tensorboard else None)
    with _alone(path):
        _fit(run, recipe.train.epochs, learner, parts, storage=storage, listener=recorder)
    return run


def _check_others(recipe: Recipe, runs: Path, path: Path, goes_on: bool) -> None:
    """Raise RunError where the run that a training begins from, or its teacher's, is missing or its own."""
    if recipe.start.run and not goes_on:
        begun = start_checkpoint(recipe.start.run, runs)
        if begun.resolve() == (path / "checkpoints" / begun.name).resolve():
            raise RunError(f"run {path} cannot start from itself", "choose another --name")
    if recipe.teacher.run:
        teacher = teacher_checkpoint(recipe.teacher.run, runs)
        if teacher.resolve() == (path / "checkpoints" / teacher.name).resolve():
            raise RunError(f"run {path} cannot be its own teacher", "choose another --name")


def _fit(run: Run, epochs: int, learner: Any, parts: dict[str, FaceSet], **options: Any) -> None:
    """Fit the learner; the run's state says how it ended, whatever happens."""
    _set(run, status="running", reason="", epochs_planned=epochs)
    try:
        val = parts["val"] if len(parts["val"]) else None
        learner.fit(parts["train"], val=val, **options)
        _record_end(run, learner)
    except BaseException as error:
        status, reason = _ended(error)
        with suppress(RunError):  # a full disk: the first error says so
            _set(run, status=status, reason=reason)
        raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from training into the same run; the system lets go when this one ends or dies."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder = path / "checkpoints"  # never replaced while a run lives, as its files are
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"another process is training run {path}", "wait for its end, or choose another --name"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def check_free(path: Path, recipe: Recipe, *, resume: bool, force: bool) -> None:
    """Whether a run may be made, resumed or thrown away at that place; one without an epoch counts as none.

    Raises:
        RunError: Something stands there and nothing says what to do with it, it is not a run, or it is a run
            of another recipe.
    """
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise RunError(f"{path} exists and is not a folder", "choose another --name or --runs")
    if not any(path.iterdir()):
        return
    if not Run.is_one(path):
        kept = "; --force deletes run folders only" if force else ""
        raise RunError(f"{path} exists and is not a run folder{kept}", "choose another --name or --runs")
    if force or not Run(path).holds_work():
        return
    state = Run.open(path).state
    if not resume:
        raise RunError(
            f"run {path} exists ({state.status}, {state.epochs_done} of {state.epochs_planned} epochs)",
            "--resume goes on with it, --force starts it over, --name NAME makes another one",
        )
    if state.recipe_fingerprint != recipe.fingerprint():
        raise RunError(
            f"run {path} was made by another recipe or other --set values "
            f"({state.recipe_id} {state.recipe_fingerprint}, now {recipe.id} {recipe.fingerprint()})",
            "repeat the command that made it with all its options "
            f"(overrides: {' '.join(state.overrides) or 'none'}), or choose another --name",
        )


def _opened(path: Path, recipe: Recipe, overrides: list[str], force: bool) -> Run:
    """The run at that place, made where there is none; `check_free` has allowed it."""
    if not Run.is_one(path):
        return Run.create(path, recipe, overrides)
    with _alone(path):
        if not force and Run(path).holds_work():
            return Run.open(path)
    # Renamed first: a kill in the middle leaves no half of a run under its name.
    scratch = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed process that had our number
    try:
        path.rename(scratch)
        shutil.rmtree(scratch)
    except OSError as error:
        raise RunError(
            f"run {path} cannot be deleted: {error.strerror}", "delete it by hand, or choose another --name"
        ) from None
    return Run.create(path, recipe, overrides)


def _check_same_data(run: Run, fingerprint: str) -> None:
    before = run.info("data").get("fingerprint")
    if before not in (None, fingerprint) and run.history():
        raise RunError(
            f"the data changed since run {run.path} began (fingerprint {before}, now {fingerprint})",
            "bring the old data back, or train anew under another --name",
        )


def _start_record(run: Run, runs: Path) -> dict[str, Any]:
    """What the run's weights began from, as environment.json keeps it; empty for initial weights.

    A run that goes on keeps what it began from, whatever became of that run since.
    """
    name = run.recipe.start.run
    if not name:
        return {}
    if run.holds_work():
        return {k: v for k, v in run.info("environment").items() if k.startswith("start_")}
    if is_packaged(name, runs):
        return _packaged_record("start", start_checkpoint(name, runs))
    return _record_of("start", Run.open(start_folder(name, runs)))


def _teacher_record(run: Run, runs: Path) -> dict[str, Any]:
    """What taught the run, as environment.json keeps it; empty without a teacher.

    Raises RunError where the run goes on and its teacher is no longer the same.
    """
    name = run.recipe.teacher.run
    if not name:
        return {}
    record = teacher_facts(name, runs)
    before = run.info("environment").get("teacher_sha256") if run.holds_work() else None
    if before not in (None, record["teacher_sha256"]):
        raise RunError(
            f"the weights of teacher {name} changed since run {run.path} began",
            "bring the old ones back, or train anew under another --name",
        )
    return record


def _teacher_notes(about: Mapping[str, Any]) -> list[str]:
    """A sentence where the teacher's own training is not finished: it may go on, and change."""
    status = about.get("teacher_status", "finished")
    if status.startswith("finished"):
        return []
    return [f"teacher {about['teacher_run']} is not finished ({status}); its best epoch so far teaches"]


def teacher_facts(name: str, runs: Path) -> dict[str, Any]:
    """Which weights teach, as environment.json keeps it. Raises RunError where there are none."""
    if is_packaged(name, runs):
        return _packaged_record("teacher", teacher_checkpoint(name, runs))
    return _record_of("teacher", Run.open(start_folder(name, runs, "teacher.run")))


def _record_of(prefix: str, other: Run) -> dict[str, Any]:
    """Which weights of another run a run has taken over, or was taught by."""
    state, checkpoint = other.state, other.checkpoint("best")
    record = {
        "run": other.path.resolve().name,
        "recipe": f"{state.recipe_id} {state.recipe_fingerprint}",
        "epoch": state.best.get("epoch", state.epochs_done),
        "status": f"{state.status}, {state.epochs_done} of {state.epochs_planned} epochs",
        "terms": terms_of(other),
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
    }
    return {f"{prefix}_{key}": value for key, value in record.items()}


def _packaged_record(prefix: str, weights: Path) -> dict[str, Any]:
    """The same of the packaged model, from its card."""
    card = Card.load(packaged_folder() / CARD)
    training = card.training
    record = {
        "run": f"the packaged model {card.name}",
        "recipe": f"{card.name} {training.get('recipe_fingerprint', '')}",
        "epoch": training.get("epoch"),
        "status": f"{training.get('status')}, {training.get('epochs_done')} epochs",
        "terms": card.terms,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    return {f"{prefix}_{key}": value for key, value in record.items()}


def _record_end(run: Run, learner: Any) -> None:
    """The state after training; mends a record that a kill left behind its checkpoint."""
    run.save_history(learner.history_)
    if run.recipe.denoise.name != "none":
        run.save_info("denoise", {"schema": 1, "rounds": learner.denoised_})
    _set(
        run,
        status="finished" if learner.finished_ else "stopped",
        reason=learner.reason_,
        epochs_done=learner.n_iter_,
        best=learner.best_,
        train_seconds=_seconds(learner.history_),
        num_parameters=learner.num_parameters_,
    )


def _save_rounds(run: Run) -> None:
    """What was left out so far, as the checkpoint has it; written where a round is new."""
    from ..learners.arrayfile import read_facts

    rounds = read_facts(run.checkpoint("last")).get("denoised", [])
    if run.info("denoise").get("rounds") != rounds:
        run.save_info("denoise", {"schema": 1, "rounds": rounds})


def _ended(error: BaseException) -> tuple[str, str]:
    """Status and reason of a training that an exception ended."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "interrupted"
    return "failed", error.what if isinstance(error, DuchenneError) else f"{type(error).__name__}: {error}"


def _seconds(history: list[dict[str, Any]]) -> float:
    return round(float(sum(row["seconds"] for row in history)), 3)


def _set(run: Run, **changes: Any) -> RunState:
    state = run.state
    for key, value in changes.items():
        setattr(state, key, value)
    run.save_state(state)
    return state


@dataclass
class Recorder:
    """Writes each epoch into the run folder, then tells the next listener. Picklable."""

    path: Path
    inner: Listener | None = None
    board: Path | None = None

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        """The learner knows how many epochs there are (a tree counts as one); record it and pass it on."""
        _set(Run(self.path), epochs_planned=epochs)
        if self.inner is not None:
            self.inner.on_start(epochs_done, epochs, steps_per_epoch)

    def on_batch(self, step: int) -> None:
        """Nothing to record; pass it on."""
        if self.inner is not None:
            self.inner.on_batch(step)

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        """Replace history.jsonl and run.json; add to the TensorBoard events where asked for."""
        run = Run(self.path)
        run.save_history(history)
        _set(run, epochs_done=row["epoch"], best=best, train_seconds=_seconds(history))
        if VARIANCE in row:  # the training is denoised
            _save_rounds(run)
        if self.board is not None:
            _write_events(self.board, row)
        if self.inner is not None:
            self.inner.on_epoch(row, history, best)


def _write_events(folder: Path, row: dict[str, Any]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for key, value in row.items():
            if key != "epoch" and isinstance(value, int | float):
                writer.add_scalar(key, value, row["epoch"])
