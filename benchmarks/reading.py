"""How fast FER2013 is read: ratios to the usual ways, one thread, medians of interleaved pairs.

Run it as ``python benchmarks/reading.py --data DATA`` (or with $DUCHENNE_DATA set). Wanted: a first read at
least 10 times as fast as pandas and str.split, and reopening at least 50 times as fast as csv and
np.fromstring. Parsing runs in one thread; on a first read the content is hashed in a second one beside it.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from duchenne.datasets.fer2013 import load_fer2013
from duchenne.datasets.fer2013_csv import read_fer2013_csv

Reader = Callable[[], int]


def by_pandas(path: Path) -> int:
    """pandas, then str.split row by row (the quicker of the usual ways to make numbers of the pieces)."""
    import pandas

    table = pandas.read_csv(path)
    pixels = np.empty((len(table), 2304), dtype=np.uint8)
    for i, text in enumerate(table["pixels"]):
        pixels[i] = np.array(text.split(), dtype=np.uint8)
    return int(pixels.sum(dtype=np.int64))


def by_fromstring(path: Path) -> int:
    """The csv module, then np.fromstring row by row."""
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        pixels = np.stack([np.fromstring(row[1], dtype=np.uint8, sep=" ") for row in rows])
    return int(pixels.sum(dtype=np.int64))


def timed(read: Reader) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


def compare(name: str, ours: Reader, usual: Reader, pairs: int, wanted: float) -> None:
    """Print the median of the ratios of interleaved pairs."""
    mine, theirs = [], []
    for _ in range(pairs):
        theirs.append(timed(usual))
        mine.append(timed(ours))
    ratio = statistics.median(t / m for t, m in zip(theirs, mine, strict=True))
    verdict = "reached" if ratio >= wanted else "MISSED"
    print(
        f"{name:<58} {statistics.median(mine):8.4f} s  usual {statistics.median(theirs):7.3f} s  "
        f"ratio {ratio:7.1f}  (wanted {wanted:g}: {verdict})",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DUCHENNE_DATA"))
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data folder with --data or $DUCHENNE_DATA")
    path = Path(options.data) / "fer2013" / "fer2013.csv"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_fer2013_csv(path)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of a first read: {(after - before) / 1024:.0f} MiB more than before")
    with tempfile.TemporaryDirectory() as folder:
        fresh = iter(range(10**6))

        def first() -> int:
            return len(load_fer2013(options.data, cache_dir=Path(folder) / str(next(fresh))))

        def reopen() -> int:
            return len(load_fer2013(options.data, cache_dir=Path(folder) / "kept"))

        def reopen_and_read() -> int:
            pixels = load_fer2013(options.data, cache_dir=Path(folder) / "kept").pixels()
            return int(np.asarray(pixels).sum(dtype=np.int64))

        if reopen_and_read() != by_fromstring(path):
            raise SystemExit("the two ways of reading disagree")
        split = "vs pandas + str.split"
        string = "vs csv + np.fromstring"
        rows: list[tuple[str, Reader, Callable[[Path], int], float]] = [
            (f"parse, {split}", lambda: len(read_fer2013_csv(path)), by_pandas, 10),
            (f"parse, hash and write the cache, {split}", first, by_pandas, 10),
            (f"reopen, {string}", reopen, by_fromstring, 50),
            (f"reopen and sum all pixels, {string}", reopen_and_read, by_fromstring, 50),
        ]
        for name, ours, usual, wanted in rows:
            compare(name, ours, partial(usual, path), options.pairs, wanted)


if __name__ == "__main__":
    main()
