"""Artifact: against the same net written in NumPy by hand, and against broken files."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from duchenne.artifacts import Artifact, Card, save_artifact, to_probs
from duchenne.artifacts.metadata import SNIPPET, with_metadata
from duchenne.errors import DataError, DuchenneError, RecipeError, RunError
from duchenne.labels import Output
from duchenne.transforms.preprocess import Preprocess

EMOTION = Output("emotion", "single", ("happy", "sad", "angry"))
AU = Output("au", "multi", ("AU6", "AU12"))
PRE = Preprocess(size=(6, 5), channels=1, mean=(0.5,), std=(0.25,))


def weights(seed: int = 0) -> dict[str, Any]:
    """Linear heads, (c*h*w, K) and (K,)."""
    rng = np.random.default_rng(seed)
    return {
        o.name: (rng.normal(size=(30, o.num_classes)).astype(np.float32), rng.normal(size=o.num_classes))
        for o in (EMOTION, AU)
    }


def linear_model(
    heads: dict[str, Any],
    shape: tuple[int | str, ...] = ("N", 1, 6, 5),
    input_name: str = "images",
) -> bytes:
    """A flatten and one Gemm per head, as ONNX bytes."""
    nodes = [helper.make_node("Flatten", [input_name], ["flat"], axis=1)]
    constants, outputs = [], []
    for name, (w, b) in heads.items():
        constants += [
            numpy_helper.from_array(w.astype(np.float32), f"{name}.w"),
            numpy_helper.from_array(b.astype(np.float32), f"{name}.b"),
        ]
        nodes.append(helper.make_node("Gemm", ["flat", f"{name}.w", f"{name}.b"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", w.shape[1]]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, shape)], outputs, constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def card(**changes: Any) -> Card:
    return Card(
        **{
            "name": "tiny",
            "outputs": (EMOTION, AU),
            "preprocess": PRE.to_json(),
            "temperature": {"emotion": 2.0},
            **changes,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_artifact(tmp_path / "artifact", linear_model(weights()), card())
    return tmp_path / "artifact"


def by_hand(images: Any) -> dict[str, Any]:
    """The whole way from pixels to probabilities, written out."""
    x = ((images.astype(np.float64) / 255 - 0.5) / 0.25).reshape(len(images), -1)
    logits = {k: x @ w.astype(np.float64) + b for k, (w, b) in weights().items()}
    e = np.exp(logits["emotion"] / 2.0)
    return {"emotion": e / e.sum(1, keepdims=True), "au": 1 / (1 + np.exp(-logits["au"]))}


def faces(n: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 5), dtype=np.uint8)


def test_predict_equals_the_net_by_hand(folder: Path) -> None:
    images = faces(23)
    got = Artifact.load(folder, threads=1).predict(images, batch_size=5)
    want = by_hand(images)
    assert list(got) == ["emotion", "au"]
    for name, p in got.items():
        assert p.dtype == np.float32
        np.testing.assert_allclose(p, want[name], atol=2e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_batch_size_changes_nothing(folder: Path, batch_size: int) -> None:
    artifact = Artifact.load(folder, threads=1)
    images = faces(7)
    one, other = artifact.predict(images), artifact.predict(list(images), batch_size=batch_size)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)


def test_logits_are_scaled_and_shifted_before_the_temperature(tmp_path: Path) -> None:
    """By hand, and by the script that a model carries."""
    scaling = {"emotion": {"scale": [0.5, 2.0, 1.0], "shift": [1.0, -1.0, 0.0]}}
    about = card(scaling=scaling)
    save_artifact(tmp_path, with_metadata(linear_model(weights()), about), about)
    artifact = Artifact.load(tmp_path, threads=1)
    images = faces(4)
    z = artifact.logits(artifact.preprocess(images))["emotion"]
    e = np.exp((z * np.array([0.5, 2.0, 1.0]) + np.array([1.0, -1.0, 0.0])) / 2)
    got = artifact.predict(images)
    np.testing.assert_allclose(got["emotion"], e / e.sum(1, keepdims=True), atol=1e-6)
    save_artifact(tmp_path / "plain", linear_model(weights()), card())
    np.testing.assert_array_equal(
        Artifact.load(tmp_path / "plain", threads=1).predict(images)["au"], got["au"]
    )
    cv2.imwrite(str(tmp_path / "face.png"), images[0])
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET, str(tmp_path / "model.onnx"), str(tmp_path / "face.png")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    for name in ("emotion", "au"):
        np.testing.assert_allclose(list(json.loads(said[name]).values()), got[name][0], atol=1e-5)


def test_a_stranger_enlarges_as_we_do(tmp_path: Path) -> None:
    """The script that a model carries, for a net of enlarged images; other nets: tests of the export."""
    about = card(preprocess=Preprocess(size=(6, 5), detail=(4, 3)).to_json())
    save_artifact(tmp_path, with_metadata(linear_model(weights()), about), about)
    image = np.random.default_rng(0).integers(0, 256, (19, 17), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "face.png"), image)
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET, str(tmp_path / "model.onnx"), str(tmp_path / "face.png")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    ours = Artifact.load(tmp_path, threads=1).predict([image])
    plain = Preprocess(size=(6, 5))([image])
    assert np.abs(Artifact.load(tmp_path, threads=1).probs(plain)["emotion"] - ours["emotion"]).max() > 0.01
    for line in done.stdout.splitlines():
        name, theirs = line.split(" ", 1)
        np.testing.assert_allclose(list(json.loads(theirs).values()), ours[name][0], atol=1e-5)


def test_a_card_that_says_otherwise_than_its_model_is_refused(tmp_path: Path) -> None:
    """Labels in another order would be wrong answers without an error."""
    save_artifact(tmp_path, with_metadata(linear_model(weights()), card()), card())
    Artifact.load(tmp_path, threads=1)
    edited = json.loads((tmp_path / "card.json").read_text())
    for field, value in (
        ("outputs", [edited["outputs"][0] | {"labels": ["sad", "happy", "angry"]}, edited["outputs"][1]]),
        ("preprocess", edited["preprocess"] | {"mean": [0.25]}),
    ):
        (tmp_path / "card.json").write_text(json.dumps(edited | {field: value}))
        with pytest.raises(RunError, match=f"says '{field}' otherwise than card.json"):
            Artifact.load(tmp_path, threads=1)
    (tmp_path / "card.json").write_text(json.dumps(edited | {"temperature": {"emotion": 1.5, "au": 1.0}}))
    Artifact.load(tmp_path, threads=1)  # fitted anew by `evaluate`, which leaves the model as it is
    (tmp_path / "card.json").write_text(json.dumps(edited, sort_keys=True))
    Artifact.load(tmp_path, threads=1)  # the order of keys says nothing


@pytest.mark.parametrize("name", ["model.onnx", "card.json"])
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(RunError, match="is not a file"):
        Artifact.load(folder, threads=1)


def test_no_images_give_no_rows(folder: Path) -> None:
    artifact = Artifact.load(folder, threads=1)
    for images in (faces(0), []):
        got = artifact.predict(images, views="ten-crop")
        assert {k: v.shape for k, v in got.items()} == {"emotion": (0, 3), "au": (0, 2)}


def test_wrong_input_is_refused(folder: Path) -> None:
    artifact = Artifact.load(folder, threads=1)
    with pytest.raises(DataError, match=r"float32 .*not float64"):
        artifact.logits(np.zeros((1, 1, 6, 5)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"\(2, 1, 5, 6\)"):
        artifact.logits(np.zeros((2, 1, 5, 6), np.float32))
    with pytest.raises(RecipeError, match="batch_size"):
        artifact.predict(faces(1), batch_size=0)
    with pytest.raises(RecipeError, match="did you mean 'flip'"):
        artifact.predict(faces(1), views="flipp")


@given(
    st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(0.05, 20),
)
def test_probs_are_probabilities_that_keep_the_order(rows: list[list[float]], temperature: float) -> None:
    z = np.array(rows, np.float32)
    soft, sig = to_probs(z, "single", temperature), to_probs(z, "multi", temperature)
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-6)
    assert ((sig >= 0) & (sig <= 1)).all()
    for p in (soft, sig):
        ranked = np.take_along_axis(p, z.argsort(axis=1, kind="stable"), axis=1)
        assert (np.diff(ranked, axis=1) >= 0).all()
    two = np.stack([z[:, 0], np.zeros(len(z), np.float32)], axis=1)  # softmax over (z, 0) is a sigmoid
    np.testing.assert_allclose(to_probs(two, "single", temperature)[:, 0], sig[:, 0], atol=1e-6)


def test_probs_of_huge_logits_are_finite() -> None:
    z = np.array([[1e30, -1e30, 0.0]], np.float32)
    assert to_probs(z, "single").tolist() == [[1.0, 0.0, 0.0]]
    assert to_probs(z, "multi").tolist() == [[1.0, 0.0, 0.5]]


def test_small_sigmoids_keep_their_digits() -> None:
    np.testing.assert_allclose(to_probs(np.array([[-40.0]], np.float32), "multi"), np.exp(-40), rtol=1e-6)


def test_files_are_written_whole(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "model.onnx"]
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert json.loads((folder / "card.json").read_text())["model_sha256"] == digest


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        save_artifact(tmp_path / "file", b"x", card())


@pytest.mark.parametrize("length", [0, 1, 200])
def test_model_cut_short(folder: Path, length: int) -> None:
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:length])
    with pytest.raises(RunError, match=r"model\.onnx \(\d+ bytes\).*cut short"):
        Artifact.load(folder)


def test_missing_files(folder: Path) -> None:
    with pytest.raises(RunError, match="holds no model"):
        Artifact.load(folder / "nowhere")
    (folder / "model.onnx").unlink()
    with pytest.raises(RunError, match=r"model\.onnx cannot be read"):
        Artifact.load(folder)


def test_a_copy_reads_the_folder_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(3, 1, 6, 5)).astype(np.float32)
    monkeypatch.chdir(folder.parent)
    artifact = Artifact.load(folder.name, 1)
    pickled = pickle.dumps(artifact)
    monkeypatch.chdir("/")
    for other in (pickle.loads(pickled), copy.deepcopy(Artifact.load(folder, 1))):
        assert (other.card, other.precision) == (artifact.card, artifact.precision)
        for name, logits in artifact.logits(x).items():
            np.testing.assert_array_equal(other.logits(x)[name], logits)
    replace(artifact.card, name="other").save(folder / "card.json")
    with pytest.raises(RunError, match="holds another model than when it was read"):
        pickle.loads(pickled)
    (folder / "model.onnx").unlink()
    with pytest.raises(RunError, match=r"model\.onnx cannot be read"):
        pickle.loads(pickled)


def test_bytes_that_are_no_model(tmp_path: Path) -> None:
    save_artifact(tmp_path, b"no model", card())
    with pytest.raises(RunError, match="no model onnxruntime can read"):
        Artifact.load(tmp_path)


def test_opened_meanwhile_it_answers_the_same_and_says_the_same_errors(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 1, 6, 5)).astype(np.float32)
    meanwhile = Artifact.load(folder, wait=False)
    meanwhile.ready()
    for name, logits in Artifact.load(folder).logits(x).items():
        np.testing.assert_array_equal(meanwhile.logits(x)[name], logits)
    (folder / "model.onnx").write_bytes(b"short")
    broken = Artifact.load(folder, wait=False)
    with pytest.raises(RunError, match="cut short"):
        broken.ready()
    with pytest.raises(RunError, match="cut short"):
        broken.logits(x)


def test_no_thread_writes_to_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C code that reads it at that moment in the caller's thread (OpenCV does) would crash."""
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    seen = []
    monkeypatch.setattr("duchenne.artifacts.artifact._open", lambda *_: seen.append(dict(os.environ)))
    Artifact.load(folder, wait=False).ready()
    assert seen[0]["ORT_DISABLE_TELEMETRY"] == "1"
    assert dict(os.environ) == seen[0]


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (linear_model(weights(), input_name="x"), {}, "must take one input 'images'"),
        (linear_model(weights(), shape=(4, 1, 6, 5)), {}, r"shape \[4, 1, 6, 5\]"),
        (linear_model(weights()), {"preprocess": Preprocess(size=(5, 6)).to_json()}, "the card's preprocess"),
        (linear_model({"emotion": weights()["emotion"]}), {}, "the card names emotion, au"),
        (linear_model(weights()), {"outputs": (EMOTION,)}, "has the outputs emotion, au"),
        (
            linear_model(weights()),
            {"outputs": (Output("emotion", "single", ("a", "b")), AU)},
            "the card's 2 labels",
        ),
        (linear_model(weights()), {"preprocess": {"size": [6, 5]}}, r"card\.json: field 'preprocess'"),
    ],
)
def test_model_and_card_must_fit(tmp_path: Path, model: bytes, changes: dict[str, Any], message: str) -> None:
    save_artifact(tmp_path, model, card(**changes))
    with pytest.raises(RunError, match=message):
        Artifact.load(tmp_path)


def test_nan_weights_are_an_error_not_an_answer(tmp_path: Path) -> None:
    heads = weights()
    heads["au"] = (heads["au"][0] * np.nan, heads["au"][1])
    save_artifact(tmp_path, linear_model(heads), card())
    with pytest.raises(DuchenneError, match="not finite"):
        Artifact.load(tmp_path, threads=1).predict(faces(2))
