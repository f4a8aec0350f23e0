"""CIFAR-10's binary form: records, parts, the first rows, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from duchenne.datasets import load
from duchenne.datasets.cifar10 import BATCH, CIFAR10_OBJECTS, RECORD, TEST_FILE, TRAIN_FILES, load_cifar10
from duchenne.errors import DataError

Write = Callable[..., Path]


def slow_read(path: Path) -> tuple[list[int], list[np.ndarray]]:
    """One byte after the other, as the publisher's page words it."""
    labels, images = [], []
    data = path.read_bytes()
    for start in range(0, len(data), 3073):
        labels.append(data[start])
        image = np.zeros((32, 32, 3), np.uint8)
        for channel in range(3):
            for y in range(32):
                for x in range(32):
                    image[y, x, channel] = data[start + 1 + channel * 1024 + y * 32 + x]
        images.append(image)
    return labels, images


def test_pixels_and_labels_against_a_slow_reader(write_cifar: Write) -> None:
    root = write_cifar(each=3)
    faces = load_cifar10(root, split={"train": "Training", "test": "Test"})
    folder = root / "cifar10" / "cifar-10-batches-bin"
    labels: list[int] = []
    images: list[np.ndarray] = []
    for name in (*TRAIN_FILES, TEST_FILE):
        more = slow_read(folder / name)
        labels += more[0]
        images += more[1]
    assert faces.hard("object").tolist() == labels
    np.testing.assert_array_equal(faces.pixels(), np.stack(images))
    assert faces.images[0].shape == (32, 32, 3)
    assert faces.outputs[0].labels == CIFAR10_OBJECTS
    assert faces.ids[[0, 14, 15, 17]].tolist() == ["train00000", "train00014", "test00000", "test00002"]
    assert "not the published 10,000" in faces.notes[0]


def test_parts_and_shares(write_cifar: Write) -> None:
    root = write_cifar(each=20)
    faces = load_cifar10(root)
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [90, 10, 20]
    assert set(faces.where("test").part) == {"Test"}
    assert set(faces.where("val").part) == {"Training"}
    assert list(faces.where("val").class_counts("object").values()) == [1] * 10
    np.testing.assert_array_equal(load_cifar10(root).split, faces.split)
    assert (load_cifar10(root, seed=1).split != faces.split).any()
    with pytest.raises(DataError, match=r"no part 'test'\n  did you mean 'Test'"):
        load_cifar10(root, split={"train": "Training", "test": "test"})


def test_the_first_rows_alone(write_cifar: Write) -> None:
    root = write_cifar(each=20)
    whole = load_cifar10(root)
    faces = load_cifar10(root, first=50, split={"train": "Training", "val": 0.02})
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [49, 1, 0]
    used = faces.select(faces.split != "")
    np.testing.assert_array_equal(used.pixels(), whole.pixels(np.arange(50)))
    np.testing.assert_array_equal(used.hard("object"), whole.hard("object")[:50])
    tested = load_cifar10(root, first=50).where("test")
    np.testing.assert_array_equal(tested.pixels(), whole.where("test").pixels())
    for first in (0, -1, 101):
        with pytest.raises(DataError, match=f"first = {first}: Training has images 1 to 100"):
            load_cifar10(root, first=first)


def test_every_way_to_name_the_folder(write_cifar: Write) -> None:
    root = write_cifar()
    first = load_cifar10(root).fingerprint()
    for folder in (root / "cifar10", root / "cifar10" / "cifar-10-batches-bin"):
        assert load_cifar10(folder).fingerprint() == first
    (root / "cifar10" / "cifar-10-batches-bin").rename(root / "cifar-10-batches-bin")
    assert load("cifar10", root).fingerprint() == first


def test_missing_data_say_how_to_get_them(tmp_path: Path, write_cifar: Write) -> None:
    with pytest.raises(DataError, match=r"CIFAR-10 is not in(.|\n)*kriz/cifar.html(.|\n)*data_batch_1.bin"):
        load_cifar10(tmp_path)
    folder = write_cifar() / "cifar10" / "cifar-10-batches-bin"
    for name in ("data_batch_3.bin", "batches.meta.txt"):
        (folder / name).rename(folder / "aside")
        with pytest.raises(DataError, match=rf"{name} cannot be read(.|\n)*kriz"):
            load_cifar10(folder)
        (folder / "aside").rename(folder / name)


def test_pickles_and_archives_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "cifar10" / "cifar-10-batches-py").mkdir(parents=True)
    for root in (tmp_path, tmp_path / "cifar10", tmp_path / "cifar10" / "cifar-10-batches-py"):
        with pytest.raises(DataError, match=r"pickles(.|\n)*binary version is needed"):
            load_cifar10(root)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cifar-10-binary.tar.gz").touch()
    with pytest.raises(DataError, match="is not unpacked"):
        load_cifar10(tmp_path / "b")


@pytest.mark.parametrize("size", [0, 1, RECORD - 1, 4 * RECORD + 1])
def test_cut_files(write_cifar: Write, size: int) -> None:
    path = write_cifar() / "cifar10" / "cifar-10-batches-bin" / "data_batch_2.bin"
    with path.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(DataError, match=rf"data_batch_2.bin has {size:,} bytes(.|\n)*30,730,000"):
        load_cifar10(path.parent)


@pytest.mark.parametrize("images", [BATCH + 1, BATCH * 1000])
def test_a_size_beyond_the_published_allocates_nothing(write_cifar: Write, images: int) -> None:
    path = write_cifar() / "cifar10" / "cifar-10-batches-bin" / "test_batch.bin"
    with path.open("r+b") as file:
        file.truncate(images * RECORD)  # a hole: up to 30 GB that take no room on disk
    with pytest.raises(DataError, match="is this the right file"):
        load_cifar10(path.parent)


def test_a_label_beyond_nine(write_cifar: Write) -> None:
    path = write_cifar(each=7) / "cifar10" / "cifar-10-batches-bin" / "data_batch_4.bin"
    data = bytearray(path.read_bytes())
    data[4 * RECORD] = 10
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"data_batch_4.bin, row 5: label 10 is not one of"):
        load_cifar10(path.parent)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n".join(CIFAR10_OBJECTS[::-1]), "row 1: label 'truck' instead of 'airplane'"),
        ("\n".join(CIFAR10_OBJECTS[:9]), "names 9 labels instead of 10"),
        ("\n".join((*CIFAR10_OBJECTS, "fox")), "names 11 labels instead of 10"),
        ("", "names 0 labels"),
    ],
)
def test_other_label_names(write_cifar: Write, text: str, said: str) -> None:
    folder = write_cifar() / "cifar10" / "cifar-10-batches-bin"
    (folder / "batches.meta.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        load_cifar10(folder)


def test_trailing_blank_lines_of_the_published_label_file(write_cifar: Write) -> None:
    folder = write_cifar() / "cifar10" / "cifar-10-batches-bin"
    (folder / "batches.meta.txt").write_bytes("\r\n".join((*CIFAR10_OBJECTS, "", "")).encode())
    assert len(load_cifar10(folder)) == 6 * 10


@pytest.mark.real_data
def test_real_cifar10(data_dir: Path, shared_cache: Path) -> None:
    faces = load_cifar10(data_dir, cache_dir=shared_cache)
    assert faces.notes == ()
    assert faces.describe()["parts"] == {"Training": 50_000, "Test": 10_000}
    assert [len(faces.where(s)) for s in ("train", "val", "test")] == [45_000, 5_000, 10_000]
    assert set(faces.where("test").class_counts("object").values()) == {1_000}
    assert set(faces.where("val").class_counts("object").values()) == {500}
    assert set(faces.select(faces.part == "Training").class_counts("object").values()) == {5_000}
    assert isinstance(faces.images, np.memmap)
    # The means and deviations of Training that are in general use, whatever the order of its rows.
    train = np.asarray(faces.images[:50_000]).reshape(-1, 3)
    shares = np.stack([np.bincount(train[:, c], minlength=256) for c in range(3)], axis=1) / len(train)
    level = np.arange(256)[:, None] / 255
    mean = (shares * level).sum(axis=0)
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=6e-5)
    deviation = np.sqrt((shares * (level - mean) ** 2).sum(axis=0))
    np.testing.assert_allclose(deviation, [0.2470, 0.2435, 0.2616], atol=6e-5)
    # A few pixels, straight from the bytes: first and last row of the third batch.
    path = next(data_dir.glob("**/cifar-10-batches-bin")) / "data_batch_3.bin"
    for row, face in ((0, 20_000), (9_999, 29_999)):
        with path.open("rb") as file:
            file.seek(row * 3073)
            record = file.read(3073)
        assert faces.hard("object")[face] == record[0]
        for y, x in ((0, 0), (0, 31), (31, 0), (5, 17)):
            at = 1 + 32 * y + x
            assert faces.image(face)[y, x].tolist() == [record[at], record[at + 1024], record[at + 2048]]
    small = load_cifar10(data_dir, first=50, split={"train": "Training", "val": 0.02}, cache_dir=shared_cache)
    assert [len(small.where(s)) for s in ("train", "val", "test")] == [49, 1, 0]
