"""``duchenne predict``: formats, exit codes, which model, and what it does not import."""

from __future__ import annotations

import csv
import ctypes
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from duchenne.cli.live import Bars
from duchenne.cli.predict import predict_command
from duchenne.cli.predicting import _writer
from duchenne.cli.text import TextWriter, printable
from duchenne.errors import RecipeError, RunError
from duchenne.inference import Predictor, csv_columns
from duchenne.inference.videofile import Frame
from duchenne.labels import Output


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DUCHENNE_RUNS", raising=False)
    monkeypatch.setattr("duchenne.artifacts.packaged.packaged_folder", lambda: tmp_path / "none")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(predict_command)

    def run(*args: str, **options: Any) -> Result:
        return CliRunner().invoke(app, list(args), **options)

    return run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)
    for i, image in enumerate(pixels):
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return folder


def test_json_lines_are_what_the_predictor_says(call: Any, model: Path, images: Path) -> None:
    result = call("faces", "--faces", "whole", "--model", str(model))
    assert result.exit_code == 0, result.output
    paths = [Path("faces") / f"{i}.png" for i in range(3)]
    want = list(Predictor.load(model, faces="whole").predict(paths))
    got = [json.loads(line) for line in result.stdout.splitlines()]
    assert [r["path"] for r in got] == [str(p) for p in paths]
    assert got == want
    assert call("faces", "--faces", "whole", "--model", str(model), "--json").stdout == result.stdout


def test_csv_to_a_file(call: Any, model: Path, images: Path, tmp_path: Path) -> None:
    result = call(
        "faces",
        "--faces",
        "whole",
        "missing.png",
        "--model",
        str(model),
        "--out",
        "out.csv",
        "--views",
        "flip",
    )
    assert result.exit_code == 3
    assert "1 of 4 images could not be predicted" in result.stderr
    assert result.stdout == ""
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert list(rows[0]) == csv_columns(Predictor.load(model, faces="whole").artifact.outputs)
    assert [r["error"] for r in rows] == ["", "", "", "missing.png does not exist"]
    for row in rows[:3]:
        total = sum(float(row[f"emotion.{label}"]) for label in ("happy", "sad", "angry"))
        assert total == pytest.approx(1, abs=1e-5)
    assert not list(tmp_path.glob("*.part"))


def test_text_shows_the_best(call: Any, model: Path, images: Path) -> None:
    result = call(
        "faces/0.png", "nothing", "--faces", "whole", "--model", str(model), "--format", "text", "--top", "2"
    )
    assert result.exit_code == 3
    head, first, bad = result.stdout.splitlines()
    assert head.split(" | ")[1].strip() == "emotion"
    (record,) = Predictor.load(model, faces="whole").predict([images / "0.png"])
    best = record["faces"][0]["outputs"]["emotion"]
    for score in best[:2]:
        assert f"{score['label']} {score['score']:.2f}" in first
    assert best[2]["label"] not in first
    assert bad.endswith("error: nothing does not exist")


def test_nothing_predicted_is_exit_1(call: Any, model: Path) -> None:
    assert call("a.png", "b.png", "--model", str(model)).exit_code == 1


def test_standard_input(call: Any, model: Path, images: Path) -> None:
    result = call("-", "--model", str(model), "--faces", "whole", input=(images / "1.png").read_bytes())
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["path"] == "-"
    (want,) = Predictor.load(model, faces="whole").predict([images / "1.png"])
    assert record["faces"] == want["faces"]


def test_a_broken_model_is_said_before_any_record(call: Any, model: Path, images: Path) -> None:
    (model / "model.onnx").write_bytes(b"short")
    (images / "0.png").write_bytes(b"no picture")  # its record needs no model
    (images / "old.csv").write_text("old")
    (images.parent / "film.mp4").write_text("no film")  # nor does its
    films = call("film.mp4", "faces/0.png", "--faces", "whole", "--model", str(model))
    assert "cut short" in str(films.exception)
    assert films.stdout == ""
    (images.parent / "film.mp4").unlink()
    for more in (
        [],
        ["--format", "csv"],
        ["--draw", "drawn"],
        ["--out", "faces/old.csv"],
        ["--timeline", "times.csv"],
    ):
        result = call("faces/0.png", "--faces", "whole", "--model", str(model), *more)
        assert result.exit_code == 1
        assert "cut short" in str(result.exception)
        assert result.stdout == ""
    assert sorted(p.name for p in images.parent.iterdir() if p.is_file()) == []
    assert not (images.parent / "drawn").exists()
    assert (images / "old.csv").read_text() == "old"


def test_children_inherit_nothing_from_the_quick_start(
    call: Any, model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in (None, "3"):
        monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
        if given is not None:
            monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
        assert call("faces", "--faces", "whole", "--model", str(model)).exit_code == 0
        assert os.environ.get("OPENBLAS_NUM_THREADS") == given


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="this is glibc's"
)
@pytest.mark.parametrize(("keeps", "variable"), [(False, ""), (True, ""), (False, "MALLOC_ARENA_MAX")])
def test_freed_memory_is_kept_for_use(keeps: bool, variable: str) -> None:
    """A block of 20 MB, the size of a photograph's pixels; the user's own settings of malloc stay."""
    code = (
        "import re\n"
        "from pathlib import Path\n"
        "from duchenne.cli.predicting import _keep_memory\n"
        "def kilobytes():\n"
        "    return int(re.search(r'VmRSS:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        f"{'_keep_memory()' if keeps or variable else ''}\n"
        "before = kilobytes()\n"
        "block = b'x' * (20 << 20)\n"
        "del block\n"
        "print(kilobytes() - before)\n"
    )
    env = {name: v for name, v in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    env |= {variable: "4"} if variable else {}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert (int(done.stdout) > 15_000) == keeps, done.stdout


def test_newest_run_is_the_default(
    call: Any, images: Path, tmp_path: Path, save_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call("faces", "--faces", "whole")
    assert isinstance(result.exception, RunError)
    assert "duchenne train demo" in str(result.exception)
    save_run(tmp_path / "runs/old", updated="2026-01-01T00:00:00Z")
    save_run(tmp_path / "runs/new", updated="2026-01-02T00:00:00Z")
    result = call("faces", "--faces", "whole")
    assert result.exit_code == 0
    assert "model: runs/new (the newest finished run" in result.stderr
    save_run(tmp_path / "elsewhere/other", updated="2026-01-01T00:00:00Z")
    monkeypatch.setenv("DUCHENNE_RUNS", "elsewhere")
    assert "elsewhere/other" in call("faces", "--faces", "whole").stderr
    assert "model:" not in call("faces", "--faces", "whole", "--model", "other").stderr


def test_wrong_arguments(call: Any, model: Path, images: Path) -> None:
    for args, message in [
        (["--format", "jsn"], "did you mean 'jsonl'"),
        (["--json", "--format", "csv"], "give one of them"),
        (["--views", "flop"], "did you mean 'flip'"),
    ]:
        result = call("faces", "--faces", "whole", "--model", str(model), *args)
        assert isinstance(result.exception, RecipeError)
        assert message in str(result.exception)
    assert call("faces", "--faces", "whole", "--model", str(model), "--batch-size", "0").exit_code == 2
    assert call("--model", str(model)).exit_code == 2


def test_out_that_cannot_be_written_leaves_the_old_file(
    call: Any, model: Path, images: Path, tmp_path: Path, save_model: Callable[..., Path]
) -> None:
    result = call("faces", "--faces", "whole", "--model", str(model), "--out", "no/folder/x.jsonl")
    assert isinstance(result.exception, RunError)
    assert "x.jsonl cannot be written: No such file" in str(result.exception)
    (tmp_path / "old.jsonl").write_text("old")
    save_model(tmp_path / "broken", scale=float("nan"))
    result = call("faces", "--faces", "whole", "--model", "broken", "--out", "old.jsonl")
    assert isinstance(result.exception, RunError)
    assert (tmp_path / "old.jsonl").read_text() == "old"
    assert not list(tmp_path.glob("*.part"))
    full = call("faces", "--faces", "whole", "--model", str(model), "--out", "/dev/full")
    assert "No space left" in str(full.exception)


def test_standard_output_on_a_full_disk_is_named(model: Path, images: Path) -> None:
    words = ["predict", str(images), "--faces", "whole", "--model", str(model), "--format", "jsonl"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "duchenne", *words], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    said = "error: standard output cannot be written: No space left on device\n  free some space\n"
    assert done.stderr == said


def test_file_names_do_not_steer_the_terminal() -> None:
    assert printable("a\x1b[31mé\n\udcff.png") == "a\\x1b[31mé\\n\\udcff.png"
    out = io.StringIO()
    writer = TextWriter(out, [Output("emotion", "single", ("happy", "sad"))], 300, 3)
    writer.write({"path": "x" * 290 + "/\x1bend.png", "error": None, "note": None, "faces": []})
    head, line = out.getvalue().splitlines()
    assert "\x1b" not in line
    assert line.index(" | ") == head.index(" | ") == 60
    assert line.endswith("\\x1bend.png | no face")


def test_labels_do_not_steer_the_terminal() -> None:
    """They come from folders' names and other people's cards."""
    output = Output("emo\x1btion", "single", ("\x1b[31mred\u202e", "sad"))
    scores = [{"label": label, "score": 0.5} for label in output.labels]
    face: Any = {
        "box": [0, 0, 9, 9], "detector_score": None, "landmarks": None, "track": 1,
        "labels": {output.name: output.labels[0]}, "outputs": {output.name: scores},
        "smoothed": {output.name: scores}, "steady": {output.name: output.labels[0]},
    }  # fmt: skip
    out = io.StringIO()
    TextWriter(out, [output], 5, 2).write({"path": "a.png", "error": None, "note": None, "faces": [face]})
    record: Any = {"path": "camera 0", "time": 0.0, "frame": 0, "error": None, "note": None, "faces": [face]}
    frame: Any = Frame(0, 0.0, np.zeros((9, 9, 3), np.uint8))
    Bars(out, (output,)).show(frame, record)
    live = Terminal()
    Bars(live, (output,)).show(frame, record)
    assert out.getvalue().count("\\x1b[31mred\\u202e") == 2
    assert live.getvalue().count("\\x1b[31mred\\u202e") == 2
    said = out.getvalue() + live.getvalue().replace("\x1b[J", "")
    assert "\x1b" not in said
    assert "\u202e" not in said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_csv_on_a_terminal_has_no_control_characters() -> None:
    output = Output("emotion", "single", ("happy", "sad"))
    record: Any = {"path": "a\x1b[31m\u202e.png", "error": "no\ne", "note": None, "faces": []}
    for out, path in ((Terminal(), "a\\x1b[31m\\u202e.png"), (io.StringIO(), record["path"])):
        _writer("csv", out, [output], [], 3, False).write(record)
        head, row = csv.reader(io.StringIO(out.getvalue()))
        assert head[0] == "path"
        assert row[:2] == [path, "no\ne"]


def test_a_file_name_that_is_no_text(call: Any, model: Path, images: Path) -> None:
    os.rename(b"faces/0.png", b"faces/\xff.png")
    for format in ("jsonl", "csv", "text"):
        result = call("faces", "--faces", "whole", "--model", str(model), "--format", format, "--out", "out")
        assert result.exit_code == 0, result.output
        assert b"udcff" in Path("out").read_bytes()


def test_it_imports_neither_torch_nor_scikit_learn(model: Path, images: Path) -> None:
    # Typer itself may bring pydantic (0.29 does); the test of the predictor has it in its list.
    code = (
        "import sys, typer\n"
        "from duchenne.cli.predict import predict_command\n"
        "early = {'numpy', 'cv2', 'onnxruntime', 'PIL', 'duchenne.recipe'} & set(sys.modules)\n"
        "assert not early, early\n"
        "app = typer.Typer(); app.command()(predict_command)\n"
        f"app([{str(images)!r}, '--model', {str(model)!r}, '--faces', 'whole'], standalone_mode=False)\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'scipy', 'pandas', 'onnx', 'kornia'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "other = {'duchenne.features', 'duchenne.inference.tracks', 'duchenne.inference.video'}\n"
        "assert not other & set(sys.modules), other & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == [None] * 3


def test_a_reader_that_goes_away_is_no_failure(model: Path, images: Path) -> None:
    code = (
        "import typer\n"
        "from duchenne.cli.predict import predict_command\n"
        "app = typer.Typer(); app.command()(predict_command)\n"
        f"app([{str(images)!r}] * 200 + ['--model', {str(model)!r}, '--faces', 'whole'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert said == b""


def test_what_is_read_is_never_written_over(call: Any, model: Path, images: Path) -> None:
    before = {p: p.read_bytes() for p in images.iterdir()}
    Path("noending").write_bytes(before[images / "0.png"])
    Path("link.csv").symlink_to("noending")
    for args, message in [
        (["faces/1.png", "--out", "faces/0.png"], "is a picture's or a video's name"),
        (["noending", "--out", "noending"], "is to be read"),
        (["noending", "--out", "link.csv"], "is to be read"),
        (["faces", "--timeline", "faces/0.png"], "is to be read"),
        (["faces", "--out", "a.csv", "--timeline", "./a.csv"], "the same file twice"),
    ]:
        result = call(*args, "--faces", "whole", "--model", str(model))
        assert isinstance(result.exception, RecipeError), args
        assert message in str(result.exception)
    assert {p: p.read_bytes() for p in images.iterdir()} == before
    assert Path("noending").read_bytes() == before[images / "0.png"]
    assert not Path("a.csv").exists()


def test_a_video_on_standard_input_is_said_to_be_one(call: Any, model: Path) -> None:
    result = call("-", "--model", str(model), input=b"\0\0\0\x20ftypisom" + bytes(90))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "standard input is a video, which is not read here"
