"""How much of a calibration error could be calibrated away at all, by what a run's evaluations have stored.

    python benchmarks/calibration.py RUN [--data DIR]

For each evaluated part: the error as it is; after one temperature, and after a scale and a shift a label,
which are fitted by log loss on the very faces that are then measured (with the ridge that `evaluate` uses,
and without); the same probabilities in other numbers of bins; and what chance leaves where each label is
drawn from the probabilities themselves. Nothing is fitted for use here.

With --data also: whether the validation part's labels follow FER+'s votes as the training part's do. Logistic
regression of the label on the votes, of 7 eighths of Training, is held against the other eighth, and that of
all of it against validation: twice the gain in log likelihood from a shift a label, 6 degrees of freedom.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from duchenne.build import build_faces
from duchenne.evaluation import Predictions, expected_calibration_error, fit_scaling, fit_temperature
from duchenne.evaluation.calibration import RIDGE, temper
from duchenne.experiment import Run

Array = npt.NDArray[Any]
BINS = (10, 12, 15, 18, 20)
DRAWS = 300


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    run = Run.open(given.run)
    for name in ("val", "test"):
        if run.predictions_path(name).is_file():
            print(f"{name}: {errors(Predictions.load(run.predictions_path(name)))}", flush=True)
    if given.data is not None:
        compare_votes(run, given.data)


def errors(predictions: Predictions) -> str:
    """Of the first output."""
    name = predictions.outputs[0].name
    truth = predictions.hard(name)
    probs = predictions.probs[name][truth >= 0]
    truth = truth[truth >= 0]
    logits = np.log(np.maximum(probs.astype(np.float64), 1e-12))
    scaled = {}
    for ridge in (RIDGE, 0.0):
        scale, shift = fit_scaling(logits, truth, ridge)
        scaled[ridge] = temper(np.exp(logits * np.array(scale) + np.array(shift)), 1.0)
    rng = np.random.default_rng(0)
    steps = probs.cumsum(axis=1) / probs.sum(axis=1, keepdims=True)
    drawn = [
        percent(probs, (rng.random((len(probs), 1)) > steps).sum(axis=1).clip(0, probs.shape[1] - 1))
        for _ in range(DRAWS)
    ]
    others = ", ".join(f"{bins}: {percent(probs, truth, bins):.2f}%" for bins in BINS)
    fitted = {
        "temperature": temper(probs, fit_temperature(probs, truth)),
        "scale and shift": scaled[RIDGE],
        "without a ridge": scaled[0.0],
    }
    here = ", ".join(f"{how} {percent(p, truth):.2f}%" for how, p in fitted.items())
    return (
        f"{len(truth):,} faces, calibration error {percent(probs, truth):.2f}%; fitted here: {here}; bins "
        f"{others}; chance {np.mean(drawn):.2f}%, in 95 of 100 below {np.percentile(drawn, 95):.2f}%"
    )


def percent(probs: Array, truth: Array, bins: int = 15) -> float:
    """The expected calibration error in percent."""
    return 100 * expected_calibration_error(probs, truth, bins)


def compare_votes(run: Run, data: Path) -> None:
    """Print the gains of Training's eighths, and that of validation."""
    faces = build_faces(run.recipe, data)
    (x, y), (x_val, y_val) = (votes_and_labels(faces.where(part)) for part in ("train", "val"))
    order = np.random.default_rng(0).permutation(len(y))
    gains = []
    for k in range(8):
        held = order[k::8]
        rest = np.setdiff1d(order, held)
        gains.append(gain(x[rest], y[rest], x[held], y[held])[0])
    told, shifts = gain(x, y, x_val, y_val)
    labels = faces.outputs[0].labels
    print(f"labels against votes, eighths of Training ({len(y) // 8:,} faces): gains {np.round(gains, 1)}")
    print(f"validation ({len(y_val):,} faces): gain {told:.1f}; shifts ", end="")
    print(", ".join(f"{label} {shift:+.2f}" for label, shift in zip(labels, shifts, strict=True)))


def votes_and_labels(faces: Any) -> tuple[Array, Array]:
    """Of the faces that have votes: what the regression sees, and the labels' codes."""
    votes = np.asarray(faces.targets["ferplus"], np.float64)
    known = votes.sum(axis=1) > 0
    votes = votes[known]
    return np.concatenate([votes, np.sqrt(votes), np.log(votes + 0.05)], axis=1), faces.hard("emotion")[known]


def gain(x: Array, y: Array, x_held: Array, y_held: Array) -> tuple[float, Array]:
    """Twice the log likelihood that a shift a label gains on held-out faces, and the shifts (sum 0)."""
    logs = LogisticRegression(max_iter=3000).fit(x, y).predict_log_proba(x_held)

    def loss(shifts: Array) -> float:
        moved = logs + shifts
        moved -= np.log(np.exp(moved).sum(axis=1, keepdims=True))
        return -float(moved[np.arange(len(y_held)), y_held].sum())

    best = minimize(loss, np.zeros(logs.shape[1]), method="L-BFGS-B").x
    return 2 * (loss(np.zeros_like(best)) - loss(best)), best - best.mean()


if __name__ == "__main__":
    main()
