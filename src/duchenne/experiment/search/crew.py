"""The processes of a search on this machine: started, replaced when they die, dismissed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from ...errors import DuchenneError, RunError
from .shared import ATTEMPTS, open_shared
from .storage import answering, open_storage
from .work import TimeIsUp, load_parts, make_pruner, make_sampler

if TYPE_CHECKING:
    from .search import _Job

_POLL = 0.2

# What numerical libraries take their number of threads from.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Crew:
    """`jobs` processes that take and train trials until they are dismissed."""

    def __init__(self, job: _Job, jobs: int) -> None:
        self._job, self._jobs = job, jobs
        self._context = multiprocessing.get_context("spawn")
        self._members: list[tuple[Any, Any]] = []
        self._pids: list[int] = []
        self._deaths, self._settled = 0, -1
        for _ in range(jobs):
            self._start()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_member, args=(self._job, theirs), daemon=True)
        with _threads_each(self._jobs), _unheard():
            process.start()
        theirs.close()
        self._members.append((process, ours))
        self._pids.append(process.pid or 0)

    def keep_up(self, settled: int) -> None:
        """Replace the processes that died.

        Args:
            settled: Trials that ended so far; deaths without any between them stop the search.

        Raises:
            DuchenneError: What a process could not go on with.
            RunError: They keep dying.
        """
        if settled != self._settled:
            self._settled, self._deaths = settled, 0
        for member in list(self._members):
            process, pipe = member
            if process.is_alive():
                continue
            self._members.remove(member)
            error = _last_words(pipe)
            if isinstance(error, DuchenneError):
                raise error
            if error is not None or process.exitcode == 1:
                raise RunError(f"a process of the search failed: {error or 'see above'}")
            if process.exitcode == 0:  # its time was up
                continue
            self._deaths += 1
            if self._deaths > (ATTEMPTS + 1) * self._jobs:
                raise RunError(
                    f"the search's processes keep dying (the last one with code {process.exitcode})",
                    "is memory short? fewer --jobs need less",
                )
            self._start()

    def dismiss(self) -> list[int]:
        """End all processes; return the numbers that they and those before them had."""
        for process, _ in self._members:
            process.terminate()
        for process, _ in self._members:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
        self._members.clear()
        return self._pids


def _last_words(pipe: Any) -> Any:
    try:
        return pipe.recv() if pipe.poll() else None
    except (EOFError, OSError):
        return None


@contextmanager
def _threads_each(jobs: int) -> Iterator[None]:
    """The machine's cores shared out among the processes, unless the user has said how many threads."""
    ours = [name for name in _THREADS if name not in os.environ]
    for name in ours:
        os.environ[name] = str(max(1, (os.cpu_count() or 1) // jobs))
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _unheard() -> Iterator[None]:
    """What this thread starts does not hear Ctrl-C until it says how (`_member`)."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would start with the first process, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _member(job: _Job, pipe: Any) -> None:
    """What a process of the crew runs; it ends when it is dismissed, or when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        with answering(job.url):
            _work(job)
    except DuchenneError as error:
        pipe.send(error)
        raise SystemExit(2) from None


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(3)


def _work(job: _Job) -> None:
    parts = load_parts(job.recipe, job.data)
    shared = open_shared(
        open_storage(job.url), job.name, job.recipe, job.direction, parts.fingerprint,
        make_sampler(job.recipe), make_pruner(job.recipe),
    )  # fmt: skip
    while not job.late:
        try:
            if not job.step(shared, parts):
                time.sleep(_POLL)
        except TimeIsUp:
            return
