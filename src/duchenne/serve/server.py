"""A socket, uvicorn, and an orderly end."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import nullcontext

import uvicorn

from ..errors import RunError
from ..inference import Predictor
from ..inference.sidebyside import side_by_side
from .access import Access
from .app import make_app
from .limits import Limits
from .protocol import connection_class
from .work import Workers

_BACKLOG = 1024
_KEEP_ALIVE = 75  # seconds an idle connection stays open: longer than any Retry-After
_GRACE = 5  # seconds that requests have to end after Ctrl-C


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        RunError: The address is taken, unknown, or not this machine's.
    """
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # "localhost" may be both; clients without IPv6 are more than those without IPv4.
        family, kind, protocol, _, address = min(info, key=lambda i: i[0] != socket.AF_INET)
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise RunError(f"{host} is no address of this machine: {error.strerror}") from None
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise RunError(
            f"port {port} of {host} cannot be opened: {error.strerror}", "name another one with --port"
        ) from None
    return sock


class Server:
    """A predictor behind HTTP.

    Args:
        predictor: Its net should use one thread a call (`Predictor.load(..., threads=1)`): images are
            answered side by side.
        access: Who may ask.
        limits: How much.
        workers: Images predicted at once; by default the CPUs this process may use.
    """

    def __init__(
        self, predictor: Predictor, access: Access, limits: Limits | None = None, workers: int | None = None
    ) -> None:
        limits = limits or Limits()
        self._workers = Workers(predictor, limits, workers or cpus())
        app = make_app(self._workers, access, limits)
        config = uvicorn.Config(
            app, http=connection_class(limits), ws="none", lifespan="off", loop="asyncio", interface="asgi3",
            log_config=None, access_log=False, proxy_headers=False, server_header=False, backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE, timeout_graceful_shutdown=_GRACE,
        )  # fmt: skip
        self._server = uvicorn.Server(config)

    def run(self, sock: socket.socket) -> None:
        """Serve until a signal or `stop`."""
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a client's mistakes are answered
        try:
            with side_by_side() if self._workers.count > 1 else nullcontext():
                self._server.run(sockets=[sock])
        finally:
            self._workers.close()
            sock.close()

    def stop(self) -> None:
        """Let `run` return, from another thread."""
        self._server.should_exit = True


def cpus() -> int:
    """CPUs this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
