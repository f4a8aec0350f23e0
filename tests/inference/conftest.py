"""A tiny model with two outputs, shared by the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from duchenne.artifacts import Card, save_artifact
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
