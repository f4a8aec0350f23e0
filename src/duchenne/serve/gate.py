"""How many requests, and how many bytes of theirs, are in memory at once."""

from __future__ import annotations

from .limits import Limits
from .refusal import Refused

_LONGEST_WAIT = 60  # seconds that a client is asked to stay away at most


class Gate:
    """Counts; all calls come from the event loop's thread.

    Args:
        limits: See `Limits`.
        workers: How many images are predicted at once; for the guess at when there is room again.
    """

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits = limits
        self._workers = workers
        self.requests = 0
        self.images = 0
        self.held_bytes = 0
        self._seconds = 0.1  # an image's, a running mean

    def check(self) -> None:
        """Raise `Refused` (429) where one more request would be too many, or too late."""
        if self.requests >= self._limits.requests:
            raise self._busy(f"{self.requests} requests are being answered")
        if self._ahead > self._limits.predict_seconds:
            raise self._busy(f"{self.images} images wait, more than can be done in time")

    def enter(self, images: int) -> None:
        """Count a request whose body is whole. Raises as `check`."""
        self.check()
        self.requests += 1
        self.images += images

    def leave(self, images: int) -> None:
        """Take it back."""
        self.requests -= 1
        self.images -= images

    def hold(self, size: int) -> None:
        """Count bytes of a body. Raises `Refused` (429) where memory for bodies is used up."""
        if self.held_bytes + size > self._limits.held_bytes:
            raise self._busy("the requests that are being answered fill the memory set apart for them")
        self.held_bytes += size

    def drop(self, size: int) -> None:
        """Take bytes back."""
        self.held_bytes -= size

    def took(self, seconds: float) -> None:
        """Note how long an image took its thread."""
        self._seconds += 0.05 * (seconds - self._seconds)

    @property
    def wait(self) -> int:
        """Seconds until what waits now is likely to be done."""
        return min(_LONGEST_WAIT, 1 + int(self._ahead))

    @property
    def _ahead(self) -> float:
        """Seconds that the images which wait are likely to take."""
        return self.images * self._seconds / self._workers

    def _busy(self, why: str) -> Refused:
        wait = self.wait
        return Refused(429, why, f"ask again in {wait} s", {"Retry-After": str(wait)})
