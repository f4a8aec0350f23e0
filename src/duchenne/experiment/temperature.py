"""The temperature of a run's artifact: fitted on the validation part, or 1."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..artifacts import Artifact, to_probs
from ..artifacts.artifact import CARD
from ..datasets.faceset import FaceSet
from ..errors import DataError
from ..evaluation import fit_temperature

# Faces per call of the net.
BLOCK = 512

HOW = "temperature"  # what the card's figures say of it


def set_temperature(artifact: Artifact, how: Literal["one", "fit"], val: FaceSet | None) -> Artifact:
    """The artifact with its temperatures as wanted; its card is written where that changes it.

    Args:
        artifact: A run's.
        how: "fit": by log loss on `val`, single view, each single-label output by itself; an output without
            truth there keeps 1, as multi-label ones do. "one": 1 for all.
        val: The validation part, in the artifact's outputs and labels (`match`); None: it is not here, and
            what the card says stays.

    Raises:
        DataError: There is no validation part to fit on.
    """
    before = artifact.card.figures.get(HOW)
    if val is None or (how == "one" and before is None):
        return artifact
    if how == "fit" and before is not None:  # an artifact of another epoch has a card of its own
        return artifact
    figures = {k: v for k, v in artifact.card.figures.items() if k != HOW}
    values = {o.name: 1.0 for o in artifact.outputs}
    if how == "fit":
        if len(val) == 0:
            raise DataError(
                f"{val.name} has no validation part to fit a temperature on",
                'data.options.split names one; or set evaluate.temperature = "one"',
            )
        fitted = _fitted(artifact, val)
        values |= fitted
        figures[HOW] = {"how": "fit", "on": "val", "n": len(val), "fitted": sorted(fitted)}
    card = replace(artifact.card, temperature=values, figures=figures)
    card.save(artifact.folder / CARD)
    artifact.card = card
    return artifact


def _fitted(artifact: Artifact, val: FaceSet) -> dict[str, float]:
    """Output name -> temperature."""
    logits = all_logits(artifact, val)
    found = {}
    for output in artifact.outputs:
        if (
            output.kind != "single"
            or output.name not in val.targets
            or not (val.hard(output.name) >= 0).any()
        ):
            continue
        probs = to_probs(logits[output.name], "single")
        found[output.name] = round(fit_temperature(probs, np.asarray(val.targets[output.name])), 4)
    return found


def all_logits(artifact: Artifact, faces: FaceSet) -> dict[str, Any]:
    """Output name -> logits ``(N, K)`` float32, whatever the temperature."""
    blocks = []
    for start in range(0, len(faces), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(faces)))
        blocks.append(artifact.logits(artifact.preprocess(faces.pixels(rows))))
    return {o.name: np.concatenate([b[o.name] for b in blocks]) for o in artifact.outputs}


def said(artifact: Artifact) -> dict[str, Any]:
    """What metrics say of it: {"how": "one" | "fit", "values": {output: number}}."""
    fitted = HOW in artifact.card.figures
    return {"how": "fit" if fitted else "one", "values": dict(artifact.card.temperature)}
