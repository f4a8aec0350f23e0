"""A request that is not answered with records: status, a sentence, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping

# Nothing of an answer may be kept, framed, guessed to be of another type, or read by other sites.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

MAX_NAME = 120  # characters of a client's text that are said back


class Refused(Exception):
    """Becomes ``{"error": what, "todo": todo}`` with the status.

    Args:
        status: HTTP status, 4xx or 5xx.
        what: One sentence; of the client's own text only what `shown` made of it.
        todo: What to do next; may be empty.
        headers: Further response headers.
    """

    def __init__(
        self, status: int, what: str, todo: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.todo = todo
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """The JSON document."""
        return json.dumps({"error": self.what, "todo": self.todo}).encode()


class Gone(Refused):
    """The client closed its connection: nobody waits for an answer. The status stands in the log only."""

    def __init__(self) -> None:
        super().__init__(499, "the client has gone")


def shown(text: str, longest: int = MAX_NAME) -> str:
    """A client's text as it may be said back or logged: control characters escaped, length cut."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: longest + 1])
    return safe if len(safe) <= longest else safe[: longest - 3] + "..."
