"""What stands around every answer: access checks, safe headers, errors as JSON, one line in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import Access
from .limits import Limits
from .refusal import HEADERS, Refused, shown

_log = logging.getLogger("duchenne.serve")

_ENDS = Refused(503, "the server is ending", "ask again when it runs", {"Connection": "close"})


class Guard:
    """ASGI middleware, the outermost.

    Args:
        app: Answers what is let through.
        access: See `Access`.
        limits: See `Limits`.
    """

    def __init__(self, app: ASGIApp, access: Access, limits: Limits) -> None:
        self._app = app
        self._access = access
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_headers(message.get("headers", []))}
            async with asyncio.timeout(self._limits.body_seconds):
                await send(message)

        scope = _origin_form(scope)
        try:
            self._access.check(scope["method"], scope["path"], scope["headers"])
            # A server must answer HEAD where it answers GET (RFC 9110, 9.1); uvicorn leaves out the body.
            asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            await self._app(asked, receive, answer)
        except Refused as refused:
            await refusal_response(refused)(scope, receive, answer)
        except TimeoutError:
            status = 499  # the answer was not taken; uvicorn closes what is not complete
        except asyncio.CancelledError:
            # The server ends, and its time for what was begun is over. Raised on, this would be a traceback.
            if not status:
                await refusal_response(_ENDS)(scope, receive, answer)
        finally:
            _log.info(
                "%s %s %d %.0f ms",
                shown(scope["method"], 10),
                shown(scope["path"], 60),
                status,
                1000 * (time.perf_counter() - start),
            )


def _origin_form(scope: Scope) -> Scope:
    """A request whose target is a whole URL, as that of its path; the URL's host counts (RFC 9112, 3.2.2)."""
    if not scope["path"].lower().startswith(("http://", "https://")):
        return scope
    authority, slash, path = scope["raw_path"].partition(b"//")[2].partition(b"/")
    raw = slash + path or b"/"
    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope, "path": unquote(raw.decode("ascii")), "raw_path": raw,
        "headers": [(b"host", authority), *others],
    }  # fmt: skip


def refusal_response(refused: Refused) -> Response:
    """The refusal as JSON."""
    return Response(refused.body, refused.status, refused.headers, "application/json")


def _with_headers(given: Any) -> list[tuple[bytes, bytes]]:
    headers = [(bytes(name), bytes(value)) for name, value in given]
    names = {name.lower() for name, _ in headers}
    for name, value in HEADERS.items():
        if name.lower().encode() not in names:
            headers.append((name.lower().encode(), value.encode()))
    return headers
