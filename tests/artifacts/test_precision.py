"""Two precisions in one folder: which answers, what broken files say, what the ONNX file says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from duchenne.artifacts import (
    Artifact,
    Card,
    Precision,
    packaged_model,
    packaged_weights,
    parse_card,
    save_artifact,
)
from duchenne.artifacts import packaged as package
from duchenne.artifacts.artifact import INT8
from duchenne.artifacts.metadata import with_metadata
from duchenne.artifacts.quantise import ends, quantise
from duchenne.errors import RecipeError, RunError
from duchenne.labels import Output
from duchenne.transforms.preprocess import Preprocess

EMOTION = Output("emotion", "single", ("happy", "sad", "angry"))
PRE = Preprocess(size=(8, 8), per_image=True)


def conv_model(seed: int = 0) -> bytes:
    """Two 3x3 convolutions with ReLU, the mean over the map, a linear head; as ONNX bytes."""
    rng = np.random.default_rng(seed)
    shapes = {"a": (6, 1, 3, 3), "b": (8, 6, 3, 3), "w": (8, 3)}
    constants = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32) / 2, name) for name, s in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["images", "a"], ["h1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h1"], ["r1"]),
        helper.make_node("Conv", ["r1", "b"], ["h2"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "w"], ["emotion"], name="head"),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("emotion", TensorProto.FLOAT, ["N", 3])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def card(**changes: Any) -> Card:
    fields = {"name": "tiny", "outputs": (EMOTION,), "preprocess": PRE.to_json(), **changes}
    return Card(**fields)


def inputs(n: int, seed: int = 1) -> Any:
    return PRE(np.random.default_rng(seed).integers(0, 256, (n, 8, 8), dtype=np.uint8))


@pytest.fixture(scope="module")
def int8() -> bytes:
    return quantise(conv_model(), inputs(64))


@pytest.fixture
def folder(tmp_path: Path, int8: bytes) -> Path:
    save_artifact(tmp_path, conv_model(), card(int8={"default": True, "measured": {}}), int8)
    return tmp_path


def test_default_is_what_the_card_says(folder: Path) -> None:
    x = inputs(9)
    named: tuple[Precision, ...] = ("default", "fp32", "int8")
    chosen = {p: Artifact.load(folder, threads=1, precision=p) for p in named}
    assert {p: a.precision for p, a in chosen.items()} == {"default": "int8", "fp32": "fp32", "int8": "int8"}
    answers = {p: a.logits(x)["emotion"] for p, a in chosen.items()}
    np.testing.assert_array_equal(answers["default"], answers["int8"])
    assert not np.array_equal(answers["fp32"], answers["int8"])  # it is another model
    stated = Card.load(folder / "card.json")
    save_artifact(folder, conv_model(), replace(stated, int8={**stated.int8, "default": False}), b"x")
    assert Artifact.load(folder, threads=1).precision == "fp32"  # a refused one is not even read


def test_quantised_answers_are_near_and_the_ends_stay_float(int8: bytes) -> None:
    x = inputs(200, seed=2)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def run(content: bytes) -> Any:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return session.run(None, {"images": x})[0]

    exact, near = run(conv_model()), run(int8)
    # 7 and 8 bits: an error of a few hundredths of the spread, and more than rounding in float32.
    error = np.abs(near - exact).max() / exact.std()
    assert 1e-4 < error < 0.1
    assert (near.argmax(1) == exact.argmax(1)).mean() > 0.97
    assert ends(onnx.load_model_from_string(conv_model())) == ["first", "head"]
    graph = onnx.load_model_from_string(int8).graph
    kinds = {n.name: n.input[1] for n in graph.node if n.op_type in ("Conv", "Gemm")}
    floats = {i.name for i in graph.initializer if i.data_type == 1}
    assert kinds["first"] in floats
    assert kinds["second"] not in floats


def test_weights_take_seven_bits(int8: bytes) -> None:
    """Two products of an unsigned byte and such a weight fit the 16-bit sums of processors without VNNI."""
    weights = [
        numpy_helper.to_array(i)
        for i in onnx.load_model_from_string(int8).graph.initializer
        if i.data_type == TensorProto.INT8 and len(i.dims) == 4
    ]
    assert weights
    assert max(int(np.abs(w.astype(np.int64)).max()) for w in weights) <= 64
    assert 2 * 255 * 64 <= 2**15 - 1


def test_quantising_is_repeatable(int8: bytes) -> None:
    assert quantise(conv_model(), inputs(64)) == int8


def test_nothing_to_quantise_is_said() -> None:
    with pytest.raises(RunError, match="no layer that int8 could make faster"):
        quantise(conv_model(), inputs(8), ["first", "second", "head"])


@pytest.mark.parametrize("length", [0, 1, 500])
def test_int8_cut_short(folder: Path, length: int) -> None:
    path = folder / INT8
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RunError, match=r"model\.int8\.onnx \(\d+ bytes\).*cut short"):
        Artifact.load(folder)
    assert Artifact.load(folder, precision="fp32", threads=1).logits(inputs(1))


def test_int8_of_another_model_or_missing(folder: Path) -> None:
    (folder / INT8).write_bytes(conv_model(seed=5))
    with pytest.raises(RunError, match="not the model of its card"):
        Artifact.load(folder, precision="int8")
    (folder / INT8).unlink()
    with pytest.raises(RunError, match=r"cannot be read: .*\n.*`duchenne export RUN .*--int8`") as missing:
        Artifact.load(folder)
    assert "evaluate" not in str(missing.value)
    save_artifact(folder, conv_model(), card())
    assert not (folder / INT8).exists()
    with pytest.raises(RunError, match="holds no int8 model"):
        Artifact.load(folder, precision="int8")
    with pytest.raises(RecipeError, match="did you mean 'int8'"):
        Artifact.load(folder, precision="int9")  # type: ignore[arg-type]


def test_an_int8_file_that_is_no_model(folder: Path) -> None:
    save_artifact(folder, conv_model(), card(int8={"default": True}), b"text")
    with pytest.raises(RunError, match=r"model\.int8\.onnx is no model onnxruntime can read"):
        Artifact.load(folder)


def test_saving_without_int8_takes_the_old_one_away(folder: Path) -> None:
    save_artifact(folder, conv_model(), card())
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "model.onnx"]


def test_cards_of_before_read_and_are_written_as_before() -> None:
    plain = card().to_json()
    assert "int8" not in plain
    assert "weights" not in plain
    assert parse_card(plain, "card").int8 == {}
    both = card(int8={"default": True, "sha256": "ab"}, weights={"sha256": "cd"}).to_json()
    assert parse_card(json.loads(json.dumps(both)), "card").to_json() == both


@pytest.mark.parametrize(
    ("value", "message"),
    [([], "int8' must be an object"), ({"default": 1}, "int8.default' must be true or false"),
     ({"sha256": 3}, "int8.sha256' must be a string")],
)  # fmt: skip
def test_wrong_int8_fields_are_named(value: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        parse_card(card().to_json() | {"int8": value}, "card")


def test_metadata_says_what_a_stranger_needs() -> None:
    training = {"recipe_fingerprint": "ab", "epoch": 3}
    stated = card(temperature={"emotion": 1.7}, terms="research", training=training)
    content = with_metadata(conv_model(), stated)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    labels = list(EMOTION.labels)
    assert json.loads(about["outputs"]) == [{"name": "emotion", "kind": "single", "labels": labels}]
    assert json.loads(about["temperature"]) == {"emotion": 1.7}
    assert Preprocess.from_json(json.loads(about["preprocess"])) == PRE
    assert [about[k] for k in ("terms", "name", "version", "precision")] == [
        "research",
        "tiny",
        "ab-3",
        "fp32",
    ]
    assert with_metadata(content, stated) == content  # written over, not twice


def test_packaged_model_is_found_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "packaged_folder", lambda: tmp_path / "flagship")
    assert packaged_model() is None
    with pytest.raises(RunError, match="holds no packaged model"):
        packaged_weights()
    save_artifact(tmp_path / "flagship", conv_model(), card())
    assert packaged_model() == tmp_path / "flagship"
    (tmp_path / "flagship" / "weights.safetensors").write_bytes(b"")
    assert packaged_weights() == tmp_path / "flagship" / "weights.safetensors"


def test_the_packages_own_folder_lies_within_it() -> None:
    import duchenne

    assert package.packaged_folder() == Path(duchenne.__file__).resolve().parent / "packaged" / "flagship"
