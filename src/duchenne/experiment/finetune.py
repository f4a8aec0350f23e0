"""Fine-tune: the packaged model trained on with a folder of one's own images, a folder a class."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifacts import FLAGSHIP, packaged_weights
from ..datasets import load
from ..datasets.decode import SUFFIXES
from ..datasets.faceset import FaceSet
from ..errors import DataError, RecipeError
from ..labels import Output
from ..recipe import Recipe, parse_recipe
from .evaluate import Evaluated, evaluate
from .run import Run
from .train import train

if TYPE_CHECKING:
    from ..learners.contract import Listener

# Training images a class. Below it the validation part, cut from the same images, has one or two of a class,
# and its accuracy (which decides the best epoch) is chance.
MIN_PER_CLASS = 10

# Share of the training images that become the validation part where the folder has none.
VAL_SHARE = 0.15

EPOCHS = 12

_ENOUGH = (
    f"give each class {round(MIN_PER_CLASS / (1 - VAL_SHARE)) + 1} images or more "
    f"({VAL_SHARE:.0%} are cut off for validation where there is no val folder)"
)


@dataclass(frozen=True)
class Plan:
    """A fine-tuning that can begin.

    Attributes:
        recipe: What will be trained.
        known: Labels that the packaged model brings, as the folder names them.
        new: Labels that begin with initial weights.
        counts: Label of the first single-label output -> training images; empty where there is none.
        notes: What a reader of the figures should know of the images.
    """

    recipe: Recipe
    known: tuple[str, ...]
    new: tuple[str, ...]
    counts: dict[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned run, and its figures on the validation part (and on test, where the folder has one)."""

    run: Run
    evaluated: list[Evaluated]


def plan_finetuning(
    folder: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    overrides: Sequence[str] = (),
) -> Plan:
    """Check a folder of images, and make the recipe that trains the packaged model on with it.

    Args:
        folder: As the data set "folder" reads it: DIR/happy/*.jpg, or those below train, val and test, or a
            manifest.csv. Images are faces, cut out. Without a val part one is cut off, stratified by class.
        epochs: Passes at most; None: `EPOCHS`.
        seed: Of the part that is cut off and of the training.
        skip_broken: Leave images that cannot be read out, and say so.
        overrides: ``"train.batch_size=64"``: recipe fields that differ.

    Raises:
        RunError: There is no packaged model.
        DataError: No images, unreadable ones (named, counted), one class only, an empty class, or fewer than
            `MIN_PER_CLASS` training images of a class.
        RecipeError: An override does not fit.
    """
    from ..learners.arrayfile import read_facts
    from ..learners.contract import outputs_from_json
    from ..learners.start import shared_outputs

    facts = read_facts(packaged_weights())
    folder = Path(folder).resolve()
    if folder.is_dir() and not (folder / "manifest.csv").is_file() and (empty := empty_classes(folder)):
        raise DataError(
            f"{folder}: folder(s) without an image: {', '.join(empty)}",
            "put images into them, or remove them; HEIC, AVIF and JPEG XL are not read: save those as JPEG",
        )
    options: dict[str, Any] = {"path": str(folder), "seed": seed}
    if skip_broken:
        options["skip_broken"] = True
    faces = _load(folder, options)
    if split := _split(faces):
        options["split"] = split
        faces = _load(folder, options)
    table = _table(folder, options, facts, faces, EPOCHS if epochs is None else epochs, seed)
    recipe = parse_recipe(table, f"to fine-tune on {folder.name}", overrides)
    kept, _ = shared_outputs(outputs_from_json(facts["outputs"]), faces.outputs)
    known = [label for output in kept for label in output.labels]
    new = [label for output in faces.outputs for label in output.labels if label not in known]
    single = next((o for o in faces.outputs if o.kind == "single"), None)
    return Plan(recipe, tuple(known), tuple(new), _checked_counts(folder, faces, single), faces.notes)


def check_apart(folder: Path, runs: Path) -> None:
    """Raise RecipeError where runs would lie among the class folders, and be a class the next time."""
    inner, outer = runs.resolve(), folder.resolve()
    if (folder / "manifest.csv").is_file() or not inner.is_relative_to(outer):
        return
    if not any(part.startswith(".") for part in inner.relative_to(outer).parts):
        raise RecipeError(
            f"the runs' folder {runs} lies within {folder}, whose folders are classes",
            "name another place with --runs, for example --runs "
            f"{shlex.quote(os.path.relpath(outer.parent / 'runs'))}",
        )


def _load(folder: Path, options: dict[str, Any]) -> FaceSet:
    """The folder's faces; what to do about an error in this verb's words."""
    try:
        return load("folder", **options)
    except DataError as error:
        if "skip_broken" in error.todo:
            raise DataError(error.what, "mend or remove them, or leave them out with --skip-broken") from None
        if error.what.startswith("too few"):
            raise DataError(f"{folder}: too few images to cut a validation part off", _ENOUGH) from None
        raise


def empty_classes(folder: Path) -> list[str]:
    """Class folders in which, at any depth, no image lies; as paths within the folder."""

    def has_image(at: Path) -> bool:
        for _, folders, names in os.walk(at):
            folders[:] = [f for f in folders if not f.startswith(".")]
            if any(Path(n).suffix.lower() in SUFFIXES and not n.startswith(".") for n in names):
                return True
        return False

    def below(at: Path) -> list[Path]:
        return sorted(p for p in at.iterdir() if p.is_dir() and not p.name.startswith("."))

    tops = below(folder)
    # Below split folders the classes are one level deeper; a folder of images is a class itself.
    classes = [c for top in tops for c in (below(top) or [top])]
    return [c.relative_to(folder).as_posix() for c in classes if not has_image(c)]


def _split(faces: FaceSet) -> dict[str, str | float]:
    """The option `split` where the folder does not name a val part itself; {} where it does."""
    if (faces.part != "").any():
        if (faces.split == "val").any():
            return {}
        there = [s for s in ("train", "test") if (faces.split == s).any()]
        named = {s: str(faces.part[faces.split == s][0]) for s in there}
        return {**named, "val": VAL_SHARE}
    return {"train": 1 - VAL_SHARE, "val": VAL_SHARE}


def _checked_counts(folder: Path, faces: FaceSet, single: Output | None) -> dict[str, int]:
    if single is None:
        return {}
    counts = faces.where("train").class_counts(single.name)
    if few := {label: n for label, n in counts.items() if n < MIN_PER_CLASS}:
        shown = ", ".join(f"{label} {n}" for label, n in few.items())
        raise DataError(
            f"{folder}: fewer than {MIN_PER_CLASS} training images of a class: {shown}",
            f"{_ENOUGH}, or leave it out",
        )
    return counts


def _table(
    folder: Path, options: dict[str, Any], facts: dict[str, Any], faces: FaceSet, epochs: int, seed: int
) -> dict[str, Any]:
    """The recipe as nested tables: small steps for a body that knows faces, larger ones for its heads."""
    pre = {k: v for k, v in facts["preprocess"].items() if k not in ("schema", "interpolation")}
    splits = ["val", *(["test"] if (faces.split == "test").any() else [])]
    return {
        "id": f"finetune-{plain_name(folder)}",
        "title": f"The packaged model, trained on with the images of {folder.name}",
        "data": {"name": "folder", "options": options},
        "preprocess": pre,
        "augment": {
            "flip": 0.5, "shift": 0.08, "rotate": 10.0, "scale": 0.1, "brightness": 0.15, "contrast": 0.2,
            "erase": 0.25,
        },
        "learner": {"name": "torch", "model": facts["model"], "args": facts["args"]},
        "start": {"run": FLAGSHIP, "labels": "shared"},
        "optimizer": {"name": "adamw", "lr": 3e-4, "weight_decay": 0.01, "head_lr_factor": 10.0},
        "schedule": {"name": "one_cycle", "warmup": 0.1},
        "loss": {"label_smoothing": 0.05},
        "stop": {"patience": 4},
        "train": {"epochs": epochs, "batch_size": 32, "seed": seed, "ema": 0.99},
        "evaluate": {"splits": splits, "temperature": "fit"},
    }  # fmt: skip


def plain_name(folder: Path) -> str:
    """A folder's name as a part of an id and of a run's name."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "folder"


def finetune(
    plan: Plan,
    *,
    runs: Path = Path("runs"),
    name: str | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    deadline: float | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    listener: Listener | None = None,
) -> Finetuned:
    """Train the packaged model on into a run folder, and evaluate it.

    Args:
        plan: From `plan_finetuning`.
        name: The run's folder name; by default the recipe's id.
        runs, overrides, resume, force, deadline, accelerator, devices, listener: As for `train`.

    Raises:
        DuchenneError: As `train` and `evaluate`.
    """
    check_apart(Path(plan.recipe.data.options["path"]), runs)
    run = train(
        plan.recipe, runs=runs, name=plan.recipe.id if name is None else name, overrides=overrides,
        resume=resume, force=force, deadline=deadline, accelerator=accelerator, devices=devices,
        listener=listener,
    )  # fmt: skip
    return Finetuned(run, evaluate(run))
