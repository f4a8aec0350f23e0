"""Which muscles make which emotion: the published prototypes in FACS action units.

Source:
    Friesen & Ekman 1983, EMFACS-7; Ekman, Friesen & Hager 2002, FACS Investigator's Guide, emotion
    prediction table. Kept are the prototypes made of the action units that the synthetic face can move (no
    AU10, AU11, AU22). AU25 stands wherever AU26 or AU27 do: a dropped jaw is drawn with parted lips.
    Contempt (a unilateral AU12 or AU14) is no FER2013 class and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import RecipeError, did_you_mean

# The action units the synthetic face can move, in the order of the `au` target's columns.
SYNTHETIC_AUS = (
    "AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU9", "AU12", "AU15",
    "AU16", "AU17", "AU20", "AU23", "AU24", "AU25", "AU26", "AU27",
)  # fmt: skip


@dataclass(frozen=True)
class Prototype:
    """How one emotion looks.

    Attributes:
        required: The action units that every face of this emotion moves.
        variants: What it moves besides; each face draws one of these at random, all equally often.
    """

    required: tuple[str, ...]
    variants: tuple[tuple[str, ...], ...] = ((),)


PROTOTYPES = {
    "angry": Prototype(
        ("AU4", "AU5", "AU7"), (("AU23",), ("AU24",), ("AU17", "AU23"), ("AU17", "AU24"), ("AU23", "AU25"))
    ),
    "disgust": Prototype(("AU9",), ((), ("AU17",), ("AU15", "AU16"), ("AU15", "AU16", "AU25", "AU26"))),
    "fear": Prototype(
        ("AU1", "AU2", "AU4", "AU5"), (("AU20", "AU25"), ("AU20", "AU25", "AU26"), ("AU25", "AU26"))
    ),
    "happy": Prototype(("AU6", "AU12"), ((), ("AU25",), ("AU25", "AU26"))),
    "sad": Prototype(("AU1", "AU4", "AU15"), ((), ("AU17",))),
    "surprise": Prototype(("AU1", "AU2", "AU5"), (("AU25", "AU26"), ("AU25", "AU27"))),
    "neutral": Prototype(()),
}


def variant_masks(emotion: str) -> npt.NDArray[np.bool_]:
    """Return the emotion's complete prototypes as rows.

    Returns:
        ``(V, A)`` bool: for each variant, which of `SYNTHETIC_AUS` move.

    Raises:
        RecipeError: the emotion has no prototype.
    """
    if emotion not in PROTOTYPES:
        raise RecipeError(f"emotion: no prototype of '{emotion}'", did_you_mean(emotion, PROTOTYPES))
    prototype = PROTOTYPES[emotion]
    return np.array(
        [[au in (*prototype.required, *variant) for au in SYNTHETIC_AUS] for variant in prototype.variants],
        dtype=bool,
    )
