"""Freed memory goes back to the system, in a process of its own: the setting holds for all of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import os
import sys
from pathlib import Path
from duchenne.serve.memory import give_back_freed

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

print(give_back_freed() if sys.argv[1] == "held" else None)
bytearray(16 << 20)  # freed: the threshold would grow to its size
before = resident()
large, small = [], []
for _ in range(100):
    large.append(bytearray(b"1") * (1 << 20))
    small.append(bytearray(b"1") * 2000)  # keeps the heap from shrinking
large.clear()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
def test_blocks_between_others_are_given_back() -> None:
    kept = {}
    for how in ("held", "grown"):
        done = subprocess.run(
            [sys.executable, "-c", CODE, how], capture_output=True, text=True, timeout=60, check=True
        )
        said, mebibytes = done.stdout.split()
        assert said == {"held": "True", "grown": "None"}[how]
        kept[how] = int(mebibytes)
    assert kept["held"] < 10
    assert kept["grown"] > 50  # what it is for
