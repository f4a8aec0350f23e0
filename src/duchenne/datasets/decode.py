"""Image files to pixels, safely: checked by header before decoding, upright, 8 bits, grey or RGB."""

from __future__ import annotations

import io
import os
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ..errors import DataError

Array = npt.NDArray[Any]

MIN_SIDE = 8  # pixels; below it there is no face to see
MAX_PIXELS = 64_000_000  # 8000x8000; decoded RGB is then at most 192 MB
# Only formats that decode in this process: Pillow would start Ghostscript for EPS.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm",
        ".pbm",
    )
)  # fmt: skip
# Pictures of other formats, by their ending: a folder of them is not passed over in silence.
UNREAD_SUFFIXES = frozenset((".heic", ".heif", ".hif", ".avif", ".jxl"))
# The same, and what else is taken for a picture, by their first bytes (ISO 14496-12 for the brands).
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc"), "a HEIC picture"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture"),
}
_UNREAD = {
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF",
    b"<svg": "an SVG drawing",
    b"\0\0\x01\0": "an icon (ICO)",
    b"\x1a\x45\xdf\xa3": "a video",
}
_ORIENTATION = 0x0112  # EXIF tag
_WIDTH, _HEIGHT = 0x0100, 0x0101  # TIFF tags
_WARNINGS = threading.Lock()  # catch_warnings changes what all threads share


def decode_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str = "") -> Array:
    """Decode one image.

    EXIF orientation is applied. 16-bit grey is scaled to 8 bits, palettes are looked up, transparent pixels
    stand on white, CMYK and other colour spaces become RGB, and of several frames the first is taken.

    Args:
        source: A file, or its bytes.
        max_pixels: Larger images are refused by their header, before anything is allocated.
        name: What to call bytes in messages.

    Returns:
        uint8 ``(H, W)`` for grey, ``(H, W, 3)`` RGB for colour, C-contiguous.

    Raises:
        DataError: Naming the file: missing, not an image, cut short, too large, or of an unsupported kind.
    """
    label = _label(source, name)
    with _open(source, label, max_pixels) as image:
        return decode_opened(image, max_pixels=max_pixels, name=label)


def decode_opened(image: Image.Image, *, max_pixels: int = MAX_PIXELS, name: str = "the image") -> Array:
    """As `decode_image`, of an image of Pillow's, at the frame where it stands."""
    _check_size(image, name, max_pixels)
    try:
        image.load()
        turn = _orientation(image)  # only now: Pillow turns TIFFs itself, and takes the tag away
        pixels = _pixels(image)
    except Exception as error:  # decoders raise all kinds of errors on damaged files
        raise DataError(f"{name} cannot be decoded: {error}", "the file is damaged; get it again") from error
    if pixels is None:
        raise DataError(
            f"{name} has pixels of kind '{image.mode}', whose range is not known",
            "save it with 8 or 16 bits",
        )
    return np.ascontiguousarray(_upright(pixels, turn))


def image_shape(source: Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str = "") -> tuple[int, ...]:
    """Shape that `decode_image` will give, by the header alone: ``(H, W)`` or ``(H, W, 3)``.

    Raises:
        DataError: As `decode_image`, for what the header shows.
    """
    with _open(source, _label(source, name), max_pixels) as image:
        # Of a TIFF, Pillow's size is the turned one already; its own tags say what is stored.
        stored = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
        width, height = stored.get(_WIDTH, image.width), stored.get(_HEIGHT, image.height)
        if _orientation(image) >= 5:
            width, height = height, width
        grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
        return (height, width) if grey else (height, width, 3)


def _label(source: Path | bytes, name: str) -> str:
    return name or (str(source) if isinstance(source, Path) else "the image")


def _open(source: Path | bytes, label: str, max_pixels: int) -> Image.Image:
    """Read the header and refuse what is too large."""
    if isinstance(source, Path) and is_irregular(source):
        raise DataError(f"{label} is not a regular file")
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            image = Image.open(file, formats=FORMATS)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {label}") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{label} is too large: more than {max_pixels / 1e6:g} million pixels", _smaller(max_pixels)
        ) from error
    except UnidentifiedImageError as error:
        kind = _unread_kind(source)
        why = f"{kind}, which is not read here" if kind else "not an image in a known format"
        raise DataError(
            f"{label} is {why}", f"save it as JPEG or PNG; known: {', '.join(FORMATS)}"
        ) from error
    except Exception as error:  # as above: any error of a header parser is the file's
        raise DataError(f"{label} cannot be read as an image: {error}") from error
    try:
        _check_size(image, label, max_pixels)
    except DataError:
        image.close()
        raise
    return image


def is_irregular(path: Path | str) -> bool:
    """Whether it is there and neither a file nor a folder: a pipe or a device, which would be waited for."""
    # Of os.path: a Path raises where a folder above it may not be entered.
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def _check_size(image: Image.Image, label: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(f"{label} is too large: {width}x{height}", _smaller(max_pixels))


def _smaller(max_pixels: int) -> str:
    return f"the limit is {max_pixels / 1e6:g} million pixels; make it smaller first"


def _unread_kind(source: Path | bytes) -> str | None:
    """What a file is whose format people take for a picture's and that is none of `FORMATS`; else None."""
    if isinstance(source, bytes):
        head = source[:16]
    else:
        try:
            with source.open("rb") as file:
                head = file.read(16)
        except OSError:
            return None
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "a video"
    return next((kind for start, kind in _UNREAD.items() if head.startswith(start)), None)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where it is absent or damaged."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = image.getexif().get(_ORIENTATION, 1)
        except Exception:  # a damaged EXIF block does not make the picture unreadable
            return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _pixels(image: Image.Image) -> Array | None:
    """Pixels as uint8, or None for a mode whose range is not known."""
    mode = image.mode
    if mode in ("L", "RGB"):
        return np.asarray(image)
    if mode == "1":
        return np.asarray(image.convert("L"))
    if mode.startswith("I"):  # 16 bits a pixel; some versions of Pillow hold them in 32
        wide = np.asarray(image).astype(np.int64)
        if wide.min(initial=0) < 0 or wide.max(initial=0) > 65_535:
            return None
        return ((wide + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257, rounded
    if mode == "F":
        return None
    if mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        flat = Image.alpha_composite(white, rgba).convert("RGB")
        return np.asarray(flat)[..., 0] if mode in ("LA", "La") else np.asarray(flat)
    return np.asarray(image.convert("RGB"))


def _upright(pixels: Array, orientation: int) -> Array:
    """Undo the EXIF orientation (Exif 2.3, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
