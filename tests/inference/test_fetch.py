"""YuNet's file into the cache: checked, in one step, from https or a copy. No test uses the network."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from duchenne.cli.detector import fetch_command, show_command
from duchenne.errors import RunError
from duchenne.inference import fetch, yunet
from duchenne.inference.fetch import URL, fetch_yunet

CONTENT = b"a net of nine bytes or so"


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pins another content's hash; where the file goes."""
    import hashlib

    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return yunet.yunet_path()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Answers with the given content or error; gives the list of addresses that were asked."""

    def answer(content: bytes | Exception) -> list[str]:
        asked: list[str] = []

        def open(self: Any, url: str, timeout: float) -> io.BytesIO:
            asked.append(url)
            assert timeout > 0
            if isinstance(content, Exception):
                raise content
            return io.BytesIO(content)

        monkeypatch.setattr(urllib.request.OpenerDirector, "open", open)
        return asked

    return answer


def test_downloaded_once(pinned: Path, network: Callable[..., list[str]]) -> None:
    asked = network(CONTENT)
    assert fetch_yunet() == (pinned, True)
    assert pinned.read_bytes() == CONTENT
    assert fetch_yunet() == (pinned, False)
    assert asked == [URL]
    assert URL.startswith("https://")
    pinned.write_bytes(b"damaged")
    assert fetch_yunet() == (pinned, True)
    assert [p.name for p in pinned.parent.iterdir()] == [pinned.name]


def test_a_file_of_others_is_not_written_over(
    pinned: Path, tmp_path: Path, network: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = network(CONTENT)
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setenv("DUCHENNE_YUNET", str(tmp_path / "thesis.txt"))
    with pytest.raises(RunError, match=r"thesis\.txt, which \$DUCHENNE_YUNET names, is another file"):
        fetch_yunet()
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert asked == []
    monkeypatch.setenv("DUCHENNE_YUNET", str(tmp_path / "new.onnx"))
    assert fetch_yunet() == (tmp_path / "new.onnx", True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>please log in</html>", "its sha256 is"),
        (CONTENT + b"x" * (2 << 20), "is larger than"),
        (urllib.error.URLError("no route to host"), "cannot be downloaded: no route to host"),
        (TimeoutError("timed out"), "cannot be downloaded: timed out"),
    ],
)
def test_nothing_wrong_is_kept(
    pinned: Path, network: Callable[..., list[str]], content: Any, words: str
) -> None:
    network(content)
    with pytest.raises(RunError, match=words):
        fetch_yunet()
    assert not pinned.exists()


def test_a_redirect_away_from_https_is_refused() -> None:
    handler = fetch._HttpsOnly()
    request = urllib.request.Request(URL)
    for address in ("http://example.org/x", "file:///etc/passwd", "ftp://example.org/x"):
        with pytest.raises(urllib.error.URLError, match="away from https"):
            handler.redirect_request(request, None, 302, "Found", {}, address)
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://example.org/x") is not None


def test_from_a_local_copy(pinned: Path, tmp_path: Path, network: Callable[..., list[str]]) -> None:
    asked = network(AssertionError("no network"))
    (tmp_path / "copy").write_bytes(CONTENT)
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(RunError, match="cannot be read"):
        fetch_yunet(tmp_path / "none")
    with pytest.raises(RunError, match="other is not face_detection_yunet"):
        fetch_yunet(tmp_path / "other")
    assert not pinned.exists()
    assert fetch_yunet(tmp_path / "copy") == (pinned, True)
    assert asked == []


def test_the_verb(pinned: Path, tmp_path: Path) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(show_command)
    app.command("fetch")(fetch_command)
    before = CliRunner().invoke(app, ["--json"])
    assert json.loads(before.stdout)["name"] == "cascade"
    assert "duchenne detector fetch" in CliRunner().invoke(app, []).stdout
    (tmp_path / "copy").write_bytes(CONTENT)
    first = CliRunner().invoke(app, ["fetch", "--from", str(tmp_path / "copy")])
    assert first.stdout == f"{pinned}\n"
    again = CliRunner().invoke(app, ["fetch", "--from", str(tmp_path / "copy")])
    assert again.stdout == f"{pinned} is there already\n"
    assert CliRunner().invoke(app, []).stdout.startswith("yunet: it lies in the cache")
