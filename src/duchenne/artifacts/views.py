"""Views of a face whose probabilities are averaged; their name stands beside every figure made with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import RecipeError, did_you_mean

Input = npt.NDArray[np.float32]
Probs = dict[str, npt.NDArray[np.float32]]

# Side of a crop over the side of the image: Krizhevsky et al. 2012, section 4.1, take 224 of 256 pixels.
CROP = 7 / 8


def single(x: Input) -> Iterator[Input]:
    """The image as it is."""
    yield x


def flip(x: Input) -> Iterator[Input]:
    """The image and its mirror image."""
    yield x
    yield np.ascontiguousarray(x[..., ::-1])


def ten_crop(x: Input) -> Iterator[Input]:
    """Four corners and the centre, each 7/8 of the side (rounded) and resized back, and their mirror images.

    Source: Krizhevsky et al. 2012, section 4.1. The crops are taken from the net's input.
    """
    height, width = x.shape[2:]
    h, w = max(1, round(height * CROP)), max(1, round(width * CROP))
    bottom, right = height - h, width - w
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    for top, left in corners:
        yield from flip(_resize(x[:, :, top : top + h, left : left + w], height, width))


VIEWS: dict[str, Callable[[Input], Iterator[Input]]] = {"single": single, "flip": flip, "ten-crop": ten_crop}


def average_views(predict: Callable[[Input], Probs], x: Input, views: str = "single") -> Probs:
    """Mean probabilities over the views of each image.

    Args:
        predict: Gives per output ``(N, K)`` probabilities for float32 ``(N, c, h, w)``.
        x: float32 ``(N, c, h, w)``, the net's input.
        views: A name in `VIEWS`.

    Returns:
        Per output ``(N, K)`` float32 in [0, 1].

    Raises:
        RecipeError: There is no such view.
    """
    if views not in VIEWS:
        raise RecipeError(f"there is no view '{views}'", did_you_mean(views, VIEWS))
    total: dict[str, npt.NDArray[Any]] = {}
    count = 0
    for view in VIEWS[views](x):
        count += 1
        for name, p in predict(view).items():
            total[name] = p if count == 1 else total[name].astype(np.float64) + p
    return {name: p if count == 1 else (p / count).astype(np.float32) for name, p in total.items()}


def _resize(x: Input, height: int, width: int) -> Input:
    """Bilinear, plane by plane: OpenCV takes at most four channels with every interpolation."""
    out = np.empty((*x.shape[:2], height, width), np.float32)
    for i, image in enumerate(x):
        for c, plane in enumerate(image):
            out[i, c] = cv2.resize(
                np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_LINEAR
            )
    return out
