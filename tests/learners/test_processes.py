"""Two processes equal one: a script that really spawns them, as a user's would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

# 36 samples in batches of 5: shards of 3 and 2, and a last batch of 1, whose second shard is empty.
# 513 for validation: batches of 512 and 1.
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np, torch
from duchenne.datasets.arrays import from_arrays
from duchenne.errors import DuchenneError, RunError
from duchenne.labels import Output
from duchenne.learners.checkpoint import load_checkpoint
from duchenne.learners.contract import Storage
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Loss, Optimizer, Schedule, Stop, Train
from duchenne.transforms import Preprocess

OUTPUTS = (Output("emotion", "single", ("a", "b", "c")), Output("au", "multi", ("AU1", "AU12")))


def faces(n, seed):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    images = rng.integers(0, 95, (n, 12, 12), dtype=np.uint8) + (80 * codes[:, None, None]).astype(np.uint8)
    au = np.stack([codes == 0, codes > 0], 1).astype(np.float32)
    codes = np.where(np.arange(n) % 7 == 3, -1, codes)
    masks = {"au": rng.random((n, 2)) < 0.7}
    weight = rng.uniform(0.5, 2, n)
    targets = {"emotion": codes, "au": au}
    return from_arrays(images, targets, outputs=OUTPUTS, masks=masks, sample_weight=weight)


class Full:
    def on_start(self, epochs_done, epochs, steps_per_epoch): pass
    def on_batch(self, step): pass
    def on_epoch(self, row, history, best):
        raise RunError(f"disk full at epoch {row['epoch']}", "make room")


def learner(devices, lr=0.05):
    return TorchLearner(
        args={"filters": [4, 6], "batch_norm": False}, preprocess=Preprocess(size=(12, 12)),
        optimizer=Optimizer(name="sgd", lr=lr, momentum=0.9), schedule=Schedule(name="cosine"),
        loss=Loss(weights={"au": 0.5}, l1=1e-4, l2=1e-3, label_smoothing=0.1), stop=Stop(monitor="val_loss"),
        train=Train(epochs=3, batch_size=5, ema=0.5), accelerator="cpu", devices=devices,
    )


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    one = learner(1).fit(faces(36, 0), val=faces(513, 1), storage=Storage(folder / "one"))
    two = learner(2).fit(faces(36, 0), val=faces(513, 1), storage=Storage(folder / "two"))
    a, b = one.net_.state_dict(), two.net_.state_dict()
    pair = [load_checkpoint(folder / n / "last.safetensors") for n in ("one", "two")]
    said = {
        "weights": max(float((a[k] - b[k]).abs().max()) for k in a),
        "last": max(float((pair[0].model[k] - pair[1].model[k]).abs().max()) for k in a),
        "one": one.history_, "two": two.history_, "best": [one.best_, two.best_], "finished": two.finished_,
        "errors": [],
    }
    for lr, listener in ((0.05, Full()), (1e30, None)):
        try:
            learner(2, lr).fit(faces(36, 0), listener=listener)
        except DuchenneError as error:
            said["errors"].append([type(error).__name__, error.what])
    (folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("processes")
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(folder / "script.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads((folder / "said.json").read_text(encoding="utf-8"))
    return answer


def test_weights_equal_one_process(said: dict[str, Any]) -> None:
    assert said["weights"] <= 1e-5
    assert said["last"] <= 1e-5
    assert said["finished"] is True


def test_history_equals_one_process(said: dict[str, Any]) -> None:
    """Each sample was counted once, or the shares would differ."""
    assert len(said["one"]) == len(said["two"]) == 3
    for a, b in zip(said["one"], said["two"], strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"seconds"}:
            assert b[key] == pytest.approx(a[key], abs=1e-5), key
        known = 36 - 5  # every seventh face has no emotion
        assert (b["train_emotion_accuracy"] * known) % 1 == pytest.approx(0, abs=1e-9) or (
            b["train_emotion_accuracy"] * known
        ) % 1 == pytest.approx(1, abs=1e-9)
    assert said["best"][0]["epoch"] == said["best"][1]["epoch"]


def test_one_process_failure_is_everybodys_and_keeps_its_kind(said: dict[str, Any]) -> None:
    full, diverged = said["errors"]
    assert full == ["RunError", "disk full at epoch 1"]
    assert diverged[0] == "TrainingError"
    assert "in epoch 1, step 2 (of 8)" in diverged[1]
