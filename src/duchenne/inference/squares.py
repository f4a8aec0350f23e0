"""A photograph's square about its face: frames of a laboratory at one size, not cut to the face's box.

Source: chan2023, sections 1 and 4: CK+'s frames (640x480 to 720x490) to 480x480 about the face's centroid,
then of these the 300x300 in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from ..errors import RecipeError
from .faces import Array, Box

MAX_SIDE = 4096


@dataclass(frozen=True)
class Square:
    """How a photograph becomes a square.

    Attributes:
        side: The largest square that the photograph holds, as near about the face as it can lie, gets
            this side in pixels.
        centre: Of that, what is kept in the middle, in pixels; None: all.

    Raises:
        RecipeError: A side out of range.
    """

    side: int = 480
    centre: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.side <= MAX_SIDE:
            raise RecipeError(f"square must be 1 to {MAX_SIDE}, not {self.side}")
        if self.centre is not None and not 1 <= self.centre <= self.side:
            raise RecipeError(f"centre must be 1 to the square's {self.side}, not {self.centre}")

    def cut(self, image: Array, face: Box | None) -> tuple[Box, Array]:
        """Cut one photograph.

        Where its shorter side is no longer than what is kept in the middle (`centre`, else `side`), as that
        of CK+'s frames at 48x48, it was cut to the face before: the square stays whole, at its own size.

        Args:
            image: uint8 ``(H, W)`` or ``(H, W, 3)``.
            face: Box of the face; None: the square lies about the photograph's middle.

        Returns:
            What is kept, as a box of the photograph, and its pixels.
        """
        height, width = image.shape[:2]
        short = min(height, width)
        x, y, w, h = face or (0, 0, width, height)
        left = min(max(round(x + w / 2 - short / 2), 0), width - short)
        top = min(max(round(y + h / 2 - short / 2), 0), height - short)
        square = image[top : top + short, left : left + short]
        kept = self.side if self.centre is None else self.centre
        if short <= kept:
            return (left, top, short, short), square.copy()
        how = cv2.INTER_AREA if short >= self.side else cv2.INTER_LINEAR
        done = cv2.resize(square, (self.side, self.side), interpolation=how)
        rim = (self.side - kept) // 2
        inner, off = round(short * kept / self.side), round(short * rim / self.side)
        return (left + off, top + off, inner, inner), done[rim : rim + kept, rim : rim + kept].copy()
