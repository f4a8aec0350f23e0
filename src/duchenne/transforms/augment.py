"""Augmentation of a batch, on the batch's device, by kornia's functions and our own seeded draws."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite, log, pi

import cv2
import numpy as np
import torch
from kornia.color import hsv_to_rgb, rgb_to_hsv
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

# Those of a second table, drawn where one of these kinds is on: a longer first table would have changed the
# draws of all trainings before. It is seeded by the first one's bits, so that it takes nothing from the
# generator.
_MORE_COLUMNS = ("jpeg", "jpeg_quality", "hue", "saturation", "value", "crop_y", "crop_x")

_BITS = 24  # of a uniform float32


@dataclass(frozen=True)
class Augment:
    """Random changes of training images; each image of a batch gets its own draw.

    Applied in this order: flip, geometry (one bilinear warp for rotation, scale and shift), brightness,
    contrast, JPEG, colour, erasing, cropping. The draws come from the generator alone, never from torch's
    global state.

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
        jpeg: Probability in [0, 1] of storing the image as JPEG (OpenCV's encoder) and reading it back; its
            pixels are then rounded to 8 bits.
        jpeg_quality: Lowest and highest quality of that, whole numbers in 1..100.
        hue: Largest turn of the hue, degrees in [0, 180], either way. RGB only, as the next two.
        saturation: 0.1 adds -0.1..0.1 to the saturation (HSV, full scale 1); in [0, 1].
        value: 0.1 adds -0.1..0.1 to the value (the largest of R, G and B, full scale 1); in [0, 1].
        mixup: Alpha of the Beta(alpha, alpha) distribution that a batch's share is drawn from in `mix`; 0 to
            10; 0: off. Source: Zhang et al. 2018, "mixup: beyond empirical risk minimization", section 2.
        crop: Share in (0, 1] of each side that is kept, a random window, one for the whole batch, last of
            all; 1: off. Nets that take any size train on less, and see the whole image when they are used.
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
    jpeg: float = 0.0
    jpeg_quality: tuple[int, int] = (80, 100)
    hue: float = 0.0
    saturation: float = 0.0
    value: float = 0.0
    mixup: float = 0.0
    crop: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "erase_area", tuple(self.erase_area))
        object.__setattr__(self, "jpeg_quality", tuple(self.jpeg_quality))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("erase_area", "padding", "jpeg_quality"):
                continue
            if field.name == "crop" and value == 0:
                raise RecipeError("augment.crop must be above 0")
            top = {"rotate": 180.0, "scale": 0.99, "hue": 180.0, "mixup": 10.0}.get(field.name, 1.0)
            if isinstance(value, (bool, str)) or not (isfinite(value) and 0 <= value <= top):
                raise RecipeError(f"augment.{field.name} must be 0 to {top:g}, not {value!r}")
        if len(self.erase_area) != 2 or not 0 < self.erase_area[0] <= self.erase_area[1] <= 1:
            raise RecipeError(
                f"augment.erase_area must be two fractions 0 < a <= b <= 1, not {self.erase_area}"
            )
        quality = self.jpeg_quality
        whole = all(isinstance(q, int) and not isinstance(q, bool) for q in quality)
        if len(quality) != 2 or not whole or not 1 <= quality[0] <= quality[1] <= 100:
            raise RecipeError(
                f"augment.jpeg_quality must be two whole numbers 1 <= a <= b <= 100, not {quality}"
            )
        if self.padding not in PADDINGS:
            raise RecipeError(
                f"augment.padding: there is no '{self.padding}'", did_you_mean(str(self.padding), PADDINGS)
            )

    @property
    def is_identity(self) -> bool:
        """True where nothing is ever changed."""
        plain = self.flip or self.brightness or self.contrast or self.erase or self.crop < 1
        return not (plain or self._warps or self._colours or self.jpeg)

    def check_channels(self, channels: int) -> None:
        """Raise RecipeError where colours are to be changed of images that have none."""
        if channels != 3 and self._colours:
            name = next(n for n in ("hue", "saturation", "value") if getattr(self, n))
            raise RecipeError(
                f"augment.{name} changes colours, but the images have {channels} channel(s)",
                "leave it out, or set preprocess.channels = 3 where the images are RGB",
            )

    @property
    def _colours(self) -> bool:
        return bool(self.hue or self.saturation or self.value)

    @property
    def _warps(self) -> bool:
        return bool(self.shift or self.rotate or self.scale)

    def __call__(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the changed batch.

        Args:
            batch: Float ``(N, C, H, W)`` in [0, 1], on any device; it is not written to.
            generator: Where the draws come from; it may live on another device than the batch.

        Returns:
            Same shape (but for `crop`), dtype and device, in [0, 1]; the batch itself where nothing is to be
            done.
        """
        if batch.ndim != 4 or not batch.is_floating_point():
            raise ValueError(f"a batch is float (N, C, H, W), not {batch.dtype} {tuple(batch.shape)}")
        self.check_channels(batch.shape[1])
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
        more: dict[str, torch.Tensor] = {}
        if self.jpeg or self._colours or self.crop < 1:
            more = dict(zip(_MORE_COLUMNS, _second_draws(drawn).to(batch.device).unbind(1), strict=True))
        batch = self._stored(batch, more) if self.jpeg else batch
        batch = self._recoloured(batch, more) if self._colours else batch
        batch = self._erased(batch, u) if self.erase else batch
        return self._window(batch, more) if self.crop < 1 else batch

    def _window(self, batch: torch.Tensor, u: dict[str, torch.Tensor]) -> torch.Tensor:
        """One window of all images: the first image's draws place it."""
        height, width = batch.shape[2:]
        h, w = self.cropped(height, width)
        top = int(u["crop_y"][0] * (height - h + 1))
        left = int(u["crop_x"][0] * (width - w + 1))
        return batch[:, :, top : top + h, left : left + w]

    def cropped(self, height: int, width: int) -> tuple[int, int]:
        """The sides that images of these sides have after `crop`, at least 1."""
        return max(1, round(self.crop * height)), max(1, round(self.crop * width))

    def mix(
        self, inputs: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Blend each input of a batch with another one, all in the same shares.

        The loss of a blend is ``share * loss(own target) + (1 - share) * loss(the other's target)``.

        Args:
            inputs: Float ``(N, ...)``, normalised.
            generator: Where the draws come from.

        Returns:
            The blends; ``(N,)`` int64, whose input was blended in; the own input's share, from 0.5 to 1 (the
            two are alike, so the larger share is called the own one).
        """
        drawn = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        share = float(np.random.default_rng(int(drawn)).beta(self.mixup, self.mixup))
        share = max(share, 1 - share)
        order = torch.randperm(len(inputs), generator=generator, device=generator.device).to(inputs.device)
        return share * inputs + (1 - share) * inputs[order], order, share

    def _stored(self, batch: torch.Tensor, u: dict[str, torch.Tensor]) -> torch.Tensor:
        """The chosen images as JPEG and back."""
        low, high = self.jpeg_quality
        qualities = (low + (u["jpeg_quality"] * (high - low + 1)).floor()).int().tolist()
        out = batch.clone()
        for i in (u["jpeg"] < self.jpeg).nonzero()[:, 0].tolist():
            pixels = (batch[i].detach().float().permute(1, 2, 0) * 255).round().byte().cpu().numpy()
            # OpenCV takes blue first.
            coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, qualities[i]])[1]
            back = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
            assert back is not None  # it was encoded just now
            out[i] = (
                (torch.from_numpy(back.reshape(pixels.shape)[..., ::-1].copy()).float() / 255)
                .permute(2, 0, 1)
                .to(out)
            )
        return out

    def _recoloured(self, batch: torch.Tensor, u: dict[str, torch.Tensor]) -> torch.Tensor:
        """Turn the hue, shift saturation and value."""
        hsv = rgb_to_hsv(batch.float())
        hue = hsv[:, 0] + _around(0, self.hue * pi / 180, u["hue"])[:, None, None]
        rest = [
            (hsv[:, i] + _around(0, getattr(self, name), u[name])[:, None, None]).clamp(0, 1)
            for i, name in ((1, "saturation"), (2, "value"))
        ]
        rgb: torch.Tensor = hsv_to_rgb(torch.stack([hue.remainder(2 * pi), *rest], dim=1))
        return rgb.clamp(0, 1).to(batch.dtype)

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


def _second_draws(first: torch.Tensor) -> torch.Tensor:
    """A table of further uniform draws, float32 on the CPU, that follows from the first one alone."""
    a, b = (first[0, :2].double() * (1 << _BITS)).long().tolist()
    generator = torch.Generator().manual_seed(a << _BITS | b)
    return torch.rand((len(first), len(_MORE_COLUMNS)), generator=generator)
