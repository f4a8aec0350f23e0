"""SFEW's aligned folders: codes, label CSVs, halves of the validation part, and what is refused."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from duchenne.datasets import load
from duchenne.datasets.audit import audit
from duchenne.datasets.sfew import SFEW_EMOTIONS, load_sfew, write_label_csvs
from duchenne.errors import DataError

Write = Callable[..., Path]
TRAIN, VAL = "Train_Aligned_Faces", "Val_Aligned_Faces"


def write_rows(file: Path, rows: list[str]) -> None:
    file.write_text("\n".join(["image,label", *rows]) + "\n")


def test_pixels_and_codes_against_pillow(write_sfew: Write) -> None:
    root = write_sfew()
    faces = load_sfew(root)
    # wang2020, section 2.1: "Angry" ... "Surprise" are 0 ... 6, Neutral 4, Sad 5.
    words = ["Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]
    assert [label.capitalize() for label in faces.outputs[0].labels] == words
    for i, name in enumerate(faces.ids):
        assert words[faces.hard("emotion")[i]] == name.split("/")[1]
        with Image.open(root / "sfew" / name) as image:
            np.testing.assert_array_equal(faces.image(i), np.asarray(image.convert("RGB")))
    assert faces.image(0).shape == (181, 143, 3)
    assert faces.image(0).dtype == np.uint8
    assert set(faces.part) == {"Train", "Val"}
    assert faces.notes == (
        f"{TRAIN} holds 38 of the published 891 images.",
        f"{VAL} holds 17 of the published 431 images.",
    )
    assert load_sfew(root / "sfew").fingerprint() == faces.fingerprint()


@pytest.mark.parametrize("broken", [1, 2])
def test_broken_images_say_what_to_do_for_sfew(write_sfew: Write, broken: int) -> None:
    root = write_sfew()
    paths = sorted((root / "sfew" / TRAIN / "Angry").glob("*.png"))[:broken]
    for path in paths:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError) as caught:
        load_sfew(root)
    said = str(caught.value)
    assert paths[0].name in said
    assert "remove what is broken from its class folder, and its line from train_labels.csv" in said
    assert "'folder'" not in said
    for path in paths:
        path.unlink()
    assert len(load_sfew(root)) == 55 - broken


def test_halves_are_seeded_and_stratified(write_sfew: Write) -> None:
    root = write_sfew(train=1, val=6)
    faces = load_sfew(root)
    counts = {s: list(faces.where(s).class_counts("emotion").values()) for s in ("val", "test")}
    assert np.add(counts["val"], counts["test"]).tolist() == [6, 7, 6, 7, 6, 7, 6]
    assert np.abs(np.subtract(counts["val"], counts["test"])).max() == 1
    assert abs(sum(counts["val"]) - sum(counts["test"])) == 1
    assert set(faces.part[faces.split == "train"]) == {"Train"}
    np.testing.assert_array_equal(load_sfew(root).split, faces.split)
    assert (load_sfew(root, seed=1).split != faces.split).any()
    swapped = load_sfew(root, split={"train": "Train", "val": "Val-2", "test": "Val-1"})
    assert set(swapped.where("val").ids) == set(faces.where("test").ids)


def test_splits_by_part_and_share(write_sfew: Write) -> None:
    root = write_sfew(train=9)
    whole = load_sfew(root, split={"train": "Train", "test": "Val"})
    assert whole.where("test").part.tolist() == ["Val"] * 17
    cut = load_sfew(root, split={"train": "Train", "val": 0.2, "test": "Val"})
    assert cut.where("val").part.tolist() == ["Train"] * 13
    with pytest.raises(DataError, match=r"no part 'Test'"):
        load_sfew(root, split={"train": "Train", "test": "Test"})
    with pytest.raises(DataError, match="both whole and in half"):
        load_sfew(root, split={"train": "Val", "test": "Val-1"})
    with pytest.raises(DataError, match="no labels 'cvs'"):
        load_sfew(root, labels="cvs")  # type: ignore[arg-type]


def test_label_files_written_and_read_back(write_sfew: Write) -> None:
    root = write_sfew()
    before = load_sfew(root)
    with pytest.raises(DataError, match=r"train_labels.csv is missing(.|\n)*duchenne data labels"):
        load_sfew(root, labels="csv")
    files = write_label_csvs(root)
    assert [f.name for f in files] == ["train_labels.csv", "val_labels.csv"]
    with files[1].open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert rows[0] == {"image": "Angry/Film_00000.png", "label": "0"}
    assert rows[-1] == {"image": "Surprise/Film_00001.png", "label": "6"}
    assert load_sfew(root, labels="csv").fingerprint() == before.fingerprint()
    files[0].unlink()
    with pytest.raises(DataError, match=r"val_labels\.csv exists"):
        write_label_csvs(root)
    assert not files[0].exists()
    files[1].write_text("damaged")
    assert load_sfew(root, labels="folders").fingerprint() == before.fingerprint()
    write_label_csvs(root, replace=True)
    assert load_sfew(root).fingerprint() == before.fingerprint()


def test_a_label_file_decides(write_sfew: Write) -> None:
    root = write_sfew(train=1)
    rows = [f"{name}/Film_00000.png,{name.lower()}" for name in ("Angry", "Disgust", "Fear", "Happy", "Sad")]
    write_rows(root / "sfew" / "train_labels.csv", [*rows, "Neutral/Film_00000.png,Sadness"])
    train = load_sfew(root).where("train")
    assert train.hard("emotion").tolist() == [0, 1, 2, 3, 5, 5]
    assert train.notes[1:4] == (
        "train_labels.csv labels 1 images otherwise than their folders do; the CSV holds.",
        f"train_labels.csv leaves out 4 images of {TRAIN}.",
        "train_labels.csv labels no image neutral or surprise.",
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Angry/gone.png,0", r"row 2 \(line 3\), field 'image': there is no file 'Angry/gone.png'"),
        (f"Angry/{'x' * 5000},0", "field 'image': there is no file"),
        ("Angry/Film_00000.png,0", r"row 2 \(line 3\), field 'image': .* stands in row 1 already"),
        ("./Angry/Film_00000.png,0", "stands in row 1 already"),
        ("Fear/Film_00000.png,7", r"field 'label': unknown label '7'\n  known: 0 angry, 1 disgust"),
        ("Fear/Film_00000.png,-1", "field 'label': unknown label '-1'"),
        ("Fear/Film_00000.png,²", "field 'label': unknown label '²'"),
        ("Fear/Film_00000.png,feer", r"field 'label': unknown label 'feer'\n  did you mean 'fear'"),
        ("Fear/Film_00000.png,", "field 'label': unknown label ''"),
        (f"../{VAL}/Fear/Film_00000.png,2", "leads out of"),
        ("/etc/hostname,2", "leads out of"),
        (",2", "leads out of"),
        ("Fear/Film_00000.png", "1 fields instead of 2"),
        ("Fear\0/Film_00000.png,2", "leads out of|cannot be read"),
    ],
)
def test_rows_that_are_refused(write_sfew: Write, row: str, said: str) -> None:
    root = write_sfew(train=1)
    write_rows(root / "sfew" / "train_labels.csv", ["Angry/Film_00000.png,0", row])
    with pytest.raises(DataError, match=f"train_labels.csv(.|\n)*{said}"):
        load_sfew(root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column 'image' stands 0 times"),
        ("image,label\n", "names no images"),
        ("image,label,label\na,0,0\n", "column 'label' stands 2 times"),
        ("\xff\xfe", "cannot be read"),
    ],
)
def test_files_that_are_refused(write_sfew: Write, text: str, said: str) -> None:
    root = write_sfew(train=1)
    (root / "sfew" / "val_labels.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=f"val_labels.csv(.|\n)*{said}"):
        load_sfew(root)


def test_missing_data_say_how_to_get_them(tmp_path: Path, write_sfew: Write) -> None:
    with pytest.raises(DataError, match=r"SFEW is not in(.|\n)*signed agreement"):
        load_sfew(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load("sfew", tmp_path / "nowhere")
    root = write_sfew(train=1)
    shutil.rmtree(root / "sfew" / VAL)
    with pytest.raises(DataError, match=f"{VAL} is missing"):
        load_sfew(root)
    (root / "sfew" / VAL).write_text("a file")
    with pytest.raises(DataError, match=f"{VAL} is not a folder"):
        load_sfew(root)


def test_class_folders_that_are_refused(tmp_path: Path, write_sfew: Write) -> None:
    root = write_sfew(train=1)
    fear = root / "sfew" / TRAIN / "Fear"
    fear.rename(tmp_path / "aside")
    with pytest.raises(DataError, match=r"Train_Aligned_Faces has no folder of class 'fear' \(Fear\)"):
        load_sfew(root)
    fear.mkdir()
    with pytest.raises(DataError, match="Fear holds no images"):
        load_sfew(root)
    fear.rmdir()
    (tmp_path / "aside").rename(fear.parent / "Feer")
    with pytest.raises(DataError, match=r"no class 'Feer'\n  did you mean 'fear'"):
        load_sfew(root)
    (fear.parent / "Feer").rename(fear)
    shutil.copytree(fear, fear.parent / "Fearful")
    with pytest.raises(DataError, match="'Fear' and 'Fearful' are the same class"):
        load_sfew(root)


def test_images_that_are_refused(tmp_path: Path, write_sfew: Write) -> None:
    root = write_sfew(train=1)
    path = root / "sfew" / TRAIN / "Sad" / "Film_00000.png"
    whole = path.read_bytes()
    for part in (b"", whole[:40], whole[: len(whole) // 2], b"no image"):
        path.write_bytes(part)
        with pytest.raises(DataError, match=r"Sad/Film_00000\.png"):
            load_sfew(root)
    for shape in ((181, 143), (143, 181, 3)):
        Image.fromarray(np.zeros(shape, np.uint8)).save(path)
        with pytest.raises(DataError, match=r"Sad/Film_00000\.png is .*, not 181x143x3"):
            load_sfew(root)
    path.unlink()
    outside = tmp_path / "outside.png"
    outside.write_bytes(whole)
    path.symlink_to(outside)
    with pytest.raises(DataError, match=r"Sad/Film_00000\.png is a link that leads out"):
        load_sfew(root)


@pytest.mark.real_data
def test_the_reports_counts(data_dir: Path, shared_cache: Path) -> None:
    """wang2020, figures 2 and 3; 860 of the 891 training images are on hand."""
    faces = load("sfew", data_dir, cache_dir=shared_cache)
    about = faces.describe()
    assert about["parts"] == {"Train": 860, "Val": 431}
    assert about["notes"] == ["Train_Aligned_Faces holds 860 of the published 891 images."]
    order = ("neutral", "angry", "sad", "happy", "surprise", "fear", "disgust")
    held = about["outputs"]["emotion"]
    assert [held["val"][name] for name in order] == [42, 38, 36, 36, 28, 23, 12]
    assert [held["test"][name] for name in order] == [42, 39, 37, 36, 28, 23, 11]
    published = dict(zip(SFEW_EMOTIONS, (178, 52, 78, 184, 144, 161, 94), strict=True))
    assert all(held["train"][name] <= published[name] for name in SFEW_EMOTIONS)
    for seed in range(1, 5):
        again = load("sfew", data_dir, cache_dir=shared_cache, seed=seed).describe()["outputs"]["emotion"]
        assert {s: again[s] for s in ("val", "test")} == {s: held[s] for s in ("val", "test")}


@pytest.mark.real_data
def test_the_audit_finds_thirteen_duplicates(data_dir: Path, shared_cache: Path) -> None:
    report = audit(load("sfew", data_dir, cache_dir=shared_cache), near=None)
    assert (report.n, report.distinct) == (1291, 1278)
    assert report.within == {"Train": 2, "Val": 11}
    assert sorted(len(group) for group in report.duplicates) == [2, 2, 12]
    # One image stands twelve times in Val, under five labels; one of the pairs has two labels as well.
    assert [c.groups for c in report.conflicts] == [2]
    assert report.across_parts == ()
