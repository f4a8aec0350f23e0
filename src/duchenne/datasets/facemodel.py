"""Draw synthetic faces: parameters in, pixels out, the same every time."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import RecipeError
from . import facepaint
from .facepaint import F32, Canvas
from .faceparams import YAW_DEPTH, Array, FaceParams, landmarks, mouth_shape, rest, side_shape

__all__ = ["MONK_TONES", "FaceParams", "landmarks", "render", "rest"]

Color = Literal["grey", "rgb"]

# The ten swatches of the Monk Skin Tone scale (Monk 2022, skintone.google), sRGB.
MONK_TONES = (
    (0xF6, 0xED, 0xE4), (0xF3, 0xE7, 0xDB), (0xF7, 0xEA, 0xD0), (0xEA, 0xDA, 0xBA), (0xD7, 0xBD, 0x96),
    (0xA0, 0x7E, 0x56), (0x82, 0x5C, 0x43), (0x60, 0x41, 0x34), (0x3A, 0x31, 0x2A), (0x29, 0x24, 0x20),
)  # fmt: skip
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as OpenCV and Pillow make grey
_HAIR = np.array([[0.07, 0.06, 0.06], [0.22, 0.14, 0.09], [0.45, 0.30, 0.17], [0.72, 0.62, 0.45]])
_IRIS = np.array([[0.13, 0.08, 0.05], [0.25, 0.16, 0.10], [0.26, 0.32, 0.28], [0.35, 0.45, 0.55]])
_BLOCK_PIXELS = 32 * 48 * 48  # about 300 kB a plane: the planes in use stay in a core's cache
MIN_SIZE, MAX_SIZE = 8, 2048


def render(params: FaceParams, size: int = 48, color: Color = "grey") -> Array:
    """Draw the faces.

    Args:
        params: N faces.
        size: Side of the square images in pixels, 8 to 2048.
        color: ``"grey"`` (the luma of the RGB picture) or ``"rgb"``.

    Returns:
        uint8 ``(N, size, size)`` or ``(N, size, size, 3)``; face i does not depend on its neighbours.

    Raises:
        RecipeError: size or color is none of these.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or not MIN_SIZE <= size <= MAX_SIZE:
        raise RecipeError(f"size: {size!r} is no whole number from {MIN_SIZE} to {MAX_SIZE}")
    if color not in ("grey", "rgb"):
        raise RecipeError(f"color: '{color}' is neither 'grey' nor 'rgb'")
    size, n = int(size), len(params)
    images = np.empty((n, size, size) if color == "grey" else (n, size, size, 3), np.uint8)
    block = max(1, _BLOCK_PIXELS // size**2)
    for start in range(0, n, block):
        part = slice(start, min(start + block, n))
        images[part] = _draw(params.take(part), size, color)
    return images


def _draw(p: FaceParams, size: int, color: Color) -> Array:
    """Draw one block of faces: coordinates, layers, light, noise."""
    tones = _tones(p, grey=color == "grey")
    c = _canvas(p, size, tones["background"])
    m = _scalars(mouth_shape(p) | _head_shape(p))
    facepaint.head(c, m, tones)
    # Windows (u0, u1, v0, v1) hold every reach of the part painted in them.
    if part := c.window((-0.8, 0.8, -0.84, -0.15)):
        facepaint.forehead(part, m)
    for side in (-1, +1):
        g = _scalars(
            side_shape(p, side) | {"gaze": p["gaze"], "glint": np.where(p["light_x"] < 0, -0.03, 0.03)}
        )
        if part := c.window(_sided(side, 0.0, 0.75, -0.48, 0.17)):
            facepaint.eye(part, side, g, tones)
        if part := c.window(_sided(side, -0.05, 0.8, -0.05, 1.1)):
            facepaint.cheek(part, side, g, m)
        if part := c.window(_sided(side, 0.02, 0.66, -0.75, -0.03)):
            facepaint.brow(part, side, g, tones)
    if part := c.window((-0.3, 0.3, -0.42, 0.42)):
        facepaint.nose(part, m)
    if part := c.window((-0.6, 0.6, 0.15, 1.4)):
        facepaint.mouth(part, m, tones)
    c.shade *= F32(255) * _scalar(p["exposure"])
    c.colour *= c.shade
    c.colour += _noise(p, size)
    c.colour += F32(0.5)
    np.clip(c.colour, F32(0), F32(255), out=c.colour)
    pixels = c.colour.astype(np.uint8)
    return pixels[0] if color == "grey" else np.moveaxis(pixels, 0, -1)


def _sided(side: int, u0: float, u1: float, v0: float, v1: float) -> tuple[float, float, float, float]:
    return (u0, u1, v0, v1) if side > 0 else (-u1, -u0, v0, v1)


def _scalar(values: Array) -> Array:
    return values.astype(F32)[:, None, None]


def _scalars(shape: dict[str, Array]) -> dict[str, Array]:
    return {name: _scalar(values) for name, values in shape.items()}


def _head_shape(p: FaceParams) -> dict[str, Array]:
    """Return outline, hair and light, ``(N,)`` each."""
    x, y = p["light_x"], p["light_y"]
    length = np.sqrt(1 + x**2 + y**2)
    return {
        "half_width": 0.76 * p["width"], "jaw": p["jaw"] * 1.4, "hairline": p["hairline"],
        "hair_length": p["hair_length"], "light": p["light"], "light_x": x / length, "light_y": y / length,
        "light_z": 1 / length, "nose_lit": np.where(x < 0, -0.085, 0.085),
    }  # fmt: skip


def _canvas(p: FaceParams, size: int, background: Array) -> Canvas:
    """Return a canvas with each pixel's face coordinates and a background, brighter towards the light."""
    unit = p["scale"] * size / 2
    cos, sin = np.cos(p["roll"]) / unit, np.sin(p["roll"]) / unit
    centre = np.arange(size, dtype=F32) + F32(0.5)
    x = centre[None, None, :] - _scalar(size * (0.5 + p["shift_x"]))
    y = centre[None, :, None] - _scalar(size * (0.5 + p["shift_y"]))
    u = _scalar(cos) * x + _scalar(sin) * y
    v = _scalar(cos) * y - _scalar(sin) * x
    turn = u * u
    turn -= F32(1)
    turn *= _scalar(YAW_DEPTH * p["yaw"])
    np.minimum(turn, F32(0.21), out=turn)
    np.maximum(turn, F32(-0.21), out=turn)
    u += turn
    edge = unit / np.maximum(1.0, p["blur"] * size / 48)
    colour = np.empty((len(background), len(p), size, size), F32)
    colour[:] = background
    shade = _scalar(0.12 * p["light"] * p["light_x"]) * u
    shade += F32(1)
    return Canvas(colour, shade, u, v, _scalar(edge))


def _tones(p: FaceParams, *, grey: bool) -> dict[str, Array]:
    """Return every part's colour, ``(C, N, 1, 1)`` float32 in [0, 1]."""
    # The swatches are flat patches; a photograph under warm light, exposed for the face, shows them so.
    warm = np.array(MONK_TONES) / 255 * np.array([0.98, 0.91, 0.86])
    skin = _along(warm**0.72, (p["skin"] - 1) / 9)
    dark = 0.35 + 0.65 * skin.mean(
        axis=1, keepdims=True
    )  # eyes and teeth stand in the same light as the skin
    hair = _along(_HAIR, p["hair_tone"])
    parts: dict[str, Any] = {
        "skin": skin, "neck": skin * 0.72, "hair": hair, "brow": hair * 0.75 + skin * 0.1,
        "sclera": np.array([0.97, 0.96, 0.95]) * (0.3 + 0.7 * dark), "iris": _along(_IRIS, p["iris_tone"]),
        "pupil": np.full((len(p), 3), 0.03), "glint": np.full((len(p), 3), 0.98),
        "lash": skin * 0.2, "lip": skin * np.array([0.78, 0.5, 0.5]) + np.array([0.06, 0.0, 0.01]),
        "inside": np.tile([0.14, 0.05, 0.05], (len(p), 1)) * dark,
        "teeth": np.array([0.97, 0.95, 0.9]) * (0.3 + 0.7 * dark),
        "background": p["background"][:, None] * np.array([0.9, 0.95, 1.0]),
    }  # fmt: skip
    if grey:
        parts = {name: (colour @ _LUMA)[:, None] for name, colour in parts.items()}
    return {name: np.ascontiguousarray(c.T, dtype=F32)[:, :, None, None] for name, c in parts.items()}


def _along(swatches: Array, where: Array) -> Array:
    """Interpolate between rows of colours; ``where`` in [0, 1] runs over all of them."""
    at = np.clip(where, 0, 1) * (len(swatches) - 1)
    low = np.minimum(at.astype(np.int64), len(swatches) - 2)
    part = (at - low)[:, None]
    return np.asarray(swatches[low] * (1 - part) + swatches[low + 1] * part)


def _noise(p: FaceParams, size: int) -> Array:
    """Return noise ``(N, size, size)`` float32 in grey levels: a hash of pixel and seed, nearly normal.

    Source: MurmurHash3's 32-bit finaliser (Appleby 2011); the sum of its four bytes has mean 510 and variance
    4 * (256**2 - 1) / 12.
    """
    h = np.arange(size * size, dtype=np.uint32).reshape(1, size, size) * np.uint32(0x9E3779B1)
    h = h ^ (p.noise_seed.astype(np.uint32) * np.uint32(0x85EBCA77))[:, None, None]
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    pairs = (h & np.uint32(0x00FF00FF)) + ((h >> np.uint32(8)) & np.uint32(0x00FF00FF))
    total = ((pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))).astype(F32)
    total -= F32(510)
    total *= _scalar(p["noise"] * 255 / np.sqrt(4 * (256**2 - 1) / 12))
    return total
