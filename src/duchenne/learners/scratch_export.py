"""A net of the NumPy engine as ONNX nodes: Flatten, then Gemm and activation a layer, a Gemm an output."""

from __future__ import annotations

import numpy as np

from ..artifacts.artifact import INPUT
from ..labels import Output
from ..scratch import Net

# The oldest operator set that onnxruntime 1.18 and later reads without conversion.
OPSET = 18


def export_scratch(net: Net, outputs: tuple[Output, ...], channels: int, size: tuple[int, int]) -> bytes:
    """Return the net as ONNX, any number of images at a time.

    Args:
        net: A fitted net; dropout is left out, for it acts in training alone.
        outputs: The outputs, in the order of the net's heads.
        channels: Channels of the input.
        size: Height and width of the input in pixels.
    """
    from onnx import TensorProto, helper, numpy_helper

    parameters, nodes, constants = net.parameters(), [], []
    nodes.append(helper.make_node("Flatten", [INPUT], ["h0"], axis=1))
    depth = len(net.sizes) - 1
    for i in range(depth - 1):
        for kind in ("weight", "bias"):
            name = f"linear{i}.{kind}"
            constants.append(numpy_helper.from_array(np.ascontiguousarray(parameters[name]), name))
        nodes.append(helper.make_node("Gemm", [f"h{i}", f"linear{i}.weight", f"linear{i}.bias"], [f"z{i}"]))
        slope = getattr(net.activations[i], "slope", None)
        if slope is None:
            nodes.append(helper.make_node("Relu", [f"z{i}"], [f"h{i + 1}"]))
        else:
            nodes.append(helper.make_node("LeakyRelu", [f"z{i}"], [f"h{i + 1}"], alpha=float(slope)))
    column, last = 0, net.output_layer
    weight, bias = parameters[f"{last}.weight"], parameters[f"{last}.bias"]
    for output in outputs:
        columns = slice(column, column + output.num_classes)
        column += output.num_classes
        names = [f"{last}.{output.name}.{kind}" for kind in ("weight", "bias")]
        for name, array in zip(names, (weight[:, columns], bias[columns]), strict=True):
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        nodes.append(helper.make_node("Gemm", [f"h{depth - 1}", *names], [output.name]))
    graph = helper.make_graph(
        nodes,
        "scratch",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", channels, *size])],
        [helper.make_tensor_value_info(o.name, TensorProto.FLOAT, ["batch", o.num_classes]) for o in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content
