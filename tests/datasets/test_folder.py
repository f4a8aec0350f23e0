"""Folders of images: trees, manifests, and what is wrong with them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from duchenne.datasets.files import PathImages, RaggedImages
from duchenne.datasets.folder import load_folder
from duchenne.errors import DataError

Write = Callable[..., Path]
TWO = ("happy", "sad")


def _save(path: Path, shape: tuple[int, ...] = (20, 16), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)).save(path)
    return path


def test_tree_of_classes(write_tree: Write) -> None:
    root = write_tree(each=20)
    faces = load_folder(root)
    assert faces.outputs[0].labels == tuple(sorted(p.name for p in root.iterdir()))
    assert isinstance(faces.images, np.ndarray)
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [98, 21, 21]
    assert set(faces.where("val").class_counts("emotion").values()) == {3}
    for i in (0, 50, 139):
        np.testing.assert_array_equal(faces.image(i), np.asarray(Image.open(root / faces.ids[i])))
        assert faces.outputs[0].labels[faces.hard("emotion")[i]] == faces.ids[i].split("/")[0]
    assert "70/15/15" in faces.notes[-1]
    assert load_folder(root).fingerprint() == faces.fingerprint()


def test_split_folders(write_tree: Write) -> None:
    root = write_tree(splits=("train", "valid", "test"), classes=TWO)
    faces = load_folder(root)
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [8, 8, 8]
    assert set(faces.where("val").part) == {"valid"}
    again = load_folder(root, split={"train": "train", "val": 0.25, "test": "test"})
    assert [len(again.where(s)) for s in ("train", "val", "test")] == [6, 2, 8]


def test_no_val_folder_is_noted(write_tree: Write) -> None:
    faces = load_folder(write_tree(splits=("train", "test"), classes=TWO))
    assert len(faces.where("val")) == 0
    assert "No val part" in faces.notes[-1]


def test_sizes_and_kinds_may_differ(tmp_path: Path) -> None:
    for i in range(8):
        _save(tmp_path / TWO[i % 2] / f"{i}.png", (10 + i, 12) if i % 3 else (9, 30 + i, 3), seed=i)
    faces = load_folder(tmp_path)
    assert isinstance(faces.images, RaggedImages)
    lazy = load_folder(tmp_path, cache_limit=500)
    assert isinstance(lazy.images, PathImages)
    for i in range(8):
        expected = np.asarray(Image.open(tmp_path / faces.ids[i]))
        np.testing.assert_array_equal(faces.image(i), expected)
        np.testing.assert_array_equal(lazy.image(i), expected)
    assert faces.fingerprint() == lazy.fingerprint()
    with pytest.raises(IndexError):
        faces.images[8]


def test_reopening_does_not_decode(write_tree: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(classes=TWO)
    before = load_folder(root)
    from duchenne.datasets import files

    monkeypatch.setattr(files, "decode_image", None)
    after = load_folder(root)
    np.testing.assert_array_equal(before.pixels(), after.pixels())


def test_class_order_is_an_option(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    faces = load_folder(root, labels=("sad", "neutral", "happy"))
    assert faces.class_counts("emotion") == {"sad": 4, "neutral": 0, "happy": 4}
    with pytest.raises(DataError, match="unknown class folder 'happy'"):
        load_folder(root, labels=("sad", "neutral"))


def test_hidden_and_other_files_are_ignored(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    (root / "happy" / "notes.txt").write_text("x")
    (root / "happy" / "._0.png").write_text("x")
    (root / ".cache").mkdir()
    assert len(load_folder(root)) == 8


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "the folder .* does not exist"),
        ("a file", "set is a file, not a folder"),
        ("empty", "no images in class folders"),
        ("one class", r"one class only \(happy\)"),
        ("no images", "no images in class folders"),
    ],
)
def test_folders_without_a_task(tmp_path: Path, kind: str, said: str) -> None:
    root = tmp_path / "set"
    if kind == "a file":
        _save(root.with_suffix(".png")).rename(root)
    elif kind != "missing":
        root.mkdir()
    if kind == "one class":
        _save(root / "happy" / "a.png")
    if kind == "no images":
        (root / "happy").mkdir()
        (root / "happy" / "a.txt").write_text("x")
    with pytest.raises(DataError, match=rf"{said}(.|\n)*FOLDER/happy"):
        load_folder(root)


def _break(root: Path, kind: str) -> Path:
    path = root / "happy" / "broken.png"
    if kind == "text":
        path.write_text("hello")
    elif kind == "truncated":
        path = path.with_suffix(".jpg")
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "1x1":
        _save(path, (1, 1))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(root / "happy" / "nowhere.png")
    else:
        Image.new("1", (20_000, 20_000)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("text", "is not an image"),
        ("truncated", "cannot be decoded"),
        ("1x1", "too small: 1x1; the least is 8x8"),
        ("huge", "is too large"),
        ("pipe", "is not a regular file"),
        ("link", ""),  # there is no file ...
    ],
)
def test_broken_images(write_tree: Write, kind: str, said: str) -> None:
    root = write_tree(classes=TWO)
    path = _break(root, kind)
    with pytest.raises(DataError, match=f"{path.name}.*{said}"):
        load_folder(root)
    for _ in range(2):  # built, then from the cache
        faces = load_folder(root, skip_broken=True)
        assert len(faces) == 8
        assert faces.notes[0] == f"1 broken images were left out: {path.name}."
        np.testing.assert_array_equal(faces.image(7), np.asarray(Image.open(root / faces.ids[7])))
        assert not [i for i in faces.ids if "broken" in i]


def test_many_broken_images_are_counted(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    for i in range(7):
        (root / "sad" / f"bad{i}.png").write_text("x")
    with pytest.raises(DataError, match=r"7 of 15 images are broken:(.|\n)*bad4(.|\n)*and 2 more"):
        load_folder(root)


def test_all_broken_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    for label in TWO:
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.png").write_text("x")
    with pytest.raises(DataError, match="2 of 2 images are broken"):
        load_folder(tmp_path, skip_broken=True)


def test_links_out_of_the_folder(write_tree: Write, tmp_path: Path) -> None:
    root = write_tree(classes=TWO)
    os.symlink(_save(tmp_path / "elsewhere.png"), root / "sad" / "link.png")
    with pytest.raises(DataError, match="leads out of"):
        load_folder(root)


def _manifest(root: Path, text: str, n: int = 6) -> Path:
    for i in range(n):
        _save(root / "img" / f"{i}.png", seed=i)
    (root / "manifest.csv").write_text(text)
    return root


FULL = """path,emotion,AU1,AU12,split,subject,weight,age
img/0.png,happy,1,0.5,train,s1,1,young
img/1.png,sad,,0,train,s2,2.5,old
img/2.png,,0,1,val,s3,,old
img/3.png,happy,0,1,test,s4,0,young
"""


def test_manifest(tmp_path: Path) -> None:
    faces = load_folder(_manifest(tmp_path, FULL))
    assert [(o.name, o.kind, o.labels) for o in faces.outputs] == [
        ("emotion", "single", ("happy", "sad")),
        ("au", "multi", ("AU1", "AU12")),
    ]
    assert faces.targets["emotion"].tolist() == [0, 1, -1, 0]
    assert faces.targets["au"].tolist() == [[1, 0.5], [0, 0], [0, 1], [0, 1]]
    assert faces.masks["au"].tolist() == [[True, True], [False, True], [True, True], [True, True]]
    assert faces.split.tolist() == ["train", "train", "val", "test"]
    assert faces.subject is not None
    assert faces.subject.tolist() == ["s1", "s2", "s3", "s4"]
    assert faces.sample_weight is not None
    assert faces.sample_weight.tolist() == [1, 2.5, 1, 0]
    assert faces.group["age"].tolist() == ["young", "old", "old", "young"]
    np.testing.assert_array_equal(faces.image(2), np.asarray(Image.open(tmp_path / "img" / "2.png")))


def test_manifest_without_split_is_disjoint_by_subject(tmp_path: Path) -> None:
    rows = [f"img/{i}.png,{TWO[i % 2]},s{i // 3}" for i in range(60)]
    faces = load_folder(_manifest(tmp_path, "\n".join(["path,emotion,subject", *rows]), 60))
    assert faces.subject is not None
    sides = {s: set(faces.where(s).subject.tolist()) for s in ("train", "val", "test")}  # type: ignore[union-attr]
    assert not sides["train"] & sides["val"]
    assert not sides["train"] & sides["test"]
    assert not sides["val"] & sides["test"]
    assert "disjoint by subject" in faces.notes[-1]


def test_other_outputs_by_name(tmp_path: Path) -> None:
    text = "path,emotion,pose\nimg/0.png,happy,left\nimg/1.png,sad,right\n"
    _manifest(tmp_path, text)
    shares = {"train": 0.5, "test": 0.5}
    faces = load_folder(tmp_path, outputs=("pose", "emotion"), split=shares)
    assert [o.name for o in faces.outputs] == ["pose", "emotion"]
    assert load_folder(tmp_path, split=shares).group["pose"].tolist() == ["left", "right"]
    with pytest.raises(DataError, match=r"no column 'pos'(.|\n)*did you mean 'pose'"):
        load_folder(tmp_path, outputs=("pos",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'path'"),
        ("file,emotion\na.png,happy\n", "no column 'path'"),
        ("path,path\na.png,b.png\n", "stands twice"),
        ("path,emotion\n", "names no images"),
        ("path,age\nimg/0.png,old\n", "has no target"),
        (
            "path,emotion\nimg/0.png,happy\nimg/9.png,sad\n",
            r"row 2 \(line 3\), field 'path': there is no file",
        ),
        ("path,emotion\nimg/0.png,happy\nimg/./0.png,sad\n", "row 2 .*stands in row 1 already"),
        ("path,emotion\n../x.png,happy\n", "row 1 .*leads out of"),
        ("path,emotion\n/etc/passwd,happy\n", "row 1 .*leads out of"),
        ("path,emotion\nimg/0.png,happy,3\n", "row 1 .*3 fields instead of 2"),
        ("path,emotion\nimg/0.png,happy\nimg/1.png,happy\n", "one class only"),
        ("path,AU1\nimg/0.png,1.5\n", "field 'AU1': '1.5' is not a number from 0 to 1"),
        ("path,AU1\nimg/0.png,nan\n", "'nan' is not a number"),
        ("path,emotion,weight\nimg/0.png,happy,-1\n", "'-1' is not a number of 0 or more"),
        ("path,emotion,weight\nimg/0.png,happy,inf\n", "'inf' is not a number of 0 or more"),
        ("path,emotion,subject\nimg/0.png,happy,\n", "field 'subject': is empty"),
        ("path,AU1,AU01\nimg/0.png,1,0\n", "stands twice"),
        ("path,AU1\nimg/0.png,\nimg/1.png,\n", "no image has a value for 'au'"),
        ("path,emotion\nimg/0.png,Happy\nimg/1.png,joy\n", "'Happy' and 'joy', which mean the same"),
        ("path,emotion,split\nimg/0.png,happy,trian\nimg/1.png,sad,test\n", "did you mean 'train'"),
    ],
)
def test_wrong_manifests(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_folder(_manifest(tmp_path, text))


def test_manifest_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"path,emotion\n\xff\xfe\x00,happy\n")
    with pytest.raises(DataError, match="cannot be read"):
        load_folder(tmp_path, manifest="m.csv")
    with pytest.raises(DataError, match="cannot be read"):
        load_folder(tmp_path, manifest="none.csv")


def test_rows_without_a_split_are_noted(tmp_path: Path) -> None:
    rows = "img/0.png,happy,train\nimg/1.png,sad,train\nimg/2.png,sad,\n"
    faces = load_folder(_manifest(tmp_path, "path,emotion,split\n" + rows))
    assert len(faces.where("train")) == 2
    assert any("1 images name no split" in note for note in faces.notes)


def test_a_folder_beside_split_folders(write_tree: Write) -> None:
    root = write_tree(splits=("train", "val"), classes=TWO)
    (root / "__MACOSX").mkdir()  # nothing in it: no matter
    assert load_folder(root).outputs[0].labels == TWO
    _save(root / "extra" / "happy" / "0.png")
    with pytest.raises(DataError, match="'train' is a split folder, 'extra'"):
        load_folder(root)


def test_an_empty_class_folder_is_noted(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    (root / "angry").mkdir()
    faces = load_folder(root)
    assert faces.outputs[0].labels == TWO
    assert any("angry" in note for note in faces.notes)


def test_a_linked_class_folder_outside(write_tree: Write, tmp_path: Path) -> None:
    root = write_tree(classes=TWO)
    _save(tmp_path / "elsewhere" / "0.png")
    (root / "angry").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"angry is a link that leads out of"):
        load_folder(root)


def test_a_file_name_that_is_not_text(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    os.rename(os.fsencode(next((root / "sad").iterdir())), os.fsencode(root / "sad") + b"/\xff.png")
    with pytest.raises(DataError, match="is not UTF-8"):
        load_folder(root)


def test_a_class_that_training_lacks_is_noted(write_tree: Write) -> None:
    root = write_tree(splits=("train", "val"), classes=TWO)
    _save(root / "val" / "zeal" / "0.png")
    assert any("No image in train is of 'emotion': zeal." in note for note in load_folder(root).notes)


def test_all_images_may_be_for_testing(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    faces = load_folder(root, split={"test": 1.0})
    assert set(faces.split.tolist()) == {"test"}
    with pytest.raises(DataError, match="leave some rows to train"):
        load_folder(root, split={"val": 0.5, "test": 0.5})


def test_pictures_in_formats_that_are_not_read_are_noted(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    (root / "happy/a.HEIC").write_bytes(b"x")
    assert any(
        "1 pictures were left out (happy/a.HEIC, ...): HEIC" in note for note in load_folder(root).notes
    )


def test_a_line_break_in_a_name_is_refused_before_any_training(write_tree: Write, tmp_path: Path) -> None:
    root = write_tree(classes=("happy", "very\nsad"))
    with pytest.raises(DataError, match=r"the path 'very\\nsad/.*' holds a line break"):
        load_folder(root)
    for i in range(4):
        _save(tmp_path / f"m/{i}.png", seed=i)
    rows = "".join(f'{i}.png,{TWO[i % 2]},"a\nb"\n' for i in range(4))
    (tmp_path / "m/manifest.csv").write_text("path,emotion,subject\n" + rows)
    with pytest.raises(DataError, match=r"the subject 'a\\nb' holds a line break"):
        load_folder(tmp_path / "m")


def test_what_lies_in_hidden_folders_is_no_image_of_a_class(write_tree: Write) -> None:
    root = write_tree(classes=TWO)
    _save(root / "happy" / ".thumbnails" / "0.png")
    _save(root / "happy" / "by hand" / ".ipynb_checkpoints" / "0.png")
    _save(root / "happy" / "by hand" / "0.png")
    assert load_folder(root).class_counts("emotion") == {"happy": 5, "sad": 4}


def test_names_that_look_the_same_are_not_two_classes(tmp_path: Path) -> None:
    for i, name in enumerate(("fröhlich", unicodedata.normalize("NFD", "fröhlich"))):
        _save(tmp_path / name / "0.png", seed=i)
    with pytest.raises(DataError, match="mean the same"):
        load_folder(tmp_path)
