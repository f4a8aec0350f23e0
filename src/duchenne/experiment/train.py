"""Training: a recipe in, a run folder out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..build import build_faces, build_learner
from ..datasets.faceset import FaceSet
from ..errors import DataError, DuchenneError, MissingExtraError, RunError
from ..recipe import Recipe
from .run import Run, RunState

if TYPE_CHECKING:
    from ..learners.loop import Listener


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

    Returns:
        The run, "finished" or (deadline) "stopped".

    Raises:
        DuchenneError: Anything wrong with data, recipe, folder or training; what was trained before is kept.
        KeyboardInterrupt: Passed on after the run is marked as stopped.
    """
    learner = build_learner(recipe, accelerator, devices)
    from ..learners.torch_learner import Storage

    path = runs / (name or run_name(recipe, overrides))
    _check_free(path, recipe, resume=resume, force=force)
    faces = build_faces(recipe, data)
    parts = {s: faces.where(s) for s in ("train", "val")}
    if len(parts["train"]) == 0:
        raise DataError(f"{faces.name} has no training part", "see data.options in the recipe")
    if force and path.exists():
        shutil.rmtree(path)
    run = Run.open(path) if (path / "run.json").is_file() else Run.create(path, recipe, list(overrides))
    _record_circumstances(run, faces, accelerator, devices)
    fingerprint = run.info("data")["fingerprint"]
    storage = Storage(path / "checkpoints", f"{recipe.fingerprint()}-{fingerprint}", resume, deadline)
    recorder = Recorder(run.path, listener, _board(run) if tensorboard else None)
    _set(run, status="running", reason="", epochs_planned=recipe.train.epochs)
    try:
        learner.fit(
            parts["train"], val=parts["val"] if len(parts["val"]) else None, storage=storage, listener=recorder
        )
    except KeyboardInterrupt:
        _set(run, status="stopped", reason="interrupted")
        raise
    except DuchenneError as error:
        _set(run, status="failed", reason=error.what)
        raise
    _set(
        run,
        status="finished" if learner.finished_ else "stopped",
        reason=learner.reason_,
        num_parameters=sum(p.numel() for p in learner.net_.parameters()),
    )
    return run


def _check_free(path: Path, recipe: Recipe, *, resume: bool, force: bool) -> None:
    """Raises RunError when a run of that name exists and nothing says what to do with it."""
    if not path.exists() or force:
        if path.exists() and not (path / "run.json").is_file() and any(path.iterdir()):
            raise RunError(f"{path} is not a run folder; --force deletes run folders only", "choose another --name")
        return
    if not (path / "run.json").is_file():
        if any(path.iterdir()):
            raise RunError(f"{path} exists and is not a run folder", "choose another --name or --runs")
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
            f"repeat its overrides ({' '.join(state.overrides) or 'none'}), or choose another --name",
        )


def _record_circumstances(run: Run, faces: FaceSet, accelerator: str, devices: int) -> None:
    from .environment import environment

    fingerprint = faces.fingerprint()
    before = run.info("data").get("fingerprint")
    if before not in (None, fingerprint) and run.history():
        raise RunError(
            f"the data changed since run {run.path} began (fingerprint {before}, now {fingerprint})",
            "bring the old data back, or train anew under another --name",
        )
    run.save_info("data", faces.describe() | {"fingerprint": fingerprint})
    run.save_info("environment", environment(accelerator, devices))


def _set(run: Run, **changes: Any) -> RunState:
    state = run.state
    for key, value in changes.items():
        setattr(state, key, value)
    run.save_state(state)
    return state


def _board(run: Run) -> Path:
    try:
        import tensorboard  # type: ignore[import-untyped]  # noqa: F401 (asked for: say early when it is missing)
    except ModuleNotFoundError:
        raise MissingExtraError("tensorboard", "train") from None
    return run.path / "tensorboard"


@dataclass
class Recorder:
    """Writes each epoch into the run folder, then tells the next listener. Picklable."""

    path: Path
    inner: Listener | None = None
    board: Path | None = None

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        """Nothing to record; pass it on."""
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
        _set(run, epochs_done=row["epoch"], best=best, train_seconds=round(sum(r["seconds"] for r in history), 3))
        if self.board is not None:
            from torch.utils.tensorboard import SummaryWriter

            with SummaryWriter(str(self.board)) as writer:  # type: ignore[no-untyped-call]
                for key, value in row.items():
                    if key != "epoch":
                        writer.add_scalar(key, value, row["epoch"])  # type: ignore[no-untyped-call]
        if self.inner is not None:
            self.inner.on_epoch(row, history, best)
