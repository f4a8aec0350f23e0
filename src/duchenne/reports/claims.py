"""What a recipe's source claims, beside what a run measured."""

from __future__ import annotations

from ..experiment.run import Run
from .blocks import Table
from .measured import Figures, split_figures

SPLITS = ("train", "val", "test")


def is_share(name: str) -> bool:
    """Whether a figure is a share in [0, 1], printed in percent; losses are printed as they are."""
    return not name.endswith("loss")


def claimed_text(name: str, value: float) -> str:
    """A claimed figure with the digits its source prints."""
    return f"{round(100 * value, 4):.6g} %" if is_share(name) else f"{value:.6g}"


def measured_text(name: str, value: float | None) -> str:
    """A measured figure, percent with two digits or a loss with four; "n/a" where undefined."""
    if value is None:
        return "n/a"
    return f"{100 * value:.2f} %" if is_share(name) else f"{value:.4f}"


def is_per_class(name: str) -> bool:
    """Whether a figure is of one class ("f1.happy"), and not of an output ("au.macro_f1")."""
    return "." in name and name.partition(".")[0] in _OF_CLASSES


_OF_CLASSES = ("f1", "precision", "recall", "accuracy")


def figure_title(name: str) -> str:
    """ "macro F1" of "macro_f1", "F1 of happy" of "f1.happy", "au macro F1" of "au.macro_f1"."""
    kind, _, rest = name.partition(".")
    words = kind.replace("_", " ").replace("f1", "F1")
    if is_per_class(name):
        return f"{words} of {rest.replace('_', ' ')}"
    return f"{words} {figure_title(rest)}" if rest else words


def claims_table(run: Run) -> Table | None:
    """Each claimed figure beside the measured one; None where the source claims nothing."""
    expect = run.recipe.expect
    measured = split_figures(run)
    rows = []
    for split in SPLITS:
        found: Figures = measured[split]
        for name, value in getattr(expect, split).items():
            have = measured_text(name, found[name]) if name in found else "not measured"
            apart = found.get(name)
            gap = "" if apart is None else _gap(name, apart - value)
            rows.append([f"{split} {figure_title(name)}", claimed_text(name, value), have, gap])
    if not rows:
        return None
    note = "Measured at the epoch that validation chose; training figures that were not evaluated are means "
    note += "over that epoch, taken while training."
    head = ["figure", "claimed", "measured", "difference"]
    return Table("What the source claims, and what this run measured", head, rows, [note])


def _gap(name: str, gap: float) -> str:
    return f"{100 * gap:+.2f} points" if is_share(name) else f"{gap:+.4f}"
