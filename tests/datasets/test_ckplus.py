"""CK+ by chan2023's table and by CK+48's folders: labels, splits, folds; the figures of the real files."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from duchenne.datasets import FaceSet, load
from duchenne.datasets.audit import audit
from duchenne.datasets.ckplus import load_ckplus
from duchenne.datasets.ckplus_csv import CSV_UNITS, missing_rows
from duchenne.errors import DataError, RecipeError
from duchenne.labels import ACTION_UNITS
from duchenne.transforms.preprocess import Preprocess

Write = Callable[..., Path]
NAMED = ("subject", "sequence", "image_index", "filepath", "file_prefix")
HEADER = (*NAMED, *CSV_UNITS, "high_level_emotion")
EMOTIONS = ("negative", "positive", "surprise")


def cells(i: int, emotion: str, frames_each: int = 4) -> dict[str, str]:
    """Row i: subjects of `frames_each` sequences; unit j is 1 where bit j of i is."""
    subject, sequence, frame = f"S{i // frames_each:03d}", i % frames_each + 1, i % 20 + 7
    name = f"{subject}_{sequence:03d}_{frame:08d}"
    row = {u: str(i >> j & 1) for j, u in enumerate(CSV_UNITS)}
    path = f"./cohn-kanade-images/{subject}/{sequence:03d}/{name}.png"
    values = (subject, str(sequence), str(frame), path, name)
    return {**dict(zip(NAMED, values, strict=True)), **row, "high_level_emotion": emotion}


def save(path: Path, seed: int, side: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)
    Image.fromarray(pixels).save(path, compress_level=1)


def write_table(root: Path, rows: list[dict[str, str]], header: tuple[str, ...] = HEADER) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "data_labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """24 frames of 6 subjects by the table."""
    folder = tmp_path / "data" / "ckplus"
    rows = [cells(i, EMOTIONS[i % 3]) for i in range(24)]
    write_table(folder, rows)
    for i, row in enumerate(rows):
        save(folder / row["filepath"], i)
    return folder.parent


def rewrite(root: Path, change: Callable[[list[dict[str, str]]], Any]) -> None:
    rows = [cells(i, EMOTIONS[i % 3]) for i in range(24)]
    change(rows)
    write_table(root / "ckplus", rows)


def apart(faces: FaceSet) -> bool:
    """Whether no subject stands in two splits."""
    assert faces.subject is not None
    people = [set(faces.where(s).subject.tolist()) for s in ("train", "val", "test")]  # type: ignore[union-attr]
    return sum(map(len, people)) == len(set.union(*people))


def test_the_table_against_its_cells(root: Path) -> None:
    faces = load("ckplus", root)
    with (root / "ckplus" / "data_labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [o.name for o in faces.outputs] == ["emotion", "au"]
    units = faces.output("au").labels
    assert len(units) == 15
    assert list(units) == [u for u in ACTION_UNITS if u in CSV_UNITS]
    for i, row in enumerate(rows):
        assert faces.ids[i] == row["file_prefix"]
        assert faces.subject[i] == row["subject"]  # type: ignore[index]
        assert faces.group["sequence"][i] == row["file_prefix"][:8]
        assert EMOTIONS[faces.hard("emotion")[i]] == row["high_level_emotion"]
        assert faces.targets["au"][i].tolist() == [float(row[u]) for u in units]
        with Image.open(root / "ckplus" / row["filepath"]) as image:
            np.testing.assert_array_equal(faces.image(i), np.asarray(image))
    assert set(faces.part) == {"all"}
    assert faces.notes == (
        "No split is given: cut 70/15/15, seed 0, disjoint by subject; to test on all: split.test = 1.0.",
    )
    assert load("ckplus", root / "ckplus").fingerprint() == faces.fingerprint()


def test_further_columns_are_groups_and_positions_may_be_left_out(root: Path) -> None:
    rows = [cells(i, EMOTIONS[i % 3]) | {"light": "dim" if i % 2 else "bright"} for i in range(24)]
    header = ("filepath", *reversed(CSV_UNITS), "high_level_emotion", "light")
    before = load("ckplus", root)
    write_table(root / "ckplus", rows, header)
    faces = load("ckplus", root)
    assert faces.group["light"].tolist() == ["bright", "dim"] * 12
    assert faces.fingerprint() == before.fingerprint()


def test_splits(root: Path) -> None:
    faces = load("ckplus", root)
    assert apart(faces)
    assert all(len(faces.where(s)) for s in ("train", "val", "test"))
    random = load("ckplus", root, by="frame")
    assert [len(random.where(s)) for s in ("train", "val", "test")] == [17, 4, 3]
    assert not apart(random)
    assert "Subjects of train stand in val" in random.notes[-1]
    assert (load("ckplus", root, by="frame", seed=1).split != random.split).any()
    np.testing.assert_array_equal(load("ckplus", root).split, faces.split)
    assert set(load("ckplus", root, split={"test": "all"}).split) == {"test"}
    assert set(load("ckplus", root, split={"test": 1.0}).split) == {"test"}
    cut = load("ckplus", root, split={"train": "all", "val": 0.3})
    assert set(cut.split) == {"train", "val"}
    assert apart(cut)
    with pytest.raises(DataError, match="no part 'peak'"):
        load("ckplus", root, split={"train": "peak"})


def test_the_reports_split_of_560(tmp_path: Path) -> None:
    """chan2023, section 1: 392, 84 and 84 of 328 negative, 121 positive and 111 surprise."""
    emotions = ["negative"] * 328 + ["positive"] * 121 + ["surprise"] * 111
    rows = [cells(i, e, frames_each=5) for i, e in enumerate(emotions)]
    write_table(tmp_path / "ckplus", rows)
    image = tmp_path / "one.png"
    save(image, 0, side=8)
    for row in rows:
        path = tmp_path / "ckplus" / row["filepath"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.read_bytes())
    faces = load("ckplus", tmp_path, by="frame")
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [392, 84, 84]
    apart_ones = load("ckplus", tmp_path)
    assert apart(apart_ones)
    sizes = [len(apart_ones.where(s)) for s in ("train", "val", "test")]
    assert np.abs(np.subtract(sizes, (392, 84, 84))).max() <= 8


def test_folds(root: Path) -> None:
    held: list[str] = []
    for fold in range(3):
        faces = load("ckplus", root, folds=3, fold=fold)
        assert apart(faces)
        assert set(faces.part) == {"fold-0", "fold-1", "fold-2"}
        assert set(faces.where("test").part) == {f"fold-{fold}"}
        assert set(faces.where("val").part) == {f"fold-{(fold + 1) % 3}"}
        held += faces.where("test").ids.tolist()
    assert sorted(held) == sorted(faces.ids.tolist())
    mixed = load("ckplus", root, folds=3, fold=0, by="frame")
    assert not apart(mixed)
    for options, said in (
        ({"fold": 10}, "fold = 10: from 0 to 9"),
        ({"fold": -1}, "fold = -1"),
        ({"fold": 0, "folds": 2}, "it takes 3 at least"),
        ({"fold": 0, "split": {"test": "all"}}, "the folds are the split"),
        ({"fold_file": "folds.csv"}, "say which fold is test"),
    ):
        with pytest.raises(RecipeError, match=said):
            load("ckplus", root, **options)
    with pytest.raises(RecipeError, match="option folds = 5: no fold is named"):
        load("ckplus", root, folds=5)
    with pytest.raises(DataError, match="10 folds of 6 subjects"):
        load("ckplus", root, fold=0)


def test_folds_by_hand(root: Path) -> None:
    file = root / "ckplus" / "folds.csv"
    options: dict[str, Any] = {"folds": 3, "fold": 1, "fold_file": "folds.csv"}
    file.write_text("subject,fold\n" + "".join(f"S{i:03d},{i % 3}\n" for i in range(6)))
    faces = load("ckplus", root, **options)
    assert set(faces.where("test").subject) == {"S001", "S004"}  # type: ignore[arg-type]
    assert set(faces.where("val").subject) == {"S002", "S005"}  # type: ignore[arg-type]
    ids = faces.ids.tolist()
    file.write_text("id,fold\n" + "".join(f"{n},{i % 3}\n" for i, n in enumerate(ids)))
    with pytest.raises(DataError, match=r"row 2 \(line 3\), field 'fold': subject S000 is in fold 1, "
                       r"and in fold 0 by row 1 \(line 2\)"):  # fmt: skip
        load("ckplus", root, **options)
    mixed = load("ckplus", root, by="frame", **options)
    assert mixed.where("test").ids.tolist() == ids[1::3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subject,fold\nS000,0\nS000,1\n", r"row 2 \(line 3\), field 'fold': subject S000 is in fold 1"),
        ("subject,fold\nS000,0\nS000,0\n", "row 2 .*field 'subject': 'S000' stands in row 1"),
        ("subject,fold\nS000,3\n", r"row 1 \(line 2\), field 'fold': '3' is not a fold from 0 to 2"),
        ("subject,fold\nS000,a\n", "'a' is not a fold"),
        ("subject,fold\nS000,-1\n", "'-1' is not a fold"),
        ("subject,fold\nS000,0\n", "gives subject S001 no fold"),
        ("subject,fold\n" + "".join(f"S00{i},{i % 2}\n" for i in range(6)), "leaves fold 2 of 3"),
        ("subject,fold\nS000\n", "1 fields instead of 2"),
        ("subject,folds\nS000,0\n", "the header is not"),
        ("subject,id,fold\n", "the header is not"),
        ("", "the header is not"),
        ("\xff\xff", "cannot be read"),
    ],
)  # fmt: skip
def test_folds_that_are_refused(root: Path, text: str, said: str) -> None:
    (root / "ckplus" / "folds.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"folds\.csv.*{said}"):
        load("ckplus", root, folds=3, fold=0, fold_file="folds.csv")


def test_a_fold_file_that_is_not_there_is_not_called_badly_written(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere\.csv cannot be read: No such file or directory\n *check its"
    ):
        load("ckplus", root, folds=3, fold=0, fold_file="nowhere.csv")


def test_rows_without_an_image(root: Path) -> None:
    whole = load("ckplus", root)
    for name in ("S000_002_00000008", "S003_001_00000019"):
        (root / "ckplus" / "cohn-kanade-images" / name[:4] / name[5:8] / f"{name}.png").unlink()
    said = r"2 of 24 rows of .* have no image: S000_002_00000008 \(row 2\), S003_001_00000019 \(row 13\)"
    with pytest.raises(DataError, match=rf"{said}\n.*by --allow-missing \(.*inspect ckplus"):
        load("ckplus", root)
    faces = load("ckplus", root, allow_missing=True)
    assert len(faces) == 22
    assert "2 of 24 rows of data_labels.csv have no image and were left out: S000_002" in faces.notes[0]
    kept = np.isin(whole.ids, faces.ids)
    np.testing.assert_array_equal(faces.targets["au"], whole.targets["au"][kept])
    np.testing.assert_array_equal(faces.targets["emotion"], whole.targets["emotion"][kept])
    assert faces.missing == missing_rows(root / "ckplus") == ("S000_002_00000008", "S003_001_00000019")
    for path in (root / "ckplus").glob("cohn-kanade-images/*/*/*.png"):
        path.unlink()
    with pytest.raises(DataError, match="24 rows, and zero of their images are in"):
        load("ckplus", root, allow_missing=True)


def test_a_broken_image_says_how_to_leave_it_out(root: Path) -> None:
    path = root / "ckplus" / "cohn-kanade-images" / "S000" / "002" / "S000_002_00000008.png"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"S000_002(.|\n)*leave its labels out by --allow-missing"):
        load("ckplus", root)
    path.unlink()
    assert len(load("ckplus", root, allow_missing=True)) == 23


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("AU12", "2", r"row 5 \(line 6\), field 'AU12': '2' is neither 0 nor 1"),
        ("AU12", "", "field 'AU12': '' is neither"),
        ("AU12", "nan", "field 'AU12': 'nan' is neither"),
        ("AU12", "0.5", "field 'AU12': '0.5' is neither"),
        ("high_level_emotion", "angry", "row 5 .*field 'high_level_emotion': unknown emotion 'angry'"),
        ("high_level_emotion", "", "field 'high_level_emotion': unknown emotion ''"),
        ("high_level_emotion", "suprise", r"unknown emotion 'suprise'\n  did you mean 'surprise'"),
        ("filepath", "../S005_001_00000011.png", "row 5 .*field 'filepath': .* leads out of"),
        ("filepath", "cohn-kanade-images/../../S005_001_00000011.png", "leads out of"),
        ("filepath", "/etc/S005_001_00000011.png", "leads out of"),
        ("filepath", "", "leads out of"),
        ("filepath", "a\0b", "leads out of|cannot be read"),
        ("filepath", "cohn-kanade-images/face.png", "is no frame's name"),
        ("filepath", "x" * 9000, "leads out of|is no frame's name"),
        ("subject", "S999", "row 5 .*field 'subject': 'S999', but the image is S001_001_00000011"),
        ("sequence", "9", "field 'sequence': '9', but"),
        ("image_index", "1", "field 'image_index': '1', but"),
        ("file_prefix", "S001_001_00000012", "field 'file_prefix'"),
    ],
)
def test_cells_that_are_refused(root: Path, field: str, value: str, said: str) -> None:
    rewrite(root, lambda rows: rows[4].update({field: value}))
    with pytest.raises(DataError, match=f"data_labels.csv(.|\n)*{said}"):
        load("ckplus", root)


def test_duplicated_rows_are_refused(root: Path) -> None:
    rewrite(root, lambda rows: rows.append(rows[3]))
    with pytest.raises(
        DataError, match=r"row 25 \(line 26\), field 'filepath': S000_004_00000010 stands in row 4"
    ):
        load("ckplus", root)
    rewrite(root, lambda rows: rows.append(rows[3] | {"filepath": rows[3]["filepath"][2:]}))
    with pytest.raises(DataError, match="stands in row 4 already"):
        load("ckplus", root)


def test_a_link_out_of_the_folder_is_refused(root: Path, tmp_path: Path) -> None:
    path = root / "ckplus" / cells(4, "")["filepath"]
    path.rename(tmp_path / "aside.png")
    path.symlink_to(tmp_path / "aside.png")
    with pytest.raises(DataError, match=r"row 5 .*field 'filepath': .* leads out of"):
        load("ckplus", root)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ((*HEADER, "AU99"), "unknown action unit column 'AU99'"),
        ((*HEADER, "AU9"), "unknown action unit column 'AU9'"),
        ((*HEADER, "AUx"), "unknown action unit column 'AUx'"),
        ((*HEADER, "au1"), "column 'AU1' stands 2 times"),
        (tuple(c for c in HEADER if c != "AU26"), "no column 'AU26'"),
        (tuple(c for c in HEADER if c != "filepath"), "no column 'filepath'"),
        ((*HEADER[:-1], "emotion"), "no column 'high_level_emotion'"),
    ],
)
def test_headers_that_are_refused(root: Path, header: tuple[str, ...], said: str) -> None:
    write_table(root / "ckplus", [cells(0, "positive")], header)
    with pytest.raises(DataError, match=rf"data_labels\.csv, line 1: {said}"):
        load("ckplus", root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: no columns\n *name them there: filepath, high_level_emotion, AU17"),
        (",".join(HEADER) + "\n", "names no images"),
        (",".join(HEADER) + "\nS005,1\n", r"row 1 \(line 2\): 2 fields instead of 21"),
        ("\xff\xfe", "cannot be read"),
    ],
)
def test_tables_that_are_refused(root: Path, text: str, said: str) -> None:
    (root / "ckplus" / "data_labels.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"data_labels\.csv(.|\n)*{said}"):
        load("ckplus", root)


def test_options_and_places(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="option layout"):
        load("ckplus", root, layout="cvs")
    with pytest.raises(RecipeError, match="no such option: 'allow_mising'"):
        load("ckplus", root, allow_mising=True)
    for name, value in (("layout", "cvs"), ("by", "subjects"), ("intensity", "all"), ("units", "all")):
        with pytest.raises(RecipeError, match=f"option {name}: there is no '{value}'"):
            load_ckplus(root, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="least = 6"):
        load("ckplus", root, least=6)
    for option in ({"intensity": "kept"}, {"least": 2}, {"units": "known"}):
        with pytest.raises(RecipeError, match=r"layout 'csv' has no such setting(.|\n)*'published'"):
            load("ckplus", root, **option)
    with pytest.raises(DataError, match=r"layout 'ck48' is not in(.|\n)*there is csv(.|\n)*signed agreement"):
        load("ckplus", root, layout="ck48")
    with pytest.raises(DataError, match=r"CK\+ is not in(.|\n)*signed agreement"):
        load("ckplus", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load("ckplus", tmp_path / "nowhere")
    (root / "ckplus" / "data_labels.csv").unlink()
    with pytest.raises(DataError, match=r"the labels of CK\+ are not in"):
        load("ckplus", root)


FOLDERS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """CK+48 of 28 subjects, each with three frames of two emotions."""
    root = tmp_path / "forty-eight"
    for s in range(28):
        for q in (0, 1):
            for f in range(3):
                name = f"S{s:03d}_{q + 1:03d}_{f + 10:08d}.png"
                save(root / "ckplus" / "CK+48" / FOLDERS[(s + q) % 7] / name, s * 6 + q * 3 + f)
    return root


def test_class_folders(classes: Path) -> None:
    faces = load("ckplus", classes)
    words = dict(
        zip(FOLDERS, ("angry", "contempt", "disgust", "fear", "happy", "sad", "surprise"), strict=True)
    )
    assert faces.output("emotion").labels == tuple(words.values())
    assert len(faces) == 168
    for path in (classes / "ckplus" / "CK+48").glob("*/*.png"):
        i = int(np.flatnonzero(faces.ids == path.stem)[0])
        assert faces.output("emotion").labels[faces.hard("emotion")[i]] == words[path.parent.name]
        with Image.open(path) as image:
            np.testing.assert_array_equal(faces.image(i), np.asarray(image))
    assert len(set(faces.group["sequence"].tolist())) == 56
    assert apart(faces)
    assert faces.notes[0] == "CK+48 holds 168 images, not the usual 981."


def test_class_folders_that_are_refused(classes: Path, tmp_path: Path) -> None:
    top = classes / "ckplus" / "CK+48"
    frame = next((top / "fear").iterdir())
    copy = top / "anger" / frame.name
    copy.write_bytes(frame.read_bytes())
    with pytest.raises(DataError, match=rf"{frame.stem} stands twice: .*anger.* and .*fear"):
        load("ckplus", classes)
    copy.rename(top / "anger" / "face.png")
    with pytest.raises(DataError, match=r"anger/face\.png is not named as a frame"):
        load("ckplus", classes)
    (top / "anger" / "face.png").rename(tmp_path / "out.png")
    link = top / "anger" / "S100_001_00000001.png"
    link.symlink_to(tmp_path / "out.png")
    with pytest.raises(DataError, match=r"is a link that leads out"):
        load("ckplus", classes)
    link.unlink()
    (top / "anger").rename(top / "angr")
    with pytest.raises(DataError, match=r"no class 'angr'\n  did you mean 'angry'"):
        load("ckplus", classes)
    (top / "angr").rename(tmp_path / "away")
    with pytest.raises(DataError, match="has no images of class 'angry'"):
        load("ckplus", classes)
    (tmp_path / "away").rename(top / "anger")
    (top / "Angry").mkdir()
    with pytest.raises(DataError, match="'Angry' and 'anger' are the same class"):
        load("ckplus", classes)
    (top / "Angry").rmdir()
    for path in top.glob("*/*.png"):
        path.unlink()
    with pytest.raises(DataError, match="zero images found"):
        load("ckplus", classes)


@pytest.mark.real_data
def test_the_real_table(data_dir: Path, shared_cache: Path) -> None:
    with pytest.raises(DataError, match=r"233 of 560 rows of data_labels\.csv have no image"):
        load("ckplus", data_dir, cache_dir=shared_cache)
    faces = load("ckplus", data_dir, allow_missing=True, cache_dir=shared_cache)
    assert len(missing_rows(data_dir / "ckplus")) == 233
    about = faces.describe()
    assert (about["n"], about["subjects"]) == (327, 118)
    assert about["outputs"]["emotion"]["all"] == {"negative": 174, "positive": 70, "surprise": 83}
    assert about["outputs"]["au"]["all"] == {
        "AU1": 131, "AU2": 99, "AU4": 122, "AU6": 95, "AU7": 79, "AU11": 2, "AU12": 80, "AU14": 32,
        "AU15": 33, "AU17": 114, "AU23": 43, "AU24": 43, "AU25": 181, "AU26": 19, "AU27": 72,
    }  # fmt: skip
    assert round(float((faces.targets["au"] == 0).mean()), 2) == 0.77  # what "no" to all of them scores
    assert faces.pixels().shape == (327, 48, 48)  # type: ignore[union-attr]
    assert apart(faces)
    assert {len(faces.where(s)) for s in ("val", "test")} <= set(range(44, 55))
    random = load("ckplus", data_dir, allow_missing=True, by="frame", cache_dir=shared_cache)
    assert [len(random.where(s)) for s in ("train", "val", "test")] == [229, 49, 49]


@pytest.mark.real_data
def test_the_real_folds(data_dir: Path, shared_cache: Path) -> None:
    for layout in ("csv", "ck48"):
        options: dict[str, Any] = {"layout": layout, "allow_missing": True, "cache_dir": shared_cache}
        held: list[str] = []
        for fold in range(10):
            faces = load("ckplus", data_dir, fold=fold, **options)
            assert apart(faces)
            test = faces.where("test")
            assert min(test.class_counts("emotion").values()) > 0
            held += test.ids.tolist()
        assert sorted(held) == sorted(faces.ids.tolist())


@pytest.mark.real_data
def test_the_real_class_folders(data_dir: Path, shared_cache: Path) -> None:
    faces = load("ckplus", data_dir, layout="ck48", cache_dir=shared_cache)
    about = faces.describe()
    assert (about["n"], about["subjects"]) == (981, 118)
    assert len(about["groups"]["sequence"]) == 327
    assert list(about["outputs"]["emotion"]["all"].values()) == [135, 54, 177, 75, 207, 84, 249]
    assert apart(faces)
    peaks = load("ckplus", data_dir, allow_missing=True, cache_dir=shared_cache)
    assert set(peaks.group["sequence"]) == set(faces.group["sequence"])
    report = audit(faces)
    assert report.distinct == 981
    assert report.near is not None
    assert report.near.across_splits == ()
    mixed = audit(load("ckplus", data_dir, layout="ck48", by="frame", cache_dir=shared_cache))
    assert mixed.near is not None
    assert mixed.near.across_splits != ()


@pytest.mark.real_data
def test_the_speed(data_dir: Path, tmp_path: Path) -> None:
    """The bar is 0.2 s and 1,000 frames a second; a busy machine gets the best of five."""
    loads, reads = [], []
    for i in range(5):
        start = time.perf_counter()
        load("ckplus", data_dir, allow_missing=True, cache_dir=tmp_path / f"a{i}")
        loads.append(time.perf_counter() - start)
        start = time.perf_counter()
        faces = load("ckplus", data_dir, layout="ck48", cache_dir=tmp_path / f"b{i}")
        Preprocess()(faces.images)
        reads.append(len(faces) / (time.perf_counter() - start))
    print(f"560 rows in {min(loads):.3f} s, {max(reads):,.0f} frames/s, nothing cached")
    assert min(loads) <= 0.2
    assert max(reads) >= 1000
