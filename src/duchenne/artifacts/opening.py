"""A net that is opened when it is first needed, or in a thread before that."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from time import sleep
from typing import Any

# Imports hold Python's lock for tens of milliseconds; whoever began this first gets to where it needs none.
_AFTER_YOU = 0.001  # seconds


class Opening:
    """What a function gives, called once: by whoever needs it first, or in a thread that was begun before.

    Args:
        function: Opens it. What it raises is raised by `result`, each time; after an interrupt the next
            `result` calls it again.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._lock = Lock()
        self._begun: Future[Any] | None = None

    def begin(self) -> None:
        """Have it opened meanwhile; returns at once. Any thread may call it, any number of times.

        Where no thread can be had, `result` opens it.
        """
        with self._lock, suppress(RuntimeError):
            if self._begun is None:
                pool = ThreadPoolExecutor(1, thread_name_prefix="duchenne-open")
                self._begun = pool.submit(self._open)
                pool.shutdown(wait=False)

    def result(self) -> Any:
        """What was opened, as soon as it is."""
        with self._lock:
            begun, mine = self._begun, None
            if begun is None:
                begun = mine = self._begun = Future()
        if mine is not None:
            try:
                mine.set_result(self._function())
            except BaseException as error:
                mine.set_exception(error)
                if not isinstance(error, Exception):
                    self._begun = None
        return begun.result()

    def _open(self) -> Any:
        sleep(_AFTER_YOU)
        return self._function()
