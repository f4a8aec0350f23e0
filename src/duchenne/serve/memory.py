"""Memory that was freed goes back to the system: glibc keeps what lies between blocks in use."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import Executor

# Seconds from a request's end to the call, which then stands for all that ended meanwhile: under load there
# is one a second.
PAUSE = 1.0


def give_back() -> None:
    """Give whole free pages of all of glibc's arenas back; does nothing where there is another C library.

    Source: malloc_trim(3).
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class GiveBack:
    """Calls `give_back` in a thread, a while after requests ended: once however many they were.

    Args:
        pool: Its thread makes the call, which takes some milliseconds, without the interpreter's lock.
        pause: Seconds from the first request to the call.
        call: What is called.
    """

    def __init__(self, pool: Executor, pause: float = PAUSE, call: Callable[[], None] = give_back) -> None:
        self._pool, self._pause, self._call = pool, pause, call
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Note, on the event loop, that memory was freed."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._now)

    def _now(self) -> None:
        self._timer = None
        self._pool.submit(self._call)
