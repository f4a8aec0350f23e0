"""Fine-tuning: labels by name from the packaged model, what is cut off, what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from duchenne.artifacts import Artifact
from duchenne.artifacts import packaged as package
from duchenne.cli import main
from duchenne.errors import DataError, RecipeError, RunError
from duchenne.experiment import finetune as module
from duchenne.experiment import train as train_module
from duchenne.experiment.export import export_run
from duchenne.experiment.finetune import finetune, plan_finetuning
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.inference import Predictor
from duchenne.labels import Output
from duchenne.learners.start import shared_outputs
from duchenne.learners.torch_learner import TorchLearner
from duchenne.recipe import Recipe, parse_recipe

Write = Callable[..., Path]
# The folder's names in an order of their own; "calm" is none that the model knows.
CLASSES = {"surprise": "surprised", "happy": "happiness", "neutral": "calm"}
FAST = ["augment.rotate=0.0", "train.batch_size=16"]


@pytest.fixture(scope="module")
def flagship_once(trained_once: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run exported as the packaged model would be."""
    out = tmp_path_factory.mktemp("packaged") / "flagship"
    export_run(trained_once, out, half_weights=True)
    return out


@pytest.fixture(autouse=True)
def _packaged(flagship_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (package, train_module):
        monkeypatch.setattr(room, "packaged_folder", lambda: flagship_once)


@pytest.fixture
def mine(face_folder: Write, tmp_path: Path) -> Path:
    return face_folder(tmp_path / "mine", {"": 7}, CLASSES)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven drawn faces a class are enough for a test."""
    monkeypatch.setattr(module, "MIN_PER_CLASS", 4)


@pytest.mark.usefixtures("few")
def test_a_folder_becomes_a_run_that_predicts(mine: Path, tmp_path: Path, flagship_once: Path) -> None:
    plan = plan_finetuning(mine, epochs=2, overrides=FAST)
    assert plan.known == ("happiness", "surprised")
    assert plan.new == ("calm",)
    assert plan.counts == {"calm": 6, "happiness": 6, "surprised": 6}
    done = finetune(plan, runs=tmp_path / "runs", name="own", overrides=FAST)
    assert done.run.state.status == "finished"
    assert [e.name for e in done.evaluated] == ["val"]
    card = Artifact.load(done.run.artifact, threads=1).card
    assert [(o.name, o.labels) for o in card.outputs] == [("emotion", ("calm", "happiness", "surprised"))]
    # The terms of what it began from go with it.
    assert "The weights began from others: Weights trained on this project's synthetic faces" in card.terms
    assert done.run.info("environment")["start_run"] == "the packaged model tiny"
    (record,) = Predictor.from_run(done.run.path).predict([next(mine.rglob("*.png"))])
    assert record["error"] is None
    assert {s["label"] for s in record["faces"][0]["outputs"]["emotion"]} == {
        "calm",
        "happiness",
        "surprised",
    }
    export_run(done.run, tmp_path / "out")
    assert "The weights began from the packaged model tiny" in (tmp_path / "out" / "README.md").read_text()


def test_known_labels_begin_with_the_packaged_rows(flagship_once: Path) -> None:
    whole = load_file(flagship_once / "weights.safetensors")
    labels = json.loads((flagship_once / "card.json").read_text())["outputs"][0]["labels"]
    trained = TorchLearner.load(flagship_once / "weights.safetensors")
    learner = TorchLearner(
        trained.model, trained.args, trained.preprocess, start=flagship_once / "weights.safetensors",
        start_labels="shared", accelerator="cpu",
    )  # fmt: skip
    learner.outputs_ = (Output("emotion", "single", ("calm", "happiness", "surprised")),)
    torch.manual_seed(0)
    state = learner._begun_net(None).state_dict()
    (head,) = [k for k in state if k.endswith("heads.emotion.weight")]
    old = whole[f"model/{head}"].astype(np.float32)
    np.testing.assert_array_equal(state[head][1].numpy(), old[labels.index("happy")])
    np.testing.assert_array_equal(state[head][2].numpy(), old[labels.index("surprise")])
    assert not (state[head][0].numpy() == old).all(axis=1).any()
    assert not [k for k in state if "heads.au" in k]
    body = [k for k in state if ".heads." not in k]
    assert body
    for name in body:
        np.testing.assert_array_equal(
            state[name].numpy(), whole[f"model/{name}"].astype(state[name].numpy().dtype)
        )


def test_shared_outputs_match_by_name_kind_and_synonym() -> None:
    old = [
        Output("emotion", "single", ("happy", "sad", "joy", "fear")),
        Output("au", "multi", ("AU1", "AU2")),
    ]
    new = [
        Output("emotion", "single", ("afraid", "bored", "happiness")),
        Output("au", "single", ("AU1", "b")),
    ]
    kept, rows = shared_outputs(old, new)
    assert kept == [Output("emotion", "single", ("happiness", "afraid"))]
    assert rows == {"emotion": [0, 3]}  # "joy" means the same as "happy", which stands first
    assert shared_outputs(old, [Output("other", "single", ("happy", "sad"))]) == ([], {})


@pytest.mark.usefixtures("few")
def test_parts_that_the_folder_names_stay(face_folder: Write, tmp_path: Path) -> None:
    whole = face_folder(tmp_path / "whole", {"train": 4, "val": 2, "test": 2}, CLASSES)
    plan = plan_finetuning(whole)
    assert "split" not in plan.recipe.data.options
    assert plan.recipe.evaluate.splits == ("val", "test")
    assert set(plan.counts.values()) == {4}
    no_val = face_folder(tmp_path / "noval", {"Training": 6, "test": 2}, CLASSES)
    plan = plan_finetuning(no_val)
    assert plan.recipe.data.options["split"] == {"train": "Training", "test": "test", "val": 0.15}
    assert sum(plan.counts.values()) == 15  # 18 less 15 %


@pytest.mark.usefixtures("few")
def test_a_recipe_may_start_from_the_packaged_model(
    mine: Path, tiny: Callable[..., Recipe], tmp_path: Path, trained: Run
) -> None:
    start = {"run": "flagship", "labels": "shared"}
    recipe = tiny("train.epochs=1", data={"name": "folder", "options": {"path": str(mine)}}, start=start)
    run = train(recipe, runs=tmp_path / "new")
    assert run.info("environment")["start_sha256"]
    # A run of that name comes first.
    trained.path.rename(trained.path.parent / "flagship")
    table = recipe.to_dict() | {"data": Run.open(trained.path.parent / "flagship").recipe.to_dict()["data"]}
    other = train(parse_recipe(table, "t"), runs=trained.path.parent, name="x")
    assert other.info("environment")["start_run"] == "flagship"


@pytest.mark.usefixtures("few")
def test_other_learners_cannot_share_labels(mine: Path, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny(
        learner={"name": "scratch", "args": {"hidden": [4]}}, augment={},
        start={"run": "flagship", "labels": "shared"}, train={"epochs": 1},
    )  # fmt: skip
    with pytest.raises(RecipeError, match=r"start\.labels = 'shared': learner 'scratch'"):
        train(recipe, runs=tmp_path)


# -- what is refused ----------------------------------------------------------------------------------------


def test_too_few_images_are_counted(mine: Path) -> None:
    with pytest.raises(DataError, match=r"fewer than 10 training images of a class: calm 6, happiness 6"):
        plan_finetuning(mine)


def test_two_images_a_class_are_told_how_many_it_takes(mine: Path) -> None:
    for label in mine.iterdir():
        for path in sorted(label.iterdir())[2 if label.name == "calm" else 1 :]:
            path.unlink()
    with pytest.raises(
        DataError, match=r"too few images to cut a validation part off\n  give each class 13 images"
    ):
        plan_finetuning(mine)


def test_an_empty_class_is_named(mine: Path) -> None:
    (mine / "bored" / "deep").mkdir(parents=True)
    (mine / "bored" / "deep" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"folder\(s\) without an image: bored"):
        plan_finetuning(mine)


def test_a_class_of_hidden_images_alone_is_empty(mine: Path) -> None:
    (mine / "bored" / ".thumbnails").mkdir(parents=True)
    for name in (".thumbnails/0.png", "._0.png"):
        (mine / "bored" / name).write_bytes(next(mine.rglob("*.png")).read_bytes())
    with pytest.raises(DataError, match=r"folder\(s\) without an image: bored"):
        plan_finetuning(mine)


@pytest.mark.usefixtures("few")
def test_runs_do_not_lie_among_the_classes(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(mine)
    monkeypatch.delenv("DUCHENNE_RUNS", raising=False)
    monkeypatch.setattr(sys, "argv", ["duchenne", "finetune", "."])
    with pytest.raises(SystemExit):
        main()
    assert "the runs' folder runs lies within ., whose folders are classes" in (
        said := capsys.readouterr().err
    )
    assert "--runs ../runs" in said
    with pytest.raises(RecipeError, match="lies within"):
        finetune(plan_finetuning(mine), runs=mine / "deep" / "runs")
    assert not (mine / "runs").exists()
    module.check_apart(mine, mine / ".runs")
    module.check_apart(mine, tmp_path / "mine-runs")
    (mine / "manifest.csv").touch()  # its rows are the images then
    module.check_apart(mine, mine / "runs")


def test_one_class_is_refused(face_folder: Write, tmp_path: Path) -> None:
    root = face_folder(tmp_path / "one", {"": 5}, {"happy": "happy"})
    with pytest.raises(DataError, match=r"one class only \(happy\)"):
        plan_finetuning(root)


@pytest.mark.usefixtures("few")
def test_unreadable_images_are_named_and_counted(mine: Path) -> None:
    (mine / "calm" / "a.png").write_text("text")
    (mine / "calm" / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 23 images are broken:(.|\n)*a\.png(.|\n)*b\.png"):
        plan_finetuning(mine)
    with pytest.raises(DataError, match="--skip-broken"):
        plan_finetuning(mine)
    plan = plan_finetuning(mine, skip_broken=True)
    assert any("2 broken images were left out: a.png, b.png" in note for note in plan.notes)


def test_no_folder_and_no_packaged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="does not exist"):
        plan_finetuning(tmp_path / "nowhere")
    monkeypatch.setattr(package, "packaged_folder", lambda: tmp_path / "none")
    with pytest.raises(RunError, match="holds no packaged model"):
        plan_finetuning(tmp_path)


@pytest.mark.usefixtures("few")
def test_the_verb(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["duchenne", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert isinstance(end.value.code, int | None)
        return end.value.code or 0, said.out, said.err

    sets = [word for value in FAST for word in ("--set", value)]
    code, out, err = call("finetune", mine, "--epochs", 1, "--runs", tmp_path / "runs", *sets)
    assert (code, out.strip()) == (0, str(tmp_path / "runs" / "finetune-mine"))
    assert "labels that the packaged model knows: happiness, surprised\nnew labels: calm" in err
    code, out, _ = call(
        "finetune", mine, "--epochs", 1, "--runs", tmp_path / "runs", "--force", "--json", *sets
    )
    assert code == 0
    assert json.loads(out)["new"] == ["calm"]
    code, _, err = call("finetune", mine, "--epochs", 1, "--runs", tmp_path / "runs", *sets)
    assert code == 1
    assert "--resume goes on with it" in err
    code, _, err = call("finetune", mine, "--epochs", 2, "--runs", tmp_path / "runs", "--resume", *sets)
    assert code == 1
    assert "repeat the command that made it with all its options" in err
    code, _, err = call("finetune", mine, "--epochs", 1, "--runs", tmp_path / "runs", "--name", "")
    assert code == 2
    assert "--name '' is not a plain folder name" in err
    code, _, err = call("finetune", mine, "--epochs", 1, "--runs", tmp_path / "runs", "--name", "a\nb")
    assert code == 2
    assert r"--name 'a\nb' is not a plain folder name" in err
    code, _, err = call("finetune", mine, "--epochs", 1, "--runs", tmp_path / "runs", "--time-limit", "nan")
    assert code == 2
    assert "nan is no number" in err
    code, out, err = call(
        "export", "finetune-mine", "--runs", tmp_path / "runs", "--out", tmp_path / "o", "--int8"
    )
    assert (code, out.strip()) == (0, str(tmp_path / "o"))
    assert "model.int8.onnx: 0.0" in err
    code, _, err = call("export", "finetune-mine", "--runs", tmp_path / "runs")
    assert code == 2
    assert "--out is missing" in err
