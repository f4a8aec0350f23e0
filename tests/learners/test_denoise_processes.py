"""Two processes leave out what one leaves out: a script that really spawns them, as a user's would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# 37 samples in batches of 6: shards of 3 and 3, and a last batch of 1, whose second shard is empty.
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np, torch
from duchenne.datasets.arrays import from_arrays
from duchenne.labels import Output
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Denoise, Optimizer, Train
from duchenne.transforms import Preprocess


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    codes = np.arange(37) % 3
    images = rng.integers(0, 95, (37, 12, 12), dtype=np.uint8) + (80 * codes[:, None, None]).astype(np.uint8)
    codes = np.where(np.arange(37) % 7 == 3, -1, codes)
    faces = from_arrays(images, {"emotion": codes}, outputs=(Output("emotion", "single", ("a", "b", "c")),))
    found = []
    for devices in (1, 2):
        learner = TorchLearner(
            args={"filters": [4, 6], "batch_norm": False}, preprocess=Preprocess(size=(12, 12)),
            optimizer=Optimizer(name="sgd", lr=0.05, momentum=0.9), train=Train(epochs=4, batch_size=6),
            accelerator="cpu", devices=devices,
            denoise=Denoise(name="drop_largest", start=1, share=0.1, rounds=2),
        ).fit(faces)
        found.append([learner.denoised_, learner.history_])
    (Path(sys.argv[1]) / "said.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
"""


def test_two_processes_leave_out_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(tmp_path / "script.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (one, rows), (two, more) = json.loads((tmp_path / "said.json").read_text(encoding="utf-8"))
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        assert (a["n"], a["epoch"]) == (b["n"], b["epoch"])
        assert [g["id"] for g in a["removed"]] == [g["id"] for g in b["removed"]]
        assert a["m1"] == pytest.approx(b["m1"], rel=1e-4)
    for a, b in zip(rows, more, strict=True):
        assert a["train_loss_variance"] == pytest.approx(b["train_loss_variance"], rel=1e-3)
