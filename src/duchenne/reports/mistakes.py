"""The mistakes made with most confidence: which they are, and how the report shows them."""

from __future__ import annotations

import numpy as np

from ..evaluation.predictions import Predictions
from .blocks import Block, Picture, Table, Text, percent
from .faces import ImageOf, faces_block
from .grids import MOST_MISTAKES, Mistake, mistakes_sheet
from .style import png


def most_confident_mistakes(p: Predictions, output: str, image_of: ImageOf | None) -> list[Mistake]:
    """The wrongly answered faces with the highest scores, the highest first (ties: first in the file)."""
    codes = p.hard(output)
    probs = p.probs[output]
    said = probs.argmax(axis=1)
    wrong = np.flatnonzero((codes >= 0) & (said != codes))
    order = wrong[np.argsort(-probs[wrong, said[wrong]], kind="stable")][:MOST_MISTAKES]
    labels = p.output(output).labels
    return [
        Mistake(
            str(p.ids[i]), labels[codes[i]], labels[said[i]], float(probs[i, said[i]]),
            None if image_of is None else image_of(str(p.ids[i])),
        )
        for i in order.tolist()
    ]  # fmt: skip


def mistake_blocks(
    p: Predictions, output: str, key: str, image_of: ImageOf | None, images: bool
) -> list[Block]:
    """The sheet of mistakes and its table; without faces where they are not wanted or not at hand.

    Args:
        p: Predictions with the truth.
        output: A single-label output.
        key: Goes into the file's name.
        image_of: Id -> pixels, or None.
        images: False says that faces are left out on request.

    Raises:
        RunError: `image_of` knows no such face.
    """
    if output not in p.targets:
        return []
    found = most_confident_mistakes(p, output, None)
    if not found:
        return [Text("There are no mistakes.")]
    rows = [[m.id, m.true, m.predicted, percent(m.score, 1)] for m in found]
    table = Table("Most confident mistakes as a table", ["face", "true", "given", "score"], rows, folded=True)
    words = "; ".join(f"{m.true} taken for {m.predicted} at {percent(m.score, 0)}" for m in found)

    def sheet(of: ImageOf) -> Picture:
        shown = most_confident_mistakes(p, output, of)
        return Picture(
            f"mistakes-{key}", png(mistakes_sheet(shown)), f"Most confident mistakes. {words}.",
            "The mistakes made with the highest scores: true label, given label, and the latter's score.",
        )  # fmt: skip

    return [faces_block(image_of, images, sheet, "evaluated"), table]
