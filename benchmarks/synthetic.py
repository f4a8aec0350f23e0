"""Print how many synthetic faces a second are drawn: median of 5 readings each, one thread."""

from __future__ import annotations

import statistics
import time

from duchenne.datasets.facemodel import Color, render
from duchenne.datasets.synthetic import cast_faces, load_synthetic

FACES = 4000


def main() -> None:
    """Time drawing alone, in grey and colour, and loading a whole set."""
    params = cast_faces(FACES).params
    render(params.take(slice(0, 100)))
    colors: tuple[Color, ...] = ("grey", "rgb")
    for color in colors:
        readings = []
        for _ in range(5):
            start = time.perf_counter()
            render(params, 48, color)
            readings.append(FACES / (time.perf_counter() - start))
        print(f"render 48x48 {color:<5} {statistics.median(readings):8.0f} faces/s")
    readings = []
    for seed in range(5):
        start = time.perf_counter()
        load_synthetic(n=FACES, seed=seed)
        readings.append(FACES / (time.perf_counter() - start))
    print(f"load_synthetic grey {statistics.median(readings):8.0f} faces/s")


if __name__ == "__main__":
    main()
