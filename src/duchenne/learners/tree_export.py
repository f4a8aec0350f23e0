"""One-vs-rest trees as ONNX: Flatten, then one TreeEnsembleRegressor an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..artifacts.artifact import INPUT
from ..labels import Output
from .tree import Tree

# As for the engine's nets: what onnxruntime 1.18 and later reads. TreeEnsembleRegressor of ai.onnx.ml 3 takes
# and gives float32; version 5 renames it.
OPSET = 18
ML_OPSET = 3


def export_trees(
    trees: Mapping[str, Sequence[Tree]], outputs: tuple[Output, ...], channels: int, size: tuple[int, int]
) -> bytes:
    """Return trees as ONNX, any number of images at a time.

    Args:
        trees: Output name -> a tree a label.
        outputs: What is answered, in order.
        channels: Channels of the input.
        size: Height and width of the input in pixels.
    """
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Flatten", [INPUT], ["pixels"], axis=1)]
    for output in outputs:
        nodes.append(
            helper.make_node(
                "TreeEnsembleRegressor",
                ["pixels"],
                [output.name],
                domain="ai.onnx.ml",
                n_targets=output.num_classes,
                aggregate_function="SUM",
                post_transform="NONE",
                **_attributes(trees[output.name]),
            )
        )
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", channels, *size])],
        [helper.make_tensor_value_info(o.name, TensorProto.FLOAT, ["batch", o.num_classes]) for o in outputs],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def _attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    """The node's lists: all nodes of all trees; tree k adds to target k alone."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes",
            "nodes_truenodeids", "nodes_falsenodeids", "target_treeids", "target_nodeids", "target_ids",
            "target_weights",
        )
    }  # fmt: skip
    for k, tree in enumerate(trees):
        m, leaves = len(tree.left), np.flatnonzero(tree.is_leaf)
        columns["nodes_treeids"] += [k] * m
        columns["nodes_nodeids"] += range(m)
        columns["nodes_featureids"] += np.maximum(tree.feature, 0).tolist()
        columns["nodes_values"] += tree.threshold.tolist()
        columns["nodes_modes"] += ["LEAF" if leaf else "BRANCH_LEQ" for leaf in tree.is_leaf]
        columns["nodes_truenodeids"] += np.maximum(tree.left, 0).tolist()
        columns["nodes_falsenodeids"] += np.maximum(tree.right, 0).tolist()
        columns["target_treeids"] += [k] * len(leaves)
        columns["target_nodeids"] += leaves.tolist()
        columns["target_ids"] += [k] * len(leaves)
        columns["target_weights"] += tree.logit[leaves].tolist()
    return columns
