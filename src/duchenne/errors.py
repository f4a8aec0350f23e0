"""The errors a user can meet. Each says what is wrong, where, and what to do next.

Anything that is not a `DuchenneError` is a defect of this package and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class DuchenneError(Exception):
    """Base of all errors that are the input's, the machine's or the user's, not the program's.

    Args:
        what: One sentence: what is wrong and where (file, row, field).
        todo: What to do next, one sentence; may be empty.
    """

    exit_code = 1

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what if not todo else f"{what}\n  {todo}")
        self.what = what
        self.todo = todo

    def __reduce__(self) -> tuple[type[DuchenneError], tuple[str, str]]:
        # A worker process must be able to hand the error to its parent.
        return type(self), (self.what, self.todo)


class DataError(DuchenneError):
    """A data set, image or label file is missing, broken or inconsistent."""


class RecipeError(DuchenneError):
    """A recipe, override or argument names something unknown or out of range."""

    exit_code = 2


class RunError(DuchenneError):
    """A run folder is missing, incomplete, damaged or of another recipe."""


class TrainingError(DuchenneError):
    """Training cannot go on (for example the loss became nan)."""


class MissingExtraError(DuchenneError):
    """A verb needs packages of an extra that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            f"it comes with the extra '{extra}': pip install 'duchenne[{extra}]'",
        )
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence naming the nearest known word, or listing all when none is near."""
    from difflib import get_close_matches  # 2 ms that only a wrong word needs

    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
