"""``duchenne predict PATH...`` is done without a parser, and answers what it answers with one."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from duchenne.cli.predict import predict_command
from duchenne.cli.predicting import Wishes

from .conftest import COMMAND


def test_defaults_are_the_parsers() -> None:
    theirs = {name: p.default for name, p in inspect.signature(predict_command).parameters.items()}
    del theirs["paths"], theirs["as_json"]
    assert {name: value or None for name, value in asdict(Wishes()).items()} == {
        name: value or None for name, value in theirs.items()
    }


def test_the_same_answers_codes_and_words(call: Callable[..., Any], faces: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    moving = tmp_path / "pages.gif"
    shutil.copy(faces / "0.png", moving)
    for paths in ([faces], [faces, bad], [bad], [faces / "*.png", moving], [tmp_path / "none.jpg"]):
        plain = call("predict", *paths)
        assert plain == call("predict", "--top", "3", *paths)
        assert plain == call("predict", "--", *paths)
    assert call("predict", faces, bad).code == 3
    assert call("predict", bad).code == 1
    assert len(call("predict", faces).out.splitlines()) == 3


def test_errors_of_the_model_are_said_alike(
    call: Callable[..., Any], faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    said = call("predict", faces)
    assert (said.code, said.out) == (1, "")
    assert "duchenne train demo" in said.err
    assert said == call("predict", faces, "--top", "3")


def test_the_runs_folder_of_the_environment_counts(
    call: Callable[..., Any], faces: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: tmp_path / "none")
    monkeypatch.chdir(faces)
    assert call("predict", faces).code == 1
    monkeypatch.setenv("DUCHENNE_RUNS", str(runs))
    said = call("predict", faces)
    assert said.code == 0
    assert "tiny (the newest finished run" in said.err
    monkeypatch.setenv("DUCHENNE_RUNS", "")  # as if it were not there
    assert call("predict", faces).code == 1


def test_an_option_or_nothing_at_all_is_the_parsers_business(call: Callable[..., Any], faces: Path) -> None:
    assert call("predict", "--help").out.startswith("Usage: ")
    for words in ((), (faces, "--nope"), ("-x", faces)):
        said = call("predict", *words)
        assert said.code == 2
        assert "Usage" in said.err


def test_standard_input_needs_none_either(faces: Path) -> None:
    code = (
        "import sys\n"
        "from duchenne.cli import main\n"
        "sys.argv = ['duchenne', 'predict', '-']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "assert 'typer' not in sys.modules\n"
    )
    content = (faces / "0.png").read_bytes()
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["error"] is None


def test_a_listener_of_standard_error_that_went_away_changes_no_code(faces: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    for options in ([], ["--top", "3"]):
        for paths, code in (([bad], 1), ([bad, faces / "0.png"], 3), ([faces / "0.png"], 0)):
            with subprocess.Popen(
                [*COMMAND, "predict", *options, *map(str, paths)], stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            ) as process:  # fmt: skip
                assert process.stderr is not None
                process.stderr.close()
            assert process.returncode == code, (options, paths)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_without_a_traceback(number: signal.Signals, code: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "predict", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for _ in range(300):  # until it waits for its standard input
            mapped = Path(f"/proc/{process.pid}/maps")
            if not mapped.exists() or "_imaging" in mapped.read_text():
                break
            time.sleep(0.05)
        time.sleep(1)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, b"", b"")
