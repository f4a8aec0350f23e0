"""Any user's own images: a tree of class folders, or a CSV manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from ..labels import Output, canonical
from .decode import SUFFIXES, UNREAD_SUFFIXES
from .faceset import FaceSet
from .files import CACHE_LIMIT, read_files
from .manifest import Table, read_manifest, row_error
from .splits import assign_split

Array = npt.NDArray[Any]

MANIFEST = "manifest.csv"
SHARES: Mapping[str, str | float] = {"train": 0.7, "val": 0.15, "test": 0.15}
_SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_TO_JPEG = "HEIC, AVIF and JPEG XL are not read; save them as JPEG or PNG"
LAYOUT = f"""\
lay the images out as one of
    FOLDER/happy/*.jpg  (a folder a class)
    FOLDER/train/happy/*.jpg, val/, test/  (the same below split folders)
    FOLDER/{MANIFEST}  (columns path, emotion and/or AU1, AU2, ...; optional split, subject, weight)
  and name FOLDER: as DIR of `duchenne finetune`, as the data folder, or as the option path."""


def load_folder(
    root: Path,
    *,
    manifest: str | Path | None = None,
    outputs: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    split: Mapping[str, str | float] | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    cache_dir: Path | None = None,
    cache_limit: int = CACHE_LIMIT,
    name: str = "folder",
) -> FaceSet:
    """Load a folder of images; ids are the paths within it.

    Args:
        root: The folder.
        manifest: A CSV within the folder (see `manifest.read_manifest`); default: ``manifest.csv``, where
            there is one.
        outputs: The manifest's single-label columns; default ``emotion``.
        labels: Class order; default: sorted names. Folders or cells of other names are then an error.
        split: "train", "val" and "test", each a split folder's name (or a value of the manifest's split
            column) or a share. Default: the split folders or column; where there is none, a seeded,
            stratified 0.7, 0.15 and 0.15, disjoint by subject where subjects are given.
        seed: Of the shares.
        skip_broken: Leave broken images out, noting it, instead of raising.
        cache_dir: See `cache.cache_root`.
        cache_limit: Bytes of decoded pixels up to which they are cached; beyond it images are decoded on each
            use.
        name: The set's name.

    Raises:
        DataError: No images, one class only, broken images or rows; says where.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root} is a file, not a folder" if root.exists() else f"the folder {root} does not exist",
            LAYOUT,
        )
    if manifest is None and (root / MANIFEST).is_file():
        manifest = MANIFEST
    if manifest is not None:
        file = root / manifest
        table = read_manifest(file, outputs, labels)
        _check_paths(root, file, table)
    else:
        table = _walk(root, labels)
    _check_names(root, table)
    _check_classes(root, table)
    read = read_files(
        [root / p for p in table.paths], skip_broken=skip_broken, cache_dir=cache_dir, cache_limit=cache_limit
    )
    n = len(table.paths)
    part = np.full(n, "") if table.split is None else table.split
    faces = FaceSet(
        name=name,
        images=read.images,
        ids=np.array(table.paths),
        outputs=table.outputs,
        targets=table.targets,
        split=np.full(n, "", dtype="<U5"),
        part=part,
        rows=_rows_of(read.good, n),
        masks=table.masks,
        sample_weight=table.sample_weight,
        subject=table.subject,
        group=table.group,
        notes=(*table.notes, *read.notes),
    ).select(read.good)
    return _with_split(faces, split, seed)


def _rows_of(good: Array, n: int) -> Array:
    rows = np.full(n, -1, dtype=np.int64)
    rows[good] = np.arange(len(good))
    return rows


def _walk(root: Path, labels: Sequence[str] | None) -> Table:
    """Find the class folders, below split folders where there are any."""
    tops = _folders(root)
    bases = [t for t in tops if t.name.lower() in _SPLIT_FOLDERS]
    below_splits = bool(bases)
    for top in tops:
        if below_splits and top not in bases and _images_below(root, top):
            raise DataError(
                f"{root}: '{bases[0].name}' is a split folder, '{top.name}' beside it with images is none",
                f"move or rename '{top.name}'; splits are named {', '.join(_SPLIT_FOLDERS)}",
            )
    found: list[tuple[str, str, str]] = []
    empty: list[str] = []
    unread: list[str] = []
    for base in bases if below_splits else [root]:
        for sub in _folders(base):
            paths = _images_below(root, sub)
            found += [(path, sub.name, base.name if below_splits else "") for path in paths]
            unread += _images_below(root, sub, UNREAD_SUFFIXES)
            if not paths:
                empty.append(sub.relative_to(root).as_posix())
    if not found:
        raise DataError(f"{root} holds no images in class folders", _TO_JPEG if unread else LAYOUT)
    names = tuple(labels) if labels is not None else tuple(sorted({f[1] for f in found}))
    for path, label, _ in found:
        if label not in names:
            raise DataError(f"{root / path}: unknown class folder '{label}'", did_you_mean(label, names))
    codes = {label: i for i, label in enumerate(names)}
    return Table(
        paths=[f[0] for f in found],
        lines=[],
        outputs=(Output("emotion", "single", names),),
        targets={"emotion": np.array([codes[f[1]] for f in found], dtype=np.int64)},
        split=np.array([f[2] for f in found]) if below_splits else None,
        notes=tuple(_walk_notes(empty, unread)),
    )


def _walk_notes(empty: list[str], unread: list[str]) -> Iterator[str]:
    if empty:
        yield f"Folders without images, which make no class: {', '.join(empty)}."
    if unread:
        yield f"{len(unread)} pictures were left out ({unread[0]}, ...): {_TO_JPEG}."


def _folders(base: Path) -> list[Path]:
    return sorted(p for p in base.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images_below(root: Path, folder: Path, suffixes: frozenset[str] = SUFFIXES) -> list[str]:
    """Image files at any depth, as paths within root, sorted; hidden files and folders (where thumbnails and
    copies of programs lie) are left out, links out of root are refused."""
    inside = root.resolve()
    if not folder.resolve().is_relative_to(inside):
        raise DataError(f"{folder} is a link that leads out of {root}", "copy the folder to its place")
    found: list[str] = []
    for here, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for file in files:
            path = Path(here, file)
            if path.suffix.lower() not in suffixes or file.startswith("."):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise DataError(f"{path} is a link that leads out of {root}", "copy the file into the folder")
            found.append(path.relative_to(root).as_posix())
    return sorted(found)


def _check_paths(root: Path, file: Path, table: Table) -> None:
    """Every row names a file of its own that stands inside root."""
    inside = root.resolve()
    seen: dict[str, int] = {}
    for row, text in enumerate(table.paths):
        path = Path(text)
        if (
            not text
            or path.is_absolute()
            or "\0" in text
            or not (root / path).resolve().is_relative_to(inside)
        ):
            todo = "name files relative to the folder, inside it"
            raise row_error(file, table, row, "path", f"'{text[:80]}' leads out of {root}", todo)
        clean = Path(os.path.normpath(text)).as_posix()
        if clean in seen:
            what = f"'{text}' stands in row {seen[clean] + 1} already"
            raise row_error(file, table, row, "path", what, "give each image one row")
        seen[clean] = row
        if not (root / clean).is_file():
            raise row_error(file, table, row, "path", f"there is no file {root / clean}")
    table.paths = list(seen)


def _check_names(root: Path, table: Table) -> None:
    """Ids are text, so a file's name must be; labels that mean the same must not be two classes."""
    for path in table.paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise DataError(f"{root}: the file name {path!r} is not UTF-8", "rename the file") from None
    # Predictions are a CSV of one line an image: better refused now than behind the training.
    texts: dict[str, Sequence[str] | Array | None] = {"path": table.paths, "subject": table.subject}
    texts |= table.group
    texts |= {output.name: output.labels for output in table.outputs}
    for column, cells in texts.items():
        for cell in () if cells is None else map(str, cells):
            if any(sign in cell for sign in "\n\r\0"):
                raise DataError(
                    f"{root}: the {column} {cell!r} holds a line break", "take it out of the name"
                )
    for output in table.outputs:
        seen: dict[str, str] = {}
        for label in output.labels:
            if (first := seen.setdefault(canonical(label), label)) is not label:
                raise DataError(
                    f"{root}: '{output.name}' has the classes '{first}' and '{label}', which mean the same",
                    "give them one name",
                )


def _check_classes(root: Path, table: Table) -> None:
    for output in table.outputs:
        if output.kind == "multi" and not table.masks[output.name].any():
            raise DataError(f"{root}: no image has a value for '{output.name}'", "fill in 0 to 1 where known")
        if output.kind == "single" and len(np.unique(table.targets[output.name])) < 2:
            only = output.labels[0] if output.labels else "none"
            raise DataError(
                f"{root}: '{output.name}' has one class only ({only}), so there is nothing to learn", LAYOUT
            )


def _with_split(faces: FaceSet, split: Mapping[str, str | float] | None, seed: int) -> FaceSet:
    """Name the splits by the publisher's parts or by shares."""
    from dataclasses import replace

    parts = [p for p in dict.fromkeys(faces.part.tolist()) if p]
    notes = faces.notes
    if split is None and parts:
        split = {}
        for p in parts:
            name = _SPLIT_FOLDERS.get(p.lower())
            if name is None:
                raise DataError(f"{faces.name}: there is no split '{p}'", did_you_mean(p, _SPLIT_FOLDERS))
            if name in split:
                raise DataError(f"{faces.name}: '{split[name]}' and '{p}' both mean {name}", "keep one")
            split[name] = p
        if lost := int((faces.part == "").sum()):
            notes = (*notes, f"{lost:,} images name no split, and are in none.")
        if "val" not in split:
            notes = (
                *notes,
                "No val part is given; to cut one from train, set split val to a share such as 0.1.",
            )
    elif split is None:
        split = SHARES
        how = "disjoint by subject" if faces.subject is not None else "stratified by class"
        notes = (
            *notes,
            f"No split is given: cut 70/15/15, seed {seed}, {how}; to test on all: split.test = 1.0.",
        )
    first = faces.outputs[0]
    strata = faces.hard(first.name) if first.kind == "single" else np.zeros(len(faces), dtype=np.int64)
    keep = np.ones(len(faces), dtype=bool)
    names = assign_split(faces.part, strata, keep, split, seed, faces.subject)
    if first.kind == "single" and (names == "train").any():
        learnt = {first.labels[c] for c in np.unique(strata[(names == "train") & (strata >= 0)])}
        if unseen := [label for label in first.labels if label not in learnt]:
            notes = (*notes, f"No image in train is of '{first.name}': {', '.join(unseen)}.")
    return replace(faces, split=names, notes=notes)
