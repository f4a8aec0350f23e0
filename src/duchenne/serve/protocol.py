"""uvicorn's connection, with a clock on headers and on bodies nobody reads, and a cap on connections."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits
from .refusal import HEADERS, Refused

_REASONS = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}
# After an answer, the rest of a refused body is read and dropped for so long, so that the answer arrives: a
# socket that is closed while bytes come in is reset.
_DRAIN_SECONDS = 5.0


class Connection(H11Protocol):
    """A connection that keeps the limits of its class; `connection_class` names them."""

    limits: ClassVar[Limits]
    clock: asyncio.TimerHandle | None = None
    waits_for = ""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            busy = f"{self.limits.connections} connections are open"
            self.refuse(Refused(503, busy, "ask again later", {"Retry-After": "1"}))
        else:
            self.wind()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.wind()

    def wind(self) -> None:
        """Start, leave running or stop the clock, by what the connection waits for."""
        waits_for = ""
        if not self.transport.is_closing():
            if self.conn.their_state is h11.IDLE:
                waits_for = self.between()
            elif self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE:
                waits_for = "drain"
        if waits_for != self.waits_for:
            self.stop()
            self.waits_for = waits_for
            if waits_for:
                seconds = self.limits.head_seconds if waits_for == "head" else _DRAIN_SECONDS
                self.clock = self.loop.call_later(seconds, self.late)

    def between(self) -> str:
        """Of a connection without a request: nothing before a further one, which uvicorn's clock ends."""
        if self.cycle is None or self.conn.trailing_data[0]:
            return "head"
        if self.timeout_keep_alive_task is None:  # the rest of a refused body had stopped it
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return ""

    def stop(self) -> None:
        if self.clock is not None:
            self.clock.cancel()
        self.clock, self.waits_for = None, ""

    def late(self) -> None:
        if self.transport.is_closing():
            return
        if self.waits_for == "head":
            self.refuse(
                Refused(408, f"the request's headers did not come within {self.limits.head_seconds:g} s")
            )
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no HTTP; where an answer was given before the request's end, just close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.refuse(Refused(400, "what was sent is no HTTP/1.1 request"))
        else:
            self.transport.close()

    def refuse(self, refused: Refused) -> None:
        """Answer without a request, and close."""
        headers = {
            "Content-Type": "application/json", "Content-Length": str(len(refused.body)), **HEADERS,
            **refused.headers, "Connection": "close",
        }  # fmt: skip
        lines = [f"HTTP/1.1 {refused.status} {_REASONS[refused.status]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + refused.body)
        self.transport.close()


def connection_class(limits: Limits) -> type[H11Protocol]:
    """A protocol for ``uvicorn.Config(http=...)`` that keeps the limits."""
    return type("Connection", (Connection,), {"limits": limits})
