"""A tiny model with two outputs, shared by the tests of this room."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from duchenne.artifacts import Card, save_artifact
from duchenne.datasets import load
from duchenne.labels import Output
from duchenne.transforms.preprocess import Preprocess

OUTPUTS = (Output("emotion", "single", ("happy", "sad", "angry")), Output("au", "multi", ("AU6", "AU12")))
SIDE = 6


def _save_model(folder: Path, scale: float = 1.0) -> Path:
    """Linear heads on 6x6 grey; returns the folder."""
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Flatten", ["images"], ["flat"], axis=1)]
    constants, infos = [], []
    for output in OUTPUTS:
        w = rng.normal(size=(SIDE * SIDE, output.num_classes)) * scale
        constants.append(numpy_helper.from_array(w.astype(np.float32), f"{output.name}.w"))
        nodes.append(helper.make_node("MatMul", ["flat", f"{output.name}.w"], [output.name]))
        infos.append(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, ["N", output.num_classes]))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])
    graph = helper.make_graph(nodes, "g", [images], infos, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    preprocess = Preprocess(size=(SIDE, SIDE), mean=(0.5,), std=(0.5,)).to_json()
    save_artifact(folder, model.SerializeToString(), Card("tiny", OUTPUTS, preprocess, {"emotion": 1.5}))
    return folder


@pytest.fixture
def save_model() -> Callable[..., Path]:
    """Writes the model into a folder."""
    return _save_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The model's folder."""
    return _save_model(tmp_path / "model")


@pytest.fixture
def save_run() -> Callable[..., Path]:
    """Writes a run folder: its state, and the model unless told not to."""

    def save(path: Path, status: str = "finished", updated: str = "", with_model: bool = True) -> Path:
        path.mkdir(parents=True)
        (path / "run.json").write_text(json.dumps({"status": status, "updated": updated}))
        if with_model:
            _save_model(path / "artifact")
        return path

    return save


# Read once, here: the fixture below takes them out of the tests' surroundings.
PHOTOS = os.environ.get("DUCHENNE_PHOTOS", "")
YUNET = os.environ.get("DUCHENNE_YUNET", "")


@pytest.fixture(autouse=True)
def no_detector_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without YuNet's file, whatever the machine has: "auto" is the cascade."""
    monkeypatch.delenv("DUCHENNE_YUNET", raising=False)
    monkeypatch.setenv("DUCHENNE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos() -> Path:
    """The folder of real photographs with faces.csv; skipped, by name, where it is not given."""
    if not PHOTOS or not Path(PHOTOS).is_dir():
        pytest.skip("real data: set DUCHENNE_PHOTOS to a folder of photographs with faces.csv")
    return Path(PHOTOS)


@pytest.fixture
def yunet() -> Path:
    """YuNet's file; skipped, by name, where it is not given."""
    if not YUNET or not Path(YUNET).is_file():
        pytest.skip("real data: set DUCHENNE_YUNET to face_detection_yunet_2023mar.onnx")
    return Path(YUNET)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file grows above 20,000 bytes, as where a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(scope="session")
def drawn_face() -> Any:
    """A drawn face, grey 96x96, which both detectors find once it is enlarged."""
    return load("synthetic", n=1, seed=3, size=96).image(0)


@pytest.fixture(scope="session")
def drawn_photo(drawn_face: Any) -> Callable[..., Any]:
    """Makes an RGB picture of 400x300 with drawn faces of 144 pixels at the given corners."""

    def make(*corners: tuple[int, int], size: tuple[int, int] = (400, 300)) -> Any:
        canvas = np.full((size[1], size[0], 3), (110, 120, 130), np.uint8)
        face = cv2.resize(drawn_face, (144, 144), interpolation=cv2.INTER_CUBIC)
        for x, y in corners:
            canvas[y : y + 144, x : x + 144] = face[..., None]
        return canvas

    return make
