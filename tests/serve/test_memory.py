"""What was freed goes back to the system, and not at every image."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from duchenne.serve.memory import GiveBack

# Blocks of 100 kB lie on the heap; the last one, still in use, keeps all before it from the system.
HEAP = """
import re
from pathlib import Path
from duchenne.serve.memory import give_back

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

blocks = [bytes(100_000) for _ in range(1000)]
for i, block in enumerate(blocks):
    blocks[i] = block.replace(b"\\0", b"1")
last = blocks.pop()
full = resident()
blocks.clear()
freed = resident()
give_back()
print(full - freed, full - resident())
"""


def has_trim() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")


@pytest.mark.skipif(not has_trim(), reason="this C library has no malloc_trim")
def test_freed_memory_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 30_000 < 80_000 < after  # kB: freed blocks stayed until it was called


def test_one_call_for_many_images() -> None:
    calls = []

    async def answer() -> None:
        memory = GiveBack(pool, pause=0.05, call=lambda: calls.append(len(answered)))
        for number in range(30):
            answered.append(number)
            memory.soon()
        await asyncio.sleep(0.2)
        assert calls == [30]  # later, and once
        answered.append(30)
        memory.soon()
        await asyncio.sleep(0.2)

    answered: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        asyncio.run(answer())
    assert calls == [30, 31]
