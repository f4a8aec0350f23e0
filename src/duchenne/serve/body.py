"""A request's body, chunk by chunk, within its limits of size and time; nothing goes to a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request

from .gate import Gate
from .limits import MIB, Limits
from .memory import GiveBack
from .refusal import Gone, Refused


class Held:
    """The bytes that one request holds of the gate's; `drop` gives back what is left of them."""

    def __init__(self, gate: Gate, memory: GiveBack) -> None:
        self._gate, self._memory = gate, memory
        self.size = 0

    def add(self, size: int) -> None:
        """Count more. Raises `Refused` (429)."""
        self._gate.hold(size)
        self.size += size

    def drop(self) -> None:
        """Give all back."""
        self._gate.drop(self.size)
        self.size = 0
        self._memory.soon()


async def chunks(request: Request, limits: Limits, held: Held) -> AsyncIterator[bytes]:
    """Yield the body.

    Raises:
        Refused: 413: larger than allowed, by its header or as it comes; 408: slower than allowed; 429: see
            `Gate.hold`; 400: a length that is no number.
        Gone: The client closed before the end.
    """
    declared = request.headers.get("content-length")
    if declared is not None:
        if not (declared.isascii() and declared.isdigit()):
            raise Refused(400, "the header Content-Length is no number")
        if int(declared[:20]) > limits.request_bytes:
            raise _too_large(limits)
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.body_seconds
    size = 0
    more = True
    while more:
        try:
            async with asyncio.timeout_at(end):
                message: Any = await request.receive()
        except TimeoutError:
            raise Refused(
                408,
                f"the request's body did not come within {limits.body_seconds:g} s",
                "send fewer or smaller images",
                {"Connection": "close"},
            ) from None
        if message["type"] == "http.disconnect":
            raise Gone
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size > limits.request_bytes:
            raise _too_large(limits)
        held.add(len(chunk))
        if chunk:
            yield chunk


def _too_large(limits: Limits) -> Refused:
    return Refused(
        413,
        f"the request is larger than {limits.request_bytes / MIB:g} MiB",
        "send fewer or smaller images",
    )


def too_many(limits: Limits) -> Refused:
    """The refusal of a request with more images than allowed."""
    return Refused(413, f"a request may hold {limits.images} images, not more", "split it into several")
