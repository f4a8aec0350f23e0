"""One photograph of 600x600 with one face, from file to label: this package against the package ``fer``.

Run it as ``DUCHENNE_YUNET=FILE python benchmarks/against_fer.py --peer PYTHON [--photo FILE]``, where PYTHON
is the interpreter of an environment of its own with ``fer`` (25.10 wants tensorflow and another OpenCV). Both
work in one thread, turn by turn, in processes that have loaded their nets before. Wanted: twice fer's rate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import cv2
from detection import photograph

PEER = """
import sys, time, cv2, tensorflow
tensorflow.config.threading.set_intra_op_parallelism_threads(1)
tensorflow.config.threading.set_inter_op_parallelism_threads(1)
cv2.setNumThreads(1)
from fer.fer import FER
net = FER()
answer = lambda path: net.detect_emotions(cv2.imread(path))
"""
OURS = """
import sys, time, cv2
cv2.setNumThreads(1)
from duchenne import Predictor
net = Predictor()
answer = lambda path: list(net.predict([path]))[0]["faces"]
"""
# Both answer a path with the seconds it took and how many faces were found.
LOOP = """
for path in map(str.strip, sys.stdin):
    start = time.perf_counter()
    found = answer(path)
    print("took", time.perf_counter() - start, len(found), flush=True)
"""


class Worker:
    """A process that answers photographs."""

    def __init__(self, python: str, code: str) -> None:
        self.python = python
        one = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [python, "-W", "ignore", "-c", code + LOOP], env={**os.environ, **one}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def answer(self, photo: Path) -> tuple[float, int]:
        """Seconds, and faces found."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended: said below
            print(photo, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("took "):
                _, seconds, faces = line.split()
                return float(seconds), int(faces)
        raise SystemExit(f"{self.python} ended with code {self.process.wait()}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="Interpreter of an environment with fer.")
    parser.add_argument(
        "--photo", type=Path, help="Default: $DUCHENNE_PHOTOS' single face at 600x600, else a drawn one."
    )
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = os.environ.get("DUCHENNE_PHOTOS")
        photo = args.photo or photograph(Path(folder), Path(photos) if photos else None)
        height, width = cv2.imread(str(photo)).shape[:2]
        workers = {"fer": Worker(args.peer, PEER), "duchenne": Worker(sys.executable, OURS)}
        taken: dict[str, list[float]] = {name: [] for name in workers}
        faces = dict.fromkeys(workers, 0)
        for turn in range(args.rounds + 2):
            for name, worker in workers.items():
                seconds, faces[name] = worker.answer(photo)
                if turn >= 2:  # the first ones allocate
                    taken[name].append(seconds)
    ratio = statistics.median(a / b for a, b in zip(taken["fer"], taken["duchenne"], strict=True))
    for name, times in taken.items():
        print(
            f"{name:9} {1000 * statistics.median(times):6.1f} ms, {faces[name]} face(s) of {width}x{height}"
        )
    print(f"fer / duchenne: {ratio:.2f} (median of {args.rounds} pairs; wanted: 2)")


if __name__ == "__main__":
    main()
