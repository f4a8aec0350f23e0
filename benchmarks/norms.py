"""What batch norms' statistics of plain training faces change in a trained net, on the validation part.

    python benchmarks/norms.py RUN_OR_CHECKPOINT --data DIR [--recipe fer-flagship]

Prints accuracy, log loss and calibration error with the checkpoint's own statistics and with those that
`train.precise_norms` takes, as the faces stand and mirrored; the last two after a temperature, and after a
scale and a shift a label, that are fitted on the same faces.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from duchenne.artifacts import to_probs
from duchenne.build import build_faces
from duchenne.datasets.faceset import FaceSet
from duchenne.evaluation import expected_calibration_error, fit_scaling, fit_temperature
from duchenne.evaluation.classification import sample_losses
from duchenne.learners.batches import Source
from duchenne.learners.norms import precise_norms
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import load_recipe


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="a run's folder, or a checkpoint's file")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="fer-flagship", help="whose data are taken")
    given = parser.parse_args()
    path = given.run if given.run.is_file() else given.run / "checkpoints" / "best.safetensors"
    learner = TorchLearner.load(path)
    faces = build_faces(load_recipe(given.recipe), given.data)
    val = faces.where("val")
    mirrored = replace(val, images=np.ascontiguousarray(val.pixels()[:, :, ::-1]), rows=np.arange(len(val)))
    print(f"{path}: {val.name}, {len(val)} faces; then the same mirrored")
    for what in ("own", "precise"):
        if what == "precise":
            source = Source(faces.where("train"), learner.preprocess)
            precise_norms(
                learner.net_, source, np.arange(len(source)), 0, lambda images: inputs(learner, images)
            )
        for part in (val, mirrored):
            print(f"{what:8} {figures(learner, part)}", flush=True)


def inputs(learner: Any, images: Any) -> Any:
    """The net's input, as the training loop makes it without augmentation."""
    preprocess = learner.preprocess
    return preprocess.normalise(preprocess.scale(images))


def figures(learner: Any, part: FaceSet) -> str:
    """Of the first output."""
    name = part.outputs[0].name
    logits, truth = learner.logits(part)[name], part.hard(name)
    probs = to_probs(logits, "single")
    tempered = to_probs(logits, "single", fit_temperature(probs, truth))
    scale, shift = fit_scaling(logits, truth)
    scaled = to_probs(logits * np.array(scale) + np.array(shift), "single")
    said = [f"accuracy {100 * (logits.argmax(1) == truth).mean():.2f}%"]
    for how, p in (("temperature", tempered), ("vector", scaled)):
        loss, error = sample_losses(p, truth).mean(), expected_calibration_error(p, truth)
        said.append(f"{how}: log loss {loss:.4f}, calibration {100 * error:.2f}%")
    return "; ".join(said)


if __name__ == "__main__":
    main()
