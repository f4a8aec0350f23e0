"""A tiny recipe that trains in a fraction of a second, one finished run of it, and folders of drawn faces."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from duchenne.datasets import load
from duchenne.experiment.finish import ensure_artifact
from duchenne.experiment.run import Run
from duchenne.experiment.train import train
from duchenne.recipe import Recipe, parse_recipe


@pytest.fixture(autouse=True, scope="session")
def _one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUCHENNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(before)


def _tiny(*overrides: str, **fields: object) -> Recipe:
    raw = {
        "id": "tiny",
        "title": "tiny",
        "data": {
            "name": "synthetic",
            "outputs": ["emotion", "au"],
            "options": {"n": 240, "difficulty": "easy"},
        },
        "augment": {"flip": 0.5, "shift": 0.05},
        "learner": {"model": "smallnet", "args": {"filters": [4, 8]}},
        "optimizer": {"name": "adamw", "lr": 0.01},
        "train": {"epochs": 3, "batch_size": 32, "ema": 0.5},
    }
    return parse_recipe(raw | fields, "tiny", overrides)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Recipe]:
    """Makes the recipe: overrides as text, whole sections by name."""
    return _tiny


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The finished run. Read it only; `trained` gives a copy."""
    run = train(_tiny(), runs=tmp_path_factory.mktemp("runs"))
    ensure_artifact(run)  # seconds, so once for all
    return run


@pytest.fixture
def trained(trained_once: Run, tmp_path: Path) -> Run:
    """A copy of the finished run, to be written to."""
    shutil.copytree(trained_once.path, tmp_path / "runs" / "tiny")
    return Run.open(tmp_path / "runs" / "tiny")


@pytest.fixture
def face_folder() -> Callable[..., Path]:
    """Writes drawn faces as ROOT/SPLIT/CLASS/N.png; `classes` maps emotion -> folder name."""

    def write(
        root: Path, splits: dict[str, int], classes: dict[str, str], seed: int = 0, noise: bool = False
    ) -> Path:
        faces = load("synthetic", n=60 * len(splits), seed=seed, difficulty="easy")
        labels = faces.output("emotion").labels
        rng = np.random.default_rng(seed)
        codes = faces.hard("emotion")
        for s, (split, count) in enumerate(splits.items()):
            for emotion, folder in classes.items():
                rows = np.flatnonzero(codes == labels.index(emotion))[s * count : (s + 1) * count]
                target = root / split / folder
                target.mkdir(parents=True)
                for row in rows:
                    image = faces.image(int(row))
                    if noise and split == "test":
                        image = rng.integers(0, 256, image.shape, dtype=np.uint8)
                    assert cv2.imwrite(str(target / f"{row}.png"), image)
        return root

    return write


def same_weights(a: Path, b: Path) -> bool:
    """Whether two checkpoints hold the same tensors, bit for bit."""
    from safetensors.torch import load_file

    left, right = load_file(a), load_file(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.fixture
def assert_same_training() -> Callable[[Run, Run], None]:
    """Asserts that two runs learned the same: history (without seconds), weights of best and last epoch."""

    def check(one: Run, other: Run) -> None:
        left = [{k: v for k, v in row.items() if k != "seconds"} for row in one.history()]
        right = [{k: v for k, v in row.items() if k != "seconds"} for row in other.history()]
        assert left == right
        assert same_weights(one.checkpoint("best"), other.checkpoint("best"))
        assert same_weights(one.checkpoint("last"), other.checkpoint("last"))
        assert one.state.best == other.state.best
        assert one.state.epochs_done == other.state.epochs_done

    return check
