"""Export: a folder that a stranger can use, the same bytes each time, int8 measured, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml

from duchenne.artifacts import Artifact, Card, save_artifact
from duchenne.artifacts.metadata import SNIPPET
from duchenne.artifacts.packaged import MAX_BYTES
from duchenne.build import build_faces
from duchenne.datasets import load
from duchenne.errors import DataError, RecipeError, RunError
from duchenne.evaluation import expected_calibration_error, fit_scaling, fit_temperature
from duchenne.experiment import export as module
from duchenne.experiment import int8 as int8_module
from duchenne.experiment.evaluate import evaluate
from duchenne.experiment.export import check_parity, export_package, export_run
from duchenne.experiment.finish import ensure_artifact
from duchenne.experiment.modelcard import write_modelcard
from duchenne.experiment.run import Run, write_json
from duchenne.experiment.temperature import all_logits
from duchenne.experiment.train import train
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Recipe, Train
from duchenne.transforms import Preprocess

# What a stranger has; anything else must not be imported.
GUARD = """\
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("duchenne", "torch", "onnx", "PIL", "scipy", "sklearn", "pydantic"):
            raise ImportError(f"a stranger has no {name}")
sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def exported(trained_once: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run exported with everything. Read it only."""
    out = tmp_path_factory.mktemp("export") / "model"
    export_run(trained_once, out, int8=True, half_weights=True)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def front_matter(folder: Path) -> Any:
    text = (folder / "README.md").read_text()
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_the_folder_holds_all_and_again_the_same_bytes(exported: Path, trained_once: Run) -> None:
    files = contents(exported)
    assert sorted(files) == ["README.md", "card.json", "model.int8.onnx", "model.onnx", "weights.safetensors"]
    again = export_run(trained_once, exported, int8=True, half_weights=True)
    assert contents(exported) == files
    assert again.sizes == {name: len(content) for name, content in files.items()}
    assert (exported / "weights.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("model", ["model.onnx", "model.int8.onnx"])
def test_a_stranger_gets_the_same_probabilities(
    exported: Path, trained_once: Run, tmp_path: Path, model: str
) -> None:
    faces = build_faces(trained_once.recipe, None)
    artifact = Artifact.load(exported, threads=1, precision="int8" if "int8" in model else "fp32")
    script = tmp_path / "stranger.py"
    script.write_text(GUARD + SNIPPET)
    small, large = faces.image(3), cv2.resize(faces.image(3), (131, 97))
    for n, image in enumerate((small, large, cv2.cvtColor(large, cv2.COLOR_GRAY2BGR))):
        path = tmp_path / f"{n}.png"
        assert cv2.imwrite(str(path), image)
        done = subprocess.run(
            [sys.executable, str(script), str(exported / model), str(path)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
        ours = artifact.predict([image])
        assert list(said) == ["emotion", "au"]
        for output in artifact.outputs:
            theirs = json.loads(said[output.name])
            assert list(theirs) == list(output.labels)
            np.testing.assert_allclose(list(theirs.values()), ours[output.name][0], atol=1e-4)


def test_the_guard_refuses(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", GUARD + "import torch"], capture_output=True, check=False)
    assert b"a stranger has no torch" in done.stderr


def test_onnx_equals_torch_and_holds_no_batch_norm(exported: Path, trained_once: Run) -> None:
    faces = build_faces(trained_once.recipe, None)
    theirs = TorchLearner.load(trained_once.checkpoint("best")).logits(faces)
    ours = all_logits(Artifact.load(exported, threads=1, precision="fp32"), faces)
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-4, atol=1e-4)
    model = onnx.load_model_from_string((exported / "model.onnx").read_bytes())
    assert not [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    assert [i.version for i in model.opset_import if i.domain == ""] == [18]
    parity = json.loads((exported / "card.json").read_text())["figures"]["parity"]
    assert 0 < parity["n"] <= 1000
    assert parity["max_difference"] < 1e-4


def test_a_model_that_answers_otherwise_is_not_exported(trained: Run) -> None:
    artifact = ensure_artifact(trained)
    val = build_faces(trained.recipe, None).where("val")
    assert check_parity(trained, artifact, val)["n"] == len(val)
    shifted = type(artifact.preprocess)(mean=(0.1,))
    artifact.preprocess = shifted  # as an exporter that loses a constant would
    with pytest.raises(RunError, match="answers otherwise than its learner"):
        check_parity(trained, artifact, val)


def test_int8_loss_is_measured_by_hand(exported: Path, trained_once: Run) -> None:
    val = build_faces(trained_once.recipe, None).where("val")
    right = {}
    for precision in ("fp32", "int8"):
        artifact = Artifact.load(exported, threads=1, precision=precision)  # type: ignore[arg-type]
        said = all_logits(artifact, val)["emotion"].argmax(axis=1)
        right[precision] = float((said == val.hard("emotion")).mean())
    stated = Artifact.load(exported, threads=1).card.int8
    measured = stated["measured"]
    assert {k: measured[k] for k in right} == pytest.approx(right)
    assert measured["loss_points"] == pytest.approx(100 * (right["fp32"] - right["int8"]), abs=1e-3)
    assert stated["default"] == (measured["loss_points"] <= 0.5)


def test_int8_that_loses_too_much_is_no_default(
    trained_once: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_module, "MAX_LOSS_POINTS", -101)  # nothing is good enough
    done = export_run(trained_once, tmp_path / "out", int8=True)
    assert any("int8 is refused as default" in note for note in done.notes)
    assert Artifact.load(tmp_path / "out", threads=1).precision == "fp32"
    assert Artifact.load(tmp_path / "out", threads=1, precision="int8").precision == "int8"
    assert "loses too much to be the default" in (tmp_path / "out" / "README.md").read_text()


def test_calibration_faces_are_training_faces(trained_once: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    part = build_faces(trained_once.recipe, None).where("train")
    assert int8_module.calibration_rows(part).tolist() == list(range(len(part)))  # fewer than wanted: all
    monkeypatch.setattr(int8_module, "CALIBRATION_FACES", 40)
    rows = int8_module.calibration_rows(part)
    assert len(set(rows.tolist())) == 40
    assert rows.max() < len(part)
    np.testing.assert_array_equal(rows, int8_module.calibration_rows(part))


def test_half_weights_are_the_runs_within_half_precision(exported: Path, trained_once: Run) -> None:
    whole = TorchLearner.load(trained_once.checkpoint("best"))
    half = TorchLearner.load(exported / "weights.safetensors")
    assert half.outputs_ == whole.outputs_
    assert half.history_ == []
    ours, theirs = half.net_.state_dict(), whole.net_.state_dict()
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype
        np.testing.assert_allclose(ours[name].numpy(), value.numpy(), rtol=1e-3, atol=1e-6)
    assert (exported / "weights.safetensors").stat().st_size < 0.7 * trained_once.checkpoint(
        "best"
    ).stat().st_size


def test_weights_too_large_for_half_stay_whole(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    from duchenne.learners.arrayfile import write_arrays
    from duchenne.learners.halve import save_halved

    arrays = {
        "big": np.array([1e6], np.float32),
        "small": np.array([0.5], np.float32),
        "count": np.array([3]),
    }
    write_arrays(tmp_path / "a", {"model": arrays}, {"epoch": 1, "history": [1]})
    save_halved(tmp_path / "a", tmp_path / "b")
    kept = load_file(tmp_path / "b")
    assert {k: str(v.dtype) for k, v in kept.items()} == {
        "model/big": "float32", "model/small": "float16", "model/count": "int64",
    }  # fmt: skip


def test_the_model_card_reads_as_hugging_faces(trained: Run, tmp_path: Path) -> None:
    evaluate(trained, by=["skin_tone"])
    done = export_run(trained, tmp_path / "out", int8=True)
    assert done.notes == ()
    front = front_matter(tmp_path / "out")
    assert front["license"] == "apache-2.0"
    assert front["datasets"] == ["synthetic"]
    (index,) = front["model-index"]
    test = trained.metrics()["test"]["outputs"]["emotion"]
    first = index["results"][0]
    assert first["dataset"]["name"] == "synthetic"
    assert {m["type"]: m["value"] for m in first["metrics"]} == pytest.approx(
        {"accuracy": test["accuracy"], "f1": test["macro_f1"], "expected_calibration_error": test["ece"]},
        abs=5e-5,
    )
    text = (tmp_path / "out" / "README.md").read_text()
    happy = next(row for row in test["per_class"] if row["label"] == "happy")
    for words in ("Regulation (EU) 2024/1689", "Article 5(1)(f)", "## Out-of-scope uses", "by skin_tone"):
        assert words in text
    assert f"{100 * happy['recall']:.2f} % | {100 * happy['f1']:.2f} % | {happy['support']} |" in text
    assert SNIPPET.strip() in text
    assert "Not measured: gender, age, person." in text  # skin tone was


def test_weights_of_no_known_licence_carry_their_terms(trained: Run, tmp_path: Path) -> None:
    """Hugging Face asks for a name and a link wherever the licence is "other"."""
    export_run(trained, tmp_path / "out")
    assert not (tmp_path / "out" / "LICENSE.md").exists()  # Apache-2.0
    about = trained.info("data") | {"name": "fer2013"}
    card = replace(ensure_artifact(trained).card, data=about, terms="Research use.")
    write_modelcard(trained, card, tmp_path / "out")
    front = front_matter(tmp_path / "out")
    assert (front["license"], front["license_name"]) == ("other", "research-use-fer2013")
    text = (tmp_path / "out" / front["license_link"]).read_text()
    assert "The images were given out for a Kaggle competition" in text
    assert text.endswith("Research use.\n")


def test_a_label_becomes_no_tag(trained_once: Run, tmp_path: Path) -> None:
    card = ensure_artifact(trained_once).card
    emotion = replace(card.outputs[0], labels=("<script>", *card.outputs[0].labels[1:]))
    write_modelcard(trained_once, replace(card, outputs=(emotion, *card.outputs[1:])), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "&lt;script>" in text
    assert "<script>" not in text


def test_action_units_stand_beside_what_needs_no_model(trained: Run, tmp_path: Path) -> None:
    evaluate(trained, splits=["test"])
    export_run(trained, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "Not measured: gender, age, skin tone, person." in text
    test = build_faces(trained.recipe, None).where("test")
    occurs = test.targets["au"] >= 0.5
    silent = 1 - occurs.mean()
    assert f"always no has a binary accuracy of {100 * silent:.2f} %" in text
    labels, n = test.output("au").labels, len(test)
    for label, support in zip(labels, occurs.sum(axis=0).tolist(), strict=True):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert cells[4] == f"{100 * 2 * support / (support + n):.2f} %"
        assert cells[6:] == [f"{100 * (n - support) / n:.2f} %", f"{support:,}"]
    happy = next(line for line in text.splitlines() if line.startswith("| happy |"))
    assert happy.count("|") == 6  # single-label tables are as they were


def test_stale_figures_are_left_out(trained: Run, tmp_path: Path) -> None:
    evaluate(trained, splits=["val"])
    evaluate(trained, splits=["test"], temperature="fit")
    done = export_run(trained, tmp_path / "out")
    assert any("figures of val are of other weights or another temperature" in note for note in done.notes)
    names = [r["dataset"]["split"] for r in front_matter(tmp_path / "out")["model-index"][0]["results"]]
    assert set(names) == {"test"}


def test_a_run_that_was_not_evaluated_says_so(trained_once: Run, exported: Path) -> None:
    assert front_matter(exported)["model-index"][0]["results"] == []
    assert "Not evaluated yet" in (exported / "README.md").read_text()


@pytest.mark.parametrize(
    ("learner", "optimizer"),
    [({"name": "scratch", "args": {"hidden": [8]}}, {"name": "sgd", "lr": 0.05}), ({"name": "svm"}, {}),
     ({"name": "trees"}, {})],
)  # fmt: skip
def test_other_learners_are_exported_too(
    tiny: Callable[..., Recipe], tmp_path: Path, learner: dict[str, Any], optimizer: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {"learner": learner, "augment": {}, "preprocess": {"size": [12, 12]}}
    fields |= {"optimizer": optimizer} if optimizer else {"optimizer": {}}
    data = {"name": "synthetic", "outputs": ["emotion"], "options": {"n": 120, "difficulty": "easy"}}
    epochs: dict[str, Any] = {} if learner["name"] != "scratch" else {"epochs": 2, "batch_size": 32}
    run = train(tiny(**fields, data=data, train=epochs), runs=tmp_path, name="other")
    done = export_run(run, tmp_path / "out", int8=learner["name"] == "scratch")
    artifact = Artifact.load(tmp_path / "out", threads=1, precision="fp32")
    faces = build_faces(run.recipe, None)
    np.testing.assert_array_equal(
        all_logits(artifact, faces)["emotion"], all_logits(ensure_artifact(run), faces)["emotion"]
    )
    assert done.card.figures["parity"]["n"] == len(faces.where("val"))
    if learner["name"] != "scratch":
        with pytest.raises(RecipeError, match="is no net"):
            export_run(run, tmp_path / "out", int8=True)
        with pytest.raises(RecipeError, match="keeps no torch weights"):
            export_run(run, tmp_path / "out", half_weights=True)


def test_folders_of_others_are_not_written_over(trained_once: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(RunError, match="holds files that are no exported model"):
        export_run(trained_once, tmp_path)
    with pytest.raises(RunError, match="exists and is not a folder"):
        export_run(trained_once, tmp_path / "README.md")
    with pytest.raises(RunError, match="the run's own model"):
        export_run(trained_once, trained_once.artifact)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_nor_is_another_recipes_model_and_what_goes_is_said(trained_once: Run, tmp_path: Path) -> None:
    done = export_run(trained_once, tmp_path / "out", int8=True)
    assert not [note for note in done.notes if "removed" in note]
    again = export_run(trained_once, tmp_path / "out")
    assert "model.int8.onnx of the earlier export was removed; --int8 makes it anew" in again.notes
    card = tmp_path / "out/card.json"
    card.write_text(card.read_text().replace(f'"name": "{done.card.name}"', '"name": "other"', 1))
    with pytest.raises(RunError, match="holds the model of 'other'"):
        export_run(trained_once, tmp_path / "out")
    card.write_text("{")  # a broken one is mended
    assert export_run(trained_once, tmp_path / "out").card.name == done.card.name


def test_without_data_there_is_a_model_but_no_int8(trained: Run, tmp_path: Path) -> None:
    recipe = json.loads((trained.path / "recipe.json").read_text())
    recipe["data"] = {"name": "fer2013", "outputs": [], "without": [], "options": {}}
    write_json(trained.path / "recipe.json", recipe)
    done = export_run(trained, tmp_path / "out")
    assert any("was not held against the learner" in note for note in done.notes)
    with pytest.raises(DataError):
        export_run(trained, tmp_path / "other", int8=True)


# -- temperature --------------------------------------------------------------------------------------------


def test_temperature_is_fitted_on_validation_and_used_everywhere(trained: Run, tmp_path: Path) -> None:
    before = Artifact.load(trained.artifact, threads=1)
    val = build_faces(trained.recipe, None).where("val")
    plain = before.predict(val.pixels())
    want = fit_temperature(plain["emotion"], val.hard("emotion"))
    (done,) = evaluate(trained, splits=["val"], temperature="fit")
    stated = done.metrics["temperature"]
    assert stated["how"] == "fit"
    assert stated["values"]["emotion"] == pytest.approx(want, abs=1e-3)
    assert stated["values"]["au"] == 1.0
    artifact = Artifact.load(trained.artifact, threads=1)
    assert dict(artifact.card.temperature) == stated["values"]
    probs = artifact.predict(val.pixels())["emotion"]
    assert done.metrics["outputs"]["emotion"]["ece"] == pytest.approx(
        expected_calibration_error(probs, val.hard("emotion"))
    )
    export_run(trained, tmp_path / "out")
    assert dict(Artifact.load(tmp_path / "out", threads=1).card.temperature) == stated["values"]
    (kept,) = evaluate(trained, splits=["val"])  # its recipe asks for nothing
    assert kept.metrics["temperature"] == stated
    (plainly,) = evaluate(trained, splits=["val"], temperature="one")
    assert plainly.metrics["temperature"] == {"how": "one", "values": {"emotion": 1.0, "au": 1.0}}
    np.testing.assert_allclose(Artifact.load(trained.artifact, threads=1).predict(val.pixels())["emotion"],
                               plain["emotion"], atol=1e-6)  # fmt: skip


def test_a_scaling_is_fitted_on_validation_and_used_everywhere(trained: Run, tmp_path: Path) -> None:
    val = build_faces(trained.recipe, None).where("val")
    logits = all_logits(ensure_artifact(trained), val)["emotion"]
    evaluate(trained, splits=["test"], temperature="fit")
    (done,) = evaluate(trained, splits=["val"], temperature="vector")
    scale, shift = fit_scaling(logits, val.hard("emotion"))
    assert done.metrics["temperature"] == {
        "how": "vector", "values": {"emotion": 1.0, "au": 1.0},
        "scaling": {"emotion": {"scale": scale, "shift": shift}},
    }  # fmt: skip
    z = logits * np.array(scale) + np.array(shift)
    right = float((z.argmax(axis=1) == val.hard("emotion")).mean())
    assert done.metrics["outputs"]["emotion"]["accuracy"] == pytest.approx(right)
    exported = export_run(trained, tmp_path / "out", int8=True)
    # The test part's figures are of the temperature before.
    assert any("figures of test are of other weights" in note for note in exported.notes)
    assert exported.card.int8["measured"]["fp32"] == pytest.approx(right)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        Artifact.load(tmp_path / "out", threads=1, precision="fp32").predict(val.pixels())["emotion"],
        e / e.sum(axis=1, keepdims=True), atol=1e-5,
    )  # fmt: skip
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"| `emotion` | {val.output('emotion').labels[0]} | {scale[0]:.3f} | {shift[0]:+.3f} |" in text
    (kept,) = evaluate(trained, splits=["val"])
    assert kept.metrics["temperature"] == done.metrics["temperature"]
    (plainly,) = evaluate(trained, splits=["val"], temperature="one")
    assert plainly.metrics["temperature"] == {"how": "one", "values": {"emotion": 1.0, "au": 1.0}}


def test_answers_that_are_too_unsure_become_surer(trained: Run) -> None:
    """Label smoothing and mixup leave a net under-confident: the temperature is then below 1."""
    artifact = ensure_artifact(trained)
    val = build_faces(trained.recipe, None).where("val")
    logits = all_logits(artifact, val)["emotion"].astype(np.float64)
    logits[np.arange(len(val)), val.hard("emotion")] += 3  # mostly right, and unsure of it
    e = np.exp(logits / 8)
    soft = (e / e.sum(axis=1, keepdims=True)).astype(np.float32)
    assert fit_temperature(soft, val.hard("emotion")) < 1


def test_unknown_temperature_is_refused(trained: Run) -> None:
    with pytest.raises(RecipeError, match="there is no temperature 'fti'"):
        evaluate(trained, splits=["val"], temperature="fti")


# -- the package --------------------------------------------------------------------------------------------


def test_package_is_made_of_a_finished_evaluated_run(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="not evaluated on validation and test with a fitted temperature"):
        export_package(trained, tmp_path / "flagship")
    evaluate(trained, temperature="fit")
    monkeypatch.setattr(module, "packaged_folder", lambda: tmp_path / "flagship")
    done = export_package(trained)
    assert done.folder == tmp_path / "flagship"
    assert sorted(done.sizes) == [
        "README.md",
        "card.json",
        "model.int8.onnx",
        "model.onnx",
        "weights.safetensors",
    ]
    before = contents(done.folder)
    export_package(trained)
    assert contents(done.folder) == before
    assert sum(map(len, before.values())) <= MAX_BYTES
    monkeypatch.setattr(module, "MAX_PARAMETERS", 10)
    with pytest.raises(RunError, match="the packaged model may have 10"):
        export_package(trained)
    trained.save_state(type(trained.state)(**{**vars(trained.state), "status": "stopped"}))
    with pytest.raises(RunError, match="is not finished"):
        export_package(trained)


@pytest.mark.real_data
def test_parity_on_a_thousand_real_faces(data_dir: Path, tmp_path: Path) -> None:
    split = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
    faces = load("fer2013", data_dir, split=split).keep_outputs(["emotion"])
    val = faces.where("val").select(np.arange(1000))
    pre = Preprocess(size=(48, 48), per_image=True)
    # Not below 16: on some processors oneDNN crashes in such strided 1x1 convolutions (docs/log.md).
    args = {"stem": 16, "channels": [16, 24], "blocks": [1, 2]}
    learner = TorchLearner("residual", args, pre, train=Train(epochs=2, batch_size=64), accelerator="cpu")
    learner.fit(faces.where("train").select(np.arange(640)))
    card = Card(name="r", outputs=learner.outputs_, preprocess=pre.to_json())
    save_artifact(tmp_path, learner.to_onnx(), card)
    ours = all_logits(Artifact.load(tmp_path, threads=1), val)["emotion"]
    np.testing.assert_allclose(ours, learner.logits(val)["emotion"], atol=1e-4)
    assert len(np.unique(ours.argmax(axis=1))) > 1
