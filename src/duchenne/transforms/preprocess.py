"""The one preprocess: the same object at training, evaluation and prediction. NumPy and OpenCV only.

It has two halves, so that a trainer can augment between them:

1. pixels: any sizes, grey or RGB, uint8 -> ``(N, h, w, c)`` uint8 (`Preprocess.shape`);
2. numbers: uint8 -> float32 ``(N, c, h, w)`` in [0, 1] (`Preprocess.scale`), then standardised
   (`Preprocess.normalise`). Both take NumPy arrays and torch tensors (on any device), and give the same bits.

``preprocess(images)`` does all of it with NumPy. Hand-made features take the place of the pixels where they
are asked for: the first half then gives each face's vector as a 1x1 image of D channels, float32
``(N, 1, 1, D)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import DataError, RecipeError, did_you_mean

if TYPE_CHECKING:
    from ..features import Features

SCHEMA = 1
INTERPOLATIONS = ("auto", "area", "bilinear")
# Left out of the JSON where there are none, so that versions from before them read the card too.
_LATER = ("features", "detail")

# A side above this is a slip: 16 times the 1,024 of the largest face nets in use.
MAX_SIDE = 16384

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Preprocess:
    """From face crops of any size to a net's input.

    Attributes:
        size: (height, width) in pixels of the net's input. The aspect ratio is not kept.
        channels: 1 (grey, Rec. 601 weights as OpenCV rounds them) or 3 (RGB; grey is repeated).
        mean: One number a channel, subtracted from pixels in [0, 1].
        std: One number a channel, by which the difference is divided.
        per_image: Give each image mean 0 and standard deviation 1 over its pixels and channels instead of
            ``mean`` and ``std``, which must then be 0 and 1. A deviation below ``1 / sqrt(c * h * w)``
            counts as that much (so a flat image becomes 0).
            Source: TensorFlow, ``tf.image.per_image_standardization``.
        interpolation: ``"area"`` (mean of the covered pixels), ``"bilinear"``, or ``"auto"``: area where
            neither side grows, bilinear otherwise.
        features: What is taken of the grey pixels of `size`, in the pixels' place; also given as a list of
            tables, as in a recipe. Nothing is learned of the training part: ``mean`` and ``std``, one number
            each, are the only scale (and a feature's own ``root``). None: the pixels themselves.
        detail: (height, width) that images are brought to before `size`, which is larger: a net that was
            trained on small images enlarged must not be shown finer ones. None: straight to `size`.
    """

    size: tuple[int, int] = (48, 48)
    channels: int = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    per_image: bool = False
    interpolation: str = "auto"
    features: Features | None = None
    detail: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, kind in (("size", int), ("mean", float), ("std", float), ("detail", int)):
            if name != "detail" or self.detail is not None:
                object.__setattr__(self, name, _numbers(name, getattr(self, name), kind))
        if len(self.size) != 2 or not all(1 <= s <= MAX_SIDE for s in self.size):
            raise RecipeError(
                f"preprocess.size must be (height, width), each 1 to {MAX_SIDE}, not {self.size}"
            )
        if self.detail is not None and (
            len(self.detail) != 2 or not all(1 <= d <= s for d, s in zip(self.detail, self.size, strict=True))
        ):
            raise RecipeError(
                f"preprocess.detail must be (height, width), none above preprocess.size, not {self.detail}",
                "leave it out where images are not to lose detail",
            )
        if isinstance(self.channels, bool) or self.channels not in (1, 3):
            raise RecipeError(f"preprocess.channels must be 1 (grey) or 3 (RGB), not {self.channels!r}")
        for name in ("mean", "std"):
            value = getattr(self, name)
            if len(value) == 1 and self.channels == 3:  # one number for all channels
                object.__setattr__(self, name, value := value * 3)
            if len(value) != self.channels or not all(isfinite(v) for v in value):
                raise RecipeError(
                    f"preprocess.{name} needs {self.channels} finite number(s), one a channel, not {value}"
                )
        if min(self.std) < 1e-6:
            raise RecipeError(f"preprocess.std must be above 0, not {self.std}")
        if not isinstance(self.per_image, bool):
            raise RecipeError(f"preprocess.per_image must be true or false, not {self.per_image!r}")
        if self.per_image and (any(self.mean) or any(s != 1 for s in self.std)):
            raise RecipeError(
                "preprocess.per_image replaces preprocess.mean and preprocess.std",
                "leave mean and std out, or set per_image to false",
            )
        if self.interpolation not in INTERPOLATIONS:
            raise RecipeError(
                f"preprocess.interpolation: there is no '{self.interpolation}'",
                did_you_mean(str(self.interpolation), INTERPOLATIONS),
            )
        self._check_features()

    def _check_features(self) -> None:
        if self.features is None or (isinstance(self.features, list | tuple) and not self.features):
            object.__setattr__(self, "features", None)
            return
        from ..features import Features  # few nets take any

        if not isinstance(self.features, Features):
            object.__setattr__(self, "features", Features.from_json(self.features))
        assert self.features is not None
        self.features.check_size(*self.size)
        for name, given, wanted in (("channels", self.channels, 1), ("per_image", self.per_image, False)):
            if given != wanted:
                shown = str(given).lower()
                raise RecipeError(
                    f"preprocess.{name} = {shown}: features are taken of plain grey images", "leave it out"
                )

    @property
    def input_channels(self) -> int:
        """Channels of the net's input: `channels`, or the length D of the features."""
        return self.channels if self.features is None else self.features.length

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the net's input: `size`, or (1, 1) for features."""
        return self.size if self.features is None else (1, 1)

    def __call__(self, images: Array | Sequence[Array]) -> npt.NDArray[np.float32]:
        """Return the net's input: contiguous float32 ``(N, c, h, w)``. Arguments and errors as `shape`."""
        done = self.normalise(self.scale(self.shape(images)))
        return np.ascontiguousarray(done, dtype=np.float32)

    def shape(self, images: Array | Sequence[Array]) -> Array:
        """Bring images to one size and number of channels, and take their features where there are such.

        Args:
            images: uint8 ``(N, H, W)`` or ``(N, H, W, 1 | 3)``, or a sequence of uint8 ``(H, W)`` or
                ``(H, W, 1 | 3)`` of any sizes. Three channels are RGB.

        Returns:
            uint8 ``(N, h, w, c)``. An array of this shape is taken for what this gave before: it comes back
            as it is, with all its detail. Grey ``(N, h, w)``: a view of it where there is no `detail`. With
            features float32 ``(N, 1, 1, D)``; what this gave before (of that shape) comes back as it is.

        Raises:
            DataError: Not uint8 (16-bit and float images have no agreed range), or of another shape.
        """
        if self.features is None:
            return self._pixels(images)
        vectors = (1, 1, self.features.length)
        if isinstance(images, np.ndarray) and images.dtype == np.float32 and images.shape[1:] == vectors:
            return images
        return self.features(self._pixels(images)[..., 0])[:, None, None, :]

    def _pixels(self, images: Array | Sequence[Array]) -> npt.NDArray[np.uint8]:
        """The images as uint8 ``(N, h, w, c)``; see `shape`."""
        if not isinstance(images, np.ndarray):
            out = np.empty((len(images), *self.size, self.channels), np.uint8)
            for i, image in enumerate(images):
                out[i] = self._one(_checked(np.asarray(image), 2, f"image {i}"))
            return out
        batch = _checked(images, 3, "images")
        # Plain grey pixels (N, H, W) are none that this made: they may still show too much.
        made = images.ndim == 4 or self.detail is None
        if made and batch.shape[1:3] == self.size and batch.shape[3] == self.channels:
            return batch
        out = np.empty((len(batch), *self.size, self.channels), np.uint8)
        for i, image in enumerate(batch):
            out[i] = self._one(image)
        return out

    def scale(self, pixels: Any) -> Any:
        """uint8 ``(N, h, w, c)`` -> float32 ``(N, c, h, w)`` in [0, 1], for a NumPy array or a torch tensor.

        Multiplies by float32(1/255), which all devices round alike (CUDA divides by a scalar that way in any
        case); 255 becomes exactly 1. With one channel no pixel is moved. Features, float32 ``(N, 1, 1, D)``,
        become ``(N, D, 1, 1)`` and keep their values.
        """
        n, h, w, c = pixels.shape
        if self.features is not None:
            return pixels.reshape(n, c, 1, 1)
        if isinstance(pixels, np.ndarray):
            moved = (
                pixels.reshape(n, 1, h, w) if c == 1 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
            )
            return np.multiply(moved, np.float32(1 / 255), dtype=np.float32)
        moved = pixels.reshape(n, 1, h, w) if c == 1 else pixels.permute(0, 3, 1, 2).contiguous()
        return moved.float() * float(np.float32(1 / 255))

    def normalise(self, x: Any) -> Any:
        """Standardise float32 ``(N, c, h, w)`` in [0, 1], array or tensor; same shape and type.

        ``(x - mean) * float32(1 / std)``, or per image (see the class). NumPy and torch give the same bits
        (per image: within 1e-6, for their sums differ in order).
        """
        if self.per_image:
            flat = x.reshape(len(x), -1)
            centred = flat - flat.mean(1, keepdims=True)
            # Twice, for the first mean is rounded to the size of x, not to that of the differences.
            centred = centred - centred.mean(1, keepdims=True)
            deviation = (centred * centred).mean(1, keepdims=True) ** 0.5
            floor = 1 / sqrt(self.channels * self.size[0] * self.size[1])
            return (centred / deviation.clip(floor, None)).reshape(x.shape)
        if not any(self.mean) and all(s == 1 for s in self.std):
            return x
        mean = np.asarray(self.mean, np.float32).reshape(1, -1, 1, 1)
        gain = (1 / np.asarray(self.std)).astype(np.float32).reshape(1, -1, 1, 1)
        if isinstance(x, np.ndarray):
            return (x - mean) * gain
        return (x - x.new_tensor(mean.tolist())) * x.new_tensor(gain.tolist())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with a schema version; `from_json` gives back an equal object."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _LATER}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
        more: dict[str, Any] = {} if self.features is None else {"features": self.features.to_json()}
        if self.detail is not None:
            more["detail"] = list(self.detail)
        return {"schema": SCHEMA, **plain, **more}

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> Preprocess:
        """Read what `to_json` wrote.

        Raises:
            RecipeError: Another schema version, an unknown or missing key, or a value out of range.
        """
        if card.get("schema") != SCHEMA:
            raise RecipeError(
                f"preprocess: schema {card.get('schema')!r}, but this version reads schema {SCHEMA}"
            )
        known = [f.name for f in fields(cls)]
        for key in card:
            if key not in (*known, "schema"):
                raise RecipeError(f"preprocess: unknown key '{key}'", did_you_mean(str(key), known))
        if missing := [k for k in known if k not in card and k not in _LATER]:
            raise RecipeError(f"preprocess: missing {', '.join(missing)}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v := card[k], list) else v for k in known if k in card
        }
        return cls(**values)

    def describe(self) -> str:
        """One sentence for a report or a model card."""
        colour = "grey" if self.channels == 1 else "RGB"
        if self.per_image:
            how = "each image standardised to mean 0 and deviation 1"
        elif not any(self.mean) and all(s == 1 for s in self.std):
            how = "pixels in [0, 1]"
        else:
            how = f"pixels in [0, 1], less {_row(self.mean)}, over {_row(self.std)}"
        if self.features is not None:
            plain = not any(self.mean) and self.std == (1.0,)
            scaled = "" if plain else f", less {_row(self.mean)}, over {_row(self.std)}"
            how = f"{self.features.describe()} in the pixels' place{scaled}"
        size = f"{self.size[0]}x{self.size[1]} {colour}"
        if self.detail is not None:
            size += f" enlarged from {self.detail[0]}x{self.detail[1]}"
        return f"{size}, {self.interpolation} interpolation, {how}."

    def _one(self, image: Array) -> Array:
        """One checked image ``(H, W, 1 | 3)`` -> ``(h, w, c)``. Grey first: less to resize."""
        if image.shape[2] == 3 and self.channels == 1:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        for size in (self.size,) if self.detail is None else (self.detail, self.size):
            if image.shape[:2] != size:
                shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
                area = self.interpolation == "area" or (self.interpolation == "auto" and shrinks)
                how = cv2.INTER_AREA if area else cv2.INTER_LINEAR
                image = cv2.resize(image, size[::-1], interpolation=how).reshape(*size, -1)
        return image  # one channel into three: repeated where it is written


def _numbers(name: str, value: Any, kind: type) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)) or any(isinstance(v, (bool, str)) for v in value):
        raise RecipeError(f"preprocess.{name} must be a list of numbers, not {value!r}")
    try:
        done = tuple(kind(v) for v in value)
    except (TypeError, ValueError, OverflowError):
        done = ()
    if not done or (kind is int and list(done) != list(value)):
        raise RecipeError(f"preprocess.{name} must be a list of numbers, not {value!r}")
    return done


def _checked(array: Array, ndim: int, what: str) -> npt.NDArray[np.uint8]:
    """Check dtype and shape; `ndim` is that of the grey form. Returns a view with a channel axis."""
    if array.dtype != np.uint8:
        raise DataError(
            f"{what}: pixels are {array.dtype}, not uint8",
            "convert them to 0..255 first: 16-bit and float images have no agreed range",
        )
    if array.ndim == ndim:
        array = array[..., None]
    if array.ndim != ndim + 1 or array.shape[-1] not in (1, 3) or 0 in array.shape[ndim - 2 : ndim]:
        form = "(N, H, W)" if ndim == 3 else "(H, W)"
        raise DataError(f"{what}: shape {array.shape} is neither grey {form} nor RGB {form[:-1]}, 3)")
    return array


def _row(values: tuple[float, ...]) -> str:
    unique = values[:1] if len(set(values)) == 1 else values
    return ", ".join(f"{v:g}" for v in unique)
