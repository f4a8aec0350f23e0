"""Faces in a report: shown where they are at hand and wanted, else a sentence that says why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from ..errors import RunError
from .blocks import Block, Picture, Text

ImageOf = Callable[[str], npt.NDArray[Any]]


def faces_block(
    image_of: ImageOf | None, images: bool, sheet: Callable[[ImageOf], Picture], on: str
) -> Block:
    """A sheet of faces, or why there is none.

    Args:
        image_of: Id -> pixels, or None where the data set is not at hand.
        images: False says that faces are left out on request.
        sheet: Draws the sheet.
        on: What the run did with the data, for the error: "trained" or "evaluated".

    Raises:
        RunError: `image_of` knows no such face.
    """
    if not images:
        return Text("Faces are left out of this report on request (--no-images).")
    if image_of is None:
        return Text("Faces are not shown: the data set was not at hand when this report was written.")
    try:
        return sheet(image_of)
    except (KeyError, IndexError) as error:
        raise RunError(
            f"the data set has no image for {error}", f"name the data the run was {on} on"
        ) from None
