"""SFEW 2.0's aligned faces: a folder of class folders each for training and validation; labels of wang2020.

Source: Dhall et al. 2011, "Static facial expression analysis in tough conditions"; the class codes, the label
files and the halves of the validation part: wang2020, sections 1.2 and 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from ..labels import Output, canonical
from .decode import SUFFIXES
from .faceset import FaceSet
from .files import read_files
from .sfew_csv import LabelledFiles, read_label_csv, write_label_csv
from .splits import assign_split, partition

Array = npt.NDArray[Any]

# Codes 0..6 of wang2020, section 2.1; FER2013's order is another.
SFEW_EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
SHAPE = (181, 143, 3)  # pixels: height, width, RGB
FOLDERS = {"Train": "Train_Aligned_Faces", "Val": "Val_Aligned_Faces"}
LABEL_FILES = {"Train": "train_labels.csv", "Val": "val_labels.csv"}
PART_SIZES = {"Train": 891, "Val": 431}  # published
HALVES = ("Val-1", "Val-2")  # 215 and 216 images: the report's validation and test parts
DEFAULT_SPLIT: Mapping[str, str | float] = {"train": "Train", "val": HALVES[0], "test": HALVES[1]}
LAYOUT = """\
SFEW 2.0 is given out by its authors on a signed agreement. Lay its aligned faces out as
    DATA/sfew/Train_Aligned_Faces/Angry/*.png ... Disgust Fear Happy Neutral Sad Surprise
    DATA/sfew/Val_Aligned_Faces/Angry/*.png ...
    DATA/sfew/train_labels.csv, val_labels.csv   (optional: columns image,label)
  and name DATA with --data or $DUCHENNE_DATA."""
_BROKEN = (
    "remove what is broken from its class folder, and its line from train_labels.csv or val_labels.csv where "
    "these are there"
)

Labels = Literal["auto", "folders", "csv"]


def load_sfew(
    root: Path,
    *,
    split: Mapping[str, str | float] | None = None,
    labels: Labels = "auto",
    seed: int = 0,
    cache_dir: Path | None = None,
) -> FaceSet:
    """Load SFEW 2.0's aligned faces: RGB, 143 wide and 181 high, as published; output ``emotion``, 7 classes.

    Args:
        root: The data folder (holding ``sfew/``), or the ``sfew`` folder itself.
        split: "train", "val" and "test", each a part ("Train", "Val"), one of the seeded halves of Val,
            stratified by class ("Val-1" of 215 and "Val-2" of 216 images), or, for val and test, a share of
            the train part to cut from it. Default: Train, Val-1, Val-2, as wang2020 has it.
        labels: "csv": the images and labels that ``train_labels.csv`` and ``val_labels.csv`` name; "folders":
            all images, labelled by their folders; "auto": each part's CSV where there is one.
        seed: Of the halves and the cut shares.
        cache_dir: See `cache.cache_root`.

    Returns:
        Ids are paths, ``Train_Aligned_Faces/Angry/NAME.png``.

    Raises:
        DataError: The data are missing (says how to get them) or broken (says where).
    """
    if labels not in ("auto", "folders", "csv"):
        raise DataError(f"sfew has no labels '{labels}'", did_you_mean(labels, ("auto", "folders", "csv")))
    folder = _find(Path(root))
    paths: list[Path] = []
    codes: list[int] = []
    parts: list[str] = []
    notes: list[str] = []
    for part in FOLDERS:
        found, more = _part(folder, part, labels)
        paths += [folder / FOLDERS[part] / p for p in found.paths]
        codes += found.codes
        parts += [part] * len(found.paths)
        notes += more
    read = read_files(paths, cache_dir=cache_dir, instead=_BROKEN)
    pixels = read.images
    if not isinstance(pixels, np.ndarray) or pixels.shape[1:] != SHAPE:
        odd = next(i for i in range(len(paths)) if pixels[i].shape != SHAPE)
        shape = "x".join(str(v) for v in pixels[odd].shape)
        raise DataError(
            f"{paths[odd]} is {shape} (height, width, colours), not 181x143x3 as SFEW's aligned faces are",
            "use the data set 'folder' for it",
        )
    emotion, part_of = np.array(codes, dtype=np.int64), np.array(parts)
    return FaceSet(
        name="sfew",
        images=pixels,
        ids=np.array([p.relative_to(folder).as_posix() for p in paths]),
        outputs=(Output("emotion", "single", SFEW_EMOTIONS),),
        targets={"emotion": emotion},
        split=_split(part_of, emotion, DEFAULT_SPLIT if split is None else split, seed),
        part=part_of,
        rows=np.arange(len(paths)),
        notes=(*notes, *read.notes),
    )


def write_label_csvs(root: Path, *, replace: bool = False) -> tuple[Path, Path]:
    """Write ``train_labels.csv`` and ``val_labels.csv`` from the class folders, as wang2020 does.

    Args:
        root: As of `load_sfew`.
        replace: Whether existing files are written over.

    Raises:
        DataError: The data are missing or broken, or a file exists or cannot be written.
    """
    folder = _find(Path(root))
    found = {part: _walk(folder / name) for part, name in FOLDERS.items()}
    for part in () if replace else found:
        if (folder / LABEL_FILES[part]).exists():  # before the other one is written
            raise DataError(f"{folder / LABEL_FILES[part]} exists", "--replace writes over it")
    train, val = (write_label_csv(folder / LABEL_FILES[p], found[p], replace=replace) for p in FOLDERS)
    return train, val


def _split(part: Array, emotion: Array, split: Mapping[str, str | float], seed: int) -> Array:
    """Splits by parts, halves of Val, or shares."""
    named = [v for v in split.values() if isinstance(v, str)]
    for value in named:
        if value not in (*FOLDERS, *HALVES):
            raise DataError(f"sfew has no part '{value}'", did_you_mean(value, (*FOLDERS, *HALVES)))
    if set(named) & set(HALVES):
        if "Val" in named:
            raise DataError(
                f"sfew, option split: Val is used both whole and in half ({', '.join(named)})",
                f"use Val, or {HALVES[0]} and {HALVES[1]}",
            )
        rows = np.flatnonzero(part == "Val")
        halved = part.astype(f"<U{len(HALVES[0])}")
        # The test half comes first: it takes the odd image of the first odd class (angry), as the report's.
        halved[rows] = partition(emotion[rows], {HALVES[1]: 0.5, HALVES[0]: 0.5}, seed)
        part = halved
    return assign_split(part, emotion, np.ones(len(part), dtype=bool), split, seed)


def _find(root: Path) -> Path:
    for folder in (root / "sfew", root):
        if any((folder / name).exists() for name in FOLDERS.values()):
            break
    else:
        missing = root if not root.is_dir() else root / "sfew"
        raise DataError(f"SFEW is not in {root}: no {missing} with its folders", LAYOUT)
    for name in FOLDERS.values():
        if not (folder / name).is_dir():
            what = "is not a folder" if (folder / name).exists() else "is missing"
            raise DataError(f"{folder / name} {what}", LAYOUT)
    return folder


def _part(folder: Path, part: str, labels: Labels) -> tuple[LabelledFiles, list[str]]:
    """Files and codes of a part, and what is to be said of them."""
    below, file = folder / FOLDERS[part], folder / LABEL_FILES[part]
    found = _walk(below)
    notes: list[str] = []
    if len(found.paths) != PART_SIZES[part]:
        notes.append(f"{below.name} holds {len(found.paths):,} of the published {PART_SIZES[part]} images.")
    if labels == "csv" and not file.is_file():
        raise DataError(f"{file} is missing", "`duchenne data labels` writes it from the folders")
    if labels == "folders" or not file.exists():
        return found, notes
    listed = read_label_csv(file, below, SFEW_EMOTIONS)
    by_folder = dict(zip(found.paths, found.codes, strict=True))
    other = sum(by_folder.get(p) != c for p, c in zip(listed.paths, listed.codes, strict=True))
    if other:
        notes.append(f"{file.name} labels {other:,} images otherwise than their folders do; the CSV holds.")
    if left := len(set(by_folder) - set(listed.paths)):
        notes.append(f"{file.name} leaves out {left:,} images of {below.name}.")
    if absent := [label for code, label in enumerate(SFEW_EMOTIONS) if code not in listed.codes]:
        notes.append(f"{file.name} labels no image {' or '.join(absent)}.")
    return listed, notes


def _walk(below: Path) -> LabelledFiles:
    """Image files of the seven class folders, in code order, then by name."""
    inside = below.resolve()
    folders: dict[str, Path] = {}
    for sub in sorted(p for p in below.iterdir() if p.is_dir() and not p.name.startswith(".")):
        label = canonical(sub.name)
        if label not in SFEW_EMOTIONS:
            raise DataError(f"{sub}: SFEW has no class '{sub.name}'", did_you_mean(label, SFEW_EMOTIONS))
        if label in folders:
            raise DataError(f"{below}: '{folders[label].name}' and '{sub.name}' are the same class")
        folders[label] = sub
    paths: list[str] = []
    codes: list[int] = []
    for code, label in enumerate(SFEW_EMOTIONS):
        if label not in folders:
            raise DataError(f"{below} has no folder of class '{label}' ({label.capitalize()})", LAYOUT)
        sub = folders[label]
        files = sorted(p for p in sub.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != ".")
        if not files:
            raise DataError(f"{sub} holds no images", "get the folder again, whole")
        for path in files:
            if not path.resolve().is_relative_to(inside):
                raise DataError(
                    f"{path} is a link that leads out of {below}", "copy the file into the folder"
                )
        paths += [f"{sub.name}/{p.name}" for p in files]
        codes += [code] * len(files)
    return LabelledFiles(tuple(paths), tuple(codes))
