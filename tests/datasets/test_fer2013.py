"""FER2013's layouts, parts, splits and FER+ labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from duchenne.datasets import fer2013
from duchenne.datasets.fer2013 import MERGED_TEST, load_fer2013
from duchenne.errors import DataError

Write = Callable[..., Path]


def test_published_parts_are_the_default_splits(write_fer: Write, fer_pixels: np.ndarray) -> None:
    faces = load_fer2013(write_fer())
    assert faces.ids[:2].tolist() == ["fer0000000", "fer0000001"]
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [56, 14, 14]
    assert set(faces.where("test").part) == {"PrivateTest"}
    np.testing.assert_array_equal(faces.pixels(), fer_pixels)
    np.testing.assert_array_equal(faces.hard("emotion"), np.arange(84) % 7)
    assert "not the published" in faces.notes[0]


def test_which_part_is_test_is_an_option(write_fer: Write) -> None:
    split = {"train": "Training", "val": 0.25, "test": "PublicTest"}
    faces = load_fer2013(write_fer(), split=split, seed=3)
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [42, 14, 14]
    assert set(faces.where("val").part) == {"Training"}
    assert list(faces.where("val").class_counts("emotion").values()) == [2] * 7
    assert set(faces.part[faces.split == ""]) == {"PrivateTest"}
    again = load_fer2013(write_fer(), split=split, seed=3)
    np.testing.assert_array_equal(again.split, faces.split)
    other = load_fer2013(write_fer(), split=split, seed=4)
    assert (other.split != faces.split).any()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"train": "Trainig"}, "did you mean 'Training'"),
        ({"trian": "Training"}, "did you mean 'train'"),
        ({"train": "Training", "test": "Training"}, "stands for two splits"),
        ({"train": "Training", "val": 1.5}, "above 0"),
        ({"train": "Training", "val": 0.6, "test": 0.4}, "above 0"),
        ({"train": 0.5, "test": "PublicTest"}, "must name a part"),
    ],
)
def test_wrong_splits(write_fer: Write, split: dict[str, str | float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_fer2013(write_fer(), split=split)


def test_without_usage_parts_are_unknown(write_fer: Write) -> None:
    root = write_fer("train.csv", usage=False)
    with pytest.raises(DataError, match="no Usage column"):
        load_fer2013(root)
    faces = load_fer2013(root, split={"train": "all", "val": 0.1, "test": 0.2})
    assert "parts are unknown" in faces.notes[0]
    assert abs(len(faces.where("test")) - 17) <= 1


def test_without_usage_published_size(write_fer: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fer2013, "PART_SIZES", (60, 14, 10))
    faces = load_fer2013(write_fer(usage=False))
    assert faces.describe()["parts"] == {"Training": 60, "PublicTest": 14, "PrivateTest": 10}
    assert "published order and sizes" in faces.notes[0]


def test_folder_tree(write_tree: Write) -> None:
    tree = write_tree("fer2013", splits=("train", "test"), each=10)
    faces = load_fer2013(tree.parent)
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [63, 7, 70]
    assert set(faces.where("test").part) == {MERGED_TEST}
    i = faces.ids.tolist().index("train/sad/3.png")
    np.testing.assert_array_equal(faces.image(i), np.asarray(Image.open(tree / "train" / "sad" / "3.png")))
    assert faces.hard("emotion")[i] == 4
    for part in ("PrivateTest", "PublicTest"):
        with pytest.raises(DataError, match="Kaggle merged PublicTest and PrivateTest"):
            load_fer2013(tree.parent, split={"train": "Training", "test": part})
    with pytest.raises(DataError, match="folder tree lacks"):
        load_fer2013(tree.parent, labels="ferplus")


def test_folder_tree_of_other_things(write_tree: Write) -> None:
    big = write_tree("a/fer2013", splits=("train",), shape=(50, 48))
    with pytest.raises(DataError, match="not grey 48x48"):
        load_fer2013(big.parent)
    odd = write_tree("b/fer2013", splits=("train",), classes=("angry", "hapy"))
    with pytest.raises(DataError, match="did you mean 'happy'"):
        load_fer2013(odd.parent)
    empty = write_tree("c/fer2013", splits=("train",), each=0)
    with pytest.raises(DataError, match="no images"):
        load_fer2013(empty.parent)


def test_missing_data_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Kaggle competition(.|\n)*fer2013/fer2013.csv"):
        load_fer2013(tmp_path)


def test_ferplus_labels(write_fer: Write) -> None:
    root = write_fer(votes=True)
    faces = load_fer2013(root, labels="ferplus")
    assert faces.outputs[0].num_classes == 8
    kept = faces.split != ""
    np.testing.assert_array_equal(faces.hard("emotion")[kept], (np.arange(84) % 8)[kept])
    assert (faces.hard("emotion")[~kept] == -1).all()
    assert f"{(~kept).sum()} faces dropped" in faces.notes[-1]
    both = load_fer2013(root, labels="both", votes="multi-target")
    assert [(o.name, o.kind, o.num_classes) for o in both.outputs] == [
        ("emotion", "single", 7),
        ("ferplus", "multi", 8),
    ]
    assert set(np.unique(both.targets["ferplus"])) == {0.0, 1.0}
    assert (both.masks["ferplus"].all(axis=1) == (both.split != "")).all()


def test_faces_that_ferplus_drops_may_stay_unlabelled(write_fer: Write) -> None:
    root = write_fer(votes=True)
    gone = load_fer2013(root, labels="both", votes="probability").split == ""
    assert 0 < gone.sum() < len(gone)
    faces = load_fer2013(root, labels="both", votes="probability", dropped="unlabelled")
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [56, 14, 14]
    np.testing.assert_array_equal(faces.hard("ferplus") == -1, gone)
    np.testing.assert_array_equal(faces.hard("emotion"), np.arange(84) % 7)
    several = load_fer2013(root, labels="both", votes="multi-target", dropped="unlabelled")
    assert (several.masks["ferplus"].any(axis=1) != (several.targets["ferplus"].sum(axis=1) == 0)).all()
    with pytest.raises(DataError, match="did you mean 'unlabelled'"):
        load_fer2013(root, labels="both", dropped="unlabeled")  # type: ignore[arg-type]
    with pytest.raises(DataError, match='needs labels = "both"'):
        load_fer2013(root, labels="ferplus", dropped="unlabelled")


def test_copies_of_held_out_images_leave_the_training_part(write_fer: Write, fer_pixels: np.ndarray) -> None:
    fer_pixels[3], fer_pixels[4] = fer_pixels[60], fer_pixels[80]  # one of PublicTest, one of PrivateTest
    fer_pixels[6] = fer_pixels[5]  # twice in Training: both stay
    root = write_fer()
    assert len(load_fer2013(root).where("train")) == 56
    faces = load_fer2013(root, copies="out")
    assert np.flatnonzero(faces.split == "").tolist() == [3, 4]
    assert "2 training faces left out" in faces.notes[-1]
    assert [len(faces.where(s)) for s in ("val", "test")] == [14, 14]
    with pytest.raises(DataError, match="copies"):
        load_fer2013(root, copies="away")  # type: ignore[arg-type]


def test_ferplus_must_fit(write_fer: Write) -> None:
    root = write_fer()
    with pytest.raises(DataError, match=r"votes .* are missing"):
        load_fer2013(root, labels="ferplus")
    write_fer(votes=True)
    votes = root / "fer2013" / "fer2013new.csv"
    lines = votes.read_text().splitlines()
    votes.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match="83 rows"):
        load_fer2013(root, labels="ferplus")
    votes.write_text("\n".join([lines[0], lines[60], *lines[2:]]))
    with pytest.raises(DataError, match="disagree on Usage"):
        load_fer2013(root, labels="ferplus")
    with pytest.raises(DataError, match="did you mean 'ferplus'"):
        load_fer2013(root, labels="ferplu")  # type: ignore[arg-type]


@pytest.mark.real_data
def test_real_class_counts(data_dir: Path, shared_cache: Path) -> None:
    faces = load_fer2013(data_dir, cache_dir=shared_cache)
    assert faces.notes == ()
    test = faces.where("test")
    assert list(test.class_counts("emotion").values()) == [491, 55, 528, 879, 594, 416, 626]
    public = load_fer2013(
        data_dir, split={"train": "Training", "val": 0.1, "test": "PublicTest"}, cache_dir=shared_cache
    )
    counts = public.where("test").class_counts("emotion")
    assert list(counts.values()) == [467, 56, 496, 895, 653, 415, 607]
    assert [len(public.where(s)) for s in ("train", "val")] == [25_838, 2_871]
    # The first rows are views of the memory map, not copies.
    assert isinstance(faces.images, np.memmap)


@pytest.mark.real_data
def test_real_ferplus(data_dir: Path, shared_cache: Path) -> None:
    faces = load_fer2013(data_dir, labels="ferplus", votes="probability", cache_dir=shared_cache)
    used = faces.targets["emotion"][faces.split != ""]
    np.testing.assert_allclose(used.sum(axis=1), 1, atol=1e-6)
    assert len(used) == 34_966


@pytest.mark.real_data
def test_real_copies(data_dir: Path, shared_cache: Path) -> None:
    """280 images of PublicTest and 288 of PrivateTest stand in Training (`duchenne data audit fer2013`)."""
    faces = load_fer2013(data_dir, copies="out", cache_dir=shared_cache)
    held_out = {faces.image(i).tobytes() for i in np.flatnonzero(np.isin(faces.split, ["val", "test"]))}
    train = np.flatnonzero(faces.split == "train")
    assert len(train) == 28_709 - 703
    assert not any(faces.image(i).tobytes() in held_out for i in train)
