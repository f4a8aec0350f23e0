"""The model inside the package: what it may weigh, what it says of itself, and that it answers so."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from duchenne.artifacts import Artifact, packaged_model, packaged_weights
from duchenne.artifacts.packaged import MAX_BYTES, MAX_PARAMETERS
from duchenne.datasets.fer2013 import load_fer2013
from duchenne.evaluation.calibration import temper
from duchenne.evaluation.classification import log_loss
from duchenne.labels import FER2013_EMOTIONS, FERPLUS_EMOTIONS


@pytest.fixture(scope="module")
def folder() -> Path:
    found = packaged_model()
    assert found is not None
    return found


def test_it_is_small_and_whole(folder: Path) -> None:
    files = {p.name: p.stat().st_size for p in folder.iterdir()}
    texts = {"card.json", "README.md", "LICENSE.md"}
    assert set(files) == {"model.onnx", "model.int8.onnx", "weights.safetensors", *texts}
    assert sum(files.values()) <= MAX_BYTES
    card = Artifact.load(folder).card
    assert hashlib.sha256(packaged_weights().read_bytes()).hexdigest() == card.weights["sha256"]
    with safe_open(packaged_weights(), framework="numpy") as file:
        shapes = {k: file.get_slice(k).get_shape() for k in file.keys()}  # noqa: SIM118  # no dict
    counts = [np.prod(s) for k, s in shapes.items() if "running_" not in k and "num_batches" not in k]
    assert 1_000_000 < sum(counts) <= MAX_PARAMETERS


def test_it_says_what_it_is(folder: Path) -> None:
    card = Artifact.load(folder).card
    assert [(o.name, o.labels) for o in card.outputs] == [
        ("emotion", FER2013_EMOTIONS),
        ("ferplus", FERPLUS_EMOTIONS),
    ]
    assert "research" in card.terms
    assert set(card.figures["temperature"]["fitted"]) == {"emotion", "ferplus"}
    text = (folder / "README.md").read_text()
    for needed in ("license:", "PrivateTest", "2024/1689", "out-of-scope", "calibration"):
        assert needed.lower() in text.lower(), needed


def test_both_precisions_answer_alike(folder: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (16, 48, 48), dtype=np.uint8)
    exact = Artifact.load(folder, precision="fp32").predict(faces)
    whole = Artifact.load(folder, precision="int8").predict(faces)
    for name, probs in exact.items():
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
        assert np.abs(probs - whole[name]).mean() < 0.05


@pytest.mark.real_data
def test_it_is_as_right_as_its_card_says(folder: Path, data_dir: Path, tmp_path: Path) -> None:
    """On PublicTest, which it was chosen on; PrivateTest is `duchenne evaluate`'s to read."""
    faces = load_fer2013(data_dir, cache_dir=tmp_path).where("val")
    truth = faces.hard("emotion")
    right = {}
    for precision in ("fp32", "int8"):
        artifact = Artifact.load(folder, precision=precision)
        probs = artifact.predict(faces.pixels())["emotion"]
        right[precision] = float((probs.argmax(axis=1) == truth).mean())
        # Its temperature is the one of least log loss there: no other is better by more than int8 moves it.
        told = [log_loss(temper(probs, t), truth) for t in (0.9, 1.0, 1.1)]
        assert min(told) >= told[1] - 1e-4
    # The figure of the training itself is of bfloat16; two faces for what other processors round otherwise.
    assert right["fp32"] == pytest.approx(artifact.card.int8["measured"]["fp32"], abs=0.0006)
    assert right["fp32"] - right["int8"] <= 0.005
