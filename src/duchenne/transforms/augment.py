"""Augmentation of a batch, on the batch's device, by kornia's functions and our own seeded draws."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite, log

import torch
from kornia.enhance import adjust_brightness_accumulative, adjust_contrast_with_mean_subtraction
from kornia.geometry.transform import get_affine_matrix2d, hflip, warp_affine

from ..errors import RecipeError, did_you_mean

PADDINGS = ("border", "reflection", "zeros")

# Height over width of an erased box is 0.3 to 1/0.3. Source: Zhong et al. 2020, Random Erasing (r1 = 0.3).
ERASE_ASPECT = 0.3

# One column of uniform draws for each random quantity. All are drawn for every image, used or not, so that
# switching one kind on or off leaves the others' draws as they were.
_COLUMNS = (
    "flip", "shift_x", "shift_y", "rotate", "scale", "brightness", "contrast",
    "erase", "erase_area", "erase_aspect", "erase_x", "erase_y",
)  # fmt: skip


@dataclass(frozen=True)
class Augment:
    """Random changes of training images; each image of a batch gets its own draw.

    Applied in this order: flip, geometry (one bilinear warp for rotation, scale and shift), brightness,
    contrast, erasing. The draws come from the generator alone, never from torch's global state.

    Attributes:
        flip: Probability in [0, 1] of mirroring left and right.
        shift: Largest shift along each axis, as a fraction of that side, in [0, 1].
        rotate: Largest rotation about the centre, degrees, in [0, 180], either way.
        scale: 0.1 draws a magnification from 0.9..1.1; in [0, 1).
        brightness: 0.2 draws a factor on the pixels from 0.8..1.2; in [0, 1].
        contrast: 0.2 draws a factor on the distance to the image's mean grey from 0.8..1.2; in [0, 1].
        erase: Probability in [0, 1] of filling a random box with the image's mean (per channel).
            Source: Zhong et al. 2020, Random Erasing (the form RE-M, with the image's own mean).
        erase_area: Smallest and largest area of the box as a fraction of the image, before cutting.
        padding: What a warp shows beyond the edge: ``"border"`` (the edge's pixel goes on), ``"reflection"``
            or ``"zeros"`` (black).
    """

    flip: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.2)
    padding: str = "border"

    def __post_init__(self) -> None:
        object.__setattr__(self, "erase_area", tuple(self.erase_area))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("erase_area", "padding"):
                continue
            top = {"rotate": 180.0, "scale": 0.99}.get(field.name, 1.0)
            if isinstance(value, (bool, str)) or not (isfinite(value) and 0 <= value <= top):
                raise RecipeError(f"augment.{field.name} must be 0 to {top:g}, not {value!r}")
        if len(self.erase_area) != 2 or not 0 < self.erase_area[0] <= self.erase_area[1] <= 1:
            raise RecipeError(
                f"augment.erase_area must be two fractions 0 < a <= b <= 1, not {self.erase_area}"
            )
        if self.padding not in PADDINGS:
            raise RecipeError(
                f"augment.padding: there is no '{self.padding}'", did_you_mean(str(self.padding), PADDINGS)
            )

    @property
    def is_identity(self) -> bool:
        """True where nothing is ever changed."""
        return not (self._warps or self.flip or self.brightness or self.contrast or self.erase)

    @property
    def _warps(self) -> bool:
        return bool(self.shift or self.rotate or self.scale)

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the changed batch.

        Args:
            batch: Float ``(N, C, H, W)`` in [0, 1], on any device; it is not written to.
            generator: Where the draws come from; it may live on another device than the batch.

        Returns:
            Same shape, dtype and device, in [0, 1]; the batch itself where nothing is to be done.
        """
        if batch.ndim != 4 or not batch.is_floating_point():
            raise ValueError(f"a batch is float (N, C, H, W), not {batch.dtype} {tuple(batch.shape)}")
        if self.is_identity or not len(batch):
            return batch
        drawn = torch.rand((len(batch), len(_COLUMNS)), generator=generator, device=generator.device)
        u = dict(zip(_COLUMNS, drawn.to(batch.device, torch.float32).unbind(1), strict=True))
        if self.flip:
            batch = torch.where((u["flip"] < self.flip)[:, None, None, None], hflip(batch), batch)
        if self._warps:
            batch = self._warp(batch, u)
        if self.brightness:
            batch = adjust_brightness_accumulative(
                batch, _around(1, self.brightness, u["brightness"]).to(batch.dtype)
            )
        if self.contrast:
            batch = adjust_contrast_with_mean_subtraction(
                batch, _around(1, self.contrast, u["contrast"]).to(batch.dtype)
            )
        return self._erased(batch, u) if self.erase else batch

    def _warp(self, batch: torch.Tensor, u: dict[str, torch.Tensor]) -> torch.Tensor:
        """Turn (positive: clockwise) and magnify about the centre, then shift, in one bilinear warp."""
        n, _, height, width = batch.shape
        shifts = (self.shift * width, u["shift_x"]), (self.shift * height, u["shift_y"])
        centre = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=batch.device).expand(n, 2)
        matrix = get_affine_matrix2d(
            torch.stack([_around(0, reach, draw) for reach, draw in shifts], dim=1),
            centre,
            _around(1, self.scale, u["scale"])[:, None].expand(n, 2),
            _around(0, self.rotate, u["rotate"]),
        )
        warped = warp_affine(
            batch.float(), matrix[:, :2], (height, width), padding_mode=self.padding, align_corners=True
        )
        # Bilinear weights sum to 1 only within rounding.
        return warped.clamp(0, 1).to(batch.dtype)

    def _erased(self, batch: torch.Tensor, u: dict[str, torch.Tensor]) -> torch.Tensor:
        """Fill one box in the chosen images with the image's mean."""
        height, width = batch.shape[2:]
        low, high = self.erase_area
        area = (low + (high - low) * u["erase_area"]) * height * width
        aspect = torch.exp(_around(0, -log(ERASE_ASPECT), u["erase_aspect"]))
        box_h = (area * aspect).sqrt().round().clamp(1, height)
        box_w = (area / aspect).sqrt().round().clamp(1, width)
        top = (u["erase_y"] * (height - box_h + 1)).floor()
        left = (u["erase_x"] * (width - box_w + 1)).floor()
        y = torch.arange(height, device=batch.device)
        x = torch.arange(width, device=batch.device)
        rows = (y >= top[:, None]) & (y < (top + box_h)[:, None]) & (u["erase"] < self.erase)[:, None]
        columns = (x >= left[:, None]) & (x < (left + box_w)[:, None])
        box = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(box, batch.mean((2, 3), keepdim=True), batch)


def _around(middle: float, reach: float, u: torch.Tensor) -> torch.Tensor:
    """Uniform draws in [0, 1) -> uniform in ``middle - reach .. middle + reach``."""
    return middle + reach * (2 * u - 1)
