"""Labels without a positive in training are named before it begins, with how they are scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from duchenne.datasets import load
from duchenne.experiment.train import train
from duchenne.experiment.untaught import untaught_notes
from duchenne.recipe import Recipe


def test_labels_without_a_face_in_training_are_named() -> None:
    faces = load("synthetic", n=200, class_balance={"happy": 1, "sad": 1}, difficulty="easy")
    single, multi = untaught_notes(faces.describe())
    assert single.startswith(
        "emotion: no face of the training part has angry, disgust, fear, surprise, neutral:"
    )
    assert multi.startswith("au: no face of the training part has AU2, AU5")
    assert "AU12" not in multi
    assert "counts as missed" in multi
    assert untaught_notes(load("synthetic", n=700).describe()) == []
    assert untaught_notes({}) == []


def test_training_says_so_before_its_first_epoch(
    tmp_path: Path, tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def stopped(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("duchenne.experiment.train._fit", stopped)
    recipe = tiny("data.options.class_balance={happy=1, sad=1}")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, runs=tmp_path, note=heard.append)
    assert [line.split(":")[0] for line in heard] == ["emotion", "au"]
