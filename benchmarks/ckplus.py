"""How fast CK+ is read, and what a frozen body's cached features save on frames of its size.

    python benchmarks/ckplus.py [--weights FOLDER] [--side 300] [--copies 1]

One thread; medians of several turns. A table of 560 rows and its frames of 48x48 are drawn for it, so that
no data are needed. To reach: loading and splitting the table <= 0.2 s; reading and preprocessing >= 1,000
frames a second; a chan-transfer training of 50 epochs with cached features <= 1/20 of one without (both are
timed over few epochs, in turns, and reckoned up to 50: features once + 50 epochs of the head, against 50
epochs of the whole). What it comes to depends on the side of the frames, for the head costs the same at any,
and on the augmented copies that are kept of each (the report makes one).
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch

from duchenne.build import build_learner
from duchenne.datasets.ckplus import load_ckplus
from duchenne.datasets.ckplus_csv import CSV, CSV_UNITS, HIGH_EMOTIONS
from duchenne.datasets.faceset import FaceSet
from duchenne.datasets.synthetic import load_synthetic
from duchenne.learners import frozen
from duchenne.recipe import load_recipe
from duchenne.transforms import Preprocess

ROWS, PEOPLE, TURNS = 560, 120, 5


def write_table(folder: Path) -> None:
    """A table of the published form, and drawn frames beside it."""
    rng = np.random.default_rng(0)
    drawn = load_synthetic(n=ROWS, size=48)
    with (folder / CSV).open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        named = ["subject", "sequence", "image_index", "filepath", "file_prefix"]
        table.writerow([*named, *CSV_UNITS, "high_level_emotion"])
        for i in range(ROWS):
            who, take = f"S{1 + i % PEOPLE:03d}", f"{1 + i // PEOPLE:03d}"
            name = f"{who}_{take}_{10 + i % 50:08d}"
            path = Path("cohn-kanade-images") / who / take / f"{name}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / path), drawn.image(i))
            units = (rng.random(len(CSV_UNITS)) < 0.23).astype(int)
            said = HIGH_EMOTIONS[int(rng.integers(3))]
            table.writerow([who, int(take), 10 + i % 50, f"./{path}", name, *units, said])


def median(values: list[float]) -> float:
    """Of seconds."""
    return statistics.median(values)


def timed(call: object, turns: int = TURNS) -> float:
    """Median seconds of a call."""
    assert callable(call)
    found = []
    for _ in range(turns):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return median(found)


def reading(folder: Path) -> FaceSet:
    """Print how fast the table is loaded and split, and frames read and preprocessed."""
    seconds = timed(lambda: load_ckplus(folder, layout="csv"))
    faces = load_ckplus(folder, layout="csv")
    print(f"loading and splitting {len(faces)} rows: {seconds:.3f} s (to reach: <= 0.2)")
    preprocess = Preprocess(size=(48, 48), mean=(0.5,), std=(0.5,))
    seconds = timed(lambda: preprocess(faces.pixels()))
    print(f"reading and preprocessing at 48x48: {len(faces) / seconds:,.0f} frames/s (to reach: >= 1,000)")
    return faces


def fit(faces: FaceSet, args: argparse.Namespace, cached: bool, epochs: int) -> tuple[float, list[float]]:
    """Seconds of the whole fit, and of each epoch."""
    body = str(args.weights) if args.weights else "mobilenet-v1"
    recipe = load_recipe(
        "chan-transfer",
        [f"learner.args.name={body}", f"learner.args.pretrained={'true' if args.weights else 'false'}",
         f"train.epochs={epochs}", "stop={}", f"train.feature_copies={args.copies if cached else 0}",
         f"preprocess.size=[{args.side}, {args.side}]"],
    )  # fmt: skip
    learner = build_learner(recipe, "cpu")
    limit = frozen.FEATURE_LIMIT
    frozen.FEATURE_LIMIT = limit if cached else 0
    try:
        begun = time.perf_counter()
        learner.fit(faces.where("train"), val=faces.where("val"))
        return time.perf_counter() - begun, [row["seconds"] for row in learner.history_]
    finally:
        frozen.FEATURE_LIMIT = limit


def cached_features(faces: FaceSet, args: argparse.Namespace) -> None:
    """Print what 50 epochs of chan-transfer cost with features computed once, and anew in each epoch."""
    fit(faces, args, True, 1)  # the first of a process loads much
    once, heads, anew = [], [], []
    for _ in range(args.turns):
        whole, epochs = fit(faces, args, True, args.epochs)
        once.append(whole - sum(epochs))
        heads += epochs
        anew += fit(faces, args, False, 1)[1]
    cached = median(once) + 50 * median(heads)
    print(
        f"chan-transfer at {args.side}x{args.side}, {len(faces.where('train'))} frames to train on: features "
        f"of {args.copies} copies once "
        f"{median(once):.1f} s, an epoch with them {median(heads):.2f} s, an epoch without "
        f"{median(anew):.1f} s; 50 epochs {cached:.0f} s against {50 * median(anew):.0f} s, ratio "
        f"{50 * median(anew) / cached:.1f} (to reach: >= 20; reckoned from {len(heads)} and {len(anew)} "
        "epochs)"
    )


def main() -> None:
    """Measure and print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--weights", type=Path, help="Folder of MobileNet's weights; default: random ones.")
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3, help="Timed epochs of the head, a turn.")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_table(folder)
        faces = reading(folder)
        cached_features(faces, args)


if __name__ == "__main__":
    main()
