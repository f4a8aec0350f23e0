"""A verb whose extra is not installed says which `pip install` brings it: imports are really refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Imports what is heavy once, then runs each command in a child of its own, in which one package is missing.
DRIVER = """
import json, os, sys, traceback
import kornia, lightning_fabric, matplotlib, sklearn.base, torch

class Refuse:
    def __init__(self, package):
        self.package = package
        for name in [n for n in sys.modules if n.partition(".")[0] == package]:
            del sys.modules[name]

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

assert not [n for n in sys.modules if n.startswith("duchenne")]
for number, (package, arguments) in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if child == 0:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{sys.argv[1]}/{number}.{name}", os.O_CREAT | os.O_WRONLY), descriptor)
        sys.meta_path.insert(0, Refuse(package))
        sys.argv = ["duchenne", *arguments]
        code = 70
        try:
            from duchenne.cli import main
            main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # taking torch down in order takes seconds
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(f"{sys.argv[1]}/{number}.code", "w") as file:
        file.write(str(code))
"""
TRAIN = ("torch", "lightning_fabric", "kornia", "sklearn", "safetensors", "onnx", "onnxscript")
REPORT = ("matplotlib", "jinja2")
EXPORT = ("torch", "onnxscript")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, evaluated_once: Path) -> Path:
    """Runs folder with a run, and a copy of it without its artifact."""
    folder = tmp_path_factory.mktemp("missing")
    shutil.copytree(evaluated_once / "tiny", folder / "tiny")
    shutil.copytree(evaluated_once / "tiny", folder / "bare")
    shutil.rmtree(folder / "bare" / "artifact")
    return folder


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, tiny: tuple[str, ...]
) -> dict[tuple[str, str], tuple[int, str, str]]:
    """(verb, missing package) -> exit code, standard output, standard error."""
    train = ["train", "demo", *tiny[:-2], "--runs", str(folder)]
    cases: dict[tuple[str, str], list[str]] = {("train", p): [*train, "--name", f"of-{p}"] for p in TRAIN}
    cases["train", "tensorboard"] = [*train, "--name", "of-tensorboard", "--tensorboard"]
    cases |= {("report", p): ["report", str(folder / "tiny")] for p in REPORT}
    cases |= {("export", p): ["evaluate", str(folder / "bare")] for p in EXPORT}
    cases["evaluate", "torch"] = ["evaluate", str(folder / "tiny"), "--split", "val"]
    answers = tmp_path_factory.mktemp("answers")
    given = json.dumps([(package, arguments) for (_, package), arguments in cases.items()])
    subprocess.run(
        [sys.executable, "-c", DRIVER, str(answers)], input=given, text=True, check=True, timeout=200
    )
    return {
        key: (
            int((answers / f"{i}.code").read_text()),
            (answers / f"{i}.out").read_text(),
            (answers / f"{i}.err").read_text(),
        )
        for i, key in enumerate(cases)
    }


@pytest.mark.parametrize(
    ("verb", "package"),
    [
        *(("train", p) for p in (*TRAIN, "tensorboard")),
        *(("report", p) for p in REPORT),
        *(("export", p) for p in EXPORT),
    ],
)
def test_the_message_names_package_and_extra(answers: Any, folder: Path, verb: str, package: str) -> None:
    code, out, err = answers[verb, package]
    assert err.startswith(f"error: this needs the package '{package}', which is not installed\n")
    assert "pip install 'duchenne[train]'" in err
    assert "Traceback" not in err
    assert (code, out) == (1, "")
    assert not (folder / f"of-{package}").exists()


def test_evaluating_an_exported_run_needs_no_torch(answers: Any) -> None:
    code, out, err = answers["evaluate", "torch"]
    assert (code, err) == (0, "")
    assert out.startswith("val (")
