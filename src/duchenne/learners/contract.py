"""What every learner shares with its callers: where state is kept, who hears of progress. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..datasets.faceset import FaceSet
from ..denoise import Denoiser, make_denoiser
from ..errors import DataError, RecipeError, did_you_mean
from ..labels import Output
from ..recipe import Denoise, Loss, Section, Stop
from ..scratch.losses import balanced_positives
from ..scratch.solver import epoch_seed as epoch_seed  # one meaning of a seed for all learners
from ..scratch.stopping import StopRule, terms
from ..scratch.stopping import lower_is_better as lower_is_better

Array = npt.NDArray[Any]
Row = dict[str, Any]


class Listener(Protocol):
    """What hears of progress; called in the first process only.

    Must be picklable when several processes train; then a copy of it is called.
    """

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        """Training begins or goes on."""

    def on_batch(self, step: int) -> None:
        """An update was made; `step` counts within the epoch from 1."""

    def on_epoch(self, row: Row, history: list[Row], best: Row) -> None:
        """An epoch ended and its checkpoint is on disk."""


@dataclass(frozen=True)
class Storage:
    """Where a training keeps its state.

    Attributes:
        folder: Gets last.safetensors and best.safetensors after each epoch.
        tag: What the checkpoints belong to; resuming from another tag is refused.
        resume: Go on from what the folder holds.
        deadline: Seconds after which training ends at the end of an epoch.
    """

    folder: Path
    tag: str = ""
    resume: bool = False
    deadline: float | None = None


def figures_of(output: Output) -> tuple[str, str]:
    """Names of the figures that a history row has of an output, the main one first."""
    return ("accuracy", "macro_f1") if output.kind == "single" else ("binary_accuracy", "macro_f1")


def monitor_of(outputs: tuple[Output, ...], stop: Stop) -> str:
    """The history key that decides the best epoch, or several joined by " + "; checks `stop.targets` too.

    Raises:
        RecipeError: There is no such figure, a loss is added to what rises, or a target cannot be reached.
    """
    known = [f"val_{o.name}_{f}" for o in outputs for f in figures_of(o)] + ["val_loss"]
    if len(outputs) > 1:
        known += [f"val_{o.name}_loss" for o in outputs]
    first = next((o for o in outputs if o.kind == "single"), outputs[0])
    chosen = terms(stop.monitor or f"val_{first.name}_{figures_of(first)[0]}")
    for name in chosen:
        if name not in known:
            raise RecipeError(f"stop.monitor: there is no figure '{name}'", did_you_mean(name, known))
    if len({lower_is_better(name) for name in chosen}) > 1:
        raise RecipeError(
            f"stop.monitor = '{stop.monitor}' adds a loss, which falls, to what rises",
            "add losses to losses, or accuracies and F1 to their like",
        )
    for name, target in stop.targets.items():
        if name not in known:
            raise RecipeError(f"stop.targets: there is no figure '{name}'", did_you_mean(name, known))
        if not lower_is_better(name) and target > 1:
            raise RecipeError(f"stop.targets.{name} = {target:g} is above 1, the most it can be")
    return " + ".join(chosen)


def stop_rule(monitor: str, stop: Stop) -> StopRule:
    """The stopping rule; `monitor` is what `monitor_of` gave, or "" without validation."""
    return StopRule(monitor, stop.patience, stop.min_delta, stop.targets, stop.past_patience)


def check_loss(outputs: tuple[Output, ...], loss: Loss) -> Loss:
    """The loss section, checked against the outputs. Raises RecipeError."""
    names = [o.name for o in outputs]
    for name in loss.weights:
        if name not in names:
            raise RecipeError(f"loss.weights: there is no output '{name}'", did_you_mean(name, names))
    labels = [x for o in outputs if o.kind == "multi" for x in o.labels]
    if loss.positive_weights and not labels:
        raise RecipeError("loss.positive_weights: there is no multi-label output", "leave it out")
    for name in () if loss.positive_weights == "balanced" else loss.positive_weights:
        if name not in labels:
            raise RecipeError(
                f"loss.positive_weights: there is no label '{name}'", did_you_mean(name, labels)
            )
    return loss


def positive_weights(
    outputs: tuple[Output, ...], loss: Loss, arrays: Mapping[str, tuple[Array, Array]], weight: Array
) -> dict[str, npt.NDArray[np.float32]]:
    """What each label's positives weigh, ``(A,)`` per multi-label output; empty where all weigh 1.

    Args:
        outputs: The outputs.
        loss: Whose `positive_weights` are meant.
        arrays: Output name -> values and mask of the training samples (`target_arrays`).
        weight: ``(N,)`` weights of the training samples.
    """
    if not loss.positive_weights:
        return {}
    multi = [o for o in outputs if o.kind == "multi"]
    if loss.positive_weights == "balanced":
        return {o.name: balanced_positives(*arrays[o.name], weight)[0] for o in multi}
    given = loss.positive_weights
    return {o.name: np.array([given.get(x, 1.0) for x in o.labels], np.float32) for o in multi}


def check_trainable(faces: FaceSet) -> None:
    """Raises DataError where nothing can be learned."""
    if len(faces) == 0:
        raise DataError(f"{faces.name}: the training part is empty")
    for output in faces.outputs:
        if output.kind == "single" and sum(c > 0 for c in faces.class_counts(output.name).values()) < 2:
            raise DataError(f"{faces.name}: the training part has fewer than two classes of '{output.name}'")


def target_arrays(faces: FaceSet, output: Output) -> tuple[Array, npt.NDArray[np.float32]]:
    """Targets of an output as the losses take them.

    Returns:
        Values: ``(N,)`` int64 codes (-1: not annotated), ``(N, K)`` float32 distribution (votes), or
        ``(N, A)`` float32 occurrence (``multi``). Mask: 1 where annotated, ``(N,)`` or ``(N, A)`` float32.

    Raises:
        DataError: A code has no label.
    """
    values = np.asarray(faces.targets[output.name])
    if output.kind == "multi":
        mask = faces.masks.get(output.name, np.ones(values.shape, dtype=bool))
        return np.where(mask, values, 0).astype(np.float32), mask.astype(np.float32)
    if values.ndim == 1:
        if len(values) and int(values.max()) >= output.num_classes:
            raise DataError(f"{faces.name}: code {int(values.max())} of '{output.name}' has no label")
        return values.astype(np.int64), (values >= 0).astype(np.float32)
    total = values.sum(axis=1, keepdims=True)
    share = (values / np.where(total > 0, total, 1)).astype(np.float32)
    return share, (total[:, 0] > 0).astype(np.float32)


def sample_weights(faces: FaceSet, weight: Array | None) -> npt.NDArray[np.float32]:
    """``(N,)`` float32: the given weights (None: ones) times the set's own. Raises DataError."""
    w = np.ones(len(faces), np.float32) if weight is None else np.asarray(weight, np.float32)
    if faces.sample_weight is not None:
        w = w * np.asarray(faces.sample_weight, np.float32)
    if not np.isfinite(w).all() or (w < 0).any() or (len(w) and not w.any()):
        raise DataError(f"{faces.name}: sample weights must be finite, 0 or more, and not all 0")
    return w


def denoiser_of(section: Denoise | None, faces: FaceSet) -> Denoiser | None:
    """What leaves samples out of a training on these faces (rows may repeat), or None.

    The classes that may not be emptied are those of the first single-label output.
    """
    single = next((o for o in faces.outputs if o.kind == "single"), None)
    codes = np.full(len(faces), -1) if single is None else faces.hard(single.name)
    return make_denoiser(section, faces.ids, codes, () if single is None else single.labels)


def refuse_unused(
    learner: str, sections: Mapping[str, Section], honoured: Mapping[str, Sequence[str]]
) -> None:
    """Raise RecipeError for a setting that would be ignored in silence.

    Args:
        learner: The learner's name, for the message.
        sections: Section name -> its values.
        honoured: Section name -> the fields that the learner heeds; all others must be at their default.
    """
    for name, section in sections.items():
        if isinstance(section, Stop) and "targets" not in honoured.get(name, ()) and "+" in section.monitor:
            raise RecipeError(f"stop.monitor = '{section.monitor}': learner '{learner}' watches one figure")
        for field, info in type(section).model_fields.items():
            value = getattr(section, field)
            if field not in honoured.get(name, ()) and value != info.get_default(call_default_factory=True):
                raise RecipeError(
                    f"{name}.{field} = {value!r}: learner '{learner}' has no such setting",
                    f"leave it out; of [{name}] it heeds {', '.join(honoured.get(name, ())) or 'nothing'}",
                )


def outputs_to_json(outputs: tuple[Output, ...]) -> list[dict[str, Any]]:
    """Outputs as plain JSON values."""
    return [{"name": o.name, "kind": o.kind, "labels": list(o.labels)} for o in outputs]


def outputs_from_json(rows: list[Mapping[str, Any]]) -> tuple[Output, ...]:
    """What `outputs_to_json` wrote. Raises KeyError when a field is missing."""
    return tuple(Output(o["name"], o["kind"], tuple(o["labels"])) for o in rows)
