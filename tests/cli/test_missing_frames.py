"""``--allow-missing``: data sets whose labels name frames that are not there."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from duchenne.datasets.ckplus_csv import CSV_UNITS

Call = Callable[..., Any]
EMOTIONS = ("negative", "positive", "surprise")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a table of 12 frames, of which the last 7 have no image."""
    folder = tmp_path / "data" / "ckplus"
    folder.mkdir(parents=True)
    with (folder / "data_labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("filepath", *CSV_UNITS, "high_level_emotion"))
        for i in range(12):
            path = f"cohn-kanade-images/S{i:03d}/001/S{i:03d}_001_00000009.png"
            writer.writerow((path, *[i % 2] * len(CSV_UNITS), EMOTIONS[i % 3]))
            if i < 5:
                (folder / path).parent.mkdir(parents=True)
                Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / path)
    return folder.parent


@pytest.mark.parametrize("verb", ["inspect", "audit", "export"])
def test_the_flag_leaves_missing_frames_out(call: Call, data: Path, tmp_path: Path, verb: str) -> None:
    more = ("--out", tmp_path / "out") if verb == "export" else ()
    refused = call("data", verb, "ckplus", "--data", data, *more)
    assert refused.code == 1
    assert "7 of 12 rows of data_labels.csv have no image" in refused.err
    assert "--allow-missing" in refused.err
    said = call("data", verb, "ckplus", "--data", data, "--allow-missing", *more)
    assert (said.code, said.err) == (0, "")
    if verb == "export":
        assert len(list((tmp_path / "out").rglob("*.png"))) == 5


def test_inspect_lists_all_missing_frames(call: Call, data: Path) -> None:
    facts = call("data", "inspect", "ckplus", "--data", data, "--allow-missing", "--json").json()
    assert facts["n"] == 5
    assert facts["missing"] == [f"S{i:03d}_001_00000009" for i in range(5, 12)]
    assert call("data", "inspect", "synthetic", "--option", "n=70", "--json").json()["missing"] == []


def test_train_takes_the_flag_as_the_loaders_option(call: Call, data: Path, tmp_path: Path) -> None:
    smaller = [
        "data.options={layout='csv'}", "preprocess.size=[32,32]", "train.epochs=1",
        "train.batch_size=4", "learner.model='smallnet'", "learner.args={}",
    ]  # fmt: skip
    sets = [word for pair in smaller for word in ("--set", pair)]
    arguments = ("train", "chan-base", "--data", data, "--runs", tmp_path / "runs", "--name", "r", *sets)
    refused = call(*arguments)
    assert refused.code == 1
    assert "have no image" in refused.err
    done = call(*arguments, "--allow-missing", "--force")
    assert "7 of 12 rows of data_labels.csv have no image and were left out" in done.err
