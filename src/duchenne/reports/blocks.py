"""What a report page is made of: sections of text, tables, pictures and code; the template knows no more."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

NOT_DEFINED = "n/a"


@dataclass(frozen=True)
class Text:
    """A paragraph. `tone` is "" or "warning"."""

    text: str
    tone: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """Text to be shown as it is, for example a recipe."""

    text: str
    label: str
    kind: str = "code"


@dataclass(frozen=True)
class Table:
    """A table. The first cell of a row heads it.

    Attributes:
        caption: What the table shows.
        head: Column names.
        rows: Cells as text, as many as `head`.
        notes: Footnotes.
        folded: Shown only when opened.
        words: Cells are words, not figures: set from the left, broken where the line ends.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    folded: bool = False
    words: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A PNG.

    Attributes:
        name: File name without ending.
        png: The bytes.
        alt: What it shows, with its figures in words.
        caption: One line under it.
        wide: Keeps a width at which its text can be read and scrolls sideways on narrow screens.
    """

    name: str
    png: bytes
    alt: str
    caption: str
    wide: bool = True
    kind: str = "picture"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the PNG's header."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")

    @property
    def data_uri(self) -> str:
        """The picture as a ``data:`` address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


Block = Text | Code | Table | Picture


@dataclass
class Section:
    """A heading and what stands under it.

    Attributes:
        anchor: Unique on the page, letters, digits and hyphens.
        folded: Shown only when opened.
    """

    anchor: str
    heading: str
    blocks: list[Block] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    folded: bool = False

    def pictures(self) -> list[Picture]:
        """All pictures, those of the sections below included."""
        own = [b for b in self.blocks if isinstance(b, Picture)]
        return own + [p for s in self.sections for p in s.pictures()]


def percent(value: float | None, digits: int = 2) -> str:
    """A share in [0, 1] as "63.53 %"; undefined ones as "n/a"."""
    return NOT_DEFINED if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits; undefined ones as "n/a"."""
    return NOT_DEFINED if value is None or math.isnan(value) else f"{value:.{digits}f}"


def with_interval(value: float | None, interval: tuple[float, float] | None, digits: int = 2) -> str:
    """ "63.53 % [62.0, 65.1]"; the interval is left out where there is none."""
    text = percent(value, digits)
    if value is None or interval is None:
        return text
    return f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def duration(seconds: float) -> str:
    """ "1 h 02 min", "3 min 20 s" or "12.0 s"."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{seconds:.1f} s"
