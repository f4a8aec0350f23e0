"""Every model as an artifact answers as the torch net does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from duchenne.artifacts import Artifact, Card, save_artifact
from duchenne.datasets.faceset import FaceSet
from duchenne.learners.torch_learner import TorchLearner
from duchenne.models import MODELS
from duchenne.recipe import Optimizer
from duchenne.transforms import Preprocess

# Smaller than the defaults where those are slow; a model not named here is tested as it is.
ARGS = {
    "friv": {"filters": [4, 6, 8], "pools": ["max", "average", "max"], "padding": "half-valid", "dense": 16},
    "smallnet": {"filters": [4, 6, 8], "grid": 4},  # 6 x 6 into 4 x 4: cells that overlap
}


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("channels", [1, 3])
def test_artifact_equals_net(
    make_faces: Callable[..., FaceSet],
    make_learner: Callable[..., TorchLearner],
    tmp_path: Path,
    model: str,
    channels: int,
) -> None:
    faces = make_faces(24, au=True, side=48)
    pre = Preprocess(size=(48, 48), channels=channels, mean=(0.4,), std=(0.3,))
    learner = make_learner(
        model=model, args=ARGS.get(model, {}), preprocess=pre, epochs=2, optimizer=Optimizer()
    )
    learner.fit(faces)
    card = Card(name=model, outputs=learner.outputs_, preprocess=pre.to_json())
    save_artifact(tmp_path, learner.to_onnx(), card)
    artifact = Artifact.load(tmp_path)
    x = pre(faces.pixels())
    logits, probs = learner.logits(faces), learner.predict_proba(faces)
    for n in (24, 1, 5):
        ours = artifact.probs(x[:n])
        assert list(ours) == ["emotion", "au"]
        for name in ours:
            np.testing.assert_allclose(artifact.logits(x[:n])[name], logits[name][:n], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(ours[name], probs[name][:n], atol=1e-5)
    assert len(np.unique(logits["emotion"].round(4))) > 3  # different images, different answers
    again = learner.predict_proba(faces)  # the export leaves the learner as it was
    np.testing.assert_array_equal(again["emotion"], probs["emotion"])
