"""Outputs, their labels, and how labels of different publishers are matched: by name, never by code."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import DataError, did_you_mean

Kind = Literal["single", "multi"]

# FER2013's published codes 0..6 (Goodfellow et al. 2013).
FER2013_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# FER+ columns 0..7 in the published file's order (Barsoum et al. 2016), in this project's names.
FERPLUS_EMOTIONS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")

# Names that publishers use for the same emotion.
_ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "neutrality": "neutral",
}

# Action units of the Facial Action Coding System (Ekman, Friesen & Hager 2002) that this project knows.
ACTION_UNITS = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU7": "lid tightener",
    "AU9": "nose wrinkler",
    "AU11": "nasolabial deepener",
    "AU12": "lip corner puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU16": "lower lip depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU23": "lip tightener",
    "AU24": "lip pressor",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU27": "mouth stretch",
}


@dataclass(frozen=True)
class Output:
    """One thing a learner answers about a face.

    Attributes:
        name: For example ``"emotion"`` or ``"au"``.
        kind: ``"single"``: exactly one label holds (softmax); ``"multi"``: each label holds or not
            (independent sigmoids).
        labels: The label names, in the order of the target's codes or columns.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.labels)


def find_output(outputs: Sequence[Output], name: str, owner: str) -> Output:
    """Return the named output; raises DataError that says whose outputs these are, and names the nearest."""
    for output in outputs:
        if output.name == name:
            return output
    raise DataError(f"{owner} has no output '{name}'", did_you_mean(name, [o.name for o in outputs]))


def canonical(name: str) -> str:
    """Return this project's name of a label: lower case, synonyms folded; action units as ``AU12``."""
    word = unicodedata.normalize("NFC", name.strip().lower()).replace(" ", "_")
    number = word[2:].lstrip("_") if word.startswith("au") else ""
    if number.isdecimal():
        return f"AU{int(number)}"
    return _ALIASES.get(word, word)


def match_labels(source: Output, target: Output) -> tuple[dict[int, int], list[str], list[str]]:
    """Match two outputs' labels by canonical name.

    Returns:
        The map source code -> target code, the source labels without a partner, and the target labels
        without a partner.
    """
    codes = {canonical(label): code for code, label in enumerate(target.labels)}
    pairs = {i: codes[canonical(s)] for i, s in enumerate(source.labels) if canonical(s) in codes}
    taken = set(pairs.values())
    return (
        pairs,
        [s for i, s in enumerate(source.labels) if i not in pairs],
        [t for j, t in enumerate(target.labels) if j not in taken],
    )
