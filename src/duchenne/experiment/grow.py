"""Grow: a trained run gets a further class; old weights are kept, then training goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..artifacts import Artifact
from ..build import build_faces, start_folder
from ..datasets.faceset import FaceSet
from ..errors import DataError, DuchenneError, RunError, did_you_mean
from ..labels import Output
from ..recipe import Recipe, parse_recipe
from .evaluate import BLOCK
from .finish import ensure_artifact
from .run import Run
from .train import train

if TYPE_CHECKING:
    from ..learners.contract import Listener

# Sections of the old run's recipe that are not true of the grown one.
_NOT_KEPT = ("expect", "tune", "cost", "teacher")

# Names of the groups of classes (`evaluate.groups`) that a grown run's evaluation gives accuracies of.
OLD, NEW = "old", "new"


@dataclass(frozen=True)
class Plan:
    """A growing that can begin.

    Attributes:
        recipe: Of the grown run.
        output: The output that gets the class, with its old labels.
        artifact: The old run's best epoch.
        val: Validation faces of the grown data.
    """

    recipe: Recipe
    output: Output
    artifact: Artifact
    val: FaceSet


@dataclass(frozen=True)
class Grown:
    """What a growing gave; accuracies are shares in [0, 1] on validation, None where it has no such face.

    Attributes:
        run: The grown run.
        old_before: Accuracy of the old run over the faces of its classes.
        old_after: Accuracy of the grown run over the same faces; the new class is one more wrong answer.
        new_after: Accuracy of the grown run over the faces of the new class.
        n_old, n_new: How many faces that are.
    """

    run: Run
    label: str
    old_before: float | None
    old_after: float | None
    new_after: float | None
    n_old: int
    n_new: int


def plan_growth(
    run: Run,
    label: str,
    *,
    data: Path | None = None,
    runs: Path = Path("runs"),
    which: str = "all",
    epochs: int | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Check that a run can be grown by a class, and make the recipe of the grown one.

    The recipe is the run's own, started from it, with the class no longer left out. Labels of the data that
    neither the run knows nor `label` is stay left out. What the source claims is dropped.

    Args:
        run: A run with at least one finished epoch; its best one is what is grown.
        label: The class: a label of the first single-label output.
        data: Folder of the published data sets.
        runs: Folder of the run folders.
        which: "all" weights are trained, or the "head" alone.
        epochs: Epochs of the grown run; None: as many as the run's recipe has (trees: one a label).
        overrides: ``"data.name=folder"``: recipe fields that differ.

    Raises:
        RunError: The run has no checkpoint, no single-label output, or knows the class.
        DataError: The data have no such class, or no training face of it.
        RecipeError: An override does not fit.
    """
    artifact = ensure_artifact(run)
    output = next((o for o in artifact.outputs if o.kind == "single"), None)
    if output is None:
        raise RunError(f"run {run.path} has no single-label output, so it has no class to add to")
    if label in output.labels:
        raise RunError(
            f"run {run.path} knows the class '{label}' of '{output.name}' already",
            f"its classes: {', '.join(output.labels)}",
        )
    sets = [] if epochs is None else [f"train.epochs={epochs}"]
    table = _grown_table(run, output, label, which, runs)
    where = f"of {run.path.name}, grown"
    wide = parse_recipe(table, where, [*sets, *overrides, "data.without=[]"])
    faces = build_faces(wide, data)
    labels = faces.output(output.name).labels
    if label not in labels:
        unknown = [known for known in labels if known not in output.labels]
        near = did_you_mean(label, unknown) if unknown else "it has no class that the run does not know"
        raise DataError(f"{faces.name}: output '{output.name}' has no class '{label}'", near)
    aside = [known for known in labels if known != label and known not in output.labels]
    faces = faces.without_labels(aside, output.name)
    if not faces.where("train").class_counts(output.name)[label]:
        raise DataError(f"{faces.name}: the training part has no face of class '{label}'")
    wide = parse_recipe(table, where, [*sets, *overrides, f"data.without={json.dumps(aside)}"])
    return Plan(wide, output, artifact, faces.where("val"))


def _grown_table(run: Run, output: Output, label: str, which: str, runs: Path) -> dict[str, Any]:
    """The grown run's recipe as nested tables, before anything is overridden."""
    table = {k: v for k, v in run.recipe.to_dict().items() if k not in _NOT_KEPT}
    table["id"] = f"{run.recipe.id}-grown-{_plain(label)}"
    table["title"] = f"{run.recipe.title}; grown by {label}"
    table["start"] = {"run": _named(run, runs), "train": which}
    if run.recipe.learner.name == "trees":
        del table["train"]["epochs"]  # a tree a label: there is one more now
    if which == "head":
        table["train"]["precise_norms"] = False  # the body's batch norms stay as they are
    groups = {OLD: list(output.labels), NEW: [label]}
    table["evaluate"] = table["evaluate"] | {"groups": table["evaluate"]["groups"] | groups}
    return table


def _plain(label: str) -> str:
    """A label as a part of an id and of a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "class"


def _named(run: Run, runs: Path) -> str:
    """The run's name where that finds it, so that no path of this machine stands in a recipe."""
    try:
        if start_folder(run.path.name, runs).resolve() == run.path.resolve():
            return run.path.name
    except DuchenneError:
        pass
    return str(run.path)


def grown_name(run: Run, label: str) -> str:
    """Default folder name of a grown run."""
    return f"{run.path.name}-grown-{_plain(label)}"


def grow(
    run: Run,
    label: str,
    *,
    data: Path | None = None,
    runs: Path = Path("runs"),
    name: str | None = None,
    which: str = "all",
    epochs: int | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    deadline: float | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    listener: Listener | None = None,
) -> Grown:
    """Grow a run by a class into a new run, and compare both on validation.

    Args:
        run, label, data, runs, which, epochs, overrides: As for `plan_growth`.
        name: Folder name of the grown run; by default that of the run, "-grown-" and the class.
        resume, force, deadline, accelerator, devices, listener: As for `train`.

    Raises:
        DuchenneError: As `plan_growth` and `train`.
    """
    plan = plan_growth(run, label, data=data, runs=runs, which=which, epochs=epochs, overrides=overrides)
    grown = train(
        plan.recipe, data=data, runs=runs, name=grown_name(run, label) if name is None else name,
        overrides=overrides, resume=resume, force=force, deadline=deadline, accelerator=accelerator,
        devices=devices, listener=listener,
    )  # fmt: skip
    after = ensure_artifact(grown)
    old = _faces_of(plan.val, plan.output.name, plan.output.labels)
    new = _faces_of(plan.val, plan.output.name, [label])
    return Grown(
        run=grown,
        label=label,
        old_before=_accuracy(plan.artifact, old, plan.output.name),
        old_after=_accuracy(after, old, plan.output.name),
        new_after=_accuracy(after, new, plan.output.name),
        n_old=len(old),
        n_new=len(new),
    )


def _faces_of(faces: FaceSet, output: str, labels: Sequence[str]) -> FaceSet:
    known = [i for i, label in enumerate(faces.output(output).labels) if label in labels]
    return faces.select(np.isin(faces.hard(output), known))


def _accuracy(artifact: Artifact, faces: FaceSet, name: str) -> float | None:
    """Share of faces whose most probable label, by name, is theirs; None of no faces."""
    if len(faces) == 0:
        return None
    answers = next(o for o in artifact.outputs if o.name == name)
    truth = np.array(faces.output(name).labels)[faces.hard(name)]
    right = 0
    for start in range(0, len(faces), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(faces)))
        said = artifact.predict(faces.pixels(rows), views="single")[name].argmax(axis=1)
        right += int((np.array(answers.labels)[said] == truth[rows]).sum())
    return right / len(faces)
