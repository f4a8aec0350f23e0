"""Who may ask: names in the Host header, pages in the Origin header, and the API key."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from ..errors import RecipeError
from .refusal import Refused, shown

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# 16 random characters of base64 hold 96 bits.
LEAST_KEY = 16
# What answers without a key: the page (which asks for it), its link, and whether the server is alive.
OPEN_PATHS = frozenset(("/", "/health", "/openapi.json"))
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach a server bound to the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Checks a request's headers.

    Args:
        host: What the server is bound to.
        names: Further names it may be called by (behind a proxy, or on a network).
        key: The API key; None: none is asked for.

    Raises:
        RecipeError: The host is not of this machine alone and there is no key, the key is too short, or a
            name is none.
    """

    def __init__(self, host: str, names: Iterable[str] = (), key: str | None = None) -> None:
        if key is not None and (len(key) < LEAST_KEY or not key.isascii() or not key.isprintable()):
            raise RecipeError(
                f"the API key must be at least {LEAST_KEY} printable ASCII characters",
                "python -c 'import secrets; print(secrets.token_urlsafe(24))' makes one",
            )
        if key is None and not is_loopback(host):
            raise RecipeError(
                f"without an API key only this machine may reach the server, and {host} is open to others",
                "give --api-key-file FILE (or $DUCHENNE_API_KEY), or leave --host out",
            )
        for name in names:
            if not _HOST.fullmatch(name) or name.count(":") == 1:
                raise RecipeError(f"'{name}' is no host name", "name it without scheme, port and path")
        self._digest = None if key is None else hashlib.sha256(key.encode()).digest()
        # An address in the Host header is no attack by rebinding: that needs a name.
        self._addresses = not is_loopback(host)
        self._names = {*LOOPBACK, *(n.lower() for n in names)}
        self._names.add(f"[{host}]" if ":" in host else host.lower())

    @property
    def needs_key(self) -> bool:
        """Whether requests must bring the key."""
        return self._digest is not None

    def check(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Raise `Refused` (400, 401, 403 or 421) where a request may not be answered.

        Args:
            method: In capitals.
            path: Without the query.
            headers: Names in lower case, as ASGI gives them.
        """
        host = self._host(_values(headers, b"host"))
        self._same_origin(host, headers)
        if self._digest is not None and path not in OPEN_PATHS:
            self._key(headers)

    def _host(self, values: list[str]) -> str:
        """The header's value, of a name this server goes by."""
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            raise Refused(400, "the request needs one Host header that names this server")
        name = match[1].lower()
        if name not in self._names and not (self._addresses and _is_address(name)):
            raise Refused(
                421,
                f"this server does not go by the name '{shown(name)}'",
                "whoever runs it can allow the name with --allow-host",
            )
        return values[0].lower()

    @staticmethod
    def _same_origin(host: str, headers: list[tuple[bytes, bytes]]) -> None:
        """A browser says which page asks. Pages of other sites are refused; other programs send neither."""
        for origin in _values(headers, b"origin"):
            try:
                parts = urlsplit(origin)
            except ValueError:
                parts = urlsplit("")
            if parts.scheme not in ("http", "https") or parts.netloc.lower() != host:
                raise Refused(403, f"pages of '{shown(origin)}' may not ask this server")
        site, mode = _values(headers, b"sec-fetch-site"), _values(headers, b"sec-fetch-mode")
        if mode != ["navigate"] and any(s not in ("same-origin", "none") for s in site):
            raise Refused(403, "pages of other sites may not ask this server")

    def _key(self, headers: list[tuple[bytes, bytes]]) -> None:
        given = _values(headers, b"x-api-key")
        for value in _values(headers, b"authorization"):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer":
                given.append(token.strip())
        right = False
        for key in given[:2]:
            # Digests are of one length, and all of their bytes are compared.
            digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
            right |= hmac.compare_digest(digest, self._digest or b"")
        if not right:
            what = "the API key is not the right one" if given else "this server asks for an API key"
            raise Refused(
                401,
                what,
                "send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                {"WWW-Authenticate": 'Bearer realm="duchenne"'},
            )


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
