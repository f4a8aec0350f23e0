"""Reading ahead in threads: order, bounds, ends; and which model is the default."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duchenne.artifacts import Artifact
from duchenne.errors import RecipeError, RunError
from duchenne.inference import FoundFace, Predictor


class Slow:
    """Takes longer for the first image of each four, so that threads finish out of order."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.lock = threading.Lock()

    def find(self, image: Any) -> list[FoundFace]:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.02 if image[0, 0] % 4 == 0 else 0.001)
        with self.lock:
            self.running -= 1
        return [FoundFace((int(image[0, 0]), 0, 6, 6), None, image)]


def numbered(count: int) -> list[Any]:
    return [np.full((9, 9), i, np.uint8) for i in range(count)]


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("duchenne-read")]


@pytest.mark.parametrize("batch_size", [2, 7, 64])
def test_threads_keep_the_order(model: Path, tmp_path: Path, batch_size: int) -> None:
    sources: list[Any] = []
    for i, image in enumerate(numbered(40)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
        sources.append(tmp_path / f"{i}.png" if i % 2 else image)
    slow = Slow()
    predictor = Predictor(Artifact.load(model, threads=1), faces=slow)
    records = list(predictor.predict(sources, batch_size, workers=3))
    assert [r["faces"][0]["box"][0] for r in records] == list(range(40))
    assert 1 < slow.most <= 3


@pytest.mark.parametrize("encoded", [False, True])
def test_only_so_much_is_read_ahead(model: Path, encoded: bool) -> None:
    taken = 0

    def images() -> Any:
        nonlocal taken
        for image in numbered(200):
            taken += 1
            yield cv2.imencode(".png", image)[1].tobytes() if encoded else image

    stream = Predictor.load(model, threads=1, faces="whole").predict(images(), batch_size=2, workers=2)
    next(stream)
    assert taken <= 6
    stream.close()  # type: ignore[attr-defined]
    assert not readers()


def test_a_live_stream_is_answered_image_by_image(model: Path) -> None:
    taken = 0

    def images() -> Any:
        nonlocal taken
        for image in numbered(5):
            taken += 1
            yield image

    predictor = Predictor.load(model, threads=1, faces="whole")
    for number, _ in enumerate(predictor.predict(images(), batch_size=1), 1):
        assert taken == number


def test_a_source_that_breaks_ends_the_stream_with_its_error(model: Path) -> None:
    def images() -> Any:
        yield from numbered(2)
        raise ValueError("the camera is gone")

    with pytest.raises(ValueError, match="the camera is gone"):
        list(Predictor.load(model, threads=1, faces="whole").predict(images(), workers=2))
    assert not readers()


def test_wrong_arguments(model: Path) -> None:
    predictor = Predictor.load(model)
    for options in ({"abstain": -0.1}, {"abstain": 1.1}, {"abstain": float("nan")}, {"workers": 0}):
        with pytest.raises(RecipeError, match=next(iter(options))):
            predictor.predict([], **options)  # type: ignore[arg-type]


def test_the_packages_own_model_is_the_default(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_run: Callable[..., Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: tmp_path / "none")
    with pytest.raises(RunError, match="no finished run"):
        Predictor()
    save_run(tmp_path / "runs/r")
    assert Predictor().artifact.folder == Path("runs/r/artifact")
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: model)
    assert Predictor().artifact.folder == model
    assert Predictor(faces="whole").finder.find(np.zeros((9, 9), np.uint8))[0].box == (0, 0, 9, 9)
