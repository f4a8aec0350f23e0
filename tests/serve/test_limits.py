"""Limits over the wire: bytes, images, pixels, requests, connections, clocks; what bodies leave behind."""

from __future__ import annotations

import asyncio
import base64
import gc
import http.client
import io
import json
import logging
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duchenne.errors import RecipeError
from duchenne.inference import FoundFace, WholeImage
from duchenne.serve import Access, Limits
from duchenne.serve.guard import Guard

Image = Callable[..., bytes]
Start = Callable[..., Any]


class Slow:
    """Finds the whole image, when it is allowed to go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.count = 0

    def find(self, image: Any) -> list[FoundFace]:
        self.count += 1
        self.begun.release()
        assert self.go.wait(30)
        return WholeImage().find(image)


class Broken:
    """A defect."""

    def find(self, image: Any) -> list[FoundFace]:
        raise ValueError("secret pixels")


@pytest.mark.parametrize("name", list(Limits().to_json()))
def test_limits_are_positive(name: str) -> None:
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(RecipeError, match=name):
            Limits(**{name: wrong})
    with pytest.raises(RecipeError, match="held_bytes"):
        Limits(held_bytes=10, request_bytes=11)
    with pytest.raises(RecipeError, match="pixels"):
        Limits(pixels=10**9)


def test_a_body_too_large_by_its_header_is_refused_unread(server: Any) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999999\r\n\r\n"
    )
    start = time.monotonic()
    first = next(server.raw_parts([head], 0, 5))
    assert b" 413 " in first
    assert time.monotonic() - start < 3
    expecting = head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    assert next(server.raw_parts([expecting], 0, 5)).startswith(b"HTTP/1.1 413")


def test_a_body_too_large_as_it_comes(start: Start) -> None:
    server = start(limits=Limits(request_bytes=100_000))
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 10_000
            yield b" " * 10_000

    reply = server.ask(
        "POST", "/predict", pieces(), {"Content-Type": "application/json"}, encode_chunked=True
    )
    assert reply.status == 413
    assert "0.0953674 MiB" in reply.json["error"]
    assert server.ask("GET", "/health").status == 200


def test_what_is_sent_after_a_refusal_does_not_go_on_for_ever(start: Start, monkeypatch: Any) -> None:
    monkeypatch.setattr("duchenne.serve.protocol._DRAIN_SECONDS", 0.3)
    server = start(limits=Limits(request_bytes=100))
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    begin = time.monotonic()
    got = server.raw(head, *[b"3e8\r\n" + b" " * 1000 + b"\r\n"] * 200, pause=0.02)
    assert got == b"" or b" 413 " in got
    assert time.monotonic() - begin < 3


def test_an_image_too_large_is_a_record(start: Start, image: Image) -> None:
    server = start(limits=Limits(image_bytes=2000, pixels=500))
    large, small = image(size=(60, 60)), image(size=(20, 20))
    assert len(large) > 2000 > len(small)
    wide = image("JPEG", size=(30, 20))
    assert len(wide) < 2000
    records = server.post([("a", small), ("b", large), ("c", wide), ("d", small)]).json["records"]
    assert [r["error"] is None for r in records] == [True, False, False, True]
    assert "MiB" in records[1]["error"]
    assert "30x20" in records[2]["error"]
    texts = [base64.b64encode(i).decode() for i in (small, large, wide)]
    records = server.post_json({"images": texts}).json["records"]
    assert [r["error"] is None for r in records] == [True, False, False]
    assert server.ask("GET", "/model").json["limits"]["pixels"] == 500


def test_ten_thousand_tiny_images_are_refused_early(start: Start, image: Image, multipart: Any) -> None:
    finder = Slow()
    server = start(faces=finder)
    tiny = image("PPM", size=(2, 2))
    begin = time.monotonic()
    reply = server.post([(f"{n}.ppm", tiny) for n in range(10_000)])
    assert reply.status == 413
    assert "64 images" in reply.json["error"]
    reply = server.post_json({"images": [base64.b64encode(tiny).decode()] * 10_000})
    assert reply.status == 413
    assert time.monotonic() - begin < 5
    assert finder.count == 0
    finder.go.set()
    assert server.post([(f"{n}.ppm", tiny) for n in range(64)]).status == 200
    assert server.post([(f"{n}.ppm", tiny) for n in range(65)]).status == 413


def test_requests_beyond_the_limit_come_back_later(start: Start, image: Image) -> None:
    finder = Slow()
    server = start(faces=finder, limits=Limits(requests=3), workers=1)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(server.post, [(f"{n}", image(seed=n))]) for n in range(4)]
        # Three of them wait for the finder, whichever come first; so the first answer is the fourth's.
        done, waiting = wait(asked, timeout=20, return_when=FIRST_COMPLETED)
        (reply,) = (f.result() for f in done)
        assert reply.status == 429
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        assert "3 requests" in reply.json["error"]
        assert server.ask("GET", "/health").status == 200  # what costs nothing is answered
        finder.go.set()
        assert {f.result().status for f in waiting} == {200}
    assert server.post([("x", image())]).status == 200


def test_memory_for_bodies_is_bounded_over_all_requests(start: Start, image: Image) -> None:
    finder = Slow()
    server = start(faces=finder, limits=Limits(held_bytes=60_000, request_bytes=60_000), workers=1)
    large = image("PPM", size=(130, 130))  # 50,700 bytes
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.post, [("a", large)])
        assert finder.begun.acquire(timeout=10)
        reply = server.post([("b", large)])
        assert reply.status == 429
        assert "retry-after" in reply.headers
        finder.go.set()
        assert first.result().status == 200
    assert server.post([("b", large)]).status == 200


def test_a_slow_body_gets_408_and_holds_up_nobody(start: Start, image: Image) -> None:
    server = start(limits=Limits(body_seconds=0.5, requests=2))
    head = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000\r\n\r\n"
    )
    pieces = [bytes([byte]) for byte in b"--b\r\nX: yyyy"]
    with ThreadPoolExecutor(8) as pool:
        begin = time.monotonic()
        slow = [pool.submit(server.raw, head, *pieces, pause=0.1) for _ in range(8)]
        time.sleep(0.2)
        assert server.post([("a", image())]).status == 200
        for future in slow:
            got = future.result()
            assert got.startswith(b"HTTP/1.1 408")
            assert b"0.5 s" in got
        assert time.monotonic() - begin < 8


def test_slow_headers_get_408(start: Start) -> None:
    server = start(limits=Limits(head_seconds=0.4))
    begin = time.monotonic()
    assert server.raw(b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 10, pause=0.1).startswith(b"HTTP/1.1 408")
    assert server.raw(b"").startswith(b"HTTP/1.1 408")  # nothing at all
    # The second request of a connection.
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    got = server.raw(whole, *[b"G"] * 1, pause=0.1)
    assert b" 200 " in got
    assert b" 408 " in got
    assert time.monotonic() - begin < 6


def test_a_connection_stays_open_after_a_refusal(start: Start) -> None:
    """The clock on headers does not run while a client stays away as it was told to."""
    server = start(limits=Limits(head_seconds=0.3))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/predict", b" " * 300_000, {"Content-Type": "text/plain"})
    first = connection.getresponse()
    assert (first.status, first.headers["connection"]) == (415, None)
    first.read()
    used = connection.sock
    time.sleep(0.8)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    assert connection.sock is used
    connection.close()


def test_connections_are_bounded(start: Start) -> None:
    server = start(limits=Limits(connections=2))
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    time.sleep(0.2)
    try:
        assert server.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 503")
    finally:
        for sock in held:
            sock.close()
    time.sleep(0.2)
    assert server.ask("GET", "/health").status == 200


def test_a_prediction_too_long_gets_503_and_the_rest_is_not_begun(start: Start, image: Image) -> None:
    finder = Slow()
    server = start(faces=finder, limits=Limits(predict_seconds=0.3, requests=1), workers=1)
    reply = server.post([(f"{n}", image()) for n in range(10)])
    assert reply.status == 503
    assert "0.3 s" in reply.json["error"]
    assert server.post([("a", image())]).status == 429  # its thread still works: the place is not free
    finder.go.set()
    until = time.monotonic() + 10
    while server.post([("a", image())]).status != 200:
        assert time.monotonic() < until
    assert finder.count <= 3


def test_the_rest_of_a_request_whose_client_left_is_not_begun(
    start: Start, image: Image, multipart: Any
) -> None:
    finder = Slow()
    server = start(faces=finder, limits=Limits(requests=1), workers=1)
    body, kind = multipart([(f"{n}", image()) for n in range(10)])
    head = (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(head.encode() + body)
        assert finder.begun.acquire(timeout=10)
    time.sleep(0.2)
    finder.go.set()
    until = time.monotonic() + 10
    while server.post([("a", image())]).status != 200:
        assert time.monotonic() < until
    assert finder.count <= 3


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def stuck(message: Any) -> None:
        await asyncio.sleep(60)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    guard = Guard(app, Access("127.0.0.1"), Limits(body_seconds=0.1))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    begin = time.monotonic()
    asyncio.run(guard(scope, receive, stuck))
    assert time.monotonic() - begin < 5


def test_a_defect_is_no_traceback_for_the_client(start: Start, image: Image, caplog: Any) -> None:
    server = start(faces=Broken())
    reply = server.post([("a", image())])
    assert reply.status == 500
    assert set(reply.json) == {"error", "todo"}
    assert "secret" not in reply.body.decode()
    assert "Traceback" not in reply.body.decode()
    assert server.post([("a", image())]).status == 500


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000,
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n\r\nzz\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    ],
)  # fmt: skip
def test_malformed_requests(server: Any, request_bytes: bytes) -> None:
    got = next(server.raw_parts([request_bytes], 0, 10))
    assert re.match(rb"HTTP/1.1 (400|413|415|421|431) ", got), got
    assert b"Traceback" not in got
    assert server.ask("GET", "/health").status == 200


def test_what_is_no_http_is_answered_as_all_else(server: Any) -> None:
    got = server.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nno \0 request\r\n\r\n")
    first, second = (part.partition(b"\r\n\r\n") for part in re.split(rb"(?=HTTP/1.1 400)", got))
    assert first[2] == b'{"status":"ok"}'
    assert json.loads(second[2]) == {"error": "what was sent is no HTTP/1.1 request", "todo": ""}
    assert b"application/json" in second[0]
    assert b"X-Content-Type-Options: nosniff" in second[0]


def test_noise_after_a_refusal_just_ends_the_connection(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer was given before the body's end; a second one cannot be."""
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with caplog.at_level(logging.ERROR):
        got = server.raw(head, b"zz\r\nno chunk", pause=0.3)
    assert got.startswith(b"HTTP/1.1 415 ")
    assert got.count(b"HTTP/1.1 ") == 1
    assert caplog.records == []


def test_nothing_reaches_a_disk_and_nothing_a_log(
    start: Start, image: Image, monkeypatch: Any, caplog: Any
) -> None:
    """12 MB in one file: Starlette's own forms would have made a temporary file of what is over 1 MB."""

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("a temporary file")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    server = start()
    caplog.set_level(logging.DEBUG, "duchenne")
    caplog.set_level(logging.DEBUG, "python_multipart")
    large = image("PPM", size=(2000, 2000))
    assert len(large) > 12_000_000
    reply = server.post([("my-face.ppm", large)], "/predict?abstain=0.25")
    assert reply.status == 200
    assert reply.json["records"][0]["error"] is None
    server.ask("GET", "/model?secret=1\x1b".replace("\x1b", "%1b"))
    server.ask("GET", "/%1b[31m%0aforged" + "x" * 500)
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("duchenne")]
    assert [line.split()[:3] for line in lines[:2]] == [["POST", "/predict", "200"], ["GET", "/model", "200"]]
    everything = "".join(r.getMessage() for r in caplog.records if r.name != "asyncio")
    assert "my-face" not in everything
    assert "secret" not in everything
    assert "abstain" not in everything
    assert "\x1b" not in everything
    assert all(len(line) < 120 and line.isprintable() for line in lines)


def resident() -> int:
    """kB of this process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def test_memory_stays_flat(start: Start, image: Image) -> None:
    server = start()
    one = [("a.jpg", image("JPEG", size=(640, 480)))]
    for _ in range(20):
        assert server.post(one).status == 200
    before = resident()
    for _ in range(150):
        assert server.post(one).status == 200
    assert resident() - before < 20_000  # kB


@pytest.mark.parametrize("status", [200, 400])
def test_large_bodies_do_not_wait_for_the_garbage_collector(start: Start, image: Image, status: int) -> None:
    """It comes by the number of objects, not by their size: 14 clients had made the server 3 GB large."""
    server = start()
    body = b'--b\r\nContent-Disposition: form-data; name="images"\r\n\r\n' + image("JPEG") + bytes(8 << 20)
    body += b"\r\n--b--\r\n" if status == 200 else b"\r\n--b\r\n"

    def ask() -> Any:
        return server.ask("POST", "/predict", body, {"Content-Type": "multipart/form-data; boundary=b"})

    for _ in range(3):
        assert ask().status == status
    gc.collect()
    gc.disable()
    try:
        before = resident()
        for _ in range(20):
            assert ask().status == status
        assert resident() - before < 60_000  # kB; kept, they were 160,000
    finally:
        gc.enable()


def test_noise_as_bodies(server: Any) -> None:
    """Random bytes, with and without the marks of a form, are always answered."""
    rng = np.random.default_rng(0)
    for n in range(60):
        marks = [
            b"--b",
            b"\r\n",
            b"--b\r\n",
            b'Content-Disposition: form-data; name="images"',
            b"\r\n\r\n",
            b"--b--",
        ]
        out = io.BytesIO()
        for _ in range(int(rng.integers(1, 12))):
            out.write(
                marks[rng.integers(len(marks))] if rng.random() < 0.8 else rng.bytes(int(rng.integers(1, 40)))
            )
        kind = "multipart/form-data; boundary=b" if n % 3 else "application/json"
        reply = server.ask("POST", "/predict", out.getvalue(), {"Content-Type": kind})
        assert reply.status in (200, 400, 422)
        assert isinstance(reply.json, dict)
