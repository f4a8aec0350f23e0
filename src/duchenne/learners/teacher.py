"""Learning from a trained net's answers beside the labels: soft targets for the training faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..datasets.faceset import FaceSet
from ..errors import RunError
from ..labels import Output
from ..recipe import Teacher
from .arrayfile import learner_of
from .checkpoint import load_checkpoint


def check_teacher(path: Path) -> None:
    """Raise RunError where the checkpoint cannot be read or is not a torch learner's."""
    learner = learner_of(load_checkpoint(path).facts)
    if learner != "torch":
        raise RunError(
            f"teacher {teacher_name(path)} is of learner '{learner}'; a teacher is of learner 'torch'",
            'take a run whose recipe has learner.name = "torch"',
        )


def taught_places(theirs: Sequence[Output], ours: Sequence[Output], where: str) -> dict[str, list[int]]:
    """Output name -> for each of our labels its column in the teacher's answer.

    Single-label outputs that both have count; all labels of such an output must be the same, in any order.

    Raises:
        RunError: There is no such output, or its labels differ; `where` names the teacher.
    """
    known = {o.name: o.labels for o in theirs if o.kind == "single"}
    places = {}
    for output in ours:
        if output.kind != "single" or output.name not in known:
            continue
        labels = known[output.name]
        if set(labels) != set(output.labels):
            raise RunError(
                f"teacher {where} answers '{output.name}' by {', '.join(labels)}; "
                f"the data has {', '.join(output.labels)}",
                "take a teacher that was trained on the same labels",
            )
        places[output.name] = [labels.index(label) for label in output.labels]
    if not places:
        raise RunError(
            f"teacher {where} has no single-label output of the data's names "
            f"({', '.join(o.name for o in ours)})",
            "take a teacher that was trained on the same outputs",
        )
    return places


def soft_targets(
    learner: Any, faces: FaceSet, places: Mapping[str, Sequence[int]], section: Teacher
) -> dict[str, torch.Tensor]:
    """What a trained learner answers for each face as it stands, without augmentation.

    Args:
        learner: The teacher; `logits` is asked.
        faces: The training faces.
        places: From `taught_places`.
        section: Its `temperature` divides the logits.

    Returns:
        Output name -> probabilities ``(N, K)`` float32, each row with sum 1.

    Raises:
        RunError: An answer is not finite.

    Source: Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 2, eq. 1.
        There the net that learns is read at the same temperature, and its loss counts times the square of
        it; here it is read at 1, as it will be used, and its gradients need no such factor.
    """
    logits: dict[str, npt.NDArray[Any]] = learner.logits(faces)
    targets = {
        name: torch.softmax(torch.from_numpy(logits[name][:, np.asarray(columns)]) / section.temperature, 1)
        for name, columns in places.items()
    }
    for name, probs in targets.items():
        if not bool(probs.isfinite().all()):
            raise RunError(
                f"the teacher's answers to '{name}' are not all finite at teacher.temperature = "
                f"{section.temperature:g}",
                "take a temperature nearer to 1, or another teacher",
            )
    return targets


def teacher_name(path: Path) -> str:
    """How errors name a teacher: its run, where the checkpoint lies in one."""
    return path.parent.parent.name if path.parent.name == "checkpoints" else str(path)
