"""The 8-bit model of a run: calibrated on training faces, its loss measured on validation faces."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from ..artifacts import Artifact, save_artifact
from ..artifacts.quantise import quantise
from ..datasets.faceset import FaceSet
from ..evaluation.classification import labelled
from ..evaluation.predictions import hard_codes
from .evaluate import match_faces
from .temperature import all_probs

# Training faces whose activations give the ranges. On FER2013, four times as many, or as many of each class,
# were no better: each changed one answer in a hundred.
CALIBRATION_FACES = 512

# In percentage points; what the int8 model may lose and still stand for the other.
MAX_LOSS_POINTS = 0.5


def int8_model(artifact: Artifact, onnx_bytes: bytes, faces: FaceSet) -> tuple[bytes, dict[str, Any]]:
    """Quantise a run's model, and say what that costs.

    Args:
        artifact: The run's.
        onnx_bytes: Its model.
        faces: The run's data.

    Returns:
        The int8 model, and the card's ``int8``: ``default`` and ``measured`` (empty without a validation
        part).

    Raises:
        RunError: There is nothing to quantise.
    """
    train = faces.where("train")
    rows = calibration_rows(train)
    x = artifact.preprocess(train.pixels(rows))
    content = quantise(onnx_bytes, x)
    val = faces.where("val")
    facts: dict[str, Any] = {"default": False, "measured": {}, "calibration_faces": len(rows)}
    if len(val):
        facts["measured"] = measured = _measured(artifact, content, match_faces(val, artifact)[0])
        facts["default"] = bool(measured) and measured["loss_points"] <= MAX_LOSS_POINTS
    return content, facts


def calibration_rows(train: FaceSet) -> npt.NDArray[np.int64]:
    """Up to `CALIBRATION_FACES` rows by chance, seeded: classes as frequent as in training."""
    rows = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_FACES]
    return np.sort(rows).astype(np.int64)


def _measured(artifact: Artifact, content: bytes, val: FaceSet) -> dict[str, Any]:
    """Right answers of both models on the first output that the faces have truth for."""
    output = next((o for o in artifact.outputs if o.kind == "single" and o.name in val.targets), None)
    output = output or next((o for o in artifact.outputs if o.name in val.targets), None)
    if output is None:
        return {}
    with TemporaryDirectory() as folder:
        save_artifact(Path(folder), content, artifact.card)
        theirs = all_probs(Artifact.load(Path(folder), precision="fp32"), val)[output.name]
    ours = all_probs(artifact, val)[output.name]
    target = np.asarray(val.targets[output.name])
    if output.kind == "single":
        known = labelled(target)
        if not known.any():
            return {}
        truth = hard_codes(target)[known]
        before, after = (p[known].argmax(axis=1) for p in (ours, theirs))
    else:
        mask = val.masks.get(output.name, np.ones(target.shape, bool))
        truth = (target[mask] >= 0.5).astype(np.int64)
        before, after = ((p[mask] > 0.5).astype(np.int64) for p in (ours, theirs))
    right = [float((said == truth).mean()) for said in (before, after)]
    return {
        "on": "val",
        "n": len(val),
        "output": output.name,
        "figure": "accuracy" if output.kind == "single" else "binary_accuracy",
        "fp32": right[0],
        "int8": right[1],
        "loss_points": round(100 * (right[0] - right[1]), 4),
        "same_answer": float((before == after).mean()),
    }
