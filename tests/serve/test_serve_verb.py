"""``duchenne serve`` as a process: how it starts, what it refuses, how it ends; it writes no file."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from duchenne.cli.app import make_app
from duchenne.errors import DuchenneError

KEY = "0123456789abcdef-the-key"
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "DUCHENNE_API_KEY"} | {"PYTHONUNBUFFERED": "1"}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from duchenne.cli import main; main()", "serve", *map(str, arguments)]


def refused(*arguments: str | Path) -> str:
    """Of a verb that does not start: its user error."""
    done = CliRunner().invoke(make_app(), ["serve", *map(str, arguments)], env={"DUCHENNE_API_KEY": None})
    assert isinstance(done.exception, DuchenneError), done.output
    return str(done.exception)


def no_files() -> None:
    """From here on the process can write no byte into any file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@contextmanager
def serving(*arguments: str | Path, **options: Any) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        command("--port", "0", *arguments), stderr=subprocess.PIPE, text=True,
        **{"env": ENVIRONMENT, **options},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"serving http://.*:(\d+)/", line):
                yield process, int(found[1])
                break
        else:
            raise AssertionError("it did not start")
    finally:
        process.kill()
        process.wait(20)
        process.stderr.close()


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def test_it_serves_without_writing_a_file_and_ends_in_order(
    model: Path, image: Callable[..., bytes], multipart: Callable[..., tuple[bytes, str]]
) -> None:
    body, kind = multipart([("large.ppm", image("PPM", size=(1600, 1600))), ("small.png", image())])
    with serving("--model", model, "--faces", "whole", preexec_fn=no_files) as (process, port):
        status, answer = ask(port, "POST", "/predict?secret=1", body, Content_Type=kind)
        assert status == 200
        assert [r["error"] for r in answer["records"]] == [None, None]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert process.stderr is not None
        log = process.stderr.read()
    assert "POST /predict 200" in log
    for word in ("secret", "large.ppm", "Traceback"):
        assert word not in log


def test_ctrl_c(model: Path) -> None:
    with serving("--model", model, "--quiet") as (process, port):
        assert ask(port, "GET", "/health") == (200, {"status": "ok"})
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_ctrl_c_while_a_body_comes_is_no_traceback(model: Path) -> None:
    """What does not end in the time that is left is told so."""
    with serving("--model", model) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            kind = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100\r\n\r\n--b\r\n"
            sock.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + kind)
            assert ask(port, "GET", "/health")[0] == 200  # so the first has come too
            process.send_signal(signal.SIGINT)
            got = b"".join(iter(lambda: sock.recv(65536), b""))
        assert process.wait(20) == 130
        assert process.stderr is not None
        log = process.stderr.read()
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["error"] == "the server is ending"
    assert "Traceback" not in log
    assert "POST /predict 503" in log


def test_the_key_from_a_file_and_from_the_environment(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\nanother line\n")
    with serving("--model", model, "--host", "0.0.0.0", "--api-key-file", file) as (_, port):
        assert ask(port, "GET", "/model")[0] == 401
        assert ask(port, "GET", "/model", X_API_Key=KEY)[0] == 200
        assert ask(port, "GET", "/model", X_API_Key=KEY, Host="evil.example")[0] == 421
        assert ask(port, "GET", "/model", X_API_Key=KEY, Host="10.0.0.1")[0] == 200
    with serving("--model", model, env=ENVIRONMENT | {"DUCHENNE_API_KEY": KEY}) as (_, port):
        assert ask(port, "GET", "/model")[0] == 401
        assert ask(port, "GET", "/model", Authorization=f"Bearer {KEY}")[0] == 200


def test_what_it_refuses_to_start_with(model: Path, tmp_path: Path) -> None:
    assert "API key" in refused("--model", model, "--host", "0.0.0.0")
    done = subprocess.run(
        command("--host", "::"), capture_output=True, text=True, timeout=60, env=ENVIRONMENT
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: without an API key")
    (tmp_path / "short").write_text("abc\n")
    assert "16" in refused("--model", model, "--api-key-file", tmp_path / "short")
    (tmp_path / "empty").write_text("")
    assert "empty" in refused("--model", model, "--api-key-file", tmp_path / "empty")
    assert "cannot be read" in refused("--model", model, "--api-key-file", tmp_path / "none")
    assert "no model" in refused("--model", tmp_path / "none")
    for option in ("--max-images=0", "--max-request-mib=nan", "--body-seconds=inf"):
        assert "positive" in refused("--model", model, option)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused("--model", model, "--port", str(taken.getsockname()[1]))
        assert "--port" in said


def test_a_missing_package_is_named_with_its_extra() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['duchenne', 'serve'];"
        "from duchenne.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "duchenne[serve]" in done.stderr


def test_nothing_heavy_is_imported() -> None:
    heavy = {"torch", "sklearn", "matplotlib", "kornia", "pandas", "scipy"}
    code = f"import sys, duchenne.serve; assert not {heavy!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
