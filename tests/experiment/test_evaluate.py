"""Evaluation of runs: figures against hand counts, other data by name, partial and changed said so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from duchenne.datasets import load
from duchenne.errors import DataError, RecipeError, RunError
from duchenne.evaluation import Predictions
from duchenne.experiment.evaluate import evaluate
from duchenne.experiment.finish import ensure_artifact
from duchenne.experiment.pixels import image_lookup
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.recipe import Recipe

Make = Callable[..., Recipe]


def reads(run: Run) -> list[str]:
    path = run.path / "test_reads.jsonl"
    return [json.loads(line)["command"] for line in path.read_text().splitlines()] if path.is_file() else []


def test_both_splits_are_evaluated_and_written(trained: Run) -> None:
    told: list[tuple[str, int, int]] = []
    done = evaluate(trained, progress=lambda *args: told.append(args))
    assert [e.name for e in done] == ["val", "test"]
    assert told == [("val", 35, 35), ("test", 35, 35)]
    assert trained.metrics() == {e.name: e.metrics for e in done}
    faces = load("synthetic", n=240, difficulty="easy")
    for e in done:
        assert e.metrics["partial"] is False
        assert e.metrics["data_changed"] is False
        assert e.metrics["epochs_done"] == e.metrics["epochs_planned"] == 3
        predictions = Predictions.load(trained.predictions_path(e.name))
        part = faces.where(e.name)
        assert predictions.ids.tolist() == part.ids.tolist()
        hits = predictions.probs["emotion"].argmax(axis=1) == part.hard("emotion")
        assert e.metrics["outputs"]["emotion"]["accuracy"] == pytest.approx(hits.mean(), abs=1e-12)


def test_validation_figures_are_those_of_the_best_epoch_in_training(trained: Run) -> None:
    (val,) = evaluate(trained, splits=["val"])
    row = trained.history()[trained.state.best["epoch"] - 1]
    assert val.metrics["epoch"] == row["epoch"]
    for output, figure in (("emotion", "accuracy"), ("au", "binary_accuracy")):
        assert val.metrics["outputs"][output][figure] == pytest.approx(
            row[f"val_{output}_{figure}"], abs=1e-9
        )


def test_only_readings_of_test_are_noted(trained: Run) -> None:
    evaluate(trained, splits=["val", "train"])
    assert reads(trained) == []
    evaluate(trained, splits=["test"], views="flip")
    assert reads(trained) == ["evaluate test, views flip"]


def test_an_unfinished_run_is_partial(tmp_path: Path, tiny: Make) -> None:
    run = train(tiny(), runs=tmp_path, deadline=0.0)
    (val,) = evaluate(run, splits=["val"])
    assert val.metrics["partial"] is True
    assert (val.metrics["epochs_done"], val.metrics["epochs_planned"]) == (1, 3)
    train(tiny(), runs=tmp_path, resume=True)
    (val,) = evaluate(run, splits=["val"])
    assert val.metrics["partial"] is False
    assert val.metrics["epoch"] == run.state.best["epoch"]


def test_the_artifact_is_exported_once(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ensure_artifact(trained).card
    monkeypatch.setattr(
        "duchenne.experiment.finish.learner_class", lambda name: pytest.fail("exported again")
    )
    assert ensure_artifact(trained).card == before


def test_a_damaged_artifact_is_exported_anew(trained: Run) -> None:
    ensure_artifact(trained)
    (trained.artifact / "model.onnx").write_bytes(b"x")
    assert ensure_artifact(trained).card.training["epoch"] == trained.state.best["epoch"]


def test_a_run_without_an_epoch_cannot_be_evaluated(tmp_path: Path, tiny: Make) -> None:
    run = Run.create(tmp_path / "tiny", tiny(), [])
    with pytest.raises(RunError, match="no checkpoint yet") as caught:
        evaluate(run)
    assert "--resume" in caught.value.todo
    assert reads(run) == []


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"views": "tencrop"}, RecipeError, "ten-crop"),
        ({"splits": ["tets"]}, RecipeError, "test"),
        ({"other": "synthetik"}, DataError, "synthetic"),
    ],
)
def test_unknown_names_get_the_nearest(
    trained: Run, arguments: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"did you mean '{said}'"):
        evaluate(trained, **arguments)  # type: ignore[arg-type]


def test_changed_data_are_said_so(tmp_path: Path, tiny: Make, face_folder: Callable[..., Path]) -> None:
    names = {"happy": "happy", "sad": "sad"}
    root = face_folder(tmp_path / "faces", {"train": 6, "val": 4, "test": 4}, names)
    recipe = tiny("train.epochs=1", data={"name": "folder", "options": {"path": str(root)}})
    run = train(recipe, runs=tmp_path / "runs")
    (val,) = evaluate(run, splits=["val"])
    assert val.metrics["data_changed"] is False
    next((root / "val" / "happy").glob("*.png")).unlink()
    (val,) = evaluate(run, splits=["val"])
    assert val.metrics["data_changed"] is True
    assert run.metrics()["val"]["data_changed"] is True


def test_another_folder_is_matched_by_name(
    trained: Run, tmp_path: Path, face_folder: Callable[..., Path]
) -> None:
    classes = {"happy": "happiness", "sad": "sadness", "fear": "sleepy"}
    root = face_folder(tmp_path / "other", {"train": 2, "test": 3}, classes, seed=9)
    (done,) = evaluate(trained, other="folder", other_options={"path": str(root)})
    assert done.name == "folder-test"
    assert done.metrics["n"] == 6
    matching = done.metrics["matching"]
    assert matching["emotion"]["only_in_data"] == ["sleepy"]
    assert matching["emotion"]["only_in_model"] == ["angry", "disgust", "fear", "surprise", "neutral"]
    assert len(matching["au"]["only_in_model"]) == len(trained.info("data")["outputs"]["au"]["labels"])
    assert matching["left_out"] == 3
    assert {name: figures["n"] for name, figures in done.metrics["outputs"].items()} == {
        "emotion": 6,
        "au": 0,
    }
    predictions = Predictions.load(trained.predictions_path("folder-test"))
    truth = {"happiness": 3, "sadness": 4}  # FER2013's codes, which are the model's
    assert predictions.targets["emotion"].tolist() == [truth[str(i).split("/")[1]] for i in predictions.ids]
    assert reads(trained) == ["evaluate folder-test, views single"]


def test_a_model_of_fewer_classes_on_synthetic_faces(
    tmp_path: Path, tiny: Make, face_folder: Callable[..., Path]
) -> None:
    root = face_folder(tmp_path / "f", {"train": 6, "val": 4}, {"angry": "anger", "sad": "sad", "fear": "x"})
    recipe = tiny("train.epochs=1", data={"name": "folder", "options": {"path": str(root)}})
    run = train(recipe, runs=tmp_path / "runs")
    (done,) = evaluate(run, other="synthetic", other_options={"n": 200, "seed": 3})
    assert done.name == "synthetic-test"
    matching = done.metrics["matching"]["emotion"]
    assert matching["only_in_data"] == ["disgust", "fear", "happy", "surprise", "neutral"]
    assert matching["only_in_model"] == ["x"]
    part = load("synthetic", n=200, seed=3).where("test")
    known = np.isin(part.hard("emotion"), [0, 4])
    assert done.metrics["n"] == int(known.sum())
    assert done.metrics["matching"]["left_out"] == int((~known).sum())


def test_other_data_without_a_known_label_are_refused(
    trained: Run, tmp_path: Path, face_folder: Callable[..., Path]
) -> None:
    root = face_folder(tmp_path / "o", {"test": 3}, {"happy": "cats", "sad": "dogs"})
    with pytest.raises(DataError, match="no label in common") as caught:
        evaluate(trained, other="folder", other_options={"path": str(root)})
    assert "emotion: angry" in caught.value.todo
    assert reads(trained) == []


def test_a_part_without_a_known_label_is_refused(
    trained: Run, tmp_path: Path, face_folder: Callable[..., Path]
) -> None:
    root = face_folder(tmp_path / "o", {"train": 3}, {"happy": "happy", "sad": "dogs", "fear": "cats"})
    face_folder(root, {"test": 3}, {"sad": "dogs", "fear": "cats"}, seed=1)
    with pytest.raises(DataError, match="no face of this part"):
        evaluate(trained, other="folder", other_options={"path": str(root)})


def test_an_empty_split_is_refused(trained: Run, tmp_path: Path, face_folder: Callable[..., Path]) -> None:
    root = face_folder(tmp_path / "o", {"train": 3}, {"happy": "happy", "sad": "sad"})
    with pytest.raises(DataError, match="has no 'test' part"):
        evaluate(trained, other="folder", other_options={"path": str(root), "split": {"train": "train"}})


def test_without_a_test_part_what_is_there_is_evaluated(tmp_path: Path, tiny: Make) -> None:
    run = train(tiny("data.options.split={train=0.8,val=0.2,test=0.0}"), runs=tmp_path)
    assert [e.name for e in evaluate(run)] == ["val"]
    with pytest.raises(DataError, match="has no 'test' part"):
        evaluate(run, splits=["test"])


def test_faces_that_stand_in_training_are_found_on_other_data(trained: Run) -> None:
    options = {"n": 240, "difficulty": "easy"}  # the run's own faces, all called test
    (done,) = evaluate(trained, other="synthetic", other_options=options | {"split": {"test": 1.0}})
    assert done.metrics["in_train"] == 170


def test_images_are_found_by_id(trained: Run) -> None:
    lookup = image_lookup(trained, None)
    assert lookup is not None
    faces = load("synthetic", n=240, difficulty="easy")
    assert np.array_equal(lookup(str(faces.ids[7])), faces.image(7))


def test_images_of_data_that_are_gone(tmp_path: Path, tiny: Make) -> None:
    recipe = tiny(data={"name": "folder", "options": {"path": str(tmp_path / "gone")}})
    assert image_lookup(Run.create(tmp_path / "tiny", recipe, []), None) is None


def test_another_test_part_is_evaluated_under_its_name(tmp_path: Path, tiny: Make) -> None:
    also = {"Hard": {"difficulty": "hard"}}
    run = train(tiny("train.epochs=1", evaluate={"also": also}), runs=tmp_path)
    done = {e.name: e.metrics for e in evaluate(run)}
    assert list(done) == ["val", "test", "Hard"]
    assert (run.path / "metrics" / "Hard.json").is_file()
    ids = Predictions.load(run.predictions_path("Hard")).ids.tolist()
    assert ids == load("synthetic", n=240, difficulty="hard").where("test").ids.tolist()
    assert (done["Hard"]["split"], done["Hard"]["n"]) == ("test", len(ids))
    assert done["Hard"]["outputs"]["emotion"] != done["test"]["outputs"]["emotion"]
    assert reads(run) == ["evaluate test, views single", "evaluate Hard, views single"]
    assert [e.name for e in evaluate(run, splits=["test"])] == ["test"]


def test_options_of_another_part_are_merged_into_the_recipes_own(trained: Run, tiny: Make) -> None:
    protocol = tiny(evaluate={"splits": ["test"], "also": {"Other": {"n": 480}}}).evaluate
    done = {e.name: e.metrics["n"] for e in evaluate(trained, protocol=protocol)}
    expected = load("synthetic", n=480, difficulty="easy").where("test")
    assert done == {"test": 35, "Other": len(expected)}
    ids = Predictions.load(trained.predictions_path("Other")).ids.tolist()
    assert ids == expected.ids.tolist()


def test_groups_of_the_recipe_stand_in_the_metrics(trained: Run, tiny: Make) -> None:
    protocol = tiny(evaluate={"splits": ["val"], "groups": {"two": ["happy", "sad"]}}).evaluate
    (val,) = evaluate(trained, protocol=protocol)
    (group,) = val.metrics["outputs"]["emotion"]["groups"]
    matrix = np.array(val.metrics["outputs"]["emotion"]["confusion"])
    assert (group["name"], group["n"]) == ("two", matrix[[3, 4]].sum())
    assert group["accuracy"] == pytest.approx((matrix[3, 3] + matrix[4, 4]) / matrix[[3, 4]].sum())
    assert "groups" not in val.metrics["outputs"]["au"]


def test_an_unknown_label_in_a_group_is_named_before_anything_is_read(trained: Run, tiny: Make) -> None:
    protocol = tiny(evaluate={"groups": {"two": ["happy", "sadd"]}}).evaluate
    with pytest.raises(RecipeError, match=r"evaluate\.groups\.two: emotion has no label 'sadd'") as caught:
        evaluate(trained, protocol=protocol)
    assert "sad" in caught.value.todo
    assert reads(trained) == []


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"groups": {"two": []}}, "groups.two is empty"),
        ({"also": {"test": {}}}, "also.test: a name is"),
        ({"also": {"../x": {}}}, r"also\.\.\./x: a name is"),
        ({"also": {"fer2013-test": {}}}, "also.fer2013-test: a name is"),
    ],
)
def test_group_and_part_names_are_checked_with_the_recipe(tiny: Make, section: object, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tiny(evaluate=section)
