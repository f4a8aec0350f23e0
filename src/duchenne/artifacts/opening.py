"""A net that is opened when it is first needed, or in a thread before that."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from time import sleep
from typing import Any

# Imports hold Python's lock for tens of milliseconds; whoever began this first gets to where it needs none.
_AFTER_YOU = 0.001  # seconds


class Opening:
    """What a function gives, called once, in a thread of its own.

    Args:
        function: Opens it; what it raises is raised by `result`, each time.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._lock = Lock()
        self._begun: Future[Any] | None = None

    def begin(self) -> Future[Any]:
        """Have it opened meanwhile; returns at once. Any thread may call it, any number of times."""
        with self._lock:
            if self._begun is None:
                pool = ThreadPoolExecutor(1, thread_name_prefix="duchenne-open")
                self._begun = pool.submit(self._open)
                pool.shutdown(wait=False)
            return self._begun

    def _open(self) -> Any:
        sleep(_AFTER_YOU)
        return self._function()

    def result(self) -> Any:
        """What was opened, as soon as it is."""
        return self.begin().result()
