"""Text for people: records as a table, and what is said beside the output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ..inference import Record
    from ..labels import Output


def tell(text: str, end: str = "\n") -> None:
    """Say something on standard error; where nobody can hear it, what is done goes on."""
    with suppress(OSError):
        print(text, file=sys.stderr, end=end, flush=True)


class TextWriter:
    """A table for people: one line a face, the best labels of each output."""

    def __init__(self, out: TextIO, outputs: Sequence[Output], path_width: int, top: int) -> None:
        self._out = out
        self._outputs = outputs
        self._top = top
        self._path_width = min(max(path_width, len("image")), 60)
        longest = {o.name: max(len(printable(label)) for label in o.labels) for o in outputs}
        # A cell is "label 0.93", cells of one output stand two spaces apart.
        self._cell = {name: width + 5 for name, width in longest.items()}
        head = ["image".ljust(self._path_width)]
        for o in outputs:
            head.append(printable(o.name).ljust(self._width(o)))
        self._line(head)

    def write(self, record: Record) -> None:
        """Write the image's lines."""
        from ..inference import UNSURE

        path = printable(record["path"] or "")
        if len(path) > self._path_width:
            path = "..." + path[3 - self._path_width :]
        head = path.ljust(self._path_width)
        if record["error"] is not None:
            self._line([head, f"error: {printable(record['error'])}"])
        elif not record["faces"]:
            self._line([head, "no face"])
        for face in record["faces"]:
            cells = [head]
            for o in self._outputs:
                best = face["outputs"][o.name][: self._top]
                unsure = "unsure: " if face["labels"].get(o.name) == UNSURE else ""
                shown = (f"{printable(s['label'])} {s['score']:.2f}" for s in best)
                text = "  ".join(cell.ljust(self._cell[o.name]) for cell in shown)
                cells.append((unsure + text).ljust(self._width(o)))
            self._line(cells)

    def _width(self, output: Output) -> int:
        shown = min(self._top, output.num_classes)
        return max(len(printable(output.name)), shown * (self._cell[output.name] + 2) - 2)

    def _line(self, cells: list[str]) -> None:
        self._out.write(" | ".join(cells).rstrip() + "\n")


def printable(text: str) -> str:
    """The text with control characters escaped, so that no file name or label steers a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class PrintableLines:
    """Passes lines on to a terminal as `printable` makes them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Write lines; their ends stay."""
        return self._out.write("\n".join(map(printable, text.split("\n"))))
