"""CK+, the extended Cohn-Kanade set: chan2023's table, the authors' own layout, or CK+48's class folders.

Source: Lucey et al. 2010, "The Extended Cohn-Kanade dataset (CK+): a complete dataset for action unit and
emotion-specified expression"; the table, its 3 emotions and 15 action units, and the random 70/15/15:
chan2023, section 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError, RecipeError, did_you_mean
from .ckplus_48 import FOLDER, read_ck48
from .ckplus_csv import CSV, read_csv
from .ckplus_folds import read_folds
from .ckplus_frames import IMAGES, Frames
from .ckplus_tree import TOP_INTENSITY, Intensity, Units, has_labels, read_tree
from .faceset import SPLITS, FaceSet
from .files import read_files
from .splits import assign_split
from .splits import folds as number_folds

Array = npt.NDArray[Any]
Layout = Literal["csv", "published", "ck48", "auto"]
By = Literal["subject", "frame"]

ALL = "all"  # the one part; with folds: fold-0, fold-1, ...
FOLDS = 10
SHARES: Mapping[str, str | float] = {"train": 0.7, "val": 0.15, "test": 0.15}  # chan2023, section 1
LAYOUT = f"""\
CK+ is given out by its authors on a signed agreement. Lay it out as one or more of
    DATA/ckplus/{CSV} and {IMAGES}/S005/001/*.png   (layout = "csv")
    DATA/ckplus/{IMAGES}/S005/001/*.png, FACS/S005/001/*_facs.txt, Emotion/S005/001/*_emotion.txt
      (layout = "published")
    DATA/ckplus/{FOLDER}/anger/*.png ... contempt disgust fear happy sadness surprise   (layout = "ck48")
  and name DATA with --data or $DUCHENNE_DATA."""


def load_ckplus(
    root: Path,
    *,
    layout: Layout = "auto",
    split: Mapping[str, str | float] | None = None,
    by: By = "subject",
    fold: int | None = None,
    folds: int = FOLDS,
    fold_file: str | Path | None = None,
    seed: int = 0,
    allow_missing: bool = False,
    intensity: Intensity = "occurrence",
    least: int = 1,
    units: Units = "report",
    cache_dir: Path | None = None,
) -> FaceSet:
    """Load CK+; ids are frame names (``S005_001_00000011``), ``subject`` is read from them.

    Args:
        root: The data folder (holding ``ckplus/``), or the ``ckplus`` folder itself.
        layout: "csv": chan2023's table, outputs ``emotion`` (3 classes) and ``au`` (15 units). "published":
            the last frame of each sequence with its FACS and emotion files, outputs ``emotion`` (8 classes)
            and ``au``. "ck48": output ``emotion`` (7 classes), three frames a sequence. "auto": the first of
            these that is there.
        split: "train", "val" and "test", each a share, or a part's name: without folds all is one part,
            "all". Default: 0.7, 0.15, 0.15.
        by: "subject": no subject stands in two splits or folds; shares are approximate. "frame": frames are
            drawn at random, stratified by emotion, as chan2023 did: a person's other frames, and in CK+48 the
            same expression's, then stand on both sides.
        fold: None: shares. A number: fold `fold` is test, the next one (the first after the last) is val, the
            others are train; parts are then the folds, ``fold-0`` and so on.
        folds: How many there are.
        fold_file: The folds by hand: a CSV (relative to the folder) of ``subject,fold`` or ``id,fold``; a
            subject in two folds is refused unless by = "frame".
        seed: Of the shares and folds.
        allow_missing: Leave out what is labelled and has no image, with a note, instead of raising.
        intensity: Of layout "published". "occurrence": 1 where the unit's intensity is `least` or more, or
            was not coded (0), else 0; "kept": intensity / 5, not annotated where it was not coded.
        least: Of "occurrence": 1 (FACS's A, a trace) to 5 (E).
        units: Of layout "published": chan2023's 15 ("report"), or all of `labels.ACTION_UNITS` ("known").
        cache_dir: See `cache.cache_root`.

    Returns:
        ``group["sequence"]`` is the sequence (``S005_001``); further columns of the table are groups too.

    Raises:
        DataError: The data are missing (says how to get them) or broken (says file, row and field).
        RecipeError: An option out of range, or options that exclude each other.
    """
    _check(layout, by, intensity, units, least)
    _check_folds(fold, folds, fold_file, split)
    folder = _find(Path(root))
    frames = _read(folder, _layout(folder, layout), allow_missing, intensity, least, units)
    if fold is None:
        part, where, notes = _cut(frames, by, split, seed)
    else:
        file = None if fold_file is None else folder / fold_file
        part, where, notes = _folded(frames, by, fold, folds, file, seed)
    return _face_set(frames, part, where, notes, cache_dir)


def _read(
    folder: Path, layout: str, allow_missing: bool, intensity: Intensity, least: int, units: Units
) -> Frames:
    """The frames of one layout. Raises RecipeError where an option would be ignored in silence."""
    if layout == "published":
        return read_tree(folder, intensity, least, units, allow_missing)
    options = (("intensity", intensity, "occurrence"), ("least", least, 1), ("units", units, "report"))
    for option, value, default in options:
        if value != default:
            raise RecipeError(
                f"ckplus, option {option} = {value!r}: layout '{layout}' has no such setting",
                "leave it out, or take layout = 'published'",
            )
    return read_csv(folder, allow_missing) if layout == "csv" else read_ck48(folder)


def _face_set(
    frames: Frames, part: Array, where: Array, notes: tuple[str, ...], cache_dir: Path | None
) -> FaceSet:
    """The frames with their images."""
    subject = _subjects(frames)
    read = read_files(
        frames.paths,
        cache_dir=cache_dir,
        instead="remove what is broken, and leave its labels out by --allow-missing",
    )
    return FaceSet(
        name="ckplus",
        images=read.images,
        ids=np.array([str(n) for n in frames.names]),
        outputs=frames.outputs,
        targets=frames.targets,
        split=where,
        part=part,
        rows=np.arange(len(subject)),
        masks=frames.masks,
        subject=subject,
        group={"sequence": np.array([f"{n.subject}_{n.sequence}" for n in frames.names]), **frames.group},
        notes=(*frames.notes, *notes, *_shared(subject, where), *read.notes),
        missing=frames.missing,
    )


def _subjects(frames: Frames) -> Array:
    return np.array([n.subject for n in frames.names])


def _cut(
    frames: Frames, by: By, split: Mapping[str, str | float] | None, seed: int
) -> tuple[Array, Array, tuple[str, ...]]:
    """Parts and splits by shares, and what is to be said of them."""
    subject = _subjects(frames)
    part, keep = np.full(len(subject), ALL), np.ones(len(subject), dtype=bool)
    notes: tuple[str, ...] = ()
    if split is None:
        how = "disjoint by subject" if by == "subject" else "at random, stratified by emotion"
        notes = (f"No split is given: cut 70/15/15, seed {seed}, {how}; to test on all: split.test = 1.0.",)
    shares = SHARES if split is None else split
    people = subject if by == "subject" else None
    return part, assign_split(part, frames.targets["emotion"], keep, shares, seed, people), notes


def _folded(
    frames: Frames, by: By, fold: int, folds: int, file: Path | None, seed: int
) -> tuple[Array, Array, tuple[str, ...]]:
    """As `_cut`, by folds, drawn or read."""
    subject = _subjects(frames)
    if file is None:
        people = subject if by == "subject" else None
        held = number_folds(frames.targets["emotion"], folds, seed, people)
    else:
        held = read_folds(file, frames.names, folds, by == "subject")
    where = np.full(len(subject), "train", dtype="<U5")
    where[held == (fold + 1) % folds] = "val"
    where[held == fold] = "test"
    return np.char.mod("fold-%d", held), where, ()


def _check(layout: str, by: str, intensity: str, units: str, least: int) -> None:
    known = {
        "layout": (layout, ("csv", "published", "ck48", "auto")),
        "by": (by, ("subject", "frame")),
        "intensity": (intensity, ("occurrence", "kept")),
        "units": (units, ("report", "known")),
    }
    for option, (value, choices) in known.items():
        if value not in choices:
            raise RecipeError(f"ckplus, option {option}: there is no '{value}'", did_you_mean(value, choices))
    if not 1 <= least <= TOP_INTENSITY:
        raise RecipeError(f"ckplus, option least = {least}: from 1 to {TOP_INTENSITY}")


def _check_folds(
    fold: int | None, folds: int, fold_file: str | Path | None, split: Mapping[str, str | float] | None
) -> None:
    if fold is None:
        given = "" if folds == FOLDS else f"folds = {folds}"
        given = f"fold_file = '{fold_file}'" if fold_file is not None else given
        if given:
            raise RecipeError(f"ckplus, option {given}: no fold is named", "say which fold is test: fold = 0")
        return
    if folds < 3:
        raise RecipeError(
            f"ckplus, option folds = {folds}: it takes 3 at least, one each to train, val and test"
        )
    if not 0 <= fold < folds:
        raise RecipeError(f"ckplus, option fold = {fold}: from 0 to {folds - 1}")
    if split is not None:
        raise RecipeError("ckplus, options fold and split: the folds are the split", "leave one of them out")


def _find(root: Path) -> Path:
    for folder in (root / "ckplus", root):
        if _layouts(folder) or (folder / IMAGES).is_dir():
            return folder
    missing = root if not root.is_dir() else root / "ckplus"
    raise DataError(f"CK+ is not in {root}: no {missing} with its files", LAYOUT)


def _layouts(folder: Path) -> list[str]:
    there = {
        "csv": (folder / CSV).is_file(),
        "published": has_labels(folder) and (folder / IMAGES).is_dir(),
        "ck48": (folder / FOLDER).is_dir(),
    }
    return [name for name, is_there in there.items() if is_there]


def _layout(folder: Path, layout: Layout) -> str:
    there = _layouts(folder)
    if layout == "auto" and there:
        return there[0]
    if layout not in there:
        what = "the labels of CK+ are" if layout == "auto" else f"layout '{layout}' is"
        others = f"there is {', '.join(there)}; " if there else ""
        raise DataError(f"{what} not in {folder}", others + LAYOUT)
    return layout


def _shared(subject: Array, split: Array) -> tuple[str, ...]:
    """Say which subjects stand in several splits: such figures flatter."""
    people = [set(subject[split == s].tolist()) for s in SPLITS]
    shared = [len(people[0] & people[i]) for i in (1, 2)]
    if not any(shared):
        return ()
    return (
        f"Subjects of train stand in val ({shared[0]:,}) and test ({shared[1]:,}) too: figures are those of "
        "known people, and higher than of strangers.",
    )
