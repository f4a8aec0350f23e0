"""How fast the NumPy engine trains, beside its slow twin, torch and scikit-learn.

    python benchmarks/engine.py [--data DIR] [--rounds 15] [--only step,small,solver,stack,memory]

One thread each; medians of interleaved turns of processor time (so that other work on the machine takes no
part of it); ratios are of one run. A step is forward, backward and update
(SGD, momentum 0.9) of 2304-512-256-7 on a ready batch of 100. To reach, for the shipped engine:
- <= 0.80 of torch eager, <= 0.90 of torch with SGD(fused=True), <= 1 / 3.5 of the float64 twin;
- >= 60% of the machine's sgemm peak (products of 1024 x 1024 matrices with the same BLAS);
- training on FER2013 holds the uint8 images and one float batch (needs the data; a fresh process).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "scratch"))

import numpy as np
import torch
from scipy.linalg.blas import sgemm
from slow_twin import SlowNet

from duchenne.scratch import SGD, Head, Member, Net, Solver, Stack
from duchenne.scratch.losses import softmax_cross_entropy

Step = Callable[[], object]
LR, MOMENTUM = 0.01, 0.9


class Case:
    """One architecture and batch, and a step of it in each implementation."""

    def __init__(self, in_features: int, hidden: list[int], batch: int, classes: int = 7) -> None:
        self.sizes, self.hidden, self.n = [in_features, *hidden, classes], hidden, batch
        rng = np.random.default_rng(0)
        self.x = rng.random((batch, in_features), np.float32)
        self.codes = rng.integers(0, classes, batch)

    @property
    def flops(self) -> float:
        """Of the matrix products of a step; the first layer's input needs no gradient."""
        return sum(2.0 * self.n * d * b * (3 if i else 2) for i, (d, b) in enumerate(pairwise(self.sizes)))

    def net(self, dropout: float = 0.0) -> Net:
        """The engine's net."""
        return Net(self.sizes[0], self.hidden, [Head("emotion", "single", self.sizes[-1])], dropout=dropout)

    def twin(self, dtype: Any) -> Step:
        """Course style: every array made anew."""
        net, x = SlowNet(self.net().parameters(), dtype=dtype), self.x.astype(dtype)

        def step() -> float:
            loss, grads = net.loss(x, self.codes)
            net.sgd(grads, LR, MOMENTUM)
            return loss

        return step

    def engine(self, *, fold: bool = True, dropout: float = 0.0, l2: float = 0.0) -> Step:
        """The engine; without `fold` the momentum update is made by itself, in place."""
        net, optimizer, rng = self.net(dropout), SGD(LR, MOMENTUM), np.random.default_rng(0)
        optimizer.attach(net)
        velocity, scratch = np.zeros_like(net.values), np.zeros_like(net.values)

        def step() -> float:
            losses, d = softmax_cross_entropy(net.forward(self.x, rng), self.codes)
            d /= np.float32(self.n)
            net.backward(d, MOMENTUM if fold else 0.0)
            if fold:
                optimizer.step(1.0, l2)
            else:
                np.multiply(velocity, MOMENTUM, out=velocity)
                np.add(velocity, net.gradients, out=velocity)
                np.multiply(velocity, LR, out=scratch)
                np.subtract(net.values, scratch, out=net.values)
            return float(losses.mean())

        return step

    def torch(self, *, fused: bool = False, dropout: float = 0.0, l2: float = 0.0, jit: bool = False) -> Step:
        """The same in torch."""
        layers: list[torch.nn.Module] = []
        for d, b in pairwise(self.sizes):
            layers += [torch.nn.Linear(d, b), torch.nn.ReLU()]
            layers += [torch.nn.Dropout(dropout)] if dropout else []
        net: Any = torch.nn.Sequential(*layers[: -2 if dropout else -1])
        optimizer = torch.optim.SGD(net.parameters(), LR, MOMENTUM, fused=fused, weight_decay=l2)
        if jit:
            net = torch.compile(net)
        x, codes = torch.from_numpy(self.x), torch.from_numpy(self.codes)

        def step() -> float:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), codes)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    def sklearn(self) -> Step:
        """scikit-learn's MLPClassifier on the same batch."""
        from sklearn.neural_network import MLPClassifier

        model = MLPClassifier(
            self.hidden, solver="sgd", alpha=0, batch_size=self.n, learning_rate_init=LR, momentum=MOMENTUM,
            nesterovs_momentum=False,
        )  # fmt: skip
        classes = np.arange(self.sizes[-1])
        return lambda: model.partial_fit(self.x, self.codes, classes=classes)


def peak() -> Step:
    """A product of 1024 x 1024 matrices: 2 * 1024^3 operations."""
    a = np.asfortranarray(np.random.default_rng(0).random((1024, 1024), np.float32))
    c = np.zeros_like(a)
    return lambda: sgemm(1.0, a, a, c=c, overwrite_c=True)


def interleaved(rounds: int, turns: dict[str, Step], least: float = 0.03) -> dict[str, float]:
    """Median seconds of each, taken in turns of at least `least` seconds."""
    repeats = {}
    for name, step in turns.items():
        for _ in range(3):
            step()
        start = time.process_time()
        step()
        repeats[name] = max(1, round(least / (time.process_time() - start)))
    table: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, step in turns.items():
            start = time.process_time()
            for _ in range(repeats[name]):
                step()
            table[name].append((time.process_time() - start) / repeats[name])
    return {name: statistics.median(times) for name, times in table.items()}


def compiled(case: Case) -> dict[str, Step]:
    """torch.compile, where it works."""
    try:
        step = case.torch(jit=True)
        step()
    except Exception as error:
        print(f"torch.compile does not work here: {type(error).__name__}")
        return {}
    return {"torch.compile": step}


def steps(rounds: int) -> Iterator[str]:
    """The table of one step."""
    case = Case(2304, [512, 256], 100)
    turns = {
        "torch eager": case.torch(), "torch fused SGD": case.torch(fused=True), **compiled(case),
        "scikit-learn": case.sklearn(),
        "twin float64": case.twin(np.float64), "twin float32": case.twin(np.float32),
        "in place": case.engine(fold=False), "folded (shipped)": case.engine(),
        "shipped, dropout + L2": case.engine(dropout=0.01, l2=0.01),
        "torch eager, dropout + L2": case.torch(dropout=0.01, l2=0.01),
        "sgemm peak": peak(),
    }  # fmt: skip
    took = interleaved(rounds, turns)
    top = 2 * 1024**3 / took.pop("sgemm peak")
    yield f"2304-512-256-7, batch 100; sgemm peak {top / 1e9:.0f} GFLOP/s ({kernels()})"
    yield f"{'':26} {'ms':>7} {'/ eager':>8} {'/ fused':>8} {'of peak':>8}"
    for name, t in took.items():
        a, b = t / took["torch eager"], t / took["torch fused SGD"]
        yield f"{name:26} {1e3 * t:7.2f} {a:8.2f} {b:8.2f} {case.flops / t / top:8.0%}"
    shipped = took["folded (shipped)"]
    yield f"to reach: / eager {shipped / took['torch eager']:.2f} (<= 0.80)"
    yield f"to reach: / fused {shipped / took['torch fused SGD']:.2f} (<= 0.90)"
    yield f"to reach: float64 twin / shipped {took['twin float64'] / shipped:.2f} (>= 3.5)"
    yield f"to reach: share of peak {case.flops / shipped / top:.0%} (>= 60%)"


def kernels() -> str:
    """Which of its kernels OpenBLAS chose."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "kernels unknown"
    return next((f"{i.get('architecture')} kernels" for i in threadpool_info() if "blas" in i["prefix"]), "")


def small(rounds: int) -> Iterator[str]:
    """Where overhead (batch of 10) or memory (wide layers, batch of 10) decides."""
    for case in (Case(3072, [80, 80], 10, 10), Case(2304, [1000, 1000], 10)):
        turns = {"torch eager": case.torch(), "torch fused SGD": case.torch(fused=True)}
        took = interleaved(rounds, turns | {"shipped": case.engine()})
        eager, fused = (took["shipped"] / took[k] for k in turns)
        name = "-".join(map(str, case.sizes))
        ms = 1e3 * took["shipped"]
        yield f"{name}, batch {case.n}: {ms:.3f} ms, / eager {eager:.2f}, / fused {fused:.2f}"


class Images:
    """uint8 images as `Solver.fit` takes them."""

    def __init__(self, images: Any, codes: Any) -> None:
        self.images, self.targets, self.masks = images.reshape(len(images), -1), {"emotion": codes}, {}
        self.weight = np.ones(len(images), np.float32)

    def __len__(self) -> int:
        return len(self.images)

    def fill(self, rows: Any, out: Any) -> None:
        """To [0, 1]."""
        np.multiply(self.images[rows], np.float32(1 / 255), out=out)


def solver(rounds: int) -> Iterator[str]:
    """A whole epoch of the solver over as many bare steps."""
    case, rng = Case(2304, [512, 256], 100), np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (5000, 2304), dtype=np.uint8), rng.integers(0, 7, 5000))
    bare = case.engine()

    net = case.net()

    def epoch() -> None:
        Solver(net, SGD(LR, MOMENTUM), batch_size=100, epochs=1).fit(images)

    took = interleaved(rounds, {"epoch": epoch, "bare": lambda: [bare() for _ in range(50)]})
    yield f"epoch of the solver from uint8 over 50 bare steps: {took['epoch'] / took['bare']:.3f}"


def stack(rounds: int) -> Iterator[str]:
    """Nets trained one after the other over the same nets as one stack."""
    rng, heads = np.random.default_rng(0), [Head("emotion", "single", 7)]
    for batch in (10, 100):
        n = 10 * batch
        images = Images(rng.integers(0, 256, (n, 2304), dtype=np.uint8), rng.integers(0, 7, n))
        yield f"2304-h-h-7, batch {batch}: G nets one by one / one stack; same momentum, no L2 (own of each)"
        for width in (16, 32, 64, 128, 256, 512):
            line = [f"h {width:3}"]
            for g in (4, 8, 16):
                shared: dict[str, Any] = {"batch_size": batch, "epochs": 1}
                alike = [Member(0.01, 0.9, seed=i) for i in range(g)]
                own = [Member(0.01, 0.9 - 0.01 * i, 1e-4, seed=i) for i in range(g)]
                trainers = {
                    "one": Solver(Net(2304, [width] * 2, heads), SGD(0.01, 0.9), **shared),
                    "one, L2": Solver(Net(2304, [width] * 2, heads), SGD(0.01, 0.9), l2=1e-4, **shared),
                    "alike": Stack(2304, [width] * 2, heads, alike, **shared),
                    "own": Stack(2304, [width] * 2, heads, own, **shared),
                }
                turns = {k: partial(again, t, images) for k, t in trainers.items()}
                took = interleaved(rounds, turns, least=0.0)
                a, b = g * took["one"] / took["alike"], g * took["one, L2"] / took["own"]
                line.append(f"G {g:2}: {a:.2f} ({b:.2f})")
            yield "   ".join(line)


def again(trainer: Any, images: Images) -> None:
    """One epoch more."""
    trainer.epochs, trainer.finished = trainer.epoch + 1, False
    trainer.fit(images)


PEAK = """
import resource, sys, tracemalloc
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import numpy as np
from duchenne.datasets import load
from duchenne.scratch import SGD, Head, Net, Solver
class Images:
    def __init__(self, faces):
        self.faces, self.weight, self.masks = faces, np.ones(len(faces), np.float32), {}
        self.targets = {"emotion": faces.hard("emotion")}
    def __len__(self): return len(self.faces)
    def fill(self, rows, out):
        np.multiply(self.faces.pixels(rows).reshape(len(rows), -1), np.float32(1 / 255), out=out)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
faces = load("fer2013", Path(sys.argv[1]))
train, val = Images(faces.where("train")), Images(faces.where("val"))
before = peak()
def fit():
    net = Net(2304, [512, 256], [Head("emotion", "single", 7)])
    solver = Solver(net, SGD(0.01, 0.9), batch_size=100, epochs=1)
    solver.fit(train, val)
    return solver.history[-1]["seconds"]
seconds, after = fit(), peak()
tracemalloc.start()
fit()
print(before, after, tracemalloc.get_traced_memory()[1] / 2**20, len(train) * 2304 / 2**20, seconds)
"""


def memory(rounds: int, data: Path | None) -> Iterator[str]:
    """Peak memory of a fresh process that trains on FER2013."""
    if data is None:
        yield "memory: not measured (--data names the folder of FER2013)"
        return
    command = [sys.executable, "-c", PEAK, str(data)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after, own, images, seconds = map(float, done.stdout.split())
    yield (
        f"FER2013, one epoch of 2304-512-256-7: peak of the process {after:.0f} MiB ({before:.0f} before it; "
        f"uint8 training images {images:.0f}, as float32 {4 * images:.0f}); net, solver and batch together "
        f"{own:.0f} MiB; {seconds:.1f} s an epoch"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DUCHENNE_DATA"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="step,small,solver,stack,memory")
    args = parser.parse_args()
    torch.set_num_threads(1)
    # scikit-learn says at every partial_fit that one pass is too few.
    warnings.simplefilter("ignore")
    parts: dict[str, Callable[[int], Iterator[str]]] = {
        "step": steps, "small": small, "solver": solver, "stack": stack, "memory": lambda n: memory(n,
        args.data)
    }  # fmt: skip
    for name in args.only.split(","):
        for row in parts[name](args.rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
