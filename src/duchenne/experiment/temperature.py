"""The temperature or the scaling of a run's artifact: fitted on the validation part, or 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..artifacts import Artifact, Card, to_probs
from ..artifacts.artifact import CARD
from ..datasets.faceset import FaceSet
from ..errors import DataError
from ..evaluation import fit_scaling, fit_temperature

# Faces per call of the net.
BLOCK = 512

HOW = "temperature"  # what the card's figures say of it


How = Literal["one", "fit", "vector"]


def set_temperature(artifact: Artifact, how: How, val: FaceSet | None) -> Artifact:
    """The artifact with its temperatures or scalings as wanted; its card is written where that changes it.

    Args:
        artifact: A run's.
        how: "fit": by log loss on `val`, single view, each single-label output by itself; an output without
            truth there keeps 1, as multi-label ones do. "vector": a scale and a shift for each of such an
            output's labels, in the temperature's place. "one": 1 for all.
        val: The validation part, in the artifact's outputs and labels (`match`); None: it is not here, and
            what the card says stays.

    Raises:
        DataError: There is no validation part to fit on.
    """
    if val is None or how == said(artifact.card)["how"]:  # an artifact of another epoch has a card of its own
        return artifact
    figures = {k: v for k, v in artifact.card.figures.items() if k != HOW}
    values, scaling = {o.name: 1.0 for o in artifact.outputs}, {}
    if how != "one":
        if len(val) == 0:
            raise DataError(
                f"{val.name} has no validation part to fit a temperature on",
                'data.options.split names one; or set evaluate.temperature = "one"',
            )
        logits = all_logits(artifact, val)
        fitted = [o.name for o in artifact.outputs if o.kind == "single" and _has_truth(val, o.name)]
        truth = {name: np.asarray(val.targets[name]) for name in fitted}
        if how == "fit":
            for name in fitted:
                values[name] = round(fit_temperature(to_probs(logits[name], "single"), truth[name]), 4)
        else:
            for name in fitted:
                scale, shift = fit_scaling(logits[name], truth[name])
                scaling[name] = {"scale": scale, "shift": shift}
        figures[HOW] = {"how": how, "on": "val", "n": len(val), "fitted": sorted(fitted)}
    card = replace(artifact.card, temperature=values, scaling=scaling, figures=figures)
    card.save(artifact.folder / CARD)
    artifact.card = card
    return artifact


def _has_truth(val: FaceSet, output: str) -> bool:
    return output in val.targets and bool((val.hard(output) >= 0).any())


def all_logits(artifact: Artifact, faces: FaceSet) -> dict[str, Any]:
    """Output name -> logits ``(N, K)`` float32, whatever the temperature and the scaling."""
    return _joined(artifact, [artifact.logits(x) for x in _inputs(artifact, faces)])


def all_probs(artifact: Artifact, faces: FaceSet) -> dict[str, Any]:
    """Output name -> probabilities ``(N, K)`` float32, single view."""
    return _joined(artifact, [artifact.probs(x) for x in _inputs(artifact, faces)])


def _inputs(artifact: Artifact, faces: FaceSet) -> Iterator[Any]:
    for start in range(0, len(faces), BLOCK):
        yield artifact.preprocess(faces.pixels(np.arange(start, min(start + BLOCK, len(faces)))))


def _joined(artifact: Artifact, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {o.name: np.concatenate([b[o.name] for b in blocks]) for o in artifact.outputs}


def said(card: Card) -> dict[str, Any]:
    """What metrics say of it: {"how": "one" | "fit" | "vector", "values": {output: number}}.

    With "vector" also ``scaling``, as the card has it.
    """
    how = card.figures[HOW]["how"] if HOW in card.figures else "one"
    scaling = {name: dict(fitted) for name, fitted in card.scaling.items()}
    return {"how": how, "values": dict(card.temperature)} | ({"scaling": scaling} if scaling else {})
