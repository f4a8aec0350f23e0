"""A net in 8 bits: static quantisation by onnxruntime, calibrated on training faces."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RunError
from .artifact import INPUT
from .runtime import runtime

# Kinds of node whose products are worth 8 bits.
_LAYERS = ("Conv", "Gemm", "MatMul")

# Faces per call while the ranges of the activations are taken; only memory depends on it.
_BLOCK = 64


def quantise(onnx_bytes: bytes, x: npt.NDArray[np.float32], keep: Sequence[str] | None = None) -> bytes:
    """Return the model with 8-bit weights (signed, a scale a channel) and activations (unsigned).

    Weights take 7 of their 8 bits: two products of a full signed and an unsigned byte overflow the 16-bit
    sums of x86 processors without VNNI, which then answer otherwise than others do.

    Args:
        onnx_bytes: A float32 model with the input "images".
        x: float32 ``(N, c, h, w)``: training faces, preprocessed as at prediction; the ranges of the
            activations are theirs.
        keep: Names of nodes that stay in float32; None: `ends`.

    Raises:
        RunError: The model has nothing that can be quantised.
        MissingExtraError: onnx is not installed.
    """
    import onnx

    runtime()  # before its parts
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model = onnx.load_model_from_string(onnx_bytes)
    nodes = model.graph.node
    for i, node in enumerate(nodes):
        node.name = node.name or f"node_{i}"
    keep = ends(model) if keep is None else keep
    if not any(n.op_type in _LAYERS and n.name not in keep for n in nodes):
        raise RunError("the model has no layer that int8 could make faster", "leave --int8 out")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        before.write_bytes(model.SerializeToString())
        quantize_static(
            str(before), str(after), _Faces(x),
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax, nodes_to_exclude=list(keep),
        )  # fmt: skip
        return after.read_bytes()


class _Faces:
    """What onnxruntime calls a calibration data reader."""

    def __init__(self, x: npt.NDArray[np.float32]) -> None:
        self._blocks = iter([x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK)])

    def get_next(self) -> dict[str, Any] | None:
        block = next(self._blocks, None)
        return None if block is None else {INPUT: np.ascontiguousarray(block)}


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs advice on options, on the root logger; none of it concerns the user."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


def ends(model: Any) -> list[str]:
    """Names of the first convolution and of the layers that give the outputs: few sums, and the most to lose.

    The first layer of a net without convolutions is not named: it is the largest there.
    """
    graph = model.graph
    outputs = {o.name for o in graph.output}
    found = [n.name for n in graph.node if n.output[0] in outputs]
    first = next((n.name for n in graph.node if n.op_type == "Conv" and INPUT in n.input), None)
    return [*([first] if first is not None else []), *found]
