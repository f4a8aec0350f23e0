"""Successive halving beside plain random search: epochs until the same validation accuracy.

Run: python benchmarks/search.py [--seeds 5] [--trials 30] [--epochs 27]

For each seed, random search trains `trials` draws for `epochs` epochs each. Successive halving (the same
space, the same stream of draws, trials added until its epochs are used up) gets a third of those epochs.
Counted are all epochs that were trained, those of pruned and failed trials too; a value counts from the end
of its trial on, and only that of a trial that was trained to its end.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from duchenne.experiment.search import Search, search
from duchenne.recipe import Recipe, parse_recipe

# Wide, as wright2019 section 5.1 begins: most learning rates of such a range learn nothing.
SPACE = {
    "optimizer.lr": {"low": 1e-5, "high": 1.0, "log": True},
    "optimizer.momentum": {"low": 0.0, "high": 0.95},
    "loss.l2": {"low": 1e-5, "high": 1.0, "log": True},
    "learner.args.hidden": [[16], [32], [64], [32, 16], [64, 32]],
}


def recipe_of(seed: int, epochs: int, pruner: str, trials: int) -> Recipe:
    """The task: emotions of synthetic faces, 24 x 24 pixels, small fully connected nets."""
    return parse_recipe(
        {
            "id": "bench",
            "title": "search benchmark",
            "data": {
                "name": "synthetic",
                "outputs": ["emotion"],
                "options": {"n": 3000, "seed": 0, "difficulty": "easy"},
            },
            "preprocess": {"size": [24, 24], "mean": [0.5], "std": [0.25]},
            "learner": {"name": "scratch", "args": {"hidden": [32]}},
            "optimizer": {"name": "sgd", "lr": 0.01},
            "train": {"epochs": epochs, "batch_size": 50, "seed": seed},
            "tune": {"method": "random", "trials": trials, "seed": seed, "pruner": pruner, "space": SPACE},
        },
        "bench",
    )


def best_so_far(done: Search) -> list[tuple[int, float]]:
    """(epochs used, best value) after each trial."""
    used, best, rows = 0, 0.0, []
    for trial in sorted(done.trials, key=lambda t: t.number):
        used += trial.epochs
        if trial.state == "complete" and trial.value is not None:
            best = max(best, trial.value)
        rows.append((used, best))
    return rows


def epochs_to(rows: list[tuple[int, float]], target: float) -> float:
    """Epochs used when the target was reached; infinite where it was not."""
    return next((float(used) for used, value in rows if value >= target), float("inf"))


def halving(seed: int, epochs: int, budget: int, folder: Path) -> list[tuple[int, float]]:
    """Successive halving until its epochs are used up; trials are added to the same search."""
    trials = 0
    rows: list[tuple[int, float]] = []
    while not rows or rows[-1][0] < budget:
        trials += 10
        done = search(recipe_of(seed, epochs, "halving", trials), runs=folder, name=f"halving-{seed}")
        rows = best_so_far(done)
    return [row for row in rows if row[0] <= budget] or rows[:1]


def main() -> None:
    """Print a row a seed and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=27)
    asked = parser.parse_args()
    ratios, gaps = [], []
    print("seed  random: best, epochs, at its best   halving: best, epochs, at random's best   ratio")
    with tempfile.TemporaryDirectory() as name:
        for seed in range(asked.seeds):
            begun = time.monotonic()
            recipe = recipe_of(seed, asked.epochs, "none", asked.trials)
            plain = best_so_far(search(recipe, runs=Path(name), name=f"random-{seed}"))
            target, total = plain[-1][1], plain[-1][0]
            rows = halving(seed, asked.epochs, total // 3, Path(name))
            reached = epochs_to(rows, target)
            ratios.append(reached / total)
            gaps.append(rows[-1][1] - target)
            print(
                f"{seed:4}  {target:12.4f} {total:7} {epochs_to(plain, target):12.0f} "
                f"{rows[-1][1]:14.4f} {rows[-1][0]:7} {reached:19.0f} {ratios[-1]:9.3f}   "
                f"({time.monotonic() - begun:.0f} s)",
                flush=True,
            )
    print(f"median ratio of epochs: {statistics.median(ratios):.3f} (to reach: 0.333)")
    print(f"median gain in accuracy at a third of the epochs: {statistics.median(gaps):+.4f}")


if __name__ == "__main__":
    main()
