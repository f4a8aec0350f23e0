"""Face finders by name, and which one is in use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from ..errors import RecipeError, did_you_mean
from .cascade import Cascade
from .faces import FaceFinder, Meanwhile, WholeImage, nothing
from .yunet import VARIABLE, YuNet, has_yunet, yunet_path

# Below it a face has fewer pixels than any label could be read of (FER2013's have 48, scaled from any size).
MIN_FACE = 20


def _auto(min_face: int, meanwhile: Meanwhile = nothing) -> FaceFinder:
    return YuNet(None, min_face, meanwhile) if has_yunet() else Cascade(min_face, meanwhile)


class MakesFinder(Protocol):
    """Makes a finder."""

    def __call__(self, min_face: int, meanwhile: Meanwhile = ...) -> FaceFinder:
        """Of faces of a least side in pixels, with what is to go on beside a search."""
        ...


# Name -> finder for a least side of faces in pixels, and for what is to go on beside a search.
FINDERS: dict[str, MakesFinder] = {
    "auto": _auto,  # YuNet where its file is there, else the cascade
    "yunet": lambda min_face, meanwhile=nothing: YuNet(None, min_face, meanwhile),
    "cascade": Cascade,
    "whole": lambda min_face, meanwhile=nothing: WholeImage(),
}


def make_finder(
    faces: str | FaceFinder = "auto", min_face: int = MIN_FACE, meanwhile: Meanwhile = nothing
) -> FaceFinder:
    """The finder of a name in `FINDERS`; a finder is given back as it is.

    Args:
        faces: "auto" (YuNet where its file is there, else the cascade), "yunet", "cascade", "whole" (each
            image is one face), or an object with the method of `FaceFinder`.
        min_face: Faces of a smaller width or height in pixels are left out; not by "whole".
        meanwhile: Called in the moment before each search, by "yunet" and "cascade": must return at once.

    Raises:
        RecipeError: No such name, or min_face below 0.
        TypeError: `faces` is neither a name nor has it a method ``find``.
        RunError: The detector's file is missing, or is another one.
    """
    check_faces(faces, min_face)
    return FINDERS[faces](min_face, meanwhile) if isinstance(faces, str) else faces


def check_faces(faces: str | FaceFinder, min_face: int) -> None:
    """Raise what `make_finder` raises of these arguments, before any file is read."""
    if not isinstance(faces, str):
        if not callable(getattr(faces, "find", None)):
            raise TypeError(
                f"faces is a name ({', '.join(FINDERS)}) or a FaceFinder, not {type(faces).__name__}"
            )
        return
    if faces not in FINDERS:
        raise RecipeError(f"there is no face finder '{faces}'", did_you_mean(faces, FINDERS))
    if min_face < 0:
        raise RecipeError(f"min_face must be at least 0, not {min_face}")


@dataclass(frozen=True)
class InUse:
    """What "auto" means now.

    Attributes:
        name: "yunet" or "cascade".
        path: YuNet's file, there or not.
        why: A sentence.
    """

    name: str
    path: str
    why: str


def detector_in_use() -> InUse:
    """Say what `make_finder("auto")` makes, and why. Raises RunError as that does."""
    path = yunet_path()
    if not has_yunet():
        return InUse(
            "cascade",
            str(path),
            f"there is no {path}; `duchenne detector fetch` downloads YuNet (233 kB), which finds more faces "
            "and their eyes",
        )
    YuNet()  # raises where the file is not the right one
    named = f"${VARIABLE} names it" if os.environ.get(VARIABLE) else "it lies in the cache"
    return InUse("yunet", str(path), f"{named}, and its sha256 is the pinned one")
