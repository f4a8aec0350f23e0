"""How fast friv-model1 trains on CPU, beside a plain PyTorch loop and beside bare forward, backward, step.

    python benchmarks/training.py [--data DIR] [--pairs 5] [--steps 25]

Prints medians of interleaved turns, one thread for the net in each, as ratios of one run:
- ours / plain: images a second of our loop over those of a plain loop with DataLoader(num_workers=2) and
  per-image Pillow augmentation (flip, rotation, shift) of the same strength; to reach: >= 1.05;
- overhead: seconds a step of our loop, without augmentation, over those of bare forward, backward and step on
  a ready batch; to reach: <= 1.05;
- peak memory of training on all of FER2013 (needs the data; a fresh process); to reach: <= 1.5 GB;
- `duchenne --help` over `python -c "import torch"`; to reach: <= 0.2.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from duchenne.datasets.arrays import from_arrays
from duchenne.labels import FER2013_EMOTIONS, Output
from duchenne.learners.torch_learner import TorchLearner
from duchenne.models import make_model
from duchenne.recipe import Train, load_recipe
from duchenne.transforms.augment import Augment

BATCH = 128
AUGMENT = Augment(flip=0.5, rotate=10.0, shift=0.1)


class Clock:
    """A listener that notes when each update ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        """Nothing."""

    def on_batch(self, step: int) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    def on_epoch(self, row: Any, history: Any, best: Any) -> None:
        """Nothing."""

    @property
    def step(self) -> float:
        """Median seconds between updates."""
        return statistics.median(np.diff(self.times).tolist())


class PillowFaces(Dataset[Any]):
    """What tutorials do: one image at a time, augmented with Pillow."""

    def __init__(self, images: Any, codes: Any) -> None:
        self.images, self.codes = images, codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, i: int) -> Any:
        rng = np.random.default_rng(i)
        image = Image.fromarray(self.images[i])
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        dx, dy = rng.uniform(-4.8, 4.8, 2)
        image = image.rotate(
            rng.uniform(-10, 10), resample=Image.Resampling.BILINEAR, translate=(int(dx), int(dy))
        )
        return torch.from_numpy(np.asarray(image, np.float32)[None] / 255), int(self.codes[i])


def model(channels_last: bool) -> torch.nn.Module:
    """A fresh friv-model1."""
    args = load_recipe("friv-model1").learner.args
    net = make_model("friv", 1, (48, 48), {"emotion": 7}, args)
    return net.to(memory_format=torch.channels_last) if channels_last else net


def ours(images: Any, codes: Any, augment: Augment) -> float:
    """Seconds a step of our loop."""
    recipe, clock = load_recipe("friv-model1"), Clock()
    faces = from_arrays(images, {"emotion": codes}, outputs=(Output("emotion", "single", FER2013_EMOTIONS),))
    learner = TorchLearner(
        "friv", recipe.learner.args, augment=augment, optimizer=recipe.optimizer, schedule=recipe.schedule,
        train=Train(epochs=1, batch_size=BATCH), accelerator="cpu",
    )  # fmt: skip
    learner.fit(faces, listener=clock)
    return clock.step


def plain(images: Any, codes: Any) -> float:
    """Seconds a step of the plain loop."""
    loader = DataLoader(PillowFaces(images, codes), BATCH, shuffle=True, num_workers=2)
    net, times = model(channels_last=False), []
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for x, y in loader:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x)["emotion"], y)
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(time.perf_counter())
    return statistics.median(np.diff(times).tolist())


def bare(steps: int) -> float:
    """Seconds a step of forward, backward, step on one ready batch."""
    net, times = model(channels_last=True), []
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x = torch.rand(BATCH, 1, 48, 48).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 7, (BATCH,))
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x)["emotion"], y)
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(time.perf_counter())
    return statistics.median(np.diff(times).tolist())


PEAK = """
import resource, sys, torch
from pathlib import Path
from duchenne.build import build_faces, build_learner
from duchenne.recipe import load_recipe
class Enough(Exception): pass
class Stop:
    def on_start(self, *a): pass
    def on_batch(self, step):
        if step == 40: raise Enough
    def on_epoch(self, *a): pass
recipe = load_recipe("friv-model1")
faces = build_faces(recipe, Path(sys.argv[1]))
try: build_learner(recipe, "cpu").fit(faces.where("train"), val=faces.where("val"), listener=Stop())
except Enough: pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)
"""


def timed(command: list[str]) -> float:
    """Seconds of a process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def interleaved(pairs: int, *turns: Callable[[], float]) -> list[float]:
    """Median of each, taken in turns."""
    table = [[turn() for turn in turns] for _ in range(pairs)]
    return [statistics.median(column) for column in zip(*table, strict=True)]


def rows(args: argparse.Namespace) -> Iterator[str]:
    """The lines to print."""
    rng, n = np.random.default_rng(0), args.steps * BATCH
    images = rng.integers(0, 256, (n, 48, 48), dtype=np.uint8)
    codes = rng.integers(0, 7, n)
    a, b = interleaved(args.pairs, lambda: ours(images, codes, AUGMENT), lambda: plain(images, codes))
    yield f"ours {BATCH / a:.0f} images/s, plain {BATCH / b:.0f}: ratio {b / a:.2f} (to reach: >= 1.05)"
    a, b = interleaved(args.pairs, lambda: ours(images, codes, Augment()), lambda: bare(args.steps))
    yield f"our step {1000 * a:.1f} ms, bare {1000 * b:.1f} ms: ratio {a / b:.3f} (to reach: <= 1.05)"
    a, b = interleaved(
        args.pairs,
        lambda: timed([sys.executable, "-m", "duchenne", "--help"]),
        lambda: timed([sys.executable, "-c", "import torch"]),
    )
    yield f"duchenne --help {a:.3f} s, import torch {b:.3f} s: ratio {a / b:.2f} (to reach: <= 0.2)"
    if args.data is None:
        yield "peak memory: not measured (--data names the folder of FER2013)"
        return
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(args.data)], check=True, capture_output=True, text=True
    )
    yield f"peak memory of training on FER2013: {float(done.stdout):.2f} GB (to reach: <= 1.5)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DUCHENNE_DATA"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=25)
    torch.set_num_threads(1)
    for row in rows(parser.parse_args()):
        print(row, flush=True)


if __name__ == "__main__":
    main()
