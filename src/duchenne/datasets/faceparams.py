"""The parameters of synthetic faces, and the geometry that action units make of them.

Face coordinates: u to the image's right, v down, origin between nose and eyes, unit = half the height of
the face, so the chin of a face at rest stands near v = 1. All constants of this file are the drawing's own,
set by eye against sheets of rendered faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from .prototypes import SYNTHETIC_AUS

Array = npt.NDArray[Any]

# name -> (value at rest, lowest, highest). Sizes of identity are factors of the average face.
FIELDS: dict[str, tuple[float, float, float]] = {
    # identity
    "width": (1.0, 0.86, 1.12), "jaw": (0.2, 0.06, 0.34), "eye_spacing": (1.0, 0.9, 1.1),
    "eye_size": (1.0, 0.86, 1.16), "eye_tilt": (0.0, -0.16, 0.16), "brow_thickness": (1.0, 0.6, 1.5),
    "brow_height": (0.0, -0.03, 0.03), "nose_length": (1.0, 0.88, 1.12), "nose_width": (1.0, 0.8, 1.3),
    "mouth_width": (1.0, 0.86, 1.14), "lip_thickness": (1.0, 0.65, 1.4), "hairline": (-0.74, -1.05, -0.66),
    "hair_length": (0.6, 0.3, 1.9), "hair_tone": (0.2, 0.0, 1.0), "iris_tone": (0.3, 0.0, 1.0),
    "skin": (4.0, 1.0, 10.0),  # Monk Skin Tone scale, continuous
    # pose: radians; shifts as a part of the image's side; scale 1 = the face is as high as the image
    "roll": (0.0, -0.6, 0.6), "yaw": (0.0, -0.6, 0.6), "shift_x": (0.0, -0.3, 0.3),
    "shift_y": (0.0, -0.3, 0.3), "scale": (0.94, 0.3, 1.5),
    # light: where it comes from (right, down), how directed it is, exposure
    "light_x": (-0.2, -1.0, 1.0), "light_y": (-0.4, -1.0, 1.0), "light": (0.5, 0.0, 1.0),
    "exposure": (1.0, 0.4, 1.6),
    # the expression's side lead, where the eyes look, image: background, blur and noise
    "asymmetry": (0.0, -0.3, 0.3), "gaze": (0.0, -1.0, 1.0), "background": (0.5, 0.0, 1.0),
    "blur": (0.0, 0.0, 4.0),  # widening of edges in pixels of a 48-pixel image
    "noise": (0.0, 0.0, 0.3),  # standard deviation, 1 = full range
}  # fmt: skip
_COLUMN = {name: i for i, name in enumerate(FIELDS)}


@dataclass(frozen=True)
class FaceParams:
    """N faces before they are drawn.

    Attributes:
        values: ``(N, F)`` float64, columns in the order of `FIELDS`, in the ranges given there.
        au: ``(N, A)`` float64 intensities in [0, 1], columns in the order of `SYNTHETIC_AUS`.
        noise_seed: ``(N,)`` uint32: which noise pattern lies over the face.
    """

    values: Array
    au: Array
    noise_seed: Array

    def __post_init__(self) -> None:
        n = len(self.values)
        if self.values.shape != (n, len(FIELDS)) or self.au.shape != (n, len(SYNTHETIC_AUS)):
            raise DataError(f"face parameters: shapes {self.values.shape} and {self.au.shape} do not fit")
        if len(self.noise_seed) != n:
            raise DataError(f"face parameters: noise_seed has {len(self.noise_seed)} rows for {n} faces")
        for name, (_, low, high) in FIELDS.items():
            column = self[name]
            if not np.all((column >= low) & (column <= high)):
                raise DataError(f"face parameters: {name} must lie in [{low}, {high}]")
        if not np.all((self.au >= 0) & (self.au <= 1)):
            raise DataError("face parameters: au intensities must lie in [0, 1]")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> Array:
        """Return one parameter, ``(N,)`` float64; raises DataError naming the nearest one."""
        if name not in _COLUMN:
            raise DataError(f"face parameters: there is no '{name}'", did_you_mean(name, FIELDS))
        return np.asarray(self.values[:, _COLUMN[name]])

    def take(self, which: Array | slice) -> FaceParams:
        """Return the chosen faces."""
        return FaceParams(self.values[which], self.au[which], self.noise_seed[which])

    def act(self, **au: float | Array) -> FaceParams:
        """Return the same faces with the named action units at the given intensities, all others at rest."""
        intensities = np.zeros_like(self.au)
        for name, value in au.items():
            if name not in SYNTHETIC_AUS:
                raise DataError(f"face parameters: there is no '{name}'", did_you_mean(name, SYNTHETIC_AUS))
            intensities[:, SYNTHETIC_AUS.index(name)] = value
        return FaceParams(self.values, intensities, self.noise_seed)


def rest(n: int = 1, **fields: float | Array) -> FaceParams:
    """Return n average faces at rest, with the named fields set to a number or ``(n,)`` numbers."""
    values = np.tile([default for default, _, _ in FIELDS.values()], (n, 1))
    for name, value in fields.items():
        if name not in _COLUMN:
            raise DataError(f"face parameters: there is no '{name}'", did_you_mean(name, FIELDS))
        values[:, _COLUMN[name]] = value
    return FaceParams(values, np.zeros((n, len(SYNTHETIC_AUS))), np.arange(n, dtype=np.uint32))


def side_shape(p: FaceParams, side: int) -> dict[str, Array]:
    """Return the geometry of one eye, its brow and its cheek in face coordinates, ``(N,)`` each.

    Args:
        p: The faces.
        side: -1 the image's left, +1 its right; an asymmetric face moves one side more.
    """
    lead = 1 + side * p["asymmetry"]
    a = {name: np.minimum(p.au[:, i] * lead, 1.0) for i, name in enumerate(SYNTHETIC_AUS)}
    inner, outer, lower = a["AU1"], a["AU2"], a["AU4"]
    knit = lower * (1 - 0.8 * inner)  # AU1 lifts the inner end against AU4: the oblique brow of 1+4
    size, brow = p["eye_size"], -0.37 + p["brow_height"]
    return {
        "eye_u": 0.34 * p["eye_spacing"], "eye_v": np.full(len(p), -0.13), "eye_w": 0.185 * size,
        "tilt": p["eye_tilt"],
        "lid_up": 0.078 * size * np.maximum(
            1 + 0.75 * a["AU5"] - 0.2 * a["AU7"] - 0.25 * a["AU6"] - 0.35 * a["AU9"]
            - 0.12 * lower - 0.1 * a["AU15"], 0.3),
        "lid_low": 0.055 * size * (1 + 0.3 * a["AU5"] - 0.75 * a["AU7"] - 0.85 * a["AU6"] - 0.7 * a["AU9"]),
        "brow_in_u": 0.135 - 0.05 * lower, "brow_out_u": np.full(len(p), 0.57),
        "brow_in": brow + 0.015 - 0.15 * inner - 0.07 * outer + 0.12 * knit + 0.08 * a["AU9"],
        "brow_mid": brow - 0.03 - 0.03 * inner - 0.15 * outer + 0.09 * lower + 0.06 * a["AU9"],
        "brow_out": brow + 0.04 - 0.14 * outer + 0.04 * lower * (1 - outer),
        "brow_half": 0.032 * p["brow_thickness"] * (1 + 0.2 * lower),
        "pouch": np.clip(0.12 + 0.9 * a["AU6"] + 0.4 * a["AU7"], 0, 1),
        "crow": a["AU6"], "cheek": np.clip(a["AU6"] + 0.5 * a["AU12"] + 0.3 * a["AU9"], 0, 1),
        "cheek_v": 0.2 - 0.05 * a["AU6"],
        "fold": np.clip(0.18 + 0.7 * a["AU12"] + 0.6 * a["AU9"] + 0.25 * a["AU20"], 0, 1),
        "crease": np.clip(0.5 + 0.4 * a["AU5"] - 0.4 * lower, 0, 1),
        "droop": a["AU15"],
    }  # fmt: skip


def mouth_shape(p: FaceParams) -> dict[str, Array]:
    """Return the geometry of mouth, nose, jaw and forehead in face coordinates, ``(N,)`` each."""
    a = {name: p.au[:, i] for i, name in enumerate(SYNTHETIC_AUS)}
    jaw = np.maximum(0.55 * a["AU26"], a["AU27"])
    parted = np.maximum(a["AU25"], jaw)
    thin = (1 - 0.5 * a["AU23"]) * (1 - 0.7 * a["AU24"]) * (1 - 0.25 * a["AU12"]) * (1 - 0.35 * a["AU20"])
    corner = -0.15 * a["AU12"] + 0.14 * a["AU15"] + 0.03 * a["AU20"]
    return {
        "mouth_v": 0.53 - 0.03 * a["AU9"] - 0.045 * a["AU17"] + 0.02 * a["AU12"] - 0.02 * a["AU15"]
        + 0.03 * jaw,
        "mouth_w": 0.285 * p["mouth_width"]
        * (1 + 0.32 * a["AU12"] + 0.34 * a["AU20"] - 0.2 * a["AU23"] - 0.12 * a["AU27"] + 0.04 * a["AU15"]),
        "corner": corner + 0.05 * a["AU17"] + 0.12 * jaw,
        "lead": p["asymmetry"] * corner,
        "gap_up": 0.006 + 0.012 * parted + 0.035 * a["AU9"] * parted + 0.03 * jaw,
        "gap_low": 0.008 + 0.035 * a["AU25"] + 0.07 * a["AU12"] * parted + 0.33 * jaw
        + 0.04 * a["AU16"] + 0.015 * a["AU20"] * parted,
        "round": np.clip(1.1 * jaw, 0, 1) * (1 - a["AU12"]),
        "lip_up": 0.052 * p["lip_thickness"] * thin * (1 + 0.35 * a["AU9"]),
        "lip_low": 0.068 * p["lip_thickness"] * thin * (1 + 0.25 * a["AU17"] + 0.2 * a["AU16"]),
        "teeth": np.clip(0.02 + 0.06 * a["AU12"] + 0.03 * a["AU20"] + 0.03 * a["AU9"], 0, 0.1),
        "low_teeth": a["AU16"] * parted,
        "pressed": np.maximum(a["AU24"], 0.5 * a["AU23"]),
        "chin": 0.99 + 0.17 * jaw - 0.02 * a["AU17"], "boss": a["AU17"],
        "below": np.clip(0.35 + 0.4 * a["AU17"] + 0.3 * a["AU15"], 0, 1),
        "nose_v": 0.23 * p["nose_length"] - 0.035 * a["AU9"],
        "nose_w": 0.13 * p["nose_width"] * (1 + 0.12 * a["AU9"] + 0.08 * a["AU12"]),
        "wrinkle": a["AU9"], "frown": np.clip(a["AU4"] + 0.5 * a["AU9"], 0, 1),
        "lines_mid": np.maximum(a["AU1"], a["AU2"]), "lines_side": a["AU2"],
    }  # fmt: skip


# How far a yaw of 1 radian moves the middle of the face, in face units.
YAW_DEPTH = 0.35


def landmarks(p: FaceParams, size: int = 48) -> Array:
    """Return five points a face, as detectors give them.

    Returns:
        ``(N, 5, 2)`` float64 pixels (x right, y down; the first pixel's centre is 0.5, 0.5): the eye centre
        on the image's left, that on its right, the nose's tip, the mouth corner on the left, on the right.
    """
    left, right, mouth = side_shape(p, -1), side_shape(p, +1), mouth_shape(p)
    corner = mouth["mouth_v"] + mouth["corner"]
    u = np.stack(
        [-left["eye_u"], right["eye_u"], np.zeros(len(p)), -mouth["mouth_w"], mouth["mouth_w"]], axis=1
    )
    v = np.stack(
        [left["eye_v"], right["eye_v"], mouth["nose_v"], corner - mouth["lead"], corner + mouth["lead"]],
        axis=1,
    )
    flat = u.copy()
    for _ in range(12):  # the drawing looks up u - shift(u); a contraction, so iterating inverts it
        flat = u + (YAW_DEPTH * p["yaw"])[:, None] * (1 - flat**2)
    return to_pixels(p, flat, v, size)


def to_pixels(p: FaceParams, u: Array, v: Array, size: int) -> Array:
    """Turn points in the plane of the face, ``(N, P)`` each, into pixels ``(N, P, 2)``."""
    cos, sin = np.cos(p["roll"])[:, None], np.sin(p["roll"])[:, None]
    unit = (p["scale"] * size / 2)[:, None]
    x = size * (0.5 + p["shift_x"])[:, None] + unit * (cos * u - sin * v)
    y = size * (0.5 + p["shift_y"])[:, None] + unit * (sin * u + cos * v)
    return np.stack([x, y], axis=-1)
