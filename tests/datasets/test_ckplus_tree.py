"""CK+ in its authors' layout, written here in the published format: peaks, FACS intensities, emotions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from duchenne.datasets import load
from duchenne.errors import DataError
from duchenne.labels import ACTION_UNITS

# Sequence -> number of frames, units with intensities (None: no FACS file), emotion (None: no file).
Coded = Mapping[str, tuple[int, dict[int, int] | None, int | None]]
CODED: Coded = {
    "S005/001": (11, {9: 3, 17: 4, 24: 1}, 3),
    "S010/001": (3, {1: 2, 2: 1, 25: 0, 27: 5}, 7),
    "S010/002": (4, {}, None),
    "S011/001": (2, {12: 5, 6: 4, 62: 0, 10: 2}, 5),
    "S011/006": (2, None, 2),
    "S999/001": (3, None, None),
}


def write(root: Path, coded: Coded = CODED, facs: str = "FACS", emotion: str = "Emotion") -> Path:
    """Write the folders; numbers as the published files do: three blanks, seven decimals, an exponent."""
    for s, (sequence, (frames, units, code)) in enumerate(coded.items()):
        stem = sequence.replace("/", "_")
        images = root / "ckplus" / "cohn-kanade-images" / sequence
        images.mkdir(parents=True)
        (images / ".DS_Store").write_bytes(b"\0")
        for f in range(1, frames + 1):
            pixels = np.random.default_rng([s, f]).integers(0, 256, (12, 16)).astype(np.uint8)
            image = Image.fromarray(pixels)
            (image.convert("RGB") if sequence == "S010/001" else image).save(images / f"{stem}_{f:08d}.png")
        for folder in (facs, emotion):  # an empty folder where a sequence has no file, as published
            (root / "ckplus" / folder / sequence).mkdir(parents=True)
        if units is not None:
            text = "".join(f"   {float(u):.7e}   {float(i):.7e}\n" for u, i in units.items())
            (root / "ckplus" / facs / sequence / f"{stem}_{frames:08d}_facs.txt").write_text(text)
        if code is not None:
            text = f"   {float(code):.7e}\n"
            (root / "ckplus" / emotion / sequence / f"{stem}_{frames:08d}_emotion.txt").write_text(text)
    return root


def test_the_format() -> None:
    assert f"   {17.0:.7e}" == "   1.7000000e+01"


def test_peaks_emotions_and_units(tmp_path: Path) -> None:
    faces = load("ckplus", write(tmp_path), split={"test": "all"})
    assert faces.ids.tolist() == [
        "S005_001_00000011", "S010_001_00000003", "S010_002_00000004", "S011_001_00000002",
        "S011_006_00000002",
    ]  # fmt: skip
    assert faces.subject is not None
    assert faces.subject.tolist() == ["S005", "S010", "S010", "S011", "S011"]
    assert faces.group["sequence"].tolist() == ["S005_001", "S010_001", "S010_002", "S011_001", "S011_006"]
    emotion = faces.output("emotion")
    assert emotion.labels == ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
    assert faces.hard("emotion").tolist() == [3, 7, -1, 5, 2]
    units = faces.output("au").labels
    seen = [{u for u, v in zip(units, row, strict=True) if v} for row in faces.targets["au"]]
    assert seen == [{"AU17", "AU24"}, {"AU1", "AU2", "AU25", "AU27"}, set(), {"AU6", "AU12"}, set()]
    assert faces.masks["au"].all(axis=1).tolist() == [True, True, True, True, False]
    assert not faces.masks["au"][4].any()
    for i, name in enumerate(faces.ids.tolist()):
        images = tmp_path / "ckplus" / "cohn-kanade-images"
        with Image.open(images / name[:4] / name[5:8] / f"{name}.png") as image:
            np.testing.assert_array_equal(faces.image(i), np.asarray(image))
    assert faces.image(1).shape == (12, 16, 3)
    assert faces.notes == (
        "1 sequences have neither a FACS nor an emotion file and were left out.",
        "Action units that are not among the output's labels, and their frames: AU9 1, AU10 1, AU62 1.",
        "1 of 5 sequences have no emotion label (published: 266 of 593).",
        "1 of 5 sequences have no FACS file: no unit of theirs counts.",
    )


def test_units_known_to_the_project(tmp_path: Path) -> None:
    faces = load("ckplus", write(tmp_path), units="known", split={"test": "all"})
    labels = faces.output("au").labels
    assert labels == tuple(ACTION_UNITS)
    assert faces.targets["au"][0, labels.index("AU9")] == 1
    assert "AU10 1, AU62 1." in faces.notes[1]


def test_intensities(tmp_path: Path) -> None:
    root = write(tmp_path)
    kept = load("ckplus", root, intensity="kept", split={"test": "all"})
    labels = kept.output("au").labels
    row = dict(zip(labels, kept.targets["au"][1].tolist(), strict=True))
    assert row["AU1"] == pytest.approx(0.4)
    assert row["AU2"] == pytest.approx(0.2)
    assert row["AU27"] == 1
    known = dict(zip(labels, kept.masks["au"][1].tolist(), strict=True))
    assert not known["AU25"]  # there, with an intensity that was not coded
    assert sum(known.values()) == 14
    assert kept.class_counts("au")["AU17"] == 1
    strong = load("ckplus", root, least=2, split={"test": "all"})
    row = dict(zip(labels, strong.targets["au"][1].tolist(), strict=True))
    assert (row["AU1"], row["AU2"], row["AU25"], row["AU27"]) == (1, 0, 1, 1)


def test_other_names_and_either_folder_alone(tmp_path: Path) -> None:
    whole = load("ckplus", write(tmp_path / "a"), split={"test": "all"})
    renamed = write(tmp_path / "b", facs="FACS_labels", emotion="Emotion_labels")
    assert load("ckplus", renamed, split={"test": "all"}).fingerprint() == whole.fingerprint()
    shutil.rmtree(renamed / "ckplus" / "FACS_labels")
    faces = load("ckplus", renamed, split={"test": "all"})
    assert faces.hard("emotion").tolist() == [3, 7, 5, 2]
    assert not faces.masks["au"].any()
    shutil.rmtree(tmp_path / "a" / "ckplus" / "Emotion")
    faces = load("ckplus", tmp_path / "a", split={"test": "all"})
    assert faces.hard("emotion").tolist() == [-1] * 4


def test_subjects_are_kept_apart(tmp_path: Path) -> None:
    coded: Coded = {f"S{i // 2:03d}/00{i % 2 + 1}": (2, {1: 1}, i % 7 + 1) for i in range(60)}
    root = write(tmp_path, coded)
    faces = load("ckplus", root)
    people = [set(faces.where(s).subject.tolist()) for s in ("train", "val", "test")]  # type: ignore[union-attr]
    assert all(people)
    assert sum(map(len, people)) == 30
    folds = [load("ckplus", root, fold=i).where("test").subject for i in range(10)]
    assert sorted({str(s) for f in folds for s in f}) == [f"S{i:03d}" for i in range(30)]  # type: ignore[union-attr]


def test_labels_without_an_image(tmp_path: Path) -> None:
    root = write(tmp_path)
    shutil.rmtree(root / "ckplus" / "cohn-kanade-images" / "S010")
    with pytest.raises(
        DataError, match=r"2 of 5 labelled sequences have no image: S010_001, S010_002\n.*allow_"
    ):
        load("ckplus", root)
    faces = load("ckplus", root, allow_missing=True, split={"test": "all"})
    assert faces.ids.tolist() == ["S005_001_00000011", "S011_001_00000002", "S011_006_00000002"]
    assert faces.missing == ("S010_001", "S010_002")
    assert "2 of 5 labelled sequences have no image and were left out" in faces.notes[0]
    shutil.rmtree(root / "ckplus" / "cohn-kanade-images")
    (root / "ckplus" / "cohn-kanade-images" / "S005").mkdir(parents=True)
    for allow in (True, False):
        with pytest.raises(DataError, match="zero images found in"):
            load("ckplus", root, allow_missing=allow)


def test_a_label_file_of_an_earlier_frame_is_noted(tmp_path: Path) -> None:
    root = write(tmp_path)
    extra = root / "ckplus" / "cohn-kanade-images" / "S011" / "006" / "S011_006_00000003.png"
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(extra)
    faces = load("ckplus", root, split={"test": "all"})
    assert faces.ids[-1] == "S011_006_00000003"
    assert "1 sequences' label files name a frame that is not the last: S011_006." in faces.notes


FACS_BAD = [
    ("   1.7000000e+01   nan\n", r"line 1, field 'intensity': 'nan' is not a whole number"),
    ("   nan   1.0000000e+00\n", "line 1, field 'action unit': 'nan'"),
    ("   inf   1.0000000e+00\n", "field 'action unit': 'inf'"),
    ("   1.7e+01   1.0\n   AU4   1.0\n", "line 2, field 'action unit': 'AU4' is not a whole number"),
    ("   1.7000000e+01   B\n", "field 'intensity': 'B'"),
    ("   1.7000000e+01   6.0000000e+00\n", "field 'intensity': 6 is not from 0 to 5"),
    ("   1.7000000e+01  -1.0000000e+00\n", "field 'intensity': -1 is not from 0 to 5"),
    ("   1.7000000e+01   1.5000000e+00\n", "field 'intensity': '1.5000000e\\+00' is not a whole"),
    ("   1_7   1\n", "field 'action unit': '1_7'"),
    ("   0.0000000e+00   1.0000000e+00\n", "there is no action unit 0"),
    ("   1.0e+300   1.0000000e+00\n", "there is no action unit"),
    ("   1.7000000e+01\n", r"line 1: 1 numbers instead of 2 \(action unit, intensity\)"),
    ("   4 1\n   4 2\n", "line 2, field 'intensity': AU4 has 2, and above 1"),
    ("   1.7\xb9\n", "is not plain text"),
    ("1 1\n" * 30_000, "has over 65,536 bytes"),
]


@pytest.mark.parametrize(("text", "said"), FACS_BAD)
def test_facs_files_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    root = write(tmp_path)
    file = root / "ckplus" / "FACS" / "S005" / "001" / "S005_001_00000011_facs.txt"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"S005_001_00000011_facs\.txt.*{said}"):
        load("ckplus", root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("   8.0000000e+00\n", "line 1, field 'emotion': there is no emotion 8\n  known: 0 neutral, 1 angry"),
        ("  -1.0000000e+00\n", "there is no emotion -1"),
        ("   nan\n", "field 'emotion': 'nan' is not a whole number"),
        ("   happy\n", "field 'emotion': 'happy'"),
        ("", "has 0 numbers instead of one"),
        ("   1.0\n   2.0\n", "has 2 numbers instead of one"),
        ("   1.0   2.0\n", "2 numbers instead of 1"),
    ],
)
def test_emotion_files_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    root = write(tmp_path)
    (root / "ckplus" / "Emotion" / "S005" / "001" / "S005_001_00000011_emotion.txt").write_text(text)
    with pytest.raises(DataError, match=rf"S005_001_00000011_emotion\.txt.*{said}"):
        load("ckplus", root)


def test_names_and_links_that_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path)
    facs = root / "ckplus" / "FACS" / "S005" / "001"
    file = facs / "S005_001_00000011_facs.txt"
    wrong = file.rename(facs / "S010_001_00000011_facs.txt")
    with pytest.raises(DataError, match=r"S010_001.* is not named as a frame of subject S005, sequence 001"):
        load("ckplus", root)
    shutil.copy(wrong, file)
    with pytest.raises(DataError, match=r"holds 2 files \*_facs\.txt"):
        load("ckplus", root)
    wrong.rename(tmp_path / "out.txt")
    file.unlink()
    file.symlink_to(tmp_path / "out.txt")
    with pytest.raises(DataError, match="is a link that leads out of"):
        load("ckplus", root)
    file.unlink()
    shutil.move(root / "ckplus" / "cohn-kanade-images" / "S005", tmp_path / "S005")
    (root / "ckplus" / "cohn-kanade-images" / "S005").symlink_to(tmp_path / "S005")
    with pytest.raises(DataError, match="is a link that leads out of"):
        load("ckplus", root)


def test_label_folders_without_files(tmp_path: Path) -> None:
    root = write(tmp_path, {"S005/001": (1, None, None)})
    with pytest.raises(DataError, match=r"holds no \*_facs\.txt and no \*_emotion\.txt"):
        load("ckplus", root)
    with pytest.raises(DataError, match="layout 'csv' is not in"):
        load("ckplus", root, layout="csv")
