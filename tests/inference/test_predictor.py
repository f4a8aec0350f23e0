"""Predictor: the same numbers as evaluation, in order, whatever the batches and whatever is broken."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from duchenne.artifacts import Artifact
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import RecipeError, RunError
from duchenne.inference import FoundFace, Predictor, Source
from duchenne.labels import Output


def faces(n: int, side: int = 6, colour: bool = False) -> Any:
    shape = (n, side, side, 3) if colour else (n, side, side)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def probs_of(record: Any, name: str, labels: tuple[str, ...]) -> list[float]:
    (face,) = record["faces"]
    by_label = {s["label"]: s["score"] for s in face["outputs"][name]}
    return [by_label[label] for label in labels]


@pytest.mark.parametrize("views", ["single", "flip", "ten-crop"])
@pytest.mark.parametrize("colour", [False, True])
def test_same_bytes_same_probabilities(model: Path, tmp_path: Path, views: str, colour: bool) -> None:
    """Evaluation reads a FaceSet's pixels, prediction PNGs of the same pixels."""
    pixels = faces(9, side=11, colour=colour)
    n = len(pixels)
    emotion = Output("emotion", "single", ("happy", "sad", "angry"))
    faceset = FaceSet(
        name="t", images=pixels, ids=np.arange(n).astype(str), outputs=(emotion,), rows=np.arange(n),
        targets={"emotion": np.zeros(n, np.int64)}, split=np.full(n, "test"), part=np.full(n, ""),
    )  # fmt: skip
    artifact = Artifact.load(model, threads=1)
    evaluated = artifact.predict(faceset.pixels(), batch_size=4, views=views)
    paths = []
    for i, image in enumerate(pixels):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), image[..., ::-1] if colour else image)
    records = list(Predictor.load(model, threads=1, faces="whole").predict(paths, batch_size=5, views=views))
    assert [r["path"] for r in records] == [str(p) for p in paths]
    for output in artifact.outputs:
        got = [probs_of(r, output.name, output.labels) for r in records]
        np.testing.assert_allclose(got, evaluated[output.name], atol=1e-6)


def test_a_label_unsure_and_abstaining_are_not_told_apart(model: Path) -> None:
    predictor = Predictor.load(model, faces="whole")
    (emotion, *others) = predictor.artifact.card.outputs
    named = replace(emotion, labels=(*emotion.labels[:-1], "unsure"))
    predictor.artifact.card = replace(predictor.artifact.card, outputs=(named, *others))
    assert len(list(predictor.predict(faces(2)))) == 2
    with pytest.raises(RecipeError, match="has a label 'unsure'"):
        predictor.predict(faces(2), abstain=0.5)


def test_a_crop_is_one_face_whose_box_is_the_image(model: Path) -> None:
    (record,) = Predictor.load(model, faces="whole").predict([np.zeros((20, 30, 3), np.uint8)])
    assert record["path"] is None
    assert record["error"] is None
    (face,) = record["faces"]
    assert face["box"] == [0, 0, 30, 20]
    assert face["detector_score"] is None
    assert list(face["outputs"]) == ["emotion", "au"]
    for scores in face["outputs"].values():
        values = [s["score"] for s in scores]
        assert values == sorted(values, reverse=True)
    assert sum(s["score"] for s in face["outputs"]["emotion"]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_a_bad_file_is_its_rows_error_and_stops_nothing(model: Path, tmp_path: Path, batch_size: int) -> None:
    good = cv2.imencode(".png", faces(1, side=9)[0])[1].tobytes()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(cv2.imencode(".jpg", faces(1, side=64)[0])[1].tobytes()[:300])
    (tmp_path / "folder.png").mkdir()
    images: list[Any] = [
        good,
        tmp_path / "text.png",
        tmp_path / "empty.png",
        good,
        tmp_path / "cut.jpg",
        tmp_path / "missing.png",
        tmp_path / "folder.png",
        np.zeros((4, 4), np.float32),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        Source("x", error="said before"),
        good,
        faces(1, side=9)[0],
    ]
    records = list(Predictor.load(model, threads=1, faces="whole").predict(images, batch_size))
    fine = [i for i, r in enumerate(records) if r["error"] is None]
    assert fine == [0, 3, 11, 12]
    assert len(records) == len(images)
    outputs = [records[i]["faces"][0]["outputs"] for i in fine]
    for one in outputs[1:]:
        assert one["emotion"][0]["label"] == outputs[0]["emotion"][0]["label"]
        assert one["emotion"][0]["score"] == pytest.approx(outputs[0]["emotion"][0]["score"], abs=1e-6)
    for i, record in enumerate(records):
        if i not in fine:
            assert record["faces"] == []
            assert record["error"]
    for i, name in ((1, "text.png"), (2, "empty.png"), (4, "cut.jpg"), (5, "missing.png")):
        assert name in str(records[i]["error"])
    assert records[10] == {"path": "x", "error": "said before", "note": None, "faces": []}


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 500), (300, 2, 3), (5, 7, 1)])
def test_any_size_is_predicted(model: Path, shape: tuple[int, ...]) -> None:
    (record,) = Predictor.load(model, faces="whole").predict([np.full(shape, 7, np.uint8)])
    assert record["error"] is None
    assert record["faces"][0]["box"] == [0, 0, shape[1], shape[0]]


def test_records_stream(model: Path) -> None:
    """The first batch comes out before the third is read."""
    read = 0

    def images() -> Any:
        nonlocal read
        for image in faces(100):
            read += 1
            yield image

    stream = Predictor.load(model, threads=1, faces="whole").predict(images(), batch_size=10, workers=2)
    next(stream)
    assert 10 <= read <= 10 + 4
    assert 1 + len(list(stream)) == 100


def test_a_generator_may_reuse_its_buffer(model: Path) -> None:
    pixels = faces(6)

    def images() -> Any:
        buffer = np.empty_like(pixels[0])
        for image in pixels:
            buffer[:] = image
            yield buffer

    predictor = Predictor.load(model, threads=1, faces="whole")
    assert list(predictor.predict(images())) == list(predictor.predict(list(pixels)))


class Halves:
    """Finds a face in each half of a wide image, one in a square one, none in a high one."""

    def find(self, image: Any) -> list[FoundFace]:
        h, w = image.shape[:2]
        if w < h:
            return []
        return [FoundFace((x, 0, h, h), 0.5 + x / 100, image[:, x : x + h]) for x in range(0, w, h)]


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_a_finder_gives_none_one_or_two_faces(model: Path, batch_size: int) -> None:
    a, b, c = faces(3, side=12)
    images = [np.hstack([a, b]), np.vstack([a, b]), c, np.hstack([c, a]), np.vstack([c, c])]
    predictor = Predictor(Artifact.load(model, threads=1), faces=Halves())
    records = list(predictor.predict(images, batch_size))
    assert [len(r["faces"]) for r in records] == [2, 0, 1, 2, 0]
    assert all(r["error"] is None for r in records)
    assert [f["box"] for f in records[0]["faces"]] == [[0, 0, 12, 12], [12, 0, 12, 12]]
    assert [f["detector_score"] for f in records[0]["faces"]] == [0.5, 0.62]
    want = Artifact.load(model, threads=1).predict(np.stack([a, b, c, c, a]))["emotion"]
    flat = [f for r in records for f in r["faces"]]
    for face, p in zip(flat, want, strict=True):
        by_label = {s["label"]: s["score"] for s in face["outputs"]["emotion"]}
        np.testing.assert_allclose([by_label[label] for label in ("happy", "sad", "angry")], p, atol=1e-6)


def test_wrong_arguments_are_said_at_once(model: Path) -> None:
    predictor = Predictor.load(model, faces="whole")
    with pytest.raises(RecipeError, match="batch_size"):
        predictor.predict([], batch_size=0)
    with pytest.raises(RecipeError, match="no view 'twin'"):
        predictor.predict([], views="twin")
    single = faces(1, 9, colour=True)[0]
    for image in (
        "face.png",
        b"png",
        bytearray(b"png"),
        Source(None, single),
        single,
        single[..., 0],
        Image.fromarray(single),
        None,
        3,
    ):
        with pytest.raises(TypeError, match="put it into a list"):
            predictor.predict(image)  # type: ignore[arg-type]
    with (Path(__file__)).open("rb") as file, pytest.raises(TypeError, match="put it into a list"):
        predictor.predict(file)
    with pytest.raises(TypeError, match=r"not a dict; take its values\(\)"):
        predictor.predict({"a": single})
    for wrong in ("mine", Path("mine")):
        with pytest.raises(TypeError, match=r"Predictor.load\(folder\)"):
            Predictor(wrong)  # type: ignore[arg-type]
    for wrong in (None, 3, ["yunet"]):
        with pytest.raises(TypeError, match="faces is a name"):
            Predictor.load(model, faces=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not int"):
        list(predictor.predict([3]))  # type: ignore[list-item]
    assert list(predictor.predict([])) == []


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((9, 9), np.float32), r"float32 of shape \(9, 9\); pixels are uint8, 0 to 255"),
        (np.zeros((9, 9, 3), np.uint16), "uint16 of shape .* pixels are uint8"),
        (np.zeros((9, 9), bool), "bool of shape .* pixels are uint8"),
        (np.zeros((9, 9, 4), np.uint8), r"uint8 of shape \(9, 9, 4\); an image is \(H, W\), or"),
        (np.zeros((1, 9, 9, 3)), r"float64 of shape \(1, 9, 9, 3\); an image is"),
        (np.zeros((0, 9), np.uint8), r"uint8 of shape \(0, 9\); an image is"),
    ],
)
def test_an_array_that_is_no_image_says_what_one_is(model: Path, array: Any, said: str) -> None:
    good = faces(1, side=9)[0]
    before, record, after = Predictor.load(model, faces="whole").predict([good, array, good])
    assert record["faces"] == []
    assert re.search(f"^not an image: {said}", str(record["error"]))
    assert before == after
    assert before["error"] is None


def test_arrays_lie_in_memory_as_they_like(model: Path) -> None:
    pixels = faces(1, side=20, colour=True)[0]
    pixels.flags.writeable = False
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, ::2] = pixels
    forms = [pixels, wide[:, ::2], np.asfortranarray(pixels), pixels[::-1].copy()[::-1]]
    want, *others = Predictor.load(model, faces="whole").predict(forms)
    assert want["error"] is None
    assert others == [want] * 3


@pytest.mark.parametrize("finder", ["whole", "cascade"])
def test_a_predictor_goes_to_other_processes(model: Path, drawn_photo: Any, finder: str) -> None:
    """As `multiprocessing` starts them anew: pickled there, its answer back."""
    predictor = Predictor.load(model, 1, faces=finder, min_face=30)
    code = (
        "import pickle, sys\npredictor, image = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(pickle.dumps(list(predictor.predict([image]))))"
    )
    given = pickle.dumps((predictor, photo := drawn_photo((20, 60))))
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert pickle.loads(done.stdout) == list(predictor.predict([photo]))
    assert getattr(copy.deepcopy(predictor).finder, "min_face", 30) == 30


def test_images_of_pillow_are_read_as_their_files_are(model: Path, tmp_path: Path) -> None:
    """Orientation, palettes, alpha, 16 bits; each file is closed before the next one is taken."""
    plain = Image.fromarray(faces(1, 20, colour=True)[0][:, :14])
    turned, wide = Image.Exif(), faces(1, 20)[0].astype(np.uint16) * 257
    turned[0x0112] = 6
    plain.save(tmp_path / "turned.png", exif=turned)
    plain.quantize(16).save(tmp_path / "palette.png")
    alpha = plain.copy()
    alpha.putalpha(100)
    alpha.save(tmp_path / "alpha.png")
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (tmp_path / "short.png").write_bytes((tmp_path / "turned.png").read_bytes()[:300])
    paths = sorted(tmp_path.glob("*.png"))

    def opened() -> Iterator[Image.Image]:
        for path in paths:
            with Image.open(path) as image:
                yield image

    predictor = Predictor.load(model, faces="whole")
    ours, theirs = list(predictor.predict(opened())), list(predictor.predict(paths))
    for path, got, want in zip(paths, ours, theirs, strict=True):
        assert got["path"] is None
        if path.name == "short.png":
            assert "the image cannot be decoded" in str(got["error"])
            continue
        assert got["error"] is None
        assert {**got, "path": str(path)} == want
    kept = plain.convert("RGB")
    assert list(predictor.predict([kept, kept])) == list(predictor.predict([np.asarray(plain)] * 2))
    [too_large] = predictor.predict([Image.new("1", (9000, 9000))])
    assert "too large: 9000x9000" in str(too_large["error"])
    [unknown] = predictor.predict([Image.new("F", (20, 20))])
    assert "'F', whose range is not known" in str(unknown["error"])


def test_a_broken_net_is_an_error(tmp_path: Path, save_model: Callable[..., Path]) -> None:
    save_model(tmp_path, scale=float("nan"))
    with pytest.raises(RunError, match="not finite"):
        list(Predictor.load(tmp_path, faces="whole").predict(list(faces(1))))


def test_prediction_imports_nothing_heavy(model: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from duchenne.inference import Predictor\n"
        f"(r,) = Predictor.load({str(model)!r}, faces='whole').predict([np.zeros((8, 8), np.uint8)])\n"
        "assert r['error'] is None, r\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'scipy', 'pandas', 'pydantic', 'typer', 'rich', 'onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_an_image_file_too_small_for_a_face_is_an_error(model: Path, tmp_path: Path) -> None:
    for name, size in (("a.png", (1, 1)), ("b.png", (900, 7)), ("c.png", (8, 8))):
        cv2.imwrite(str(tmp_path / name), np.zeros(size[::-1], np.uint8))
    records = list(Predictor.load(model, threads=1, faces="whole").predict(sorted(tmp_path.glob("*.png"))))
    assert [len(r["faces"]) for r in records] == [0, 0, 1]
    assert [r["error"] for r in records][:2] == [
        f"{tmp_path / name} is too small: {size}; the least is 8x8"
        for name, size in (("a.png", "1x1"), ("b.png", "900x7"))
    ]


@pytest.mark.parametrize(
    "how", ["Predictor.load(sys.argv[1])", "Predictor.from_run(sys.argv[2])", "Predictor()"]
)
def test_nothing_is_kept_or_sent_by_the_runtime(how: str, model: Path, tmp_path: Path, save_run: Any) -> None:
    """onnxruntime's events: a data base and an identifier under the user's cache where they are not off."""
    run = save_run(tmp_path / "run")
    home = tmp_path / "home"
    home.mkdir()
    names = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    code = (
        f"import os, sys\nfrom duchenne import Predictor\n{how}\nprint(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(run)],
        capture_output=True, text=True, env={**kept, "HOME": str(home)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == "1\n", done.stderr
    assert [p for p in home.rglob("*") if p.is_file() and "icrosoft" in str(p)] == []


def test_arrays_of_several_images_and_bytes_of_any_kind(model: Path) -> None:
    predictor = Predictor.load(model, faces="whole")
    for shape in ((4, 9, 9), (4, 9, 9, 3)):
        assert [r["error"] for r in predictor.predict(np.zeros(shape, np.uint8))] == [None] * 4
    png = cv2.imencode(".png", faces(1, 9)[0])[1].tobytes()
    want = list(predictor.predict([png]))
    assert list(predictor.predict([bytearray(png)])) == list(predictor.predict([memoryview(png)])) == want


def test_a_column_of_names_is_several_images(model: Path, tmp_path: Path) -> None:
    """As a table gives it: pandas' objects, or NumPy's own text."""
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for path in paths:
        Image.new("L", (20, 20)).save(path)
    predictor = Predictor.load(model, faces="whole")
    for kind in (object, str):
        records = list(predictor.predict(np.array(paths, kind)))
        assert [(r["path"], r["error"], len(r["faces"])) for r in records] == [(p, None, 1) for p in paths]
