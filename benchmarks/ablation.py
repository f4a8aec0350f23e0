"""What each ingredient of the packaged model's recipe gives: the recipe without it, on a part of Training.

    python benchmarks/ablation.py run --data DATA --trials runs/ablation.jsonl
    python benchmarks/ablation.py write --trials runs/ablation.jsonl --out docs/flagship.md

`run` trains fer-student, from which the packaged net comes, whole and then without one ingredient at a time,
with the teacher that lies in runs/fer-teacher (`duchenne train fer-teacher`), and appends a line each; lines
that are there are left out, so it may be stopped and begun again. Accuracies are those of PublicTest
(validation) in the last epoch; PrivateTest is not read. `write` puts the table between the page's two marks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from duchenne.build import build_faces, build_learner
from duchenne.recipe import load_recipe

# Ingredient -> the settings that leave it out.
WITHOUT: dict[str, list[str]] = {
    "nothing left out": [],
    "FER+ votes as a second output": ["loss.weights.ferplus=0.0"],
    "leaving out copies of PublicTest and PrivateTest": ['data.options.copies="stay"'],
    "a teacher's answers beside the labels": ["teacher.run="],
    "mixup": ["augment.mixup=0.0"],
    "erased boxes": ["augment.erase=0.0"],
    "mirrored faces": ["augment.flip=0.0"],
    "shift, turn, scale": ["augment.shift=0.0", "augment.rotate=0.0", "augment.scale=0.0"],
    "brightness, contrast": ["augment.brightness=0.0", "augment.contrast=0.0"],
    "random 40x40 windows": ["augment.crop=1.0"],
    "each image by its own mean and deviation": [
        "preprocess.per_image=false", "preprocess.mean=[0.5077]", "preprocess.std=[0.2550]",
    ],
    "average of the weights": ["train.ema=0.0"],
}  # fmt: skip
MARKS = "<!-- ablation -->", "<!-- /ablation -->"


def trial(what: str, share: float, epochs: int, seed: int, data: Path) -> dict[str, Any]:
    """Train once, on a part of Training drawn by the seed."""
    # An average over 1,000 updates would still hold the beginning of so short a training.
    short = [f"train.epochs={epochs}", f"train.seed={seed}", "train.ema=0.99"]
    recipe = load_recipe("fer-student", short + WITHOUT[what])
    faces = build_faces(recipe, data)
    train, val = faces.where("train"), faces.where("val")
    train = train.select(
        np.sort(np.random.default_rng(seed).permutation(len(train))[: round(share * len(train))])
    )
    start = time.perf_counter()
    learner = build_learner(recipe, accelerator="cpu").fit(train, val=val)
    last = learner.history_[-1]
    return {
        "without": what, "seed": seed, "epochs": epochs, "share": share, "n": len(train),
        "val_accuracy": last["val_emotion_accuracy"], "val_loss": last["val_emotion_loss"],
        "seconds": round(time.perf_counter() - start),
    }  # fmt: skip


def read(path: Path) -> list[dict[str, Any]]:
    """The trials that are there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def run(path: Path, share: float, epochs: int, seeds: int, data: Path) -> None:
    """Append what is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        for what in WITHOUT:
            if any(
                (t["without"], t["seed"], t["epochs"], t["share"]) == (what, seed, epochs, share)
                for t in read(path)
            ):
                continue
            done = trial(what, share, epochs, seed, data)
            with path.open("a") as file:
                print(json.dumps(done), file=file)
            print(f"{what}, seed {seed}: {done['val_accuracy']:.2%} in {done['seconds']} s", flush=True)


def table(trials: list[dict[str, Any]]) -> str:
    """The trials of the first one's length, as Markdown."""
    kind = {k: trials[0][k] for k in ("epochs", "share")}
    alike = [t for t in trials if {k: t[k] for k in kind} == kind]
    rows = {w: [t["val_accuracy"] for t in alike if t["without"] == w] for w in WITHOUT}
    whole = statistics.mean(rows["nothing left out"])
    seeds = len(rows["nothing left out"])
    lines = [
        f"Short schedules on a CPU: {kind['epochs']} epochs on {kind['share']:.0%} of Training "
        f"({trials[0]['n']:,} faces), weights averaged over 100 updates instead of 1,000; {seeds} seed(s). "
        "One figure's 95% interval is 1.6 points either way. What regularises and pays in a long training "
        "may cost in a short one; copies of validation's own faces in training flatter validation; the "
        "teacher has seen all of Training, so that on a part of it its answers are worth more.",
        "",
        "| left out | PublicTest | against the whole |",
        "|---|--:|--:|",
    ]
    for what, values in rows.items():
        if values:
            mean = statistics.mean(values)
            change = "" if what == "nothing left out" else f"{100 * (mean - whole):+.2f} points"
            lines.append(f"| {what} | {mean:.2%} | {change} |")
    if missing := [what for what, values in rows.items() if not values]:
        lines += ["", f"Not run yet: {', '.join(missing)}."]
    return "\n".join(lines)


def write(path: Path, out: Path) -> None:
    """Put the table between the page's marks."""
    page = out.read_text()
    head, rest = page.split(MARKS[0])
    tail = rest.split(MARKS[1])[1]
    out.write_text(f"{head}{MARKS[0]}\n{table(read(path))}\n{MARKS[1]}{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner, writer = verbs.add_parser("run"), verbs.add_parser("write")
    for verb in (runner, writer):
        verb.add_argument("--trials", type=Path, default=Path("runs/ablation.jsonl"))
    runner.add_argument("--data", type=Path, required=True)
    runner.add_argument("--share", type=float, default=0.25)
    runner.add_argument("--epochs", type=int, default=6)
    runner.add_argument("--seeds", type=int, default=1)
    writer.add_argument("--out", type=Path, default=Path("docs/flagship.md"))
    args = parser.parse_args()
    if args.verb == "run":
        run(args.trials, args.share, args.epochs, args.seeds, args.data)
    else:
        write(args.trials, args.out)


if __name__ == "__main__":
    main()
