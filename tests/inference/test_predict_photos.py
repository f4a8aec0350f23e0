"""``duchenne predict`` on photographs: faces found, unsure labels, drawn pictures, animations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from duchenne.cli.predict import predict_command
from duchenne.errors import RunError


@pytest.fixture
def call(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verb, with the test's model."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(predict_command)

    def run(*args: str, **options: Any) -> Result:
        return CliRunner().invoke(app, [*args, "--model", str(model)], **options)

    return run


@pytest.fixture
def photo(tmp_path: Path, drawn_photo: Callable[..., Any]) -> Path:
    cv2.imwrite(str(tmp_path / "photo.png"), drawn_photo((20, 60), (220, 120)))
    cv2.imwrite(str(tmp_path / "empty.png"), drawn_photo())
    return tmp_path / "photo.png"


def test_faces_are_found_by_default(call: Any, photo: Path) -> None:
    result = call("photo.png", "empty.png")
    assert result.exit_code == 0, result.output
    found, empty = (json.loads(line) for line in result.stdout.splitlines())
    assert len(found["faces"]) == 2
    assert empty == {"path": "empty.png", "error": None, "note": None, "faces": []}
    assert call("photo.png", "empty.png", "--faces", "cascade").stdout == result.stdout
    whole = json.loads(call("photo.png", "--faces", "whole").stdout)
    assert [f["box"] for f in whole["faces"]] == [[0, 0, 400, 300]]
    assert json.loads(call("photo.png", "--min-face", "200").stdout)["faces"] == []
    assert "did you mean 'cascade'" in str(call("photo.png", "--faces", "cascades").exception)
    assert "duchenne detector fetch" in str(call("photo.png", "--faces", "yunet").exception)


def test_abstain(call: Any, photo: Path) -> None:
    for at, unsure in (("0", False), ("1", True)):
        faces = json.loads(call("photo.png", "--abstain", at).stdout)["faces"]
        best = [f["outputs"]["emotion"][0]["label"] for f in faces]
        assert [f["labels"] for f in faces] == [{"emotion": "unsure" if unsure else b} for b in best]
        text = call("photo.png", "--abstain", at, "--format", "text").stdout
        assert text.count("unsure: ") == (2 if unsure else 0)
    assert call("photo.png", "--abstain", "1.5").exit_code == 2


def test_draw(call: Any, photo: Path, tmp_path: Path) -> None:
    result = call("photo.png", "empty.png", "gone.png", "--draw", "drawn")
    assert result.exit_code == 3
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["empty.jpg", "photo.jpg"]
    again = call("photo.png", "--draw", "drawn")
    assert isinstance(again.exception, RunError)
    assert "is not empty" in str(again.exception)
    piped = call("-", "--draw", "piped", input=photo.read_bytes())
    assert piped.exit_code == 0
    assert [p.name for p in (tmp_path / "piped").iterdir()] == ["stdin.jpg"]


def test_an_animation_is_said(call: Any, tmp_path: Path) -> None:
    frames = [Image.new("L", (20, 20), v) for v in (0, 99)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    result = call("a.gif", "--faces", "whole")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["note"] == "the first of several frames was taken"
    assert "the first was taken" in result.stderr
