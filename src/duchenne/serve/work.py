"""Images to records in a fixed number of threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from ..datasets.decode import image_shape
from ..errors import DataError
from ..inference import Predictor, Record, Source
from .gate import Gate
from .limits import Limits
from .memory import GiveBack
from .refusal import Refused

_log = logging.getLogger("duchenne.serve")


class Job:
    """One request's images on their way; counts itself out of the gate when its last thread has ended.

    Attributes:
        done: Set when all images are; its exception is what failed, if anything did.
        records: One an image, in order.
    """

    def __init__(self, sources: list[Source], abstain: float) -> None:
        self.sources: list[Source | None] = list(sources)
        self.abstain = abstain
        self.records: list[Record | None] = [None] * len(sources)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopped = threading.Event()
        self.left = len(sources)
        self.failure: Exception | None = None


class Workers:
    """A bounded pool; an image keeps one thread from its bytes to its record.

    Args:
        predictor: Its net should use one thread a call.
        limits: See `Limits`.
        count: Threads.
    """

    def __init__(self, predictor: Predictor, limits: Limits, count: int) -> None:
        self.predictor, self.count = predictor, count
        self.gate = Gate(limits, count)
        self._limits = limits
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="duchenne-serve")
        # Documents of many megabytes would hold up all other requests on the loop.
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="duchenne-json")
        self.memory = GiveBack(self.reader)

    def start(self, sources: list[Source], abstain: float) -> Job:
        """Put the images in the queue. Raises `Refused` (429) where it is full."""
        job = Job(sources, abstain)
        count = len(sources)
        self.gate.enter(count)
        job.done.add_done_callback(lambda _: self.gate.leave(count))
        if not sources:
            job.done.set_result(None)
        loop = asyncio.get_running_loop()
        for index in range(count):
            self._pool.submit(self._one, job, index, loop)
        return job

    async def finish(self, job: Job) -> list[Record]:
        """Wait for a job.

        Raises:
            Refused: 503: it took too long; what is left of it is not begun.
            RunError: The net failed.
        """
        try:
            async with asyncio.timeout(self._limits.predict_seconds):
                await asyncio.shield(job.done)
        except TimeoutError:
            wait = self.gate.wait
            raise Refused(
                503,
                f"the images were not done within {self._limits.predict_seconds:g} s",
                "send fewer at once, or ask again later",
                {"Retry-After": str(wait)},
            ) from None
        finally:
            job.stopped.set()
        if job.failure is not None:
            raise job.failure
        return [r for r in job.records if r is not None]

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.reader.shutdown(wait=True, cancel_futures=True)

    def _one(self, job: Job, index: int, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: one image."""
        start = time.perf_counter()
        source, job.sources[index] = job.sources[index], None
        try:
            if source is not None and not job.stopped.is_set():
                job.records[index] = self._predict(source, job.abstain)
        except Exception as error:  # a thread's error is its request's; it is said there
            job.failure = error
            job.stopped.set()
        seconds = time.perf_counter() - start
        try:
            loop.call_soon_threadsafe(self._count, job, seconds)
        except RuntimeError:
            _log.debug("the server closed while an image was predicted")

    def _predict(self, source: Source, abstain: float) -> Record:
        if isinstance(source.data, bytes) and source.data:
            name = source.path or "the image"
            try:
                image_shape(source.data, max_pixels=self._limits.pixels, name=name)
            except DataError as error:
                source = Source(source.path, error=error.what)
        (record,) = self.predictor.predict([source], workers=1, abstain=abstain)
        return record

    def _count(self, job: Job, seconds: float) -> None:
        """On the loop: one image of the job is done."""
        self.gate.took(seconds)
        job.left -= 1
        if not job.left and not job.done.done():
            job.done.set_result(None)
