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

    Source: Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 2, eq. 1.
    """
    logits: dict[str, npt.NDArray[Any]] = learner.logits(faces)
    return {
        name: torch.softmax(torch.from_numpy(logits[name][:, np.asarray(columns)]) / section.temperature, 1)
        for name, columns in places.items()
    }


def teacher_name(path: Path) -> str:
    """How errors name a teacher: its run, where the checkpoint lies in one."""
    return path.parent.parent.name if path.parent.name == "checkpoints" else str(path)
