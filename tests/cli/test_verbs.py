"""Evaluate, report, compare, recipes, data, predict end to end; JSON on standard output alone."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from duchenne import load_dataset
from duchenne.recipe import load_recipe, recipe_ids

Call = Callable[..., Any]


# -- evaluate -----------------------------------------------------------------------------------------


def test_evaluate_prints_figures_or_strict_json(call: Call, runs: Path) -> None:
    text = call("evaluate", "tiny", "--runs", runs)
    assert (text.code, text.err) == (0, "")
    found = call("evaluate", runs / "tiny", "--json")
    assert found.err == ""
    figures = found.json()
    assert list(figures) == ["val", "test"]
    accuracy = figures["test"]["outputs"]["emotion"]["accuracy"]
    assert f"accuracy {100 * accuracy:.2f}%" in text.out.partition("test (")[2]
    assert json.loads((runs / "tiny" / "metrics" / "test.json").read_text()) == figures["test"]
    reads = (runs / "tiny" / "test_reads.jsonl").read_text().splitlines()
    assert len(reads) == 3  # the fixture's, and these two


def test_evaluate_one_split_with_averaged_views(call: Call, runs: Path) -> None:
    said = call("evaluate", "tiny", "--runs", runs, "--split", "val", "--views", "flip")
    assert said.out.startswith("val (flip view, ")
    assert "test (" not in said.out


def test_evaluate_by_group_prints_and_keeps_each_group(call: Call, runs: Path) -> None:
    arguments = ("evaluate", "tiny", "--runs", runs, "--split", "test")
    said = call(*arguments, "--by", "skin_tone")
    assert said.code == 0
    assert "by skin_tone:" in said.out
    for tone in ("dark", "light", "medium"):
        assert f"emotion, {tone}" in said.out
    assert "(small: under 30)" in said.out  # 45 faces in three groups
    assert "largest gap in accuracy" in said.out
    figures = call(*arguments, "--by", "skin_tone", "--json").json()["test"]
    rows = figures["by"][0]["outputs"]["emotion"]["rows"]
    assert sum(r["n"] for r in rows) == figures["n"]
    assert json.loads((runs / "tiny" / "metrics" / "test.json").read_text()) == figures
    before = (runs / "tiny" / "test_reads.jsonl").read_text()
    unknown = call(*arguments, "--by", "skin_tones")
    assert unknown.code == 2
    assert "did you mean 'skin_tone'?" in unknown.err
    nobody = call(*arguments, "--by", "subject")
    assert nobody.code == 2
    assert "known: skin_tone" in nobody.err
    assert (runs / "tiny" / "test_reads.jsonl").read_text() == before


def test_evaluate_on_a_folder_says_what_does_not_match(call: Call, runs: Path, tmp_path: Path) -> None:
    drawn = load_dataset("synthetic", n=60, seed=5).where("train")
    other = tmp_path / "other faces é"
    for label, name in (("happy", "joy"), ("sad", "Sadness"), ("fear", "sleepy")):
        target = other / "test" / name
        target.mkdir(parents=True)
        code = drawn.output("emotion").labels.index(label)
        for row in np.flatnonzero(drawn.hard("emotion") == code)[:4]:
            (target / f"{row}.png").write_bytes(cv2.imencode(".png", drawn.image(int(row)))[1].tobytes())
    arguments = ("evaluate", "tiny", "--runs", runs, "--data", "folder", "--option", f"path={other}")
    said = call(*arguments)
    assert said.code == 0
    assert "folder-test, emotion: the model does not know sleepy" in said.err
    assert "folder-test, emotion: the data lack angry, disgust, fear, surprise, neutral" in said.err
    assert "folder-test: the data say nothing of 'au'" in said.err
    assert "folder-test: 4 faces left out" in said.err
    assert "(n = 8)" in said.out
    assert "au:" not in said.out
    answer = call(*arguments, "--json").json()["folder-test"]
    assert answer["matching"]["left_out"] == 4
    # The report of the run copes with ids that its own data do not have.
    assert call("report", "tiny", "--runs", runs).code == 0


def test_evaluate_on_a_folder_without_splits_says_so(call: Call, runs: Path, tmp_path: Path) -> None:
    drawn = load_dataset("synthetic", n=70, seed=6)
    for i in range(len(drawn)):
        target = tmp_path / "flat" / drawn.output("emotion").labels[drawn.hard("emotion")[i]]
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{i}.png").write_bytes(cv2.imencode(".png", drawn.image(i))[1].tobytes())
    arguments = (
        "evaluate",
        "tiny",
        "--runs",
        runs,
        "--data",
        "folder",
        "--option",
        f"path={tmp_path / 'flat'}",
    )
    said = call(*arguments)
    assert "folder-test: No split is given: cut 70/15/15" in said.err
    assert "(n = 70)" not in said.out
    said = call(*arguments, "--option", "split.test=1.0")
    assert "No split is given" not in said.err
    assert "(n = 70)" in said.out


def test_evaluate_on_another_synthetic_set(call: Call, runs: Path) -> None:
    said = call(
        "evaluate", "tiny", "--runs", runs, "--data", "synthetic", "--option", "n=140", "--option", "seed=9"
    )
    assert said.code == 0
    assert said.out.startswith("synthetic-test (")
    assert said.err == ""


def test_evaluate_says_when_the_data_changed(call: Call, runs: Path) -> None:
    path = runs / "tiny" / "data.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"fingerprint": "0123456789abcdef"}))
    said = call("evaluate", "tiny", "--runs", runs, "--split", "val", "--json")
    assert "the run's own data changed since it was trained" in said.err
    assert said.json()["val"]["data_changed"] is True


# -- report, compare ----------------------------------------------------------------------------------


def test_report_writes_one_page(call: Call, runs: Path) -> None:
    said = call("report", "tiny", "--runs", runs)
    page = runs / "tiny" / "report" / "index.html"
    assert (said.code, said.out) == (0, f"{page}\n")
    assert "data:image/png;base64," in page.read_text(encoding="utf-8")
    bare = call("report", "tiny", "--runs", runs, "--no-images", "--json")
    assert bare.json() == {"report": str(page)}


def test_compare_two_runs(call: Call, runs: Path) -> None:
    shutil.copytree(runs / "tiny", runs / "twin")
    text = call("compare", "tiny", "twin", "--runs", runs)
    assert text.code == 0
    assert "twin" in text.out
    found = call("compare", "tiny", "twin", "--runs", runs, "--split", "val", "--json").json()
    assert found["part"] == "val"
    assert [r["name"] for r in found["runs"]] == ["tiny", "twin"]
    assert found["differing"] == {}
    missing = call("compare", "tiny", "twin", "--runs", runs, "--split", "train")
    assert missing.code == 1
    assert "duchenne evaluate" in missing.err


# -- recipes, data ------------------------------------------------------------------------------------


def test_recipes_are_listed_cheapest_first(call: Call) -> None:
    lines = call("recipes").out.splitlines()
    ids = [line.split()[0] for line in lines]
    assert sorted(ids) == recipe_ids()
    costs = [load_recipe(i).cost for i in ids]
    assert costs == sorted(costs)
    assert {r["id"] for r in call("recipes", "--json").json()} == set(ids)


@pytest.mark.parametrize("name", recipe_ids())
def test_recipes_show_gives_a_file_that_loads_to_the_same(call: Call, name: str, tmp_path: Path) -> None:
    (tmp_path / "copy.toml").write_text(call("recipes", "show", name).out, encoding="utf-8")
    assert load_recipe(tmp_path / "copy.toml") == load_recipe(name)
    assert call("recipes", "show", tmp_path / "copy.toml").out == (tmp_path / "copy.toml").read_text()
    assert call("recipes", "show", name, "--json").json() == load_recipe(name).to_dict()


def test_data_inspect(call: Call) -> None:
    text = call("data", "inspect", "synthetic", "--option", "n=140")
    assert text.out.startswith("synthetic: 140 faces, fingerprint ")
    assert "happy" in text.out
    facts = call("data", "inspect", "synthetic", "--option", "n=140", "--json").json()
    assert facts["n"] == 140
    assert facts["fingerprint"] == load_dataset("synthetic", n=140).fingerprint()


@pytest.mark.parametrize("method", ["dhash", "thumbnail"])
def test_data_audit(call: Call, method: str) -> None:
    arguments = ("data", "audit", "synthetic", "--option", "n=140", "--near", method)
    assert "140" in call(*arguments).out
    found = call(*arguments, "--json")
    assert found.err == ""
    assert found.json()["n"] == 140


def test_data_labels(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("Train_Aligned_Faces", "Val_Aligned_Faces"):
        for label in ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"):
            folder = tmp_path / "sfew" / part / label
            folder.mkdir(parents=True)
            (folder / "a.png").touch()
    said = call("data", "labels", "--data", tmp_path)
    assert said.code == 0, said.err
    assert said.out.split() == [str(tmp_path / "sfew" / f"{p}_labels.csv") for p in ("train", "val")]
    assert (tmp_path / "sfew" / "val_labels.csv").read_text().splitlines()[:2] == [
        "image,label",
        "Angry/a.png,0",
    ]
    again = call("data", "labels", "--data", tmp_path)
    assert again.code != 0
    assert "--replace" in again.err
    (tmp_path / "sfew" / "val_labels.csv").unlink()
    monkeypatch.setenv("DUCHENNE_DATA", str(tmp_path))
    assert call("data", "labels", "--replace").code == 2  # what it writes into is named, not taken from there
    assert not (tmp_path / "sfew" / "val_labels.csv").exists()
    assert call("data", "labels", "--data", tmp_path, "--replace").code == 0


def test_data_export_is_read_back(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = call("data", "export", "synthetic", "--option", "n=28", "--out", out)
    assert said.code == 0
    facts = call("data", "inspect", "folder", "--option", f"path={out}", "--json").json()
    assert facts["n"] == 28
    before = {p: p.read_bytes() for p in out.iterdir()}
    again = call("data", "export", "synthetic", "--option", "n=14", "--option", "seed=3", "--out", out)
    assert again.code == 1
    assert "is not empty" in again.err
    assert {p: p.read_bytes() for p in out.iterdir()} == before


def test_options_of_a_loader_may_be_nested(call: Call) -> None:
    options = ("--option", "n=140", "--option", "split.train=0.5", "--option", "split.test=0.5")
    facts = call("data", "inspect", "synthetic", *options, "--json").json()
    assert facts["splits"] == {"train": 70, "val": 0, "test": 70}


# -- predict ------------------------------------------------------------------------------------------


def test_predict_a_folder_with_a_broken_file(call: Call, runs: Path, faces: Path, tmp_path: Path) -> None:
    folder = tmp_path / "crops with space"
    shutil.copytree(faces, folder)
    (folder / "broken.png").write_bytes((faces / "0.png").read_bytes()[:40])
    said = call("predict", folder, "--faces", "whole", "--model", "tiny", "--runs", runs)
    assert said.code == 3
    records = [json.loads(line) for line in said.out.splitlines()]
    assert [Path(r["path"]).name for r in records] == ["0.png", "1.png", "2.png", "broken.png"]
    assert [r["error"] is None for r in records] == [True, True, True, False]
    assert "1 of 4 images" in said.err
    for record in records[:3]:
        scores = record["faces"][0]["outputs"]["emotion"]
        assert sum(s["score"] for s in scores) == pytest.approx(1, abs=1e-5)
        assert [s["score"] for s in scores] == sorted((s["score"] for s in scores), reverse=True)


def test_predict_gives_the_probabilities_of_evaluation(call: Call, runs: Path, tmp_path: Path) -> None:
    faces = load_dataset("synthetic", **load_recipe("demo", ["data.options.n=300"]).data.options).where("val")
    for i in range(5):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), faces.image(i))
    crops = [tmp_path / f"{i}.png" for i in range(5)]
    said = call("predict", *crops, "--faces", "whole", "--model", "tiny", "--runs", runs)
    with (runs / "tiny" / "predictions" / "val.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    for i, line in enumerate(said.out.splitlines()):
        row = rows[str(faces.ids[i])]
        for s in json.loads(line)["faces"][0]["outputs"]["emotion"]:
            (column,) = (c for c in row if c.endswith(s["label"]) and c.startswith("emotion"))
            assert float(row[column]) == pytest.approx(s["score"], abs=2e-6)


def test_predict_as_csv_with_the_newest_run(
    call: Call, runs: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the package holds no model of its own."""
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: tmp_path)
    said = call("predict", faces, "--faces", "whole", "--runs", runs, "--format", "csv")
    assert said.code == 0
    assert "tiny" in said.err
    assert len(list(csv.DictReader(io.StringIO(said.out)))) == 3


def test_predict_with_the_packaged_model(call: Call, runs: Path, faces: Path) -> None:
    said = call("predict", faces, "--faces", "whole", "--runs", runs, "--format", "csv")
    assert said.code == 0
    assert said.err == ""
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert len(rows) == 3
    assert {"emotion_label", "ferplus_label"} <= set(rows[0])
