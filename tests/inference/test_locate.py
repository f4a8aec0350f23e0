"""Which model is meant by a path, a run's name, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from duchenne.errors import RunError
from duchenne.inference import Predictor, find_model, newest_run

SaveRun = Callable[..., Path]


def test_a_model_by_folder_run_or_name(tmp_path: Path, model: Path, save_run: SaveRun) -> None:
    run = save_run(tmp_path / "runs/demo")
    runs = tmp_path / "runs"
    assert find_model(model, runs) == model
    assert find_model(str(run), runs) == run / "artifact"
    assert find_model("demo", runs) == run / "artifact"


def test_the_packages_own_model_by_name(
    tmp_path: Path, model: Path, save_run: SaveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: model)
    assert find_model("flagship", tmp_path / "runs") == model
    run = save_run(tmp_path / "runs/flagship")  # a run of that name comes first
    assert find_model("flagship", tmp_path / "runs") == run / "artifact"


def test_no_such_model(tmp_path: Path, save_run: SaveRun) -> None:
    save_run(tmp_path / "runs/friv-model1")
    with pytest.raises(RunError, match="did you mean 'friv-model1'"):
        find_model("friv-model", tmp_path / "runs")
    with pytest.raises(RunError, match="neither a run nor a model's folder"):
        find_model(tmp_path, tmp_path / "runs")
    with pytest.raises(RunError, match="duchenne train demo"):
        find_model("x", tmp_path / "none")


def test_a_run_without_a_model_says_how_to_make_it(tmp_path: Path, save_run: SaveRun) -> None:
    run = save_run(tmp_path / "r", status="running", with_model=False)
    with pytest.raises(RunError, match=r"has no model yet\n.*duchenne evaluate"):
        Predictor.from_run(run)
    with pytest.raises(RunError, match="not a run folder"):
        Predictor.from_run(tmp_path / "nowhere")


def test_newest_finished_run(tmp_path: Path, save_run: SaveRun) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(RunError, match=r"no finished run under .*runs\n.*duchenne train demo"):
        newest_run(runs)
    save_run(runs / "going", status="running", updated="2026-05-01T00:00:00Z")
    save_run(runs / "bare", updated="2026-06-01T00:00:00Z", with_model=False)
    (runs / "broken").mkdir()
    (runs / "broken/run.json").write_text("{")
    (runs / "list").mkdir()
    (runs / "list/run.json").write_text("[]")
    with pytest.raises(RunError, match="no finished run"):
        newest_run(runs)
    save_run(runs / "b", updated="2026-01-02T00:00:00Z")
    save_run(runs / "a", updated="2026-01-03T00:00:00Z")
    save_run(runs / "c", updated="2026-01-01T00:00:00Z")
    assert newest_run(runs) == runs / "a"


def test_the_run_folder_is_as_the_experiment_makes_it() -> None:
    """The two rooms agree on names without the lower cost of importing one another."""
    from duchenne.artifacts.artifact import CARD, MODEL
    from duchenne.experiment.run import Run

    assert Run(Path("r")).artifact == Path("r/artifact")
    assert (CARD, MODEL) == ("card.json", "model.onnx")


def test_a_file_is_no_models_folder(tmp_path: Path, model: Path) -> None:
    (tmp_path / "other.txt").write_text("text")
    for path in (model / "model.onnx", tmp_path / "other.txt"):
        with pytest.raises(RunError, match="is a file; a model is named by its folder") as error:
            find_model(path, tmp_path / "runs")
        assert str(path.parent) in error.value.todo


def test_an_empty_name_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no model is named"):
        find_model("", tmp_path)
