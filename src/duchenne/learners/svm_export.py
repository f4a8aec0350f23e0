"""A support vector machine as ONNX nodes: the kernel, a product a step, and the votes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..artifacts.artifact import INPUT
from .svm import NEVER, SHARPNESS, PairwiseSVM, ballots

# As for the engine's nets: what onnxruntime 1.18 and later reads.
OPSET = 18


def export_svm(svm: PairwiseSVM, output: str, channels: int, size: tuple[int, int]) -> bytes:
    """Return the machine as ONNX, any number of images at a time; it computes in float64, as `svm` does.

    Args:
        svm: A fitted machine.
        output: Name of the output.
        channels: Channels of the input.
        size: Height and width of the input in pixels.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, inputs: list[str], result: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [result], **attributes))
        return result

    flat = node("Flatten", [INPUT], "flat", axis=1)
    x = node("Cast", [flat], "x", to=TensorProto.DOUBLE)
    if svm.kernel == "rbf":
        x = _rbf(svm, x, node, constant)
    products = node("MatMul", [x, constant("weights", svm.weights)], "products")
    decisions = node("Add", [products, constant("intercepts", svm.intercepts)], "decisions")
    sharp = node("Mul", [decisions, constant("sharpness", np.array(SHARPNESS / 2))], "sharp")
    cast = node("Tanh", [sharp], "votes")
    # Classes without a training face have no ballot, and NEVER as their logit.
    ballot = np.zeros((len(svm.intercepts), svm.num_classes))
    ballot[:, svm.classes] = ballots(len(svm.classes)) / (2 * svm.temperature)
    base = np.full(svm.num_classes, NEVER)
    base[svm.classes] = 0
    counted = node("MatMul", [cast, constant("ballots", ballot)], "counted")
    total = node("Add", [counted, constant("base", base)], "total")
    node("Cast", [total], output, to=TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "svm",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", channels, *size])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", svm.num_classes])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def _rbf(svm: PairwiseSVM, x: str, node: Any, constant: Any) -> str:
    """exp(-gamma |x - s|^2) by the support vectors s; they stay float32 in the file, as they were given."""
    from onnx import TensorProto

    support = node("Cast", [constant("support", svm.support)], "support64", to=TensorProto.DOUBLE)
    turned = node("Transpose", [support], "turned", perm=[1, 0])
    doubles = svm.support.astype(np.float64)
    lengths = constant("lengths", np.einsum("md,md->m", doubles, doubles)[None])
    own = node("ReduceSumSquare", [x, constant("axes", np.array([1], np.int64))], "own", keepdims=1)
    both = node("Add", [own, lengths], "both")
    dots = node("MatMul", [x, turned], "dots")
    twice = node("Mul", [dots, constant("two", np.array(2.0))], "twice")
    squared = node("Sub", [both, twice], "squared")
    positive = node("Max", [squared, constant("zero", np.array(0.0))], "positive")
    scaled = node("Mul", [positive, constant("minus_gamma", np.array(-svm.gamma))], "scaled")
    result: str = node("Exp", [scaled], "kernel")
    return result
