"""What the data tests share: small data in the publishers' layouts, and a cache of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

USAGES = ("Training", "PublicTest", "PrivateTest")
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUCHENNE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of the real data."""
    return tmp_path_factory.mktemp("shared_cache")


@pytest.fixture
def fer_pixels() -> np.ndarray:
    """Pixels of 84 faces, ``(84, 48, 48)`` uint8, with every value from 0 to 255 in them."""
    return np.random.default_rng(0).integers(0, 256, (84, 48, 48)).astype(np.uint8)


@pytest.fixture
def write_fer(tmp_path: Path, fer_pixels: np.ndarray) -> Callable[..., Path]:
    """Write a small FER2013: 56 Training, 14 PublicTest, 14 PrivateTest rows, labels 0..6 in turn."""

    def write(name: str = "fer2013.csv", usage: bool = True, votes: bool = False) -> Path:
        folder = tmp_path / "data" / "fer2013"
        folder.mkdir(parents=True, exist_ok=True)
        parts = [USAGES[0]] * 56 + [USAGES[1]] * 14 + [USAGES[2]] * 14
        lines = ["emotion,pixels,Usage" if usage else "emotion,pixels"]
        for i, image in enumerate(fer_pixels):
            line = f"{i % 7},{' '.join(map(str, image.reshape(-1).tolist()))}"
            lines.append(f"{line},{parts[i]}" if usage else line)
        (folder / name).write_text("\n".join(lines) + "\n")
        if votes:
            counts = np.random.default_rng(1).integers(0, 8, (84, 10))
            counts[np.arange(84), np.arange(84) % 8] += 20
            names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
            rows = [f"{parts[i]},fer{i:07d}.png,{','.join(map(str, c))}" for i, c in enumerate(counts)]
            (folder / "fer2013new.csv").write_text("\n".join([f"Usage,Image name,{names}", *rows]) + "\n")
        return folder.parent

    return write


@pytest.fixture
def write_tree(tmp_path: Path) -> Callable[..., Path]:
    """Write PNG faces as ``tmp/NAME/[split/]class/i.png``."""

    def write(
        name: str = "tree",
        splits: tuple[str, ...] = ("",),
        classes: tuple[str, ...] = CLASSES,
        each: int = 4,
        shape: tuple[int, ...] = (48, 48),
    ) -> Path:
        rng = np.random.default_rng(2)
        for split in splits:
            for label in classes:
                folder = tmp_path / name / split / label
                folder.mkdir(parents=True)
                for i in range(each):
                    Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(folder / f"{i}.png")
        return tmp_path / name

    return write


@pytest.fixture
def write_cifar(tmp_path: Path) -> Callable[..., Path]:
    """Write a small CIFAR-10 of six binary files with so many images each; labels 0..9 in turn."""

    def write(each: int = 10) -> Path:
        folder = tmp_path / "data" / "cifar10" / "cifar-10-batches-bin"
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(4)
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        for k, name in enumerate(names):
            records = rng.integers(0, 256, (each, 3073)).astype(np.uint8)
            records[:, 0] = (np.arange(each) + k * each) % 10
            records.tofile(folder / name)
        words = "airplane automobile bird cat deer dog frog horse ship truck"
        (folder / "batches.meta.txt").write_text(words.replace(" ", "\n") + "\n\n")
        return folder.parent.parent

    return write


@pytest.fixture
def write_sfew(tmp_path: Path) -> Callable[..., Path]:
    """Write a small SFEW of RGB faces of 143x181; class c has so many images and c % 2 more."""

    def write(train: int = 5, val: int = 2) -> Path:
        rng = np.random.default_rng(5)
        root = tmp_path / "data" / "sfew"
        names = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
        for part, each in (("Train_Aligned_Faces", train), ("Val_Aligned_Faces", val)):
            for code, name in enumerate(names):
                (root / part / name).mkdir(parents=True)
                for i in range(each + code % 2):
                    colour = rng.integers(0, 256, (181, 143, 3), dtype=np.uint8)
                    colour[8:] = colour[0, 0]  # most of it flat: small files
                    Image.fromarray(colour).save(root / part / name / f"Film_{i:05d}.png", compress_level=1)
        return root.parent

    return write


@pytest.fixture
def write_ckplus(tmp_path: Path) -> Callable[..., Path]:
    """Write a small CK+: a class folder each as CK+48, or peak frames with FACS and emotion files."""

    def write(published: bool = False, subjects: int = 30) -> Path:
        rng = np.random.default_rng(6)
        root = tmp_path / "data" / "ckplus"
        names = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
        for s in range(subjects):
            for q in (1, 2):
                code, stem = (s + q) % 7, f"S{s:03d}_{q:03d}_00000009"
                below = Path(stem[:4], stem[5:8])
                here = Path("cohn-kanade-images", below) if published else Path("CK+48", names[code])
                (root / here).mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 256, (48, 48)).astype(np.uint8)
                Image.fromarray(pixels).save(root / here / f"{stem}.png")
                texts = {"FACS": f"   {12.0:.7e}   {3.0:.7e}\n", "Emotion": f"   {code + 1.0:.7e}\n"}
                for kind, text in texts.items() if published else ():
                    (root / kind / below).mkdir(parents=True)
                    (root / kind / below / f"{stem}_{kind.lower()}.txt").write_text(text)
        return root.parent

    return write
