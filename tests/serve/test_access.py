"""Who is answered: names, origins, keys; by the checks alone and over the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duchenne.errors import RecipeError
from duchenne.serve import Access, is_loopback
from duchenne.serve.refusal import Refused

KEY = "k" * 8 + "0123456789abcdef"


def status(access: Access, path: str = "/predict", **headers: str) -> int:
    given = {"host": "localhost:8000"} | {k.replace("_", "-"): v for k, v in headers.items()}
    try:
        access.check("POST", path, [(k.encode(), v.encode("latin-1")) for k, v in given.items()])
    except Refused as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]:8000", "[::1]"]
)
def test_own_names(host: str) -> None:
    assert status(Access("127.0.0.1"), host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "192.168.0.7:8000",
    ],
)
def test_other_names_are_rebinding(host: str) -> None:
    assert status(Access("127.0.0.1"), host=host) == 421


@pytest.mark.parametrize(
    "host", ["", "a b", "localhost:", "localhost:x", "localhost:999999", "user@localhost", "::1", "a/b"]
)
def test_hosts_that_are_none(host: str) -> None:
    assert status(Access("127.0.0.1"), host=host) == 400


def test_one_host_header() -> None:
    access = Access("127.0.0.1")
    for headers in ([], [(b"host", b"localhost"), (b"host", b"localhost")]):
        with pytest.raises(Refused) as refused:
            access.check("GET", "/", headers)
        assert refused.value.status == 400


def test_further_names() -> None:
    access = Access("0.0.0.0", ["faces.example"], KEY)
    assert status(access, host="Faces.Example", x_api_key=KEY) == 200
    assert status(access, host="10.0.0.1:8000", x_api_key=KEY) == 200  # an address is no rebinding
    assert status(access, host="other.example", x_api_key=KEY) == 421
    for wrong in ("http://a", "a:80", "a/b", ""):
        with pytest.raises(RecipeError):
            Access("127.0.0.1", [wrong])


@pytest.mark.parametrize(
    ("origin", "right"),
    [
        ("http://localhost:8000", 200), ("https://localhost:8000", 200), ("http://LOCALHOST:8000", 200),
        ("http://localhost", 403), ("http://localhost:8001", 403), ("http://127.0.0.1:8000", 403),
        ("http://evil.example", 403), ("null", 403), ("", 403), ("file://", 403), ("http://[", 403),
        ("http://user@localhost:8000", 403), ("ftp://localhost:8000", 403),
    ],
)  # fmt: skip
def test_origins(origin: str, right: int) -> None:
    assert status(Access("127.0.0.1"), origin=origin) == right


def test_what_browsers_say_of_the_asking_page() -> None:
    access = Access("127.0.0.1")
    assert status(access, sec_fetch_site="same-origin", sec_fetch_mode="cors") == 200
    assert status(access, sec_fetch_site="none", sec_fetch_mode="navigate") == 200
    assert status(access, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert status(access, sec_fetch_site="same-site", sec_fetch_mode="cors") == 403
    assert (
        status(access, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200
    )  # a link to here


@pytest.mark.parametrize(
    ("headers", "right"),
    [
        ({}, 401), ({"x_api_key": KEY}, 200), ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer {KEY}"}, 200), ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": KEY}, 401), ({"x_api_key": KEY[:-1]}, 401), ({"x_api_key": KEY + "x"}, 401),
        ({"x_api_key": ""}, 401), ({"x_api_key": "\xe9"}, 401), ({"authorization": "Bearer "}, 401),
        ({"x_api_key": "wrong", "authorization": f"Bearer {KEY}"}, 200),
    ],
)  # fmt: skip
def test_keys(headers: dict[str, str], right: int) -> None:
    assert status(Access("127.0.0.1", key=KEY), **headers) == right


def test_what_needs_no_key() -> None:
    access = Access("127.0.0.1", key=KEY)
    assert {p: status(access, p) for p in ("/", "/health", "/openapi.json", "/model", "/nothing", "//")} == {
        "/": 200, "/health": 200, "/openapi.json": 200, "/model": 401, "/nothing": 401, "//": 401,
    }  # fmt: skip
    assert status(access, "/", host="evil.example") == 421


def test_others_need_a_key_to_be_let_in() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "myhost"):
        with pytest.raises(RecipeError, match="API key"):
            Access(host)
        Access(host, key=KEY)
    for weak in ("", "short", "k" * 15, "k" * 20 + "\n", "é" * 20):
        with pytest.raises(RecipeError, match="16"):
            Access("127.0.0.1", key=weak)


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.0.1", "::1")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "example")))


def test_over_the_wire(start: Callable[..., Any], image: Callable[..., bytes]) -> None:
    server = start(key=KEY)
    reply = server.post([("a.png", image())])
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert "API key" in reply.json["error"]
    assert KEY.encode() not in server.ask("GET", "/").body
    assert server.ask("GET", "/health").status == 200
    server.headers = {"X-API-Key": KEY}
    assert server.post([("a.png", image())]).status == 200
    assert server.ask("GET", "/model").status == 200
    reply = server.ask("GET", "/model", headers={"Origin": "http://evil.example"})
    assert reply.status == 403
    reply = server.ask("GET", "/model", headers={"Host": "evil.example\t"})
    assert reply.status in (400, 421)


def test_preflight_gets_no_leave(server: Any) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    reply = server.ask("OPTIONS", "/predict", headers=headers)
    assert reply.status == 403
    assert not [h for h in reply.headers if h.startswith("access-control")]
