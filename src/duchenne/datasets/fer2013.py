"""FER2013 as published: the CSV, or the Kaggle folder tree; with FER+ votes on request.

Source: Goodfellow et al. 2013, "Challenges in representation learning: a report on three machine learning
contests".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from ..labels import FER2013_EMOTIONS, FERPLUS_EMOTIONS, Output
from .cache import cached_arrays
from .faceset import FaceSet
from .fer2013_csv import USAGES, read_fer2013_csv
from .ferplus import Votes, ferplus_targets, read_ferplus_csv
from .splits import assign_split, copied_to_train

Array = npt.NDArray[Any]
Labels = Literal["fer2013", "ferplus", "both"]
Dropped = Literal["out", "unlabelled"]
Copies = Literal["stay", "out"]

CSV_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
PART_SIZES = (28_709, 3_589, 3_589)  # Training, PublicTest, PrivateTest, in the CSV's order
MERGED_TEST = "test (PublicTest + PrivateTest merged)"
ALL = "all"
DEFAULT_SPLIT: Mapping[str, str | float] = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
TREE_SPLIT: Mapping[str, str | float] = {"train": "Training", "val": 0.1, "test": MERGED_TEST}
LAYOUT = """\
FER2013 is the Kaggle competition "Challenges in Representation Learning: Facial Expression Recognition"
  (its terms allow research). Lay it out as one of
    DATA/fer2013/fer2013.csv   (columns emotion,pixels,Usage; or icml_face_data.csv, or train.csv)
    DATA/fer2013/train/angry/*.png, test/angry/*   (the Kaggle folder tree)
    DATA/fer2013/fer2013new.csv   (FER+ votes, only for labels = "ferplus" or "both")
  and name DATA with --data or $DUCHENNE_DATA."""


def load_fer2013(
    root: Path,
    *,
    split: Mapping[str, str | float] | None = None,
    labels: Labels = "fer2013",
    votes: Votes = "majority",
    dropped: Dropped = "out",
    copies: Copies = "stay",
    seed: int = 0,
    cache_dir: Path | None = None,
) -> FaceSet:
    """Load FER2013: 35,887 grey faces of 48x48 with 7 emotions.

    Args:
        root: The data folder (holding ``fer2013/``), or the ``fer2013`` folder itself.
        split: "train", "val" and "test", each a part's published name ("Training", "PublicTest",
            "PrivateTest"), or, for val and test, a share of the train part to cut from it (seeded, stratified
            by class). Default: by the published names; for the folder tree, whose test parts are merged, a
            tenth of Training is val.
        labels: "fer2013": output ``emotion`` of 7 classes. "ferplus": output ``emotion`` of 8 classes from
            the FER+ votes. "both": outputs ``emotion`` (7) and ``ferplus`` (8). Faces that FER+ drops get
            split "".
        votes: How FER+ votes become targets, see `ferplus_targets`.
        dropped: What becomes of faces that FER+ drops, with labels = "both": they go "out" (split ""), or
            stay "unlabelled" in output ``ferplus`` with their FER2013 label.
        copies: "out": faces of the train split whose very image also stands in val or test go (split "");
            "stay": as published.
        seed: Of the cut shares.
        cache_dir: See `cache.cache_root`.

    Returns:
        Ids are ``fer0000000`` and so on by row in the CSV (as in FER+), or the path within the folder tree.

    Raises:
        DataError: The data are missing (says how to get them) or broken (says where).
    """
    _check_options(labels, dropped, copies)
    folder = _find(Path(root))
    csv = next((folder / name for name in CSV_NAMES if (folder / name).is_file()), None)
    if csv is None:
        from .fer2013_tree import load_tree  # needs image decoding, which the CSV does not

        if labels != "fer2013":
            raise DataError("FER+ votes go by the rows of fer2013.csv, which the folder tree lacks", LAYOUT)
        pixels, emotion, part, ids, notes = load_tree(folder, MERGED_TEST, cache_dir)
        split = TREE_SPLIT if split is None else split
    else:
        pixels, emotion, part, ids, notes = _load_csv(csv, cache_dir)
        split = DEFAULT_SPLIT if split is None else split
    _check_parts(split, part)
    emotions = Output("emotion", "single", FER2013_EMOTIONS)
    outputs: tuple[Output, ...] = (emotions,)
    targets: dict[str, Array] = {"emotion": emotion}
    masks: dict[str, Array] = {}
    keep = np.ones(len(ids), dtype=bool)
    if csv is not None and labels != "fer2013":
        name = "emotion" if labels == "ferplus" else "ferplus"
        output, target, keep, more = _load_votes(folder, csv, part, votes, name, cache_dir)
        outputs = (output,) if labels == "ferplus" else (emotions, output)
        targets[name] = target
        labelled = keep
        if dropped == "unlabelled":
            keep = np.ones(len(ids), dtype=bool)
        if output.kind == "multi":
            masks[name] = np.repeat(labelled[:, None], output.num_classes, axis=1)
        notes += more
    splits = assign_split(part, emotion, keep, split, seed)
    if copies == "out":
        copied = copied_to_train(pixels, splits)
        splits = np.where(copied, "", splits)
        notes += (f"{int(copied.sum()):,} training faces left out: their image is also held out.",)
    return FaceSet(
        name="fer2013",
        images=pixels,
        ids=ids,
        outputs=outputs,
        targets=targets,
        split=splits,
        part=part,
        rows=np.arange(len(ids)),
        masks=masks,
        notes=notes,
    )


def _check_options(labels: str, dropped: str, copies: str) -> None:
    if labels not in ("fer2013", "ferplus", "both"):
        raise DataError(
            f"fer2013 has no labels '{labels}'", did_you_mean(labels, ("fer2013", "ferplus", "both"))
        )
    for key, value, known in (("dropped", dropped, get_args(Dropped)), ("copies", copies, get_args(Copies))):
        if value not in known:
            raise DataError(
                f"fer2013: {key} = {value!r} is none of {list(known)}", did_you_mean(value, known)
            )
    if dropped == "unlabelled" and labels != "both":
        raise DataError('fer2013: dropped = "unlabelled" needs labels = "both"', "a face needs some label")


def _check_parts(split: Mapping[str, str | float], part: Array) -> None:
    """Say why a published part is not in this layout, before the plain "no such part" does."""
    parts = list(dict.fromkeys(part.tolist()))
    for value in split.values():
        if isinstance(value, str) and value not in parts:
            raise _unknown_part(value, parts)


def _unknown_part(value: str, parts: list[str]) -> DataError:
    if MERGED_TEST in parts and value in USAGES:
        return DataError(
            f"the folder tree has no {value}: Kaggle merged PublicTest and PrivateTest into 'test'",
            f"use fer2013.csv, or split test = '{MERGED_TEST}' and val = a share such as 0.1",
        )
    if parts == [ALL] and value in USAGES:
        return DataError(
            f"this CSV has no Usage column and not the published 35,887 rows, so it has no part {value}",
            "use split train = 'all' with val and test as shares such as 0.1",
        )
    return DataError(
        f"fer2013 has no part '{value}' here",
        f"{did_you_mean(value, parts)}; the option split names parts, or shares such as val = 0.1",
    )


def _find(root: Path) -> Path:
    for folder in (root / "fer2013", root):
        if any((folder / n).is_file() for n in CSV_NAMES) or (folder / "train").is_dir():
            return folder
    missing = root if not root.is_dir() else root / "fer2013"
    raise DataError(f"FER2013 is not in {root}: no {missing} with its files", LAYOUT)


def _load_csv(csv: Path, cache_dir: Path | None) -> tuple[Array, Array, Array, Array, tuple[str, ...]]:
    cached = cached_arrays("fer2013", [csv], lambda: read_fer2013_csv(csv), cache_dir=cache_dir)
    arrays = cached.arrays
    n = len(arrays["emotion"])
    notes = [cached.note] if cached.note else []
    if len(arrays["usage"]):
        part = np.array(USAGES)[np.asarray(arrays["usage"])]
        sizes = tuple(np.bincount(arrays["usage"], minlength=len(USAGES)).tolist())
        if sizes != PART_SIZES:
            notes.append(f"{csv.name} holds {sizes} faces a part, not the published {PART_SIZES}.")
    elif n == sum(PART_SIZES):
        part = np.repeat(np.array(USAGES), PART_SIZES)
        notes.append(f"{csv.name} has no Usage column: parts were taken from the published order and sizes.")
    else:
        part = np.full(n, ALL)
        notes.append(
            f"{csv.name} has no Usage column and {n:,} rows: its parts are unknown, all is one part."
        )
    ids = np.char.mod("fer%07d", np.arange(n))
    return arrays["pixels"], np.asarray(arrays["emotion"], dtype=np.int64), part, ids, tuple(notes)


def _load_votes(
    folder: Path, csv: Path, part: Array, mode: Votes, name: str, cache_dir: Path | None
) -> tuple[Output, Array, Array, tuple[str, ...]]:
    path = folder / "fer2013new.csv"
    if not path.is_file():
        raise DataError(f"the FER+ votes {path} are missing (MIT, repository FERPlus by microsoft)", LAYOUT)
    arrays = cached_arrays("ferplus", [path], lambda: read_ferplus_csv(path), cache_dir=cache_dir).arrays
    if len(arrays["votes"]) != len(part):
        raise DataError(
            f"{path} has {len(arrays['votes']):,} rows and {csv} has {len(part):,}: they go row by row",
            "use the published files, both complete and in their order",
        )
    if ALL not in part and (np.array(USAGES)[np.asarray(arrays["usage"])] != part).any():
        raise DataError(f"{path} and {csv} disagree on Usage", "use the published files in their order")
    target, keep = ferplus_targets(np.asarray(arrays["votes"]), mode)
    output = Output(name, "multi" if mode == "multi-target" else "single", FERPLUS_EMOTIONS)
    counts = ", ".join(f"{int((~keep & (part == p)).sum()):,} in {p}" for p in dict.fromkeys(part.tolist()))
    lost = int((~keep).sum())
    note = f"FER+ '{mode}': {lost:,} faces dropped as unknown, not a face or without agreement ({counts})."
    return output, target, keep, (note,)
