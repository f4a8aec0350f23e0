"""One source to pixels, with what is worth saying about the way there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..datasets.decode import FORMATS, MIN_SIDE, decode_image
from ..errors import DataError
from .sources import Source

Array = npt.NDArray[Any]

# How files begin that may hold several pictures.
_SEVERAL = (b"GIF8", b"RIFF", b"\x89PNG", b"II*\0", b"MM\0*")


def read_image(source: Source) -> tuple[Array, str | None]:
    """Decode a source.

    Returns:
        uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, upright; and a note where the picture is one of several, else
        None.

    Raises:
        DataError: It is no image, damaged, too large or too small.
        OSError: It cannot be read.
    """
    data = source.data
    if data is None:
        raise DataError(source.error or "there is no image")
    if isinstance(data, np.ndarray):
        return _checked(data), None
    name = source.path or "the image"
    if name == "-" and isinstance(data, bytes):
        name = "standard input"
    if isinstance(data, Path):
        if data.is_dir():
            raise DataError(
                f"{name} is a folder, not an image", "name it on its own to predict what it holds"
            )
        try:
            with data.open("rb") as file:
                head = file.read(4)
        except ValueError:  # a zero byte, or a half of a surrogate pair
            raise DataError(f"{name!r} is no file's name") from None
    else:
        head = data[:4]
    if not head:
        raise DataError(f"{name} is empty")
    image = decode_image(data, name=name)
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:  # as in data sets; an array is its maker's choice
        raise DataError(f"{name} is too small: {width}x{height}; the least is {MIN_SIDE}x{MIN_SIDE}")
    return image, _note(data) if head.startswith(_SEVERAL) else None


def _checked(data: Array) -> Array:
    """An array as uint8 ``(H, W)`` or ``(H, W, 3)``."""
    image = data[:, :, 0] if data.ndim == 3 and data.shape[2] == 1 else data
    found = f"not an image: {data.dtype} of shape {data.shape}"
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or 0 in image.shape:
        raise DataError(f"{found}; an image is (H, W), or (H, W, 3) of RGB")
    if image.dtype != np.uint8:
        raise DataError(f"{found}; pixels are uint8, 0 to 255: convert them first")
    return image


def _note(data: Path | bytes) -> str | None:
    """Whether the file holds several pictures; damage behind the first one is not its reader's concern."""
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS) as file:
            if not getattr(file, "is_animated", False):
                return None
            kind = "pages" if file.format == "TIFF" else "frames"
            return f"the first of several {kind} was taken"
    except Exception:  # the first picture was read; decoders raise all kinds of errors on what follows
        return None
