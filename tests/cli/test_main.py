"""The command line as a whole: help, what it imports, signals' codes, errors without tracebacks."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from duchenne import __version__
from duchenne.cli import EXTRAS, _Terminated, app, importing, main

VERBS = [
    ["train"], ["tune"], ["finetune"], ["grow"], ["growth"], ["evaluate"], ["report"], ["compare"],
    ["reproduce"], ["export"], ["predict"], ["webcam"], ["serve"], ["recipes"], ["recipes", "show"], ["data"],
    ["data", "inspect"], ["data", "audit"], ["data", "export"], ["data", "crop"], ["data", "labels"],
    ["detector"], ["detector", "fetch"],
]  # fmt: skip
HEAVY = (
    "torch", "sklearn", "kornia", "matplotlib", "scipy", "pandas", "lightning_fabric", "onnx", "onnxscript",
    "jinja2", "safetensors", "tensorboard", "optuna", "sqlalchemy",
)  # fmt: skip
PROBE = """
import sys
sys.argv = ["duchenne", *sys.argv[1:]]
from duchenne.cli import main
try:
    main()
finally:
    print("IMPORTED", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported(*arguments: object) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("IMPORTED")[2].split())


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_each_verb_has_help_with_an_example(call: Callable[..., Any], verb: list[str]) -> None:
    said = call(*verb, "--help")
    assert said.code == 0
    assert f"Example: duchenne {' '.join(verb)}" in said.out
    assert said.err == ""


def test_the_list_of_verbs_is_complete(call: Callable[..., Any]) -> None:
    said = call("--help").out
    listed = re.findall(r"^  (\w+)  ", said.partition("Commands:")[2], re.MULTILINE)
    assert set(listed) == {verb[0] for verb in VERBS}


def test_version(call: Callable[..., Any]) -> None:
    assert call("--version").out == f"duchenne {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    assert not imported("--help") & {*HEAVY, "cv2", "numpy", "pydantic", "onnxruntime", "PIL"}


def test_predict_imports_nothing_of_the_training(evaluated_once: Path, faces: Path) -> None:
    names = imported("predict", faces, "--model", evaluated_once / "tiny")
    assert not names & set(HEAVY)
    assert "onnxruntime" in names, "the probe sees no imports"


def test_importing_the_package_imports_nothing() -> None:
    code = "import sys, duchenne; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(names) & {*HEAVY, "cv2", "numpy", "pydantic", "typer"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "demmo"], 2, "did you mean 'demo'?"),
        (["train", "demo", "--set", "train.epoch=3"], 2, "did you mean 'epochs'?"),
        (["train", "demo", "--set", "tain.epochs=3"], 2, "did you mean 'train'?"),
        (["train", "demo", "--set", "train.epochs=0"], 2, "train.epochs = 0"),
        (["train", "demo", "--set", "optimizer.lr=nan"], 2, "optimizer.lr = nan"),
        (["train", "demo", "--set", "train.epochs"], 2, "is not FIELD=VALUE"),
        (["train", "nowhere.toml"], 2, "nowhere.toml cannot be read"),
        (["train", "friv-model1"], 1, "data folder"),
        (["train", "friv-model1", "--data", "/nowhere"], 1, "/nowhere does not exist"),
        (["recipes", "show", "demmo"], 2, "did you mean 'demo'?"),
        (["evaluate", "nope"], 1, "is not a run folder"),
        (["report", "nope"], 1, "is not a run folder"),
        (["compare", "one"], 2, "at least two runs"),
        (["reproduce", "friv-modle1"], 2, "did you mean 'friv-model1'?"),
        (["data", "inspect", "syntetic"], 1, "did you mean 'synthetic'?"),
        (["data", "inspect", "synthetic", "--option", "n"], 2, "is not KEY=VALUE"),
        (["data", "inspect", "synthetic", "--option", "m=1"], 2, "no such option: 'm'"),
        (
            ["data", "inspect", "synthetic", "--option", "n=1", "--option", "n.x=1"],
            2,
            "'n' is a value already",
        ),
        (["data", "inspect", "synthetic", "--allow-missing"], 2, "'synthetic' has no option allow_missing"),
        (["data", "audit", "fer2013", "--allow-missing", "--data", "."], 2, "no option allow_missing"),
        (["data", "export", "sfew", "--allow-missing", "--data", ".", "--out", "o"], 2, "of the data sets"),
        (["train", "demo", "--allow-missing"], 2, "no option allow_missing"),
        (["evaluate", "nope", "--allow-missing"], 2, "--allow-missing is of another data set"),
        (["evaluate", "nope", "--option", "n=7"], 2, "--option is of another data set"),
        (["reproduce", "--page"], 1, "there is no folder results"),
        (["data", "audit", "synthetic", "--option", "n=70", "--near", "dhsah"], 1, "did you mean 'dhash'?"),
        (["evaluate", "nope", "--data", "nowhere"], 2, "neither a data set nor a folder"),
        (["train"], 2, "Missing argument"),
        (["tarin"], 2, "No such command"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_user_errors_are_one_message(
    call: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = call(*arguments)
    assert answer.code == code
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert list(tmp_path.iterdir()) == []


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def app() -> None:
        raise error

    monkeypatch.setattr("duchenne.cli.app.make_app", lambda words: app)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP])
def test_what_the_machine_refuses_is_one_message(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _raising(monkeypatch, OSError(number, os.strerror(number), "/some/file"))
    answer = call("train")
    assert (answer.code, answer.err) == (1, f"error: /some/file: {os.strerror(number)}\n")


@pytest.mark.parametrize(
    "error", [OSError(errno.EBADF, "x"), ModuleNotFoundError("m", name="duchenne.x"), KeyError(1)]
)
def test_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from duchenne.cli import main

    _raising(monkeypatch, error)
    with pytest.raises(type(error)):
        main()


def test_the_signal_handler_is_put_back(call: Callable[..., Any]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    call("--version")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_reader_that_goes_away_is_no_error() -> None:
    for arguments in ("--help", "recipes show demo --json", "data inspect synthetic --option n=70"):
        line = f"{sys.executable} -m duchenne {arguments} | head -n 1"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""


def test_the_table_of_extras_covers_what_the_extra_holds() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    renamed = {"scikit-learn": "sklearn"}
    for extra in ("train",):
        wanted = [re.split(r"[<>=,~!\[]", line)[0] for line in project["optional-dependencies"][extra]]
        modules = {renamed.get(name, name).replace("-", "_") for name in wanted}
        assert modules == {name for name, e in EXTRAS.items() if e == extra}


def test_one_verb_is_made_without_the_others_and_help_lists_all(call: Callable[..., Any]) -> None:
    code = (
        "import sys; from duchenne.cli.app import make_app; make_app(['predict', 'x.jpg']);"
        "print(*(n.removeprefix('duchenne.cli.') for n in sys.modules if n.startswith('duchenne.cli.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    files = {file for file, _ in app.VERBS.values()}
    assert set(done.stdout.split()) & files == {"predict"}
    listed = call("--help").out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines() if line[2] != " "] == list(app.VERBS)


def test_an_error_message_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may quote a name out of a folder or a file of other people."""
    monkeypatch.setattr(sys, "argv", ["duchenne", "predict", "a.png", "--model", "\x1b[31mred\u202e"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "\\x1b[31mred\\u202e" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert said.count("\n") >= 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_defect(closed: str, tmp_path: Path) -> None:
    line = f"{sys.executable} -m duchenne predict - nothere.jpg --out {tmp_path}/a.jsonl {closed} 3>&-"
    done = subprocess.run(
        line, shell=True, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [json.loads(row)["error"] for row in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert errors == ["standard input is empty", "nothere.jpg does not exist"]


@pytest.mark.parametrize(("signal_raised", "code"), [(KeyboardInterrupt, 130), (_Terminated, 143)])
def test_an_interrupted_import_is_an_interruption(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, signal_raised: type[BaseException], code: int
) -> None:
    failed = ImportError("initialization failed")
    failed.__cause__ = signal_raised()
    for raised in (failed, signal_raised()):
        _raising(monkeypatch, raised)
        answer = call("train")
        assert (answer.code, answer.err) == (code, "")


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    line = f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && {sys.executable} -m duchenne finetune faces"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "error: the folder that this was started in is gone" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("fails", [False, True])
def test_garbage_is_collected_again_after_imports(fails: bool) -> None:
    assert gc.isenabled()
    try:
        with suppress(ImportError), importing():
            assert not gc.isenabled()
            if fails:
                raise ImportError
        assert gc.isenabled()
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
