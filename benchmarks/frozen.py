"""What training a head of a frozen body costs with its features computed once, and in every epoch.

    python benchmarks/frozen.py [--body mobilenet-v1] [--side 224] [--images 128] [--epochs 50]

One thread. The cached training is timed whole, all epochs and the computing of the features; of the
recomputed one some epochs are timed, in turns with it, and the median is multiplied by the epochs. To reach:
>= 20 at 50 epochs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.labels import FER2013_EMOTIONS, Output
from duchenne.learners import frozen
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Optimizer, Train
from duchenne.transforms import Preprocess


def seconds(faces: FaceSet, val: FaceSet, args: argparse.Namespace, epochs: int, cached: bool) -> list[float]:
    """Seconds of the whole fit, then those of each epoch."""
    learner = TorchLearner(
        "backbone",
        {"name": args.body, "frozen": True, "head": "wang2020"},
        preprocess=Preprocess(size=(args.side, args.side), channels=3),
        optimizer=Optimizer(name="adam", lr=1e-3),
        train=Train(epochs=epochs, batch_size=64),
        accelerator="cpu",
    )
    limit = frozen.FEATURE_LIMIT
    frozen.FEATURE_LIMIT = limit if cached else 0
    try:
        start = time.perf_counter()
        learner.fit(faces, val=val)
        return [time.perf_counter() - start, *(row["seconds"] for row in learner.history_)]
    finally:
        frozen.FEATURE_LIMIT = limit


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--body", default="mobilenet-v1")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    parts = []
    for n in (args.images, args.images // 4):
        images = rng.integers(0, 256, (n, args.side, args.side, 3), dtype=np.uint8)
        outputs = (Output("emotion", "single", FER2013_EMOTIONS),)
        parts.append(from_arrays(images, {"emotion": rng.integers(0, 7, n)}, outputs=outputs))
    seconds(*parts, args, 1, cached=True)  # the first of a process loads much
    whole, epochs = [], []
    for _ in range(args.turns):
        whole.append(seconds(*parts, args, args.epochs, cached=True)[0])
        epochs += seconds(*parts, args, 1, cached=False)[1:]
    once, anew = statistics.median(whole), statistics.median(epochs) * args.epochs
    print(
        f"{args.body} at {args.side}x{args.side}, {args.images} images, {args.epochs} epochs: computed once "
        f"{once:.1f} s, anew {anew:.0f} s: ratio {anew / once:.1f} (to reach: >= 20 at 50 epochs)"
    )


if __name__ == "__main__":
    main()
