"""CK+ as its authors lay it out: frames of each sequence, FACS and emotion files of its last, peak frame.

Source: Lucey et al. 2010, "The Extended Cohn-Kanade dataset (CK+)", and the release's own read-me: 593
sequences of 123 subjects, each from neutral to the peak; every peak has FACS codes, 327 have an emotion.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import DataError
from ..labels import ACTION_UNITS, Output
from .ckplus_frames import IMAGES, REPORT_UNITS, Array, Frames, Name, inside, missing_note, parse_name, shown
from .decode import SUFFIXES

# Codes 0..7 of the emotion files.
TREE_EMOTIONS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
FACS_FOLDERS, EMOTION_FOLDERS = ("FACS", "FACS_labels"), ("Emotion", "Emotion_labels")
TOP_INTENSITY = 5  # 1..5 are FACS's A..E; 0 is a unit that is there without a coded intensity
_MAX_BYTES = 1 << 16  # a label file has some hundred

Intensity = Literal["occurrence", "kept"]
Units = Literal["report", "known"]
SequenceKey = tuple[str, str]  # subject and sequence, as in the folders' names


def read_tree(folder: Path, intensity: Intensity, least: int, units: Units, allow_missing: bool) -> Frames:
    """Read each sequence's last frame and its labels.

    Args:
        folder: Holds ``cohn-kanade-images``, ``FACS`` and ``Emotion`` (or ``FACS_labels``,
            ``Emotion_labels``).
        intensity: "occurrence": a unit is 1 from intensity `least` on, and where its intensity was not
            coded, else 0. "kept": intensity / 5, in [0, 1]; a unit whose intensity was not coded is not
            annotated (masked).
        least: 1 (a trace) to 5.
        units: "report": chan2023's 15; "known": all of `labels.ACTION_UNITS`.
        allow_missing: Leave out sequences with labels and no image, with a note, instead of raising.

    Returns:
        Outputs ``emotion`` (code -1 where there is no emotion file) and ``au`` (masked where there is no FACS
        file). Sequences without either file are left out, with a note.

    Raises:
        DataError: With file, line and field where a file is broken; zero images.
    """
    facs = _label_files(folder, FACS_FOLDERS, "_facs.txt")
    emotion = _label_files(folder, EMOTION_FOLDERS, "_emotion.txt")
    if not facs and not emotion:
        raise DataError(f"{folder} holds no *_facs.txt and no *_emotion.txt", "unpack CK+'s label files too")
    peaks = _peaks(folder)
    if not peaks:
        raise DataError(f"zero images found in {folder / IMAGES}", f"unpack CK+'s {IMAGES} there")
    labelled = sorted({*facs, *emotion})
    here = [s for s in labelled if s in peaks]
    lost = ["_".join(s) for s in labelled if s not in peaks]
    notes = list(missing_note(f"{len(lost):,} of {len(labelled):,} labelled sequences", lost, allow_missing))
    if not here:
        raise DataError(
            f"zero images found in {folder / IMAGES} for the {len(labelled):,} labelled sequences",
            "folders are named alike in both, as S005/001",
        )
    if bare := len(set(peaks) - set(labelled)):
        notes.append(f"{bare:,} sequences have neither a FACS nor an emotion file and were left out.")
    off = [
        s for s in here for files in (facs, emotion) if s in files and files[s][1].frame != peaks[s][1].frame
    ]
    if off:
        named = ", ".join(sorted({"_".join(s) for s in off})[:5])
        notes.append(f"{len(set(off)):,} sequences' label files name a frame that is not the last: {named}.")
    known = REPORT_UNITS if units == "report" else tuple(ACTION_UNITS)
    targets, mask, left = _unit_targets(
        [_facs(facs[s][0]) if s in facs else None for s in here], known, intensity, least
    )
    if left:
        said = ", ".join(f"{unit} {n:,}" for unit, n in left.items())
        notes.append(f"Action units that are not among the output's labels, and their frames: {said}.")
    codes = np.array([_emotion(emotion[s][0]) if s in emotion else -1 for s in here], dtype=np.int64)
    if without := int((codes < 0).sum()):
        notes.append(f"{without:,} of {len(here):,} sequences have no emotion label (published: 266 of 593).")
    if uncoded := sum(s not in facs for s in here):
        notes.append(f"{uncoded:,} of {len(here):,} sequences have no FACS file: no unit of theirs counts.")
    return Frames(
        names=tuple(peaks[s][1] for s in here),
        paths=tuple(peaks[s][0] for s in here),
        outputs=(Output("emotion", "single", TREE_EMOTIONS), Output("au", "multi", known)),
        targets={"emotion": codes, "au": targets},
        masks={} if mask.all() else {"au": mask},
        notes=tuple(notes),
        missing=tuple(lost),
    )


def has_labels(folder: Path) -> bool:
    """Whether the published layout's label folders are there, one of them at least."""
    return any((folder / name).is_dir() for name in (*FACS_FOLDERS, *EMOTION_FOLDERS))


def _walk(top: Path, wanted: Callable[[str], bool]) -> dict[SequenceKey, list[Path]]:
    """Files of ``top/S005/001/``, sorted, by subject and sequence; nothing outside the folder is followed."""
    home = top.resolve()
    found: dict[SequenceKey, list[Path]] = {}
    for subject in sorted(e.name for e in os.scandir(top) if e.is_dir() and e.name[0] != "."):
        for sequence in sorted(e.name for e in os.scandir(top / subject) if e.is_dir() and e.name[0] != "."):
            here = top / subject / sequence
            if not inside(here, home):
                raise DataError(f"{here} is a link that leads out of {top}", "copy the folder to its place")
            names = sorted(e.name for e in os.scandir(here) if e.name[0] != "." and wanted(e.name))
            if names:
                found[subject, sequence] = [here / name for name in names]
    return found


def _named(path: Path, stem: str, sequence: SequenceKey) -> Name:
    name = parse_name(stem)
    if name is None or (name.subject, name.sequence) != sequence:
        raise DataError(
            f"{path} is not named as a frame of subject {sequence[0]}, sequence {sequence[1]}",
            "names are as S005/001/S005_001_00000011.png",
        )
    return name


def _peaks(folder: Path) -> dict[SequenceKey, tuple[Path, Name]]:
    """The last frame of each sequence."""
    top = folder / IMAGES
    home = top.resolve()
    peaks = {}
    for sequence, paths in _walk(top, lambda n: Path(n).suffix.lower() in SUFFIXES).items():
        path = paths[-1]
        if not inside(path, home):
            raise DataError(f"{path} is a link that leads out of {top}", "copy the file into the folder")
        peaks[sequence] = path, _named(path, path.stem, sequence)
    return peaks


def _label_files(folder: Path, names: Sequence[str], ending: str) -> dict[SequenceKey, tuple[Path, Name]]:
    """The one label file of each sequence that has one."""
    top = next((folder / name for name in names if (folder / name).is_dir()), None)
    if top is None:
        return {}
    files = {}
    for sequence, paths in _walk(top, lambda n: n.endswith(ending)).items():
        if len(paths) > 1:
            raise DataError(
                f"{paths[0].parent} holds {len(paths)} files *{ending}",
                "a sequence has one, of its last frame",
            )
        files[sequence] = paths[0], _named(paths[0], paths[0].name.removesuffix(ending), sequence)
        if not inside(paths[0], top.resolve()):
            raise DataError(f"{paths[0]} is a link that leads out of {top}", "copy the file into the folder")
    return files


def _lines(file: Path, fields: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Where each line stands, and its whole numbers, which the files write as ``1.7000000e+01``."""
    try:
        with file.open("rb") as raw:
            text = raw.read(_MAX_BYTES + 1).decode("ascii")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not plain text: {error.reason}", "get the file again") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}", "get the file again") from None
    if len(text) > _MAX_BYTES:
        raise DataError(f"{file} has over {_MAX_BYTES:,} bytes", "is this the right file?")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        where = f"{file}, line {number}"
        if len(cells) != len(fields):
            raise DataError(
                f"{where}: {len(cells)} numbers instead of {len(fields)} ({', '.join(fields)})",
                "get the file again, or mend the line",
            )
        found.append((where, [_whole(where, f, c) for f, c in zip(fields, cells, strict=True)]))
    return found


def _whole(where: str, field: str, cell: str) -> int:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value) or value != int(value) or "_" in cell:
        raise DataError(
            f"{where}, field '{field}': '{shown(cell)}' is not a whole number",
            "numbers are written as 1.7000000e+01",
        )
    return int(value)


def _facs(file: Path) -> dict[str, int]:
    """Action unit -> intensity 0..5. A file without lines is a face without units."""
    units: dict[str, int] = {}
    for where, (number, intensity) in _lines(file, ("action unit", "intensity")):
        if not 1 <= number <= 99:  # FACS's numbers have two digits at most
            raise DataError(
                f"{where}, field 'action unit': there is no action unit {number}", "they are 1 to 99"
            )
        if not 0 <= intensity <= TOP_INTENSITY:
            raise DataError(
                f"{where}, field 'intensity': {intensity} is not from 0 to {TOP_INTENSITY}",
                "1 to 5 are FACS's A to E, 0 is an intensity that was not coded",
            )
        if units.setdefault(f"AU{number}", intensity) != intensity:
            raise DataError(
                f"{where}, field 'intensity': AU{number} has {intensity}, and above {units[f'AU{number}']}",
                "keep one of the lines",
            )
    return units


def _emotion(file: Path) -> int:
    lines = _lines(file, ("emotion",))
    if len(lines) != 1:
        raise DataError(
            f"{file} has {len(lines)} numbers instead of one", "it holds the emotion's code, 0 to 7"
        )
    where, (code,) = lines[0]
    if not 0 <= code < len(TREE_EMOTIONS):
        known = ", ".join(f"{i} {name}" for i, name in enumerate(TREE_EMOTIONS))
        raise DataError(f"{where}, field 'emotion': there is no emotion {code}", f"known: {known}")
    return code


def _unit_targets(
    coded: Sequence[dict[str, int] | None], known: Sequence[str], intensity: Intensity, least: int
) -> tuple[Array, Array, dict[str, int]]:
    """Targets and mask ``(N, A)``, and how many frames have each unit that is not among the labels."""
    targets = np.zeros((len(coded), len(known)), dtype=np.float32)
    mask = np.ones(targets.shape, dtype=bool)
    left: Counter[str] = Counter()
    column = {unit: j for j, unit in enumerate(known)}
    for i, units in enumerate(coded):
        if units is None:
            mask[i] = False
            continue
        for unit, degree in units.items():
            if unit not in column:
                left[unit] += 1
            elif intensity == "occurrence":
                targets[i, column[unit]] = degree == 0 or degree >= least
            else:
                targets[i, column[unit]] = degree / TOP_INTENSITY
                mask[i, column[unit]] = degree > 0
    return targets, mask, {u: left[u] for u in sorted(left, key=lambda u: int(u[2:]))}
