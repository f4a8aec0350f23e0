"""The report of a run: one self-contained HTML page, and its pictures as files beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, RunError
from ..experiment.run import Run, RunState, write_text
from .blocks import Picture, Section
from .denoise_section import denoise_section
from .evaluated import evaluation_sections, key_section
from .faces import ImageOf
from .overview import circumstances_section, data_section, recipe_section, status_words, training_section
from .style import new_figure
from .svm_section import svm_section
from .tree_figure import trees_section

# Learners whose training is no row of epochs.
_TRAINING = {"trees": trees_section, "svm": svm_section}

_TEMPLATES = Path(__file__).resolve().parent / "templates"


def write_report(run: Run, *, image_of: ImageOf | None = None, images: bool = True) -> Path:
    """Write report/index.html of a run, and its pictures as PNGs beside it.

    The page asks for nothing outside itself: pictures and style are inside, and its content security policy
    forbids all else. Unfinished runs and runs without test figures get a page that says so.

    Args:
        run: The run folder; nothing but its files is read.
        image_of: Id -> uint8 pixels ``(H, W)`` or ``(H, W, 3)`` RGB; from the data set (a run has none).
        images: False leaves all faces out (and says so).

    Returns:
        The path of index.html.

    Raises:
        MissingExtraError: matplotlib or Jinja2 is not installed.
        RunError: The run folder is damaged or cannot be written.
    """
    new_figure(1, 1)
    state = run.state
    sections = [
        key_section(run, state),
        _TRAINING.get(run.recipe.learner.name, training_section)(run, state),
        *denoise_section(run, image_of if images else None, images),
        *evaluation_sections(run, image_of if images else None, images),
        data_section(run.info("data")),
        recipe_section(run, state),
        circumstances_section(run, state),
    ]
    page = render(run, state, sections)
    folder = run.path / "report"
    write_pictures(folder, [p for s in sections for p in s.pictures()])
    write_text(folder / "index.html", page)
    return folder / "index.html"


def render(run: Run, state: RunState, sections: Sequence[Section]) -> str:
    """The page of a run as HTML."""
    status, tone = status_words(run, state)
    return fill_template(
        noun="run", title=run.recipe.title, run_name=state.name, recipe_id=run.recipe.id,
        source=run.recipe.source, status=status, status_tone=tone, reason=state.reason, sections=sections,
    )  # fmt: skip


def fill_template(**facts: Any) -> str:
    """The page as HTML; every text in it is escaped by the template.

    Args:
        facts: noun ("run" or "search"), title, run_name, recipe_id, source, status, status_tone ("good" or
            "warn"), reason, sections.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "train") from None
    from markupsafe import Markup

    from .. import __version__

    css = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    # The policy allows exactly this style sheet, by its hash, and no other style or script.
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        css=Markup(css), css_hash=Markup(digest), version=__version__, **facts
    )


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Replace the PNGs of the folder by these, so that no face of an earlier report stays behind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        for picture in pictures:
            (folder / f"{picture.name}.png").write_bytes(picture.png)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror}", "free some space") from None
