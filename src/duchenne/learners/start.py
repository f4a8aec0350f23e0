"""Begin from trained weights: the body as it is, the output layer matched by label names. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import RecipeError, RunError, did_you_mean
from ..labels import Output, match_labels
from .arrayfile import learner_of, read_arrays
from .contract import Array, Storage, outputs_from_json

Which = Literal["all", "head"]
Labels = Literal["all", "shared"]


@dataclass(frozen=True)
class Trained:
    """What a checkpoint brings.

    Attributes:
        arrays: Array name -> array.
        outputs: Its outputs with their labels, in the order of its output layer.
    """

    path: Path
    arrays: dict[str, Array]
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Slots:
    """Where the labels of one array of the output layer lie.

    Attributes:
        axis: The array's axis that runs over labels.
        places: For each label of the trained array, in its order, its index in the new one.
    """

    axis: int
    places: Sequence[int]


def begins(start: Path | None, which: str, storage: Storage | None) -> bool:
    """Whether a fit takes weights over: not where it goes on with what it stored itself.

    Raises RecipeError for a `which` that is unknown or has nothing to begin from.
    """
    if which not in ("all", "head"):
        raise RecipeError(f"start.train = {which!r}: must be 'all' or 'head'")
    if start is None and which == "head":
        raise RecipeError("start.train = 'head' needs a trained body", "start.run names the run it is of")
    resumed = storage is not None and storage.resume and (storage.folder / "last.safetensors").is_file()
    return start is not None and not resumed


def read_trained(path: Path, learner: str, facts: Mapping[str, Any]) -> Trained:
    """Read a checkpoint (a run's ``best.safetensors``) and hold it against what is to be trained.

    Args:
        path: The checkpoint.
        learner: Name of the learner that begins.
        facts: What that learner writes about itself: "preprocess" and, where it has one, "model" must agree.
            Of torch nets other sizes of images are allowed: one that pools takes them, of any other an array
            differs.

    Raises:
        RunError: It cannot be read, or is of another learner, model or preprocess; the field is named.
    """
    groups, theirs = read_arrays(path, ("model", "optimizer", "ema"))
    try:
        outputs = outputs_from_json(theirs["outputs"])
        before = {"learner.name": learner_of(theirs), **_compared(theirs, learner)}
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"checkpoint {path} does not say what it is of: {error}") from None
    now = {"learner.name": learner, **_compared(facts, learner)}
    for field in [*now, *before]:
        if before.get(field) != now.get(field):
            raise RunError(
                f"start: checkpoint {path} has {field} = {before.get(field)!r}, "
                f"what is to be trained has {now.get(field)!r}",
                f"set {field} as the checkpoint has it, or start from another run",
            )
    # A file may hold weights in half precision; all learning is in single.
    arrays = {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in groups["model"].items()}
    return Trained(path, arrays, outputs)


def _compared(facts: Mapping[str, Any], learner: str) -> dict[str, Any]:
    """Dotted recipe field -> value, of all that must agree."""
    plain = json.loads(json.dumps({k: facts[k] for k in ("preprocess", "model") if k in facts}))
    free = ("size", "detail") if learner == "torch" else ()
    fields = {f"preprocess.{k}": v for k, v in plain["preprocess"].items() if k not in free}
    return fields | ({"learner.model": plain["model"]} if "model" in plain else {})


def shared_outputs(old: Sequence[Output], new: Sequence[Output]) -> tuple[list[Output], dict[str, list[int]]]:
    """What both sides answer, matched by name or synonym.

    Returns:
        Of each old output that has a label in common with the new one of its name and kind: the output with
        those labels alone, named as the new ones are; and output name -> their rows in the old head.
    """
    named = {o.name: o for o in new}
    kept, rows = [], {}
    for output in old:
        other = named.get(output.name)
        pairs = {} if other is None or other.kind != output.kind else match_labels(output, other)[0]
        # Two old labels may mean one new one: the first stands for it.
        first = {place: row for row, place in reversed(pairs.items())}
        chosen = {row: place for place, row in sorted(first.items(), key=lambda item: item[1])}
        if other is None or not chosen:
            continue
        kept.append(Output(output.name, output.kind, tuple(other.labels[p] for p in chosen.values())))
        rows[output.name] = list(chosen)
    return kept, rows


def label_places(trained: Trained, outputs: Sequence[Output]) -> dict[str, list[int]]:
    """Output name -> for each trained label its index among the new ones, matched by name.

    An output that the checkpoint does not have is missing from the result.

    Raises:
        RunError: The checkpoint has an output or a label that the new data has not.
    """
    new = {o.name: o for o in outputs}
    places = {}
    for old in trained.outputs:
        if old.name not in new or new[old.name].kind != old.kind:
            raise RunError(
                f"start: checkpoint {trained.path} has the {old.kind}-label output '{old.name}', "
                "the data has not",
                did_you_mean(old.name, new),
            )
        labels = new[old.name].labels
        if lost := [label for label in old.labels if label not in labels]:
            raise RunError(
                f"start: checkpoint {trained.path} has the label(s) {', '.join(lost)} of '{old.name}', "
                f"the data has only {', '.join(labels)}",
                "labels can be added to a trained net, not taken away: see data.without and data.options",
            )
        places[old.name] = [labels.index(label) for label in old.labels]
    return places


def side_by_side(trained: Trained, outputs: Sequence[Output]) -> list[int]:
    """`label_places` for an output layer that holds all outputs' labels side by side."""
    places = label_places(trained, outputs)
    first, at = {}, 0
    for output in outputs:
        first[output.name] = at
        at += output.num_classes
    return [first[old.name] + i for old in trained.outputs for i in places[old.name]]


def take_over(fresh: Mapping[str, Array], trained: Trained, heads: Mapping[str, Slots]) -> dict[str, Array]:
    """The arrays to begin with.

    Args:
        fresh: The new net's arrays, as initialised, without those of outputs that the checkpoint has not; not
            changed.
        trained: What is taken over, bit for bit.
        heads: Name of each array of the output layer -> where its labels lie.

    Returns:
        Array name -> array: the body as trained; of the output layer old labels as trained, new ones as in
        `fresh`.

    Raises:
        RunError: An array is missing, unknown or of another shape; it is named, with both shapes.
    """
    where = f"start: checkpoint {trained.path}"
    taken = {}
    for name, array in fresh.items():
        slots, old = heads.get(name), trained.arrays.get(name)
        if old is None:
            raise RunError(f"{where} has no array '{name}', the net has it with shape {array.shape}")
        expected = list(array.shape)
        if slots is not None:
            expected[slots.axis] = len(slots.places)
        if old.shape != (shape := tuple(expected)) or old.dtype != array.dtype:
            raise RunError(
                f"{where}: '{name}' is {old.shape} {old.dtype}, the net needs {shape} {array.dtype}",
                "set learner.args and preprocess as the checkpoint's run has them",
            )
        taken[name] = _grown(array, old, slots)
    for name in trained.arrays:
        if name not in fresh:
            raise RunError(
                f"{where} has an array '{name}' of shape {trained.arrays[name].shape}, the net has none",
                "set learner.args and preprocess as the checkpoint's run has them",
            )
    return taken


def _grown(fresh: Array, old: Array, slots: Slots | None) -> Array:
    if slots is None:
        return old
    grown = fresh.copy()
    index: list[Any] = [slice(None)] * fresh.ndim
    index[slots.axis] = np.asarray(slots.places, np.int64)
    grown[tuple(index)] = old
    return grown
