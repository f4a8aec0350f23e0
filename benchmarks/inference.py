"""How fast an exported model answers beside torch: onnxruntime in float32 and in 8 bits, batches of 1 and 64.

    python benchmarks/inference.py MODEL RUN [--pairs 30] [--data DIR]

MODEL is a folder of `duchenne export --int8`, RUN the torch run that it is of. One thread each; medians of
interleaved turns in one process, as ratios to torch eager (float32, eval, no_grad):
- onnxruntime float32 / torch eager; to reach: >= 1.8 at batch 1 and 64;
- int8 / torch eager; to reach: >= 2.8;
- torch in channels_last, for comparison;
- other processes take a part of a turn's time; the ratio of CPU time is printed beside that of the clock.

With --data also: accuracy of both models on FER2013's two test parts, and how far float32 differs from torch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from duchenne.artifacts import Artifact
from duchenne.experiment import Run
from duchenne.learners.torch_learner import TorchLearner
from duchenne.models import make_model

Turn = Callable[[], Any]
GOALS = {"onnxruntime fp32": 1.8, "onnxruntime int8": 2.8}


def turns(learner: TorchLearner, models: dict[str, Artifact], x: np.ndarray) -> dict[str, Turn]:
    """Name -> one call of the net on a batch, logits out."""
    # The learner's own net is in channels last; a user's is as it was made.
    wanted = {o.name: o.num_classes for o in learner.outputs_}
    plain = make_model(learner.model, x.shape[1], x.shape[2:], wanted, learner.args or {})
    plain.load_state_dict(learner.net_.state_dict())
    plain.eval()
    moved = learner.net_
    tensor = torch.from_numpy(x)

    @torch.no_grad()
    def eager() -> Any:
        return plain(tensor)

    @torch.no_grad()
    def channels_last() -> Any:
        return moved(tensor.contiguous(memory_format=torch.channels_last))

    found: dict[str, Turn] = {"torch eager": eager, "torch channels_last": channels_last}
    for name, artifact in models.items():
        found[f"onnxruntime {name}"] = lambda a=artifact: a.logits(x)
    return found


def compare(calls: dict[str, Turn], pairs: int) -> dict[str, tuple[float, float]]:
    """Name -> median seconds by the clock and of CPU, over interleaved turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(pairs):
        for name, call in calls.items():
            clock, cpu = time.perf_counter(), time.process_time()
            call()
            taken[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    return {
        name: (statistics.median(t[0] for t in rows), statistics.median(t[1] for t in rows))
        for name, rows in taken.items()
    }


def report_speed(learner: TorchLearner, models: dict[str, Artifact], pairs: int) -> None:
    """Print a line a batch size and way."""
    wanted = models["fp32"].preprocess
    for n in (1, 64):
        x = np.random.default_rng(0).normal(size=(n, wanted.input_channels, *wanted.input_size))
        done = compare(turns(learner, models, x.astype(np.float32)), pairs if n > 1 else 4 * pairs)
        clock, cpu = done["torch eager"]
        for name, (seconds, used) in done.items():
            goal = f"  (to reach: {GOALS[name]})" if name in GOALS else ""
            print(
                f"batch {n:2}  {name:20} {1000 * seconds:8.2f} ms  {n / seconds:7.0f} faces/s  "
                f"{clock / seconds:5.2f} x torch eager, by CPU time {cpu / used:5.2f}{goal}"
            )


def report_accuracy(learner: TorchLearner, models: dict[str, Artifact], data: Path) -> None:
    """Print what int8 costs on FER2013's parts that nothing was trained on, and the distance to torch."""
    from duchenne.datasets import load

    split = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
    faces = load("fer2013", data, split=split).keep_outputs(["emotion"])
    for part, name in (("val", "PublicTest"), ("test", "PrivateTest")):
        held = faces.where(part)
        truth, right = held.hard("emotion"), {}
        for precision, artifact in models.items():
            said = artifact.predict(held.pixels())["emotion"].argmax(axis=1)
            right[precision] = 100 * float((said == truth).mean())
        loss = right["fp32"] - right["int8"]
        shown = ", ".join(f"{k} {v:.2f} %" for k, v in right.items())
        print(f"{name} ({len(held):,} faces), single view: {shown}; lost {loss:+.2f} points (at most 0.5)")
    some = faces.where("val").select(np.arange(1000))
    ours = models["fp32"].logits(models["fp32"].preprocess(some.pixels()))
    theirs = learner.logits(some)
    worst = max(float(np.abs(ours[k] - theirs[k]).max()) for k in ours)
    print(f"logits against torch, {len(some):,} faces of PublicTest: at most {worst:.1e} (to reach: 1e-4)")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    models = {p: Artifact.load(given.model, threads=1, precision=p) for p in ("fp32", "int8")}
    learner = TorchLearner.load(given.run / "checkpoints" / "best.safetensors")
    report_speed(learner, models, given.pairs)
    if given.data is not None:
        Run.open(given.run).note_test_read("benchmarks/inference.py", learner.best_["epoch"])
        report_accuracy(learner, models, given.data)


if __name__ == "__main__":
    main()
