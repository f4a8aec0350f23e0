"""The command line as a user calls it: `call` in this process, `shell` as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from duchenne import load_dataset
from duchenne.cli import main

COMMAND = (sys.executable, "-m", "duchenne")
# Fractions of a second an epoch.
TINY = (
    "--set", "data.options.n=300", "--set", "train.epochs=2", "--set", "train.batch_size=64",
    "--set", "learner.args={filters=[4,8]}", "--name", "tiny",
)  # fmt: skip


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as strict JSON."""

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


@pytest.fixture(autouse=True, scope="session")
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DUCHENNE_DATA", "DUCHENNE_RUNS"):
            patch.delenv(name, raising=False)
        patch.setenv("DUCHENNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("COLUMNS", "200")
        yield
    torch.set_num_threads(before)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs `duchenne ARGUMENTS` in this process."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["duchenne", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        code = end.value.code
        assert isinstance(code, int | None)
        return Said(code or 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def shell() -> Callable[..., Said]:
    """Runs `duchenne ARGUMENTS` as a process; `env` is added to the surroundings."""

    def run(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> Said:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120,
            env=os.environ | (env or {}), **options,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Arguments that make the demo tiny and call the run "tiny"."""
    return TINY


@pytest.fixture(scope="session")
def evaluated_once(tmp_path_factory: pytest.TempPathFactory, shell: Callable[..., Said]) -> Path:
    """Runs folder with the run "tiny", trained and evaluated. Read it only; `runs` gives a copy."""
    folder = tmp_path_factory.mktemp("runs")
    assert shell("train", "demo", *TINY, "--runs", folder).code == 0
    assert shell("evaluate", "tiny", "--runs", folder).code == 0
    return folder


@pytest.fixture
def runs(evaluated_once: Path, tmp_path: Path) -> Path:
    """A copy of the runs folder, to be written to."""
    shutil.copytree(evaluated_once, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with three drawn faces."""
    folder = tmp_path_factory.mktemp("faces")
    drawn = load_dataset("synthetic", n=21, seed=3)
    for i in range(3):
        assert cv2.imwrite(str(folder / f"{i}.png"), drawn.image(i))
    return folder
