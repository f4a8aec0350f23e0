"""Any image net of the transformers library as a body, with our heads on its pooled features."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import torch
from torch import nn

from ..errors import RecipeError
from .bodies import Config, config_to_json, make_body, read_config
from .frozen import train_only
from .heads import make_heads
from .keras_init import keras_init

# A side at which the stride of a body is measured: all published ones divide it.
_PROBE = 256
# Sides tried where a body refuses the input, to say what it takes.
_SIDES = range(32, 513, 32)

_STEMS = (1, 2, 4)


class Backbone(nn.Module):
    """A body that is named, global average pooling, and heads.

    Args:
        in_channels: 1 or 3.
        size: Height and width of the input in pixels.
        outputs: Output name -> number of labels.
        name: A key of `bodies.FAMILIES` ("resnet-50"), a folder that holds config.json and model.safetensors,
            or the hub's "owner/name".
        pretrained: Take the weights that lie there; false: random ones, of the same configuration.
        frozen: The body is not trained and always in evaluation mode (its dropout and batch norms too); its
            pooled features can then be computed once.
        grey: How a body for RGB takes one channel: "repeat" it three times, or "sum" the first convolution's
            kernels over RGB. Both give the same answers; "sum" spares work.
        head: A key of `heads.HEADS`.
        stem_stride: Of a ResNet's first convolution and max pool together: 4 as published; 2: the convolution
            has stride 1; 1: the pool is gone too. For small images.
        init: How a body without pretrained weights begins: as the "library" draws it, or as "keras" does.
        config: Configuration as JSON, read in the place of the name's: what a checkpoint keeps, so that it
            can be loaded where the folder or the hub is not.

    Raises:
        RecipeError: An argument is out of range, the name is not to be had, or the input is too small.
        MissingExtraError: transformers is not installed.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        outputs: Mapping[str, int],
        *,
        name: str = "resnet-18",
        pretrained: bool = False,
        frozen: bool = False,
        grey: Literal["repeat", "sum"] = "repeat",
        head: str = "linear",
        stem_stride: int = 4,
        init: Literal["library", "keras"] = "library",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        _check(name, pretrained, frozen, grey, stem_stride, init)
        settings = read_config(name, pretrained, config)
        features, unused = _tried(name, settings, size, stem_stride)
        self.body = make_body(name, settings, pretrained)
        if init == "keras":
            keras_init(self.body)
        for parameter in unused:
            # Several processes would wait for ever for its gradient.
            self.body.get_parameter(parameter).requires_grad_(False)
        _set_stem(name, self.body, stem_stride)
        self.repeats = in_channels == 1 and grey == "repeat"
        if in_channels == 1 and grey == "sum":
            _sum_first_kernels(name, self.body)
        self.frozen = frozen
        self.head = make_heads(head, features, outputs)
        # What makes this net again, whatever has become of the folder or the hub.
        self.lasting_args: dict[str, Any] = {
            "name": name, "pretrained": False, "frozen": frozen, "grey": grey, "head": head,
            "stem_stride": stem_stride, "config": config_to_json(settings),
        }  # fmt: skip
        if frozen:
            train_only(self, [self.head])
            self.body.eval()

    def train(self, mode: bool = True) -> Backbone:
        """As torch's; a frozen body stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images ``(N, C, H, W)`` float to pooled features ``(N, F)``."""
        if self.repeats:
            x = x.expand(-1, 3, -1, -1)
        return _pooled(self.body, x)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map images ``(N, C, H, W)``, or pooled features ``(N, F)``, to logits ``{output: (N, K)}``."""
        logits: dict[str, torch.Tensor] = self.head(x if x.ndim == 2 else self.features(x))
        return logits


def _check(name: str, pretrained: bool, frozen: bool, grey: str, stem_stride: int, init: str) -> None:
    if not isinstance(name, str) or not name:
        raise RecipeError(f"learner.args.name = {name!r}: must be a name, a folder or the hub's owner/name")
    for field, value in (("pretrained", pretrained), ("frozen", frozen)):
        if not isinstance(value, bool):
            raise RecipeError(f"learner.args.{field} = {value!r}: must be true or false")
    if grey not in ("repeat", "sum"):
        raise RecipeError(f"learner.args.grey = {grey!r}: must be 'repeat' or 'sum'")
    if init not in ("library", "keras"):
        raise RecipeError(f"learner.args.init = {init!r}: must be 'library' or 'keras'")
    if init == "keras" and pretrained:
        raise RecipeError(
            "learner.args.init = 'keras': pretrained weights are not drawn", "leave one of both out"
        )
    if stem_stride not in _STEMS:
        raise RecipeError(f"learner.args.stem_stride = {stem_stride!r}: must be 4, 2 or 1")


def _pooled(body: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Mean over the last maps' places, or over the tokens of a transformer."""
    last = _last(body, x)
    return last.mean((2, 3)) if last.ndim == 4 else last.mean(1)


def _last(body: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The last maps ``(N, F, h, w)`` or tokens ``(N, T, F)``."""
    found = body(x)
    # Some families (HGNet-V2) have no body in the library but one that gives the maps of its stages.
    last: torch.Tensor = found.feature_maps[-1] if hasattr(found, "feature_maps") else found.last_hidden_state
    return last


def _tried(name: str, config: Config, size: tuple[int, int], stem_stride: int) -> tuple[int, tuple[str, ...]]:
    """Length of the pooled features, and the body's parameters that they do not depend on.

    Found on a twin without memory. A transformer's own pooling layer, mask tokens and last norms of some nets
    are such parameters: our pooling takes their place.

    Raises:
        RecipeError: The body does not take images of that size.
    """
    twin = _twin(name, config, stem_stride)
    stride = _stride(twin)
    if min(size) < stride:
        raise RecipeError(
            f"preprocess.size = {list(size)} is smaller than the stride of backbone '{name}', {stride}",
            f"set preprocess.size to {stride} or more a side",
        )
    try:
        with torch.enable_grad():
            pooled = _pooled(twin, torch.zeros(1, 3, *size, device="meta"))
            pooled.sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # the library's bodies check their input each in their own way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        why, todo = _taken(_twin(name, config, stem_stride), max(size))
        raise RecipeError(
            f"learner.args.name = '{name}': this body takes no RGB image of {size[0]}x{size[1]}{why}: "
            + reason,
            todo,
        ) from None
    return pooled.shape[1], tuple(n for n, p in twin.named_parameters() if p.grad is None)


def _twin(name: str, config: Config, stem_stride: int) -> nn.Module:
    """The body without memory."""
    with torch.device("meta"):
        twin = make_body(name, config, pretrained=False).eval()
    _set_stem(name, twin, stem_stride)
    return twin


def _stride(twin: nn.Module) -> int:
    """Pixels of the input a side to one place of the last maps; 1 where the body is not convolutional."""
    try:
        with torch.no_grad():
            last = _last(twin, torch.zeros(1, 3, _PROBE, _PROBE, device="meta"))
    except Exception:  # made for one size only: the size itself is tried next
        return 1
    return _PROBE // last.shape[2] if last.ndim == 4 else 1


def _taken(twin: nn.Module, wanted: int) -> tuple[str, str]:
    """Why an input was refused, and what to do, by the squares that the body does take."""
    own = getattr(twin.config, "image_size", None)
    sides = sorted({*_SIDES, *([own] if isinstance(own, int) else [])})
    good: list[int] = []
    for side in reversed(sides):  # Swin's windows shrink with an input that is too small, and stay so
        with suppress(Exception), torch.no_grad():
            _pooled(twin, torch.zeros(1, 3, side, side, device="meta"))
            good.insert(0, side)
    if not good:
        return "", "choose an image net"
    side = next((s for s in good if s >= wanted), good[-1])
    from_on = good == [s for s in sides if s >= good[0]]
    told = f"those of {good[0]} or more a side" if from_on else "those of " + ", ".join(map(str, good))
    return (
        " (too small for it, or no multiple of its stride)",
        f"set preprocess.size = [{side}, {side}]; of the squares tried it takes {told}",
    )


def _set_stem(name: str, body: Any, stem_stride: int) -> None:
    if stem_stride == 4:
        return
    stem = getattr(body, "embedder", None)
    if body.config.model_type != "resnet" or stem is None:
        raise RecipeError(
            f"learner.args.stem_stride = {stem_stride}: backbone '{name}' is no ResNet", "leave it out"
        )
    stem.embedder.convolution.stride = (1, 1)
    if stem_stride == 1:
        stem.pooler = nn.Identity()


def _sum_first_kernels(name: str, body: nn.Module) -> None:
    """Make an RGB body take grey: the answers to three equal channels, by one."""
    first = next((m for m in body.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or first.groups != 1:
        raise RecipeError(
            f"learner.args.grey = 'sum': backbone '{name}' does not begin with a convolution of RGB",
            "use 'repeat'",
        )
    first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
    first.in_channels = 1
    for module in body.modules():  # what the library holds its input against
        if getattr(module, "num_channels", None) == 3:
            vars(module)["num_channels"] = 1
