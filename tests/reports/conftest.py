"""A run folder as training and evaluation leave it, made of structured chance instead of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duchenne.evaluation import Predictions, evaluate_predictions
from duchenne.experiment.run import Run
from duchenne.labels import FER2013_EMOTIONS, Output
from duchenne.recipe import parse_recipe

AUS = ("AU1", "AU4", "AU6", "AU12", "AU25", "AU27")

MakeRun = Callable[..., Run]


def recipe_table(**changes: Any) -> dict[str, Any]:
    """A recipe of two outputs with claims."""
    table = {
        "schema": 1,
        "id": "try-two",
        "title": "A try with two outputs",
        "source": "try2024, section 1",
        "data": {"name": "synthetic", "outputs": ["emotion", "au"], "options": {"n": 400}},
        "learner": {"name": "torch", "model": "friv", "args": {"filters": [8, 16]}},
        "train": {"epochs": 50},
        "expect": {
            "train": {"accuracy": 0.79},
            "val": {"accuracy": 0.6353, "loss": 1.2657},
            "test": {"accuracy": 0.67, "f1.happy": 0.86, "f1.sad": 0.53},
            "notes": ["The padding is unstated."],
        },
    }
    return table | changes


def predictions(
    n: int = 300,
    seed: int = 0,
    skill: float = 2.5,
    labels: tuple[str, ...] = FER2013_EMOTIONS,
    au: bool = True,
) -> Predictions:
    """Answers that are better than chance by `skill`; the same ids and truth for every `skill`."""
    truth, noise = np.random.default_rng(7), np.random.default_rng(seed)
    k = len(labels)
    codes = truth.choice(k, n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    # The first class never occurs and is never answered, so that its figures are undefined.
    codes[codes == 0] = 1
    logits = noise.normal(size=(n, k)) + skill * np.eye(k)[codes]
    logits[:, 0] = -30
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    outputs = [Output("emotion", "single", labels)]
    all_probs, targets = {"emotion": probs.astype(np.float32)}, {"emotion": codes}
    if au:
        outputs.append(Output("au", "multi", AUS))
        on = (truth.random((n, len(AUS))) < [0.4, 0.3, 0.5, 0.2, 0.1, 0.0]).astype(np.float32)
        guess = 1 / (1 + np.exp(-(noise.normal(size=on.shape) * 2 + skill * (on - 0.5))))
        all_probs["au"], targets["au"] = guess.astype(np.float32), on
    return Predictions(
        ids=np.array([f"face-{i:04d}" for i in range(n)]),
        outputs=tuple(outputs),
        probs=all_probs,
        targets=targets,
        in_train=truth.random(n) < 0.1,
    )


def history(epochs: int) -> list[dict[str, Any]]:
    """Curves of the usual shape: training goes on falling, validation turns."""
    e = np.arange(1, epochs + 1)
    columns = {
        "lr": 1e-3 * 0.98 ** (e / 4.4),
        "seconds": np.full(epochs, 31.5),
        "train_loss": 1.6 * np.exp(-e / 18) + 0.2,
        "val_loss": 1.15 + 0.6 * np.exp(-e / 4) + 0.008 * e,
        "train_emotion_loss": 1.0 * np.exp(-e / 18) + 0.1,
        "val_emotion_loss": 0.9 + 0.006 * e,
        "train_emotion_accuracy": 0.82 - 0.5 * np.exp(-e / 12),
        "val_emotion_accuracy": 0.63 - 0.3 * np.exp(-e / 6) - 0.0005 * e,
        "train_au_binary_accuracy": 0.9 - 0.2 * np.exp(-e / 12),
        "val_au_binary_accuracy": 0.85 - 0.2 * np.exp(-e / 12),
    }
    return [{"epoch": int(i + 1)} | {k: float(v[i]) for k, v in columns.items()} for i in range(epochs)]


def run_maker_in(folder: Path) -> MakeRun:
    """What makes runs in a folder: how many epochs are done, what is evaluated, on which predictions."""

    def make(
        name: str = "try-two",
        *,
        epochs: int = 50,
        status: str = "finished",
        evaluated: tuple[str, ...] = ("val", "test"),
        overrides: tuple[str, ...] = (),
        seed: int = 0,
        skill: float = 2.5,
        table: dict[str, Any] | None = None,
        labels: tuple[str, ...] = FER2013_EMOTIONS,
        au: bool = True,
        data_fingerprint: str = "0123456789abcdef",
    ) -> Run:
        recipe = parse_recipe(
            table or recipe_table(), where="test", overrides=[*overrides, f"train.seed={seed}"]
        )
        run = Run.create(folder / "runs" / name, recipe, list(overrides))
        rows = history(epochs)
        run.save_history(rows)
        state = run.state
        state.status = status  # type: ignore[assignment]
        state.epochs_done, state.num_parameters, state.train_seconds = epochs, 1_234_567, 31.5 * epochs
        if rows:
            best = max(rows, key=lambda r: r["val_emotion_accuracy"])
            state.best = {
                "epoch": best["epoch"],
                "monitor": "val_emotion_accuracy",
                "value": best["val_emotion_accuracy"],
            }
        run.save_state(state)
        counts = dict(zip(labels, [0, 30, 60, 90, 120, 150, 180], strict=False))
        outputs = {
            "emotion": {
                "kind": "single",
                "labels": list(labels),
                **dict.fromkeys(("train", "val", "test"), counts),
            }
        }
        if au:
            on = dict(zip(AUS, [120, 90, 150, 60, 30, 0], strict=True))
            outputs["au"] = {
                "kind": "multi",
                "labels": list(AUS),
                **dict.fromkeys(("train", "val", "test"), on),
            }
        run.save_info(
            "data",
            {
                "name": "synthetic", "n": 1890, "splits": {"train": 630, "val": 630, "test": 630},
                "unused": 0, "parts": {}, "outputs": outputs, "notes": ["Procedural faces."],
                "fingerprint": data_fingerprint,
            },
        )  # fmt: skip
        run.save_info("environment", {"versions": {"python": "3.11.9", "torch": "2.5.0"}, "cores": 2})
        for part in evaluated:
            p = predictions(seed=seed * 10 + len(part), skill=skill, labels=labels, au=au)
            p.save(run.predictions_path(part))
            run.save_metrics(part, evaluate_predictions(p, bootstrap=100))
            if part == "test":
                run.note_test_read("evaluate", int(run.state.best["epoch"]))
        return run

    return make


@pytest.fixture(scope="session")
def run_maker() -> Callable[[Path], MakeRun]:
    """What makes runs, by folder."""
    return run_maker_in


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """What makes runs in this test's folder."""
    return run_maker_in(tmp_path)


def noise_face(name: str) -> np.ndarray:
    """A face-like blob of noise for an id."""
    rng = np.random.default_rng(sum(map(ord, name)))
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    blob = 200 * np.exp(-((x / 0.7) ** 2 + y**2) * 1.5)
    return np.asarray((blob + rng.integers(0, 55, (48, 48))).astype(np.uint8))


@pytest.fixture(scope="session")
def image_of() -> Callable[[str], np.ndarray]:
    """Pixels by id."""
    return noise_face


@pytest.fixture
def make_predictions() -> Callable[..., Predictions]:
    """Predictions by seed and skill."""
    return predictions


@pytest.fixture
def make_table() -> Callable[..., dict[str, Any]]:
    """The recipe's table."""
    return recipe_table
