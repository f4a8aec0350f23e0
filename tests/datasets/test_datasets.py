"""Every data set of the table keeps the same promises, each on small data in its publisher's layout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duchenne.datasets import DATASETS, SPLITS, FaceSet, load
from duchenne.errors import DataError, RecipeError

Write = Callable[..., Path]
Load = Callable[[], FaceSet]

# Each way in: data set, the fixture that writes its data, the fixture's arguments, the loader's options.
CASES: dict[str, tuple[str, str | None, dict[str, Any], dict[str, Any]]] = {
    "cifar10": ("cifar10", "write_cifar", {}, {}),
    "ckplus": ("ckplus", "write_ckplus", {"published": True}, {}),
    "ckplus 48": ("ckplus", "write_ckplus", {}, {"fold": 2}),
    "fer2013": ("fer2013", "write_fer", {}, {}),
    "fer2013 cut from Training": ("fer2013", "write_fer", {}, {"split": {"train": "Training", "val": 0.2}}),
    "fer2013 majority": ("fer2013", "write_fer", {"votes": True}, {"labels": "ferplus"}),
    "fer2013 votes": ("fer2013", "write_fer", {"votes": True}, {"labels": "both", "votes": "probability"}),
    "fer2013 multi": (
        "fer2013",
        "write_fer",
        {"votes": True},
        {"labels": "ferplus", "votes": "multi-target"},
    ),
    "fer2013 tree": ("fer2013", "write_tree", {"name": "fer2013", "splits": ("train", "test")}, {}),
    "folder": ("folder", "write_tree", {"each": 8}, {}),
    "folder with splits": ("folder", "write_tree", {"splits": ("train", "val", "test")}, {}),
    "folder of colour": ("folder", "write_tree", {"shape": (20, 30, 3), "each": 8}, {}),
    "sfew": ("sfew", "write_sfew", {}, {}),
    "sfew cut from Train": (
        "sfew",
        "write_sfew",
        {},
        {"split": {"train": "Train", "val": 0.2, "test": "Val"}},
    ),
    "synthetic": ("synthetic", None, {}, {}),
}


@pytest.fixture(params=list(CASES))
def opened(request: pytest.FixtureRequest) -> Load:
    name, fixture, arguments, options = CASES[request.param]
    root: Path | None = None
    if fixture is not None:
        root = request.getfixturevalue(fixture)(**arguments)
        if name == "fer2013" and fixture == "write_tree":
            root = root.parent
    return lambda: load(name, root, **options)


def test_every_data_set_has_a_case() -> None:
    assert {case[0] for case in CASES.values()} == set(DATASETS)


def test_promises(opened: Load) -> None:
    faces = opened()
    assert len(faces) > 0
    assert len(set(faces.ids.tolist())) == len(faces)
    assert set(faces.split.tolist()) <= {*SPLITS, ""}
    assert (faces.split == "train").any()
    for i in (0, len(faces) // 2, len(faces) - 1):
        image = faces.image(i)
        assert image.dtype == np.uint8
        assert image.ndim == 2 or image.shape[2] == 3
    for output in faces.outputs:
        target = faces.targets[output.name]
        assert len(set(output.labels)) == output.num_classes
        if target.ndim == 1:
            assert target.dtype == np.int64
            assert target.min() >= -1
            assert target.max() < output.num_classes
            assert (target[faces.split == "train"] >= 0).all()
        else:
            assert target.dtype == np.float32
            assert target.shape == (len(faces), output.num_classes)
            assert target.min() >= 0
            if output.kind == "multi":
                assert target.max() <= 1
            else:
                assert (target[faces.split != ""].sum(axis=1) > 0).all()


def test_fingerprint_is_stable(opened: Load) -> None:
    assert opened().fingerprint() == opened().fingerprint()


def test_unknown_names() -> None:
    with pytest.raises(DataError, match="did you mean 'fer2013'"):
        load("fer2031")


def test_no_folder_says_what_is_expected(tmp_path: Path) -> None:
    for name in ("cifar10", "fer2013", "folder"):
        with pytest.raises(DataError, match="none was named"):
            load(name)
        with pytest.raises(DataError, match=r"does not exist(.|\n)*\$?DATA|FOLDER"):
            load(name, tmp_path / "gone")


def test_folder_by_path_option(write_tree: Write) -> None:
    root = write_tree("mine", classes=("happy", "sad"))
    assert len(load("folder", root.parent, path="mine")) == 8
    assert len(load("folder", None, path=str(root))) == 8


def test_import_is_light() -> None:
    """Naming the data sets loads no image, array-heavy or learning library beyond NumPy."""
    heavy = ("cv2", "PIL", "torch", "sklearn")
    code = f"import sys, duchenne.datasets; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("synthetic", {"sizes": 48}, "no such option: 'sizes'\n  did you mean 'size'"),
        ("synthetic", {"n": "many"}, "option n = 'many'"),
        ("fer2013", {"split": "Training"}, "option split = 'Training'"),
        ("cifar10", {"first": "all"}, "option first = 'all'"),
        ("folder", {"labels": "happy"}, "option labels = 'happy'"),
        ("folder", {"path": 5}, "option path = 5"),
        ("folder", {"pth": "x"}, "did you mean 'path'"),
    ],
)
def test_an_option_that_is_none(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load(name, tmp_path, **options)
