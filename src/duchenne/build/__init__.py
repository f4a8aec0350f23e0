"""The only place where a recipe's names become objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..artifacts import FLAGSHIP, packaged_weights
from ..datasets import load
from ..datasets.faceset import FaceSet
from ..errors import RecipeError, RunError, did_you_mean
from ..learners import learner_class
from ..learners.contract import refuse_unused
from ..recipe import Recipe
from ..transforms import Preprocess


def build_faces(recipe: Recipe, root: Path | None) -> FaceSet:
    """Load the recipe's data set, with the outputs it names and without the labels that it leaves out.

    Raises DataError, RecipeError.
    """
    if taken := {"name", "root"} & set(recipe.data.options):
        raise RecipeError(
            f"data.options.{min(taken)}: this is not an option", "the set is named by data.name"
        )
    faces = load(recipe.data.name, root, **recipe.data.options)
    if recipe.data.outputs:
        faces = faces.keep_outputs(recipe.data.outputs)
    return faces.without_labels(recipe.data.without)


def build_preprocess(recipe: Recipe) -> Preprocess:
    """The preprocess that training, evaluation and prediction share."""
    return Preprocess(**recipe.preprocess.model_dump())


def build_learner(
    recipe: Recipe,
    accelerator: str = "auto",
    devices: int = 1,
    runs: Path = Path("runs"),
    start: Path | None = None,
) -> Any:
    """The recipe's learner, not fitted.

    Args:
        recipe: What to build from.
        accelerator: Lightning Fabric's name of the device kind (torch learners).
        devices: Number of processes (torch learners).
        runs: Folder where the runs of `start.run` and `teacher.run` lie, if those are names.
        start: Where the recipe starts from a run, the checkpoint to begin from; None: that run's best.

    Raises:
        RecipeError: A name that is not known.
        RunError: The run to start from, or the teacher's, is not there.
        MissingExtraError: The learner's packages are not installed.
    """
    cls = learner_class(recipe.learner.name)
    learner = LEARNER_SETTINGS[recipe.learner.name](cls, recipe, accelerator, devices)
    if recipe.start.run:
        if start is None:
            start = start_checkpoint(recipe.start.run, runs)
        learner.set_params(start=start, start_train=recipe.start.train)
        if recipe.start.labels != "all":
            if recipe.learner.name != "torch":
                raise RecipeError(
                    f"start.labels = '{recipe.start.labels}': learner '{recipe.learner.name}' has no such "
                    f"setting",
                    'leave it out, or take learner.name = "torch"',
                )
            learner.set_params(start_labels=recipe.start.labels)
    if recipe.teacher.run:
        learner.set_params(teacher=teacher_checkpoint(recipe.teacher.run, runs))
    return learner


def is_packaged(run: str, runs: Path) -> bool:
    """Whether a recipe means the model in the package by that name: its own, and no run is called so."""
    return run == FLAGSHIP and not any((at / "run.json").is_file() for at in (Path(run), runs / run))


def start_checkpoint(run: str, runs: Path) -> Path:
    """The weights that a recipe starts from; arguments as `start_folder`. Raises RunError."""
    if is_packaged(run, runs):
        return packaged_weights()
    return start_folder(run, runs) / "checkpoints" / "best.safetensors"


def teacher_checkpoint(run: str, runs: Path) -> Path:
    """The weights of a recipe's teacher; arguments as `start_folder`. Raises RunError."""
    if is_packaged(run, runs):
        return packaged_weights()
    return start_folder(run, runs, "teacher.run") / "checkpoints" / "best.safetensors"


def start_folder(run: str, runs: Path, field: str = "start.run") -> Path:
    """The folder of the run that a recipe starts from, or of its teacher.

    Args:
        run: The recipe's `start.run` or `teacher.run`: a run folder by path, or its name in `runs`.
        runs: Folder of the run folders.
        field: The recipe's field that names it, for errors.

    Raises:
        RunError: There is no such run, or it has no finished epoch.
    """
    folder = Path(run)
    if not (folder / "run.json").is_file():
        folder = runs / run
    if not (folder / "run.json").is_file():
        known = [p.parent.name for p in runs.glob("[!.]*/run.json")]
        near = f"; {did_you_mean(run, known)}" if known else ""
        raise RunError(
            f"{field} = '{run}': there is no such run in {runs}",
            f"train it first: duchenne train {run}{near}",
        )
    if not (folder / "checkpoints" / "best.safetensors").is_file():
        raise RunError(
            f"{field} = '{run}': that run has no finished epoch",
            f"train it first: duchenne train {run} --resume",
        )
    return folder


def _torch(cls: Any, recipe: Recipe, accelerator: str, devices: int) -> Any:
    from ..transforms.augment import Augment

    return cls(
        model=recipe.learner.model,
        args=dict(recipe.learner.args),
        preprocess=build_preprocess(recipe),
        augment=Augment(**recipe.augment.model_dump()),
        balance=recipe.balance,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        loss=recipe.loss,
        stop=recipe.stop,
        train=recipe.train,
        denoise=recipe.denoise,
        teaching=recipe.teacher,
        accelerator=accelerator,
        devices=devices,
    )


def _scratch(cls: Any, recipe: Recipe, accelerator: str, devices: int) -> Any:
    _on_one_cpu("scratch", accelerator, devices)
    _no_model("scratch", recipe)
    refuse_unused("scratch", {"augment": recipe.augment, "teacher": recipe.teacher}, {})
    return cls(
        args=dict(recipe.learner.args),
        preprocess=build_preprocess(recipe),
        balance=recipe.balance,
        optimizer=recipe.optimizer,
        schedule=recipe.schedule,
        loss=recipe.loss,
        stop=recipe.stop,
        train=recipe.train,
        denoise=recipe.denoise,
    )


def _scikit_learn(cls: Any, recipe: Recipe, accelerator: str, devices: int) -> Any:
    """Trees and SVMs: no optimiser, no epochs to augment or to leave samples out in."""
    learner = recipe.learner.name
    _on_one_cpu(learner, accelerator, devices)
    _no_model(learner, recipe)
    sections = ("augment", "teacher", "optimizer", "schedule", "loss", "denoise")
    refuse_unused(learner, {name: getattr(recipe, name) for name in sections}, {})
    return cls(
        args=dict(recipe.learner.args),
        preprocess=build_preprocess(recipe),
        balance=recipe.balance,
        stop=recipe.stop,
        train=recipe.train,
    )


def _on_one_cpu(learner: str, accelerator: str, devices: int) -> None:
    if accelerator not in ("auto", "cpu") or devices != 1:
        raise RecipeError(
            f"learner '{learner}' runs in one process on the CPU, "
            f"not on accelerator '{accelerator}' with {devices} device(s)",
            "leave out --accelerator and --devices",
        )


def _no_model(learner: str, recipe: Recipe) -> None:
    if recipe.learner.model:
        raise RecipeError(
            f"learner.model = '{recipe.learner.model}': learner '{learner}' has no models to choose from",
            "leave it out; learner.args describes it",
        )


# Learner -> what it takes from a recipe; each name of `learners.LEARNERS` has its line.
LEARNER_SETTINGS: dict[str, Callable[[Any, Recipe, str, int], Any]] = {
    "torch": _torch,
    "scratch": _scratch,
    "trees": _scikit_learn,
    "svm": _scikit_learn,
}
