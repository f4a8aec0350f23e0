"""A function over a stream by a few threads: results in order, and only so far ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from .sidebyside import side_by_side
from .sources import Source

Done = TypeVar("Done")

MOST_WORKERS = 8
# Sources per worker that are taken ahead, so that threads have work while the net runs. A finished one holds
# its faces only; a file's pixels exist while a thread works on it.
_FILES = 8
# Arrays and encoded bytes lie in memory while they wait.
_PIXELS = 1


def ahead(
    function: Callable[[Source], Done], sources: Iterator[Source], workers: int | None = None
) -> Iterator[Done]:
    """Yield the function's results, in the sources' order.

    Args:
        function: May run in several threads at once.
        sources: Read in the caller's thread. Arrays are copied, so that a generator may reuse its buffer.
        workers: Threads; 1: none, each source is done before the next one is taken. Default: the CPUs this
            process may use, at most 8. No thread starts for a single source. While there are several, OpenCV
            uses one thread a call.

    Raises:
        What the function raises, at its source's turn.
    """
    workers = min(_cpus(), MOST_WORKERS) if workers is None else workers
    if workers == 1:
        yield from map(function, sources)
        return
    first = next(sources, None)
    if first is None:
        return
    first = _own(first)
    second = next(sources, None)
    if second is None:
        yield function(first)
        return
    pending: deque[Future[Done]] = deque()
    with side_by_side():
        pool = ThreadPoolExecutor(workers, thread_name_prefix="duchenne-read")
        try:
            pending.append(pool.submit(function, first))
            source: Source | None = second
            while source is not None:
                source = _own(source)
                held = isinstance(source.data, (np.ndarray, bytes))
                while len(pending) >= workers * (_PIXELS if held else _FILES):
                    yield pending.popleft().result()
                pending.append(pool.submit(function, source))
                source = next(sources, None)
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _own(source: Source) -> Source:
    return replace(source, data=source.data.copy()) if isinstance(source.data, np.ndarray) else source


def _cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
