"""From a found face to a crop framed as FER2013's training faces are; at prediction and for training alike.

The constants are what `benchmarks/framing.py` measures: YuNet and the frontal cascade on 1,000 training
images of FER2013 (of 28,709, drawn with seed 0), enlarged 4 times; shares of the frame's side, medians.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# The point between the eyes: (0.501, 0.392); its deviation over faces is 0.07 both ways.
EYES = (0.5, 0.39)
# Between the eyes: 0.372; from between the eyes to the middle of the mouth's corners: 0.376. The root of the
# sum of their squares, for a face turned aside narrows the one and a nod the other. Over faces the frame's
# side by this measure deviates by 20% from the true one, by the eyes alone by 23%.
REACH = float(np.hypot(0.372, 0.376))
# The cascade's box is 0.96 of the frame, in its middle (0.503, 0.495).
CASCADE_MARGIN = 1 / 0.96
# The root of the area of YuNet's box is 0.91 of the frame, its middle (0.503, 0.500).
YUNET_MARGIN = 1 / 0.91
# An eye line shorter than this part of the eye-mouth line (0.7% of FER2013's faces) belongs to a profile: it
# is too short to say how the head is tilted, and the eye-mouth line is heard too.
_PROFILE = 0.5

# Crops are at least as large as FER2013's images, so that a small face is interpolated once, and not larger
# than the inputs of image nets: beyond it the photograph is made smaller first, by means of areas.
_LEAST, _MOST = 48, 224


def crop_by_eyes(image: Array, landmarks: Array) -> Array | None:
    """Cut a face so that its eyes are level and where the training faces have them.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``.
        landmarks: ``(5, 2)``, see `FoundFace`.

    Returns:
        uint8 ``(S, S)`` or ``(S, S, 3)``; what lies outside the image repeats its border. None where the
        landmarks are no face's (all in one place, not finite, or all outside the image).
    """
    points = np.asarray(landmarks, np.float64)
    if not np.isfinite(points).all():
        return None
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    side = float(np.hypot(np.hypot(*across), np.hypot(*down)) / REACH)
    if side < 1 or not _inside(image, points.mean(0)):
        return None
    if np.hypot(*across) < _PROFILE * np.hypot(*down):
        across = across + np.array([down[1], -down[0]])
    angle = float(np.arctan2(across[1], across[0]))
    right = np.array([np.cos(angle), np.sin(angle)])
    below = np.array([-right[1], right[0]])
    centre = eyes + side * ((0.5 - EYES[0]) * right + (0.5 - EYES[1]) * below)
    return _cut(image, centre, side, angle)


def crop_by_box(image: Array, box: tuple[float, float, float, float], margin: float) -> Array:
    """Cut a square about a box's middle, as `crop_by_eyes` cuts.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``.
        box: x, y, width, height.
        margin: Side of the square over the side of a square of the box's area.
    """
    x, y, width, height = box
    side = max(1.0, margin * float(np.sqrt(width * height)))
    return _cut(image, np.array([x + width / 2, y + height / 2]), side, 0.0)


def _inside(image: Array, point: npt.NDArray[np.float64]) -> bool:
    return bool(0 <= point[0] <= image.shape[1] and 0 <= point[1] <= image.shape[0])


def _cut(image: Array, centre: npt.NDArray[np.float64], side: float, angle: float) -> Array:
    """A turned square of the image; corners of pixels, not their middles, are whole numbers."""
    reach = side * (abs(np.cos(angle)) + abs(np.sin(angle))) / 2 + 2
    # Only what is needed of the image; at least its nearest border pixels.
    height, width = image.shape[:2]
    left = int(np.clip(np.floor(centre[0] - reach), 0, width - 1))
    top = int(np.clip(np.floor(centre[1] - reach), 0, height - 1))
    right = int(np.clip(np.ceil(centre[0] + reach), left + 1, width))
    bottom = int(np.clip(np.ceil(centre[1] + reach), top + 1, height))
    part = image[top:bottom, left:right]
    shrink = 1.0
    if side >= 2 * _MOST:
        shrink = side / _MOST
        size = max(1, round(part.shape[1] / shrink)), max(1, round(part.shape[0] / shrink))
        ratio = np.array([size[0] / part.shape[1], size[1] / part.shape[0]])
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    else:
        ratio = np.ones(2)
    s = int(np.clip(round(side / shrink), _LEAST, _MOST if shrink > 1 else 2 * _MOST))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * (s / side)
    matrix = np.empty((2, 3))
    matrix[:, :2] = turn / ratio
    # A pixel's middle is half a pixel from its corner, before and after.
    offset = (0.5 / ratio) + np.array([left, top]) - centre
    matrix[:, 2] = turn @ offset + s / 2 - 0.5
    done: Array = cv2.warpAffine(
        part, matrix, (s, s), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return done
