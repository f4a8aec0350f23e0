"""Pixels of a run's own samples by id, for pages that show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..build import build_faces
from ..errors import DataError
from .run import Run


def image_lookup(run: Run, data: Path | None) -> Callable[[str], npt.NDArray[Any]] | None:
    """Return a function id -> uint8 image of the run's data set; None where the data are not here."""
    try:
        faces = build_faces(run.recipe, data)
    except DataError:
        return None
    rows = {str(i): n for n, i in enumerate(faces.ids.tolist())}
    return lambda sample: faces.image(rows[sample])
