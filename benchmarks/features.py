"""How fast LPQ and PHOG are, beside their pixel-by-pixel twins.

    python benchmarks/features.py [--rounds 7]

One thread; medians of interleaved turns of processor time (so that other work on the machine takes no part of
it). Images are 143 wide and 181 high, as SFEW's aligned faces. To reach: 300 images/s, 20 times the twin.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "features"))

import cv2
import numpy as np
import numpy.typing as npt
import per_pixel

from duchenne.features import LPQ, PHOG

HEIGHT, WIDTH = 181, 143


def faces(n: int) -> npt.NDArray[np.uint8]:
    """Images with structure of many sizes, so that there are edges as in a photograph."""
    rng = np.random.default_rng(0)
    out = np.zeros((n, HEIGHT, WIDTH), np.float32)
    for cells in (4, 9, 23, 60):
        for image in out:
            noise = rng.normal(size=(cells, cells)).astype(np.float32)
            image += cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 35 * out, 0, 255).astype(np.uint8)


def seconds(what: Callable[[], object]) -> float:
    """Processor time of one call."""
    begun = time.process_time()
    what()
    return time.process_time() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    images = faces(200)
    for name, fast, slow in (("lpq", LPQ(), per_pixel.lpq), ("phog", PHOG(), per_pixel.phog)):
        fast(images)
        rates, ratios = [], []
        for i in range(rounds):
            twin = seconds(lambda i=i, slow=slow: slow(images[i]))
            mine = seconds(lambda fast=fast: fast(images)) / len(images)
            rates.append(1 / mine)
            ratios.append(twin / mine)
        rate, ratio = statistics.median(rates), statistics.median(ratios)
        print(f"{name:5} {rate:6.0f} images/s (wanted 300), {ratio:6.0f} times its twin (wanted 20)")


if __name__ == "__main__":
    main()
