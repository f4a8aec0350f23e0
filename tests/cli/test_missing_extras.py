"""A verb whose extra is not installed says which `pip install` brings it: imports are really refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Found by Python at its start; refuses one package as if it were not installed.
SITE = """
import os, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == os.environ["REFUSED"]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture
def refusing(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Surroundings in which a package is missing."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    return lambda package: {"PYTHONPATH": str(tmp_path / "site"), "REFUSED": package}


def check(answer: Any, package: str) -> None:
    assert answer.code == 1
    assert answer.err.startswith(f"error: this needs the package '{package}', which is not installed\n")
    assert "pip install 'duchenne[train]'" in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    "package",
    ["torch", "lightning_fabric", "kornia", "sklearn", "safetensors", "onnx", "onnxscript"],
)
def test_train(
    shell: Callable[..., Any],
    refusing: Callable[[str], dict[str, str]],
    tmp_path: Path,
    tiny: tuple[str, ...],
    package: str,
) -> None:
    check(shell("train", "demo", *tiny, "--runs", tmp_path / "runs", env=refusing(package)), package)
    assert not (tmp_path / "runs").exists()


def test_train_to_tensorboard(
    shell: Callable[..., Any],
    refusing: Callable[[str], dict[str, str]],
    tmp_path: Path,
    tiny: tuple[str, ...],
) -> None:
    arguments = ("train", "demo", *tiny, "--tensorboard", "--runs", tmp_path / "runs")
    check(shell(*arguments, env=refusing("tensorboard")), "tensorboard")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_report(
    shell: Callable[..., Any], refusing: Callable[[str], dict[str, str]], evaluated_once: Path, package: str
) -> None:
    check(shell("report", evaluated_once / "tiny", env=refusing(package)), package)


@pytest.mark.parametrize("package", ["torch", "onnxscript"])
def test_evaluate_that_must_export_first(
    shell: Callable[..., Any], refusing: Callable[[str], dict[str, str]], runs: Path, package: str
) -> None:
    shutil.rmtree(runs / "tiny" / "artifact")
    check(shell("evaluate", "tiny", "--runs", runs, env=refusing(package)), package)


def test_evaluating_an_exported_run_needs_no_torch(
    shell: Callable[..., Any], refusing: Callable[[str], dict[str, str]], runs: Path
) -> None:
    answer = shell("evaluate", "tiny", "--runs", runs, "--split", "val", env=refusing("torch"))
    assert (answer.code, answer.err) == (0, "")
