"""Published MobileNet v1 weights, from a quantised TFLite file's arrays to a folder that `Backbone` reads.

``python -m duchenne.models.mobilenet_weights NPZ FOLDER`` writes ``config.json`` and ``model.safetensors``;
then ``--set learner.args.name=FOLDER --set learner.args.pretrained=true``.

The arrays, of the 27 convolutions NN = 00 to 26 in the net's order:

=========================  ==================================================================================
``NN_conv_2d_w``           ``(out, h, w, in)`` uint8; NN = 00 and the even ones (1x1)
``NN_depthwise_conv_2d_w`` ``(1, 3, 3, channels)`` uint8; the odd ones
``NN_scale``, ``NN_zp``    ``(1,)`` each: weight = (w - zp) * scale
``NN_bias``                ``(out,)`` float32
=========================  ==================================================================================

Batch norms are folded in, so each norm of the folder's net is 1 to 1, with the bias as its shift: right for a
frozen body (and for evaluation), but a body that is trained further begins with norms that know nothing of
its activations. The classifier of 1,001 classes is not among the arrays. The input is RGB in [-1, 1]
(``preprocess.mean = std = 0.5``), padded as TensorFlow's "SAME" does.

Source: Howard et al. 2017, Table 1; the quantisation scheme, Jacob et al. 2018, equation 1.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import DataError, DuchenneError
from .bodies import make_body, quiet, read_config

Array = npt.NDArray[Any]

CONVOLUTIONS = 27  # Howard et al. 2017, Table 1: the stem, 13 depthwise and 13 pointwise ones
FIRST_FILTERS = 32  # of the stem at width 1
_WIDTHS = (0.25, 0.5, 0.75, 1.0)  # the published ones
_FILE_LIMIT = 64 << 20  # bytes, unpacked; all arrays at width 1 take 3.3 MB


def body_of(arrays: Mapping[str, Array]) -> Any:
    """The library's MobileNet v1 with given weights, in evaluation mode.

    Args:
        arrays: As the head of this file says.

    Raises:
        DataError: An array is missing, or of another shape or kind; the message names it.
        MissingExtraError: transformers is not installed.
    """
    first = _array(arrays, "00_conv_2d_w")
    width = len(first) / FIRST_FILTERS if first.ndim else 0
    if width not in _WIDTHS:
        raise DataError(
            f"00_conv_2d_w has shape {first.shape}: the first convolution has 8, 16, 24 or 32 filters",
            "these are not the weights of a MobileNet v1",
        )
    config = read_config("mobilenet-v1", False)
    config.depth_multiplier = width
    body: Any = make_body("mobilenet-v1", config, pretrained=False)
    for i, layer in enumerate([body.conv_stem, *body.layer]):
        weight, bias = _convolution(arrays, i, tuple(layer.convolution.weight.shape))
        norm = layer.normalization
        with torch.no_grad():
            layer.convolution.weight.copy_(torch.from_numpy(weight))
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)  # the norm divides by sqrt(var + eps): by 1
            norm.weight.fill_(1)
            norm.bias.copy_(torch.from_numpy(bias))
    return body.eval()


def convert(source: Path, folder: Path) -> None:
    """Write the folder that `Backbone` takes as ``name``.

    Args:
        source: The ``.npz`` file; nothing in it is unpickled.
        folder: Made where it is not there.

    Raises:
        DataError: The file cannot be read, or holds something else; the folder holds a net already.
        MissingExtraError: transformers is not installed.
    """
    for name in ("config.json", "model.safetensors"):
        if (folder / name).exists():
            raise DataError(f"{folder / name} is there already", "name another folder")
    body = body_of(_read(source))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            body.save_pretrained(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error}", "name another folder") from None


def _read(source: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(source) as file:
            size = sum(entry.file_size for entry in file.infolist())
        if size > _FILE_LIMIT:
            raise DataError(f"{source} unpacks to {size:,} bytes", "are these a MobileNet's weights?")
        with np.load(source, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{source} cannot be read: {error}", "name the .npz file with the weights") from None


def _convolution(arrays: Mapping[str, Array], i: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Weight in torch's layout ``(out, in / groups, h, w)`` and bias ``(out,)``, float32."""
    depthwise = i % 2 == 1
    name = f"{i:02d}_{'depthwise_' if depthwise else ''}conv_2d_w"
    out, per_group, height, width = shape
    stored = (1, height, width, out) if depthwise else (out, height, width, per_group)
    coded = _array(arrays, name, stored)
    if coded.dtype.kind not in "ui":
        raise DataError(f"{name} is {coded.dtype}, not whole numbers", "these are not quantised weights")
    scale, zero = (_array(arrays, f"{i:02d}_{what}", (1,)) for what in ("scale", "zp"))
    bias = _array(arrays, f"{i:02d}_bias", (out,))
    if not all(np.isfinite(a).all() for a in (scale, zero, bias)) or scale[0] <= 0:
        raise DataError(f"{i:02d}_scale, _zp or _bias is not finite, or the scale is not above 0")
    weight = (coded.astype(np.int64) - int(zero[0])).astype(np.float32) * np.float32(scale[0])
    axes = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    return np.ascontiguousarray(weight.transpose(axes)), bias.astype(np.float32)


def _array(arrays: Mapping[str, Array], name: str, shape: tuple[int, ...] | None = None) -> Array:
    if name not in arrays:
        raise DataError(
            f"there is no array '{name}' among the weights",
            f"{CONVOLUTIONS} convolutions are needed, each with its weights, scale, zp and bias",
        )
    found = arrays[name]
    if shape is not None and found.shape != shape:
        raise DataError(f"{name} has shape {found.shape}, not {shape}", "is this another net, or layout?")
    if found.dtype.kind not in "uif":
        raise DataError(f"{name} is {found.dtype}, not numbers")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert as the command line says; 2 where that fails."""
    parser = argparse.ArgumentParser(
        prog="python -m duchenne.models.mobilenet_weights",
        description="Convert MobileNet v1 weights into a folder for learner.args.name.",
    )
    parser.add_argument("npz", type=Path, metavar="NPZ", help="the arrays of the quantised net")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the net is written")
    given = parser.parse_args(arguments)
    try:
        convert(given.npz, given.folder)
    except DuchenneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"{given.folder}: config.json, model.safetensors; no classifier (the file has none).\n"
        f"Use it: --set learner.args.name={given.folder}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
