"""From the command's start to its first answer, against ``import torch``.

Run it as ``DUCHENNE_YUNET=FILE python benchmarks/starting.py [--photo FILE]``. Both are fresh processes of
one interpreter, turn by turn, files in the system's cache, modules compiled as an installer leaves them.
Without $DUCHENNE_PHOTOS the photograph is drawn: 600x600, one face. Wanted: at most 0.2 times as long.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from detection import photograph


def seconds(command: list[str]) -> tuple[float, float]:
    """Of a process by the clock: until its first line, and until it is gone."""
    # An editable install has no compiled modules until a process may write them.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        first = time.perf_counter() - begun
        said = process.communicate()[1]
    if process.returncode:
        raise SystemExit(said.decode())
    return first, time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    photos = os.environ.get("DUCHENNE_PHOTOS")
    with tempfile.TemporaryDirectory() as folder:
        photo = given.photo or photograph(Path(folder), Path(photos) if photos else None)
        commands = {
            "duchenne predict": [sys.executable, "-m", "duchenne", "predict", str(photo)],
            "import torch": [sys.executable, "-c", "import torch; print(flush=True)"],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for turn in range(given.rounds + 1):
            for name, command in commands.items():
                figures = seconds(command)
                if turn:  # the first one fills the system's cache
                    taken[name].append(figures)
    for name, figures in taken.items():
        first, whole = (statistics.median(f) for f in zip(*figures, strict=True))
        print(f"{name:16} first line {first:.3f} s, end {whole:.3f} s")
    pairs = list(zip(*taken.values(), strict=True))
    first, whole = (statistics.median(ours[i] / torch[i] for ours, torch in pairs) for i in (0, 1))
    print(f"ratio {first:.2f} (to reach: 0.2), to the end {whole:.2f}; medians of {given.rounds} pairs")


if __name__ == "__main__":
    main()
