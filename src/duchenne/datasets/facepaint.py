"""The layers of a synthetic face: each function paints one part over a block of faces.

Shapes are implicit functions in face coordinates (see `faceparams`), made into coverage by a linear ramp
about a pixel wide; soft shades are bumps of bounded support, so a part touches only the window around it.
Constants are the drawing's own, set by eye. Only +, -, *, / and sqrt act on pixels: IEEE 754 rounds these
the same way everywhere, which keeps a face the same whatever block it is drawn in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .faceparams import Array

F32 = np.float32
Scalars = Mapping[str, npt.NDArray[np.float32]]  # one number a face, each (B, 1, 1)


@dataclass
class Canvas:
    """A block of B faces being painted.

    Attributes:
        colour: ``(C, B, H, W)`` float32 albedo.
        shade: ``(B, H, W)`` float32 light, multiplied into the colour at the end.
        u: ``(B, H, W)`` float32 face coordinate to the right (yaw taken out).
        v: ``(B, H, W)`` float32 face coordinate downwards.
        edge: ``(B, 1, 1)`` float32: 1 / (width of an edge in face units).
    """

    colour: Array
    shade: Array
    u: Array
    v: Array
    edge: Array

    def window(self, box: tuple[float, float, float, float]) -> Canvas | None:
        """Return the part of the canvas that holds the box (u0, u1, v0, v1) of every face.

        The part shares this canvas' memory; None where no face's box lies on the image.
        """
        u0, u1, v0, v1 = box
        margin = F32(0.5) / self.edge  # half an edge's ramp
        inside = (self.u > u0 - margin) & (self.u < u1 + margin)
        inside &= (self.v > v0 - margin) & (self.v < v1 + margin)
        rows = np.flatnonzero(inside.any(axis=(0, 2)))
        columns = np.flatnonzero(inside.any(axis=(0, 1)))
        if not len(rows):
            return None
        y, x = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Canvas(
            self.colour[:, :, y, x], self.shade[:, y, x], self.u[:, y, x], self.v[:, y, x], self.edge
        )

    def cover(self, distance: Array) -> Array:
        """Coverage in [0, 1] of a signed distance in face units, positive inside; overwrites its argument."""
        distance *= self.edge
        distance += F32(0.5)
        np.maximum(distance, F32(0), out=distance)
        return np.minimum(distance, F32(1), out=distance)

    def paint(self, mask: Array, colour: Array) -> None:
        """Lay a colour ``(C, B, 1, 1)`` over the canvas where the mask covers it."""
        for plane, tone in zip(self.colour, colour, strict=True):
            step = tone - plane
            step *= mask
            plane += step

    def darken(self, mask: Array, strength: Array | float) -> None:
        """Take light away (negative strength adds it) where the mask covers; overwrites the mask."""
        mask *= -np.asarray(strength, F32)
        mask += F32(1)
        self.shade *= mask


def bump(x: Array, y: Array, half_x: Array | float, half_y: Array | float) -> Array:
    """Return a soft hill, 1 in its middle, 0 from the ellipse with the given half axes outwards."""
    a = x * F32(1 / half_x) if isinstance(half_x, float) else x / half_x
    a *= a
    b = y * F32(1 / half_y) if isinstance(half_y, float) else y / half_y
    b *= b
    a += b
    np.subtract(F32(1), a, out=a)
    np.maximum(a, F32(0), out=a)
    a *= a
    return a


def head(c: Canvas, g: Scalars, tones: Mapping[str, Array]) -> None:
    """Background is there; paint hair behind, neck, the face with its light, and the hair in front."""
    up = c.v + F32(0.12)
    lower = np.maximum(up, F32(0)) / g["hair_length"]
    np.minimum(up, F32(0), out=up)
    hair = c.u / (g["half_width"] + F32(0.14))
    hair *= hair
    hair += up * up
    hair += lower * lower
    hair = c.cover((F32(1) - hair) * F32(0.45))
    c.paint(hair, tones["hair"])
    neck = np.minimum(g["half_width"] * F32(0.62) - np.abs(c.u), c.v - F32(0.55))
    c.paint(c.cover(neck), tones["neck"])
    ear = (np.abs(c.u) - g["half_width"]) * F32(1 / 0.09)
    ear *= ear
    rise = (c.v - F32(0.02)) * F32(1 / 0.2)
    rise *= rise
    ear += rise
    c.paint(c.cover((F32(1) - ear) * F32(0.05)), tones["neck"])

    t = np.maximum(c.v - F32(0.05), F32(0))
    half = t * t
    half *= -g["jaw"]
    half += F32(1)
    half *= g["half_width"]
    x = c.u / half
    y = c.v / g["chin"]
    inside = F32(1) - x * x
    inside -= y * y
    # The face as half an ellipsoid in directed light (Lambert's cosine).
    z = np.sqrt(np.maximum(inside, F32(0)))
    z *= g["light_z"]
    x *= g["light_x"]
    y *= g["light_y"]
    z += x
    z += y
    np.maximum(z, F32(0.1), out=z)
    z -= F32(0.8)
    z *= g["light"]
    face = c.cover(inside * F32(0.4))
    z *= face
    c.shade += z
    c.paint(face, tones["skin"])
    line = c.u * c.u
    line *= F32(0.75)
    line += g["hairline"]
    line -= c.v
    fringe = c.cover(line)
    fringe *= hair
    c.paint(fringe, tones["hair"])


def forehead(c: Canvas, g: Scalars) -> None:
    """Shade the horizontal lines of raised brows and the upright ones between knitted brows."""
    wide = F32(0.5) * g["lines_side"] + F32(0.25)
    bow = c.u * c.u
    bow *= F32(0.35) - F32(0.6) * g["lines_side"]
    for height in (-0.68, -0.585):
        c.darken(bump(c.u, c.v - F32(height) + bow, wide, 0.03), F32(0.38) * g["lines_mid"])
    side = np.abs(c.u)
    c.darken(bump(side - F32(0.05), c.v + F32(0.36), 0.032, 0.17), F32(0.5) * g["frown"])
    c.darken(bump(side, c.v + F32(0.3), 0.2, 0.12), F32(0.2) * g["frown"])


def brow(c: Canvas, side: int, g: Scalars, tones: Mapping[str, Array]) -> None:
    """Paint one eyebrow: a quadratic curve from inner to outer end, thinner outwards."""
    p = c.u * F32(side)
    t = (p - g["brow_in_u"]) / (g["brow_out_u"] - g["brow_in_u"])
    ends = np.minimum(t, F32(1) - t)
    ends *= g["brow_out_u"] - g["brow_in_u"]
    np.minimum(np.maximum(t, F32(0), out=t), F32(1), out=t)
    # Lagrange's parabola through inner end (t = 0), middle (1/2) and outer end (1).
    b = F32(4) * g["brow_mid"] - F32(3) * g["brow_in"] - g["brow_out"]
    a = F32(2) * (g["brow_in"] + g["brow_out"]) - F32(4) * g["brow_mid"]
    curve = a * t
    curve += b
    curve *= t
    curve += g["brow_in"]
    curve -= c.v
    np.abs(curve, out=curve)
    t *= F32(-0.6)
    t += F32(1.15)
    t *= g["brow_half"]
    t -= curve
    mask = c.cover(np.minimum(t, ends))
    mask *= F32(0.9)
    c.paint(mask, tones["brow"])


def eye(c: Canvas, side: int, g: Scalars, tones: Mapping[str, Array]) -> None:
    """Paint one eye: socket, white, iris and pupil, lids, the pouch below and the crow's feet beside."""
    p = c.u * F32(side)
    p -= g["eye_u"]
    q = c.v - g["eye_v"]
    c.darken(bump(p, q + F32(0.05), 0.3, 0.2), 0.16)
    q += g["tilt"] * p
    x = p / g["eye_w"]
    arc = F32(1) - x * x
    np.maximum(arc, F32(-0.6), out=arc)  # level beyond the corners, where only blur reaches
    upper = q + g["lid_up"] * arc  # positive below the upper lid
    lower = g["lid_low"] * arc
    lower -= q  # positive above the lower lid
    ends = np.abs(p)
    np.subtract(g["eye_w"], ends, out=ends)
    opening = c.cover(np.minimum(np.minimum(upper, lower), ends))
    c.paint(opening, tones["sclera"])
    dx = p - g["gaze"] * F32(0.04 * side)
    r = dx * dx
    r += q * q
    np.sqrt(r, out=r)
    iris = c.cover(F32(0.082) - r)
    iris *= opening
    c.paint(iris, tones["iris"])
    pupil = c.cover(F32(0.036) - r)
    pupil *= opening
    c.paint(pupil, tones["pupil"])
    glint = bump(c.u - F32(side) * g["eye_u"] - g["glint"], q + F32(0.035), 0.035, 0.035)
    glint *= opening
    c.paint(glint, tones["glint"])

    lash = np.minimum(F32(0.022) - np.abs(upper), ends + F32(0.03))
    c.paint(c.cover(lash), tones["lash"])
    rim = c.cover(np.minimum(F32(0.008) - np.abs(lower), ends))
    rim *= F32(0.5)
    c.paint(rim, tones["lash"])
    c.darken(bump(p, upper + F32(0.055), 0.2, 0.03), F32(0.25) * g["crease"])
    c.darken(bump(p, lower + F32(0.06), 0.19, 0.035), F32(0.42) * g["pouch"])
    for slope in (-0.35, 0.1, 0.5):
        ray = q - F32(slope) * (p - F32(0.12))
        c.darken(bump(p - F32(0.27), ray, 0.085, 0.022), F32(0.4) * g["crow"])


def cheek(c: Canvas, side: int, g: Scalars, m: Scalars) -> None:
    """Shade the cheek's apple, the fold from nose to mouth, and the line below a drawn-down corner."""
    p = c.u * F32(side)
    q = c.v - g["cheek_v"]
    c.darken(bump(p - F32(0.42), q, 0.22, 0.17), F32(-0.16) * g["cheek"])
    c.darken(bump(p - F32(0.4), q - F32(0.17), 0.25, 0.09), F32(0.1) * g["cheek"])
    top, end = F32(0.14), m["mouth_v"] + m["corner"]
    t = (c.v - top) / (end - top + F32(0.03))
    reach = m["mouth_w"] + F32(0.07) - m["nose_w"] - F32(0.03)
    line = F32(1.5) - F32(0.5) * t
    line *= t
    line *= -reach
    line += p
    line -= m["nose_w"] + F32(0.03)
    c.darken(bump(line, t - F32(0.5), 0.045, 0.62), F32(0.5) * g["fold"])
    drop = c.v - end - F32(0.07)
    c.darken(bump(p - m["mouth_w"] - F32(0.02), drop, 0.035, 0.11), F32(0.28) * g["droop"])


def nose(c: Canvas, g: Scalars) -> None:
    """Shade bridge, tip, wings and nostrils, and the wrinkles across a wrinkled nose."""
    side = np.abs(c.u)
    q = c.v - g["nose_v"]
    c.darken(bump(c.u, q + F32(0.22), 0.06, 0.34), -0.14)
    c.darken(bump(c.u + g["nose_lit"], q + F32(0.12), 0.06, 0.3), 0.22)
    c.darken(bump(c.u, q + F32(0.03), 0.07, 0.07), -0.12)
    c.darken(bump(c.u, q - F32(0.06), g["nose_w"] * F32(1.15), 0.055), 0.3)
    c.darken(bump(side - g["nose_w"], q, 0.035, 0.07), 0.3)
    c.darken(bump(side - g["nose_w"] * F32(0.5), q - F32(0.045), 0.05, 0.032), 0.6)
    bend = c.v + F32(0.5) * side
    for height in (-0.115, -0.035, 0.045):
        c.darken(bump(c.u, bend - F32(height), 0.15, 0.024), F32(0.6) * g["wrinkle"])
    slant = c.v - F32(0.02) - F32(1.1) * (side - F32(0.12))
    c.darken(bump(side - F32(0.13), slant, 0.06, 0.04), F32(0.4) * g["wrinkle"])


def mouth(c: Canvas, g: Scalars, tones: Mapping[str, Array]) -> None:
    """Paint lips, the dark inside, upper and lower teeth; shade the chin."""
    x = c.u / g["mouth_w"]
    square = np.minimum(x * x, F32(1.3))
    line = g["corner"] * square
    x *= g["lead"]
    line += x
    line += g["mouth_v"]
    arc = F32(1) - square
    np.maximum(arc, F32(0), out=arc)
    full = np.sqrt(arc)
    full -= arc
    full *= g["round"]
    full += arc
    lip = F32(0.75) * np.minimum(full * F32(1.6), F32(1))
    lip += F32(0.25) * full
    top = line - g["gap_up"] * full
    bottom = line + g["gap_low"] * full
    upper = c.v - top
    lower = bottom - c.v
    ends = g["mouth_w"] - np.abs(c.u)
    c.darken(bump(c.u, lower + g["lip_low"] + F32(0.05), 0.2, 0.05), F32(0.5) * g["below"])
    c.darken(bump(c.u, c.v - g["chin"] + F32(0.17), 0.17, 0.13), F32(-0.16) * g["boss"])
    c.darken(bump(c.u, c.v - g["chin"] + F32(0.15), 0.05, 0.05), F32(0.35) * g["boss"])
    lips = np.minimum(upper + g["lip_up"] * lip, lower + g["lip_low"] * lip)
    lips = np.minimum(lips, ends)
    c.paint(c.cover(lips), tones["lip"])
    c.darken(bump(c.u, lower + g["lip_low"] * F32(0.5), g["mouth_w"] * F32(0.7), 0.03), -0.12)
    inside = c.cover(np.minimum(np.minimum(upper, lower), ends))
    c.paint(inside, tones["inside"])
    teeth = c.cover(np.minimum(g["teeth"] * full - upper, upper))
    teeth *= inside
    c.paint(teeth, tones["teeth"])
    below = c.cover(F32(0.035) * full - lower)
    below *= inside
    below *= g["low_teeth"]
    c.paint(below, tones["teeth"])
    press = F32(0.008) * g["pressed"] + F32(0.006)
    seam = c.cover(np.minimum(press - np.abs(upper), ends + F32(0.02)))
    seam *= F32(0.35) + F32(0.3) * g["pressed"]
    c.paint(seam, tones["inside"])
