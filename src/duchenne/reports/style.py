"""What all figures share: colours, a fresh figure, PNG bytes."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Literal

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart with all common colour-vision deficiencies
# (M. Okabe, K. Ito, "Color Universal Design", 2008).
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
RED = "#D55E00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
INK = "#1a1a1a"
GREY = "#6b6b6b"
PALE = "#d9d9d9"

# One colour and one hatch a split, so that the splits differ in grey print too.
SPLIT_COLOURS = {"train": BLUE, "val": ORANGE, "test": GREEN}

# Pixels per inch of the written PNGs: an 8-inch figure is 1,120 px wide, sharp on a page column of 560 CSS px
# at two device pixels each.
DPI = 140


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, dark on white, that lays itself out.

    Args:
        width: Inches.
        height: Inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError("matplotlib", "train") from None
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)


def plain(axes: Axes, *, grid: Literal["x", "y", "both", ""] = "y") -> None:
    """Strip an axes of its box, give it a faint grid ("x", "y", "both" or "") and dark text."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=9)
    if grid:
        axes.grid(axis=grid, color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)


def literal(text: str) -> str:
    """A label as it is: matplotlib would read a pair of dollar signs as mathematics."""
    return text.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes; figures of the same numbers give the same bytes (no date in them)."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; the page's tables still show it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
