"""A binary decision tree as plain arrays: taken from scikit-learn, walked with NumPy, kept without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels import Output
from .contract import Array

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

FIELDS = {"left": np.int32, "right": np.int32, "feature": np.int32, "threshold": np.float32,
          "logit": np.float32, "samples": np.int32}  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """Nodes as parallel arrays ``(M,)``; node 0 is the root and children come after their parent.

    Attributes:
        left, right: Child that a sample goes to where its feature is <= threshold, or above it; -1 at a leaf.
        feature: Which of the D inputs decides; -1 at a leaf.
        threshold: float32, so that an input of float32 compares alike here, in ONNX and in scikit-learn.
        logit: Log-odds of the node's share of positives (see `smoothed_logit`); a leaf's is the answer.
        samples: Training samples that reached the node.
    """

    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    logit: Floats
    samples: Ints

    @property
    def is_leaf(self) -> npt.NDArray[np.bool_]:
        """``(M,)``."""
        return self.left < 0

    @property
    def levels(self) -> Ints:
        """``(M,)`` int32: steps from the root."""
        level = np.zeros(len(self.left), np.int32)
        for node in np.flatnonzero(~self.is_leaf):  # parents come first
            level[self.left[node]] = level[self.right[node]] = level[node] + 1
        return level

    def leaves(self, x: Floats) -> Ints:
        """The leaf that each row of `x` ``(N, D)`` float32 ends in: ``(N,)`` int32."""
        node = np.zeros(len(x), np.int32)
        going = np.arange(len(x)) if self.left[0] >= 0 else np.empty(0, np.int64)
        while len(going):
            here = node[going]
            below = x[going, self.feature[here]] <= self.threshold[here]
            here = np.where(below, self.left[here], self.right[here])
            node[going] = here
            going = going[self.left[here] >= 0]
        return node

    def answer(self, x: Floats) -> Floats:
        """Log-odds ``(N,)`` float32 that each row of `x` ``(N, D)`` is a positive."""
        return self.logit[self.leaves(x)]

    def to_arrays(self) -> dict[str, Array]:
        """Field name -> array; `from_arrays` reads it."""
        return {name: getattr(self, name) for name in FIELDS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], num_features: int) -> Tree:
        """Check and take arrays of a file.

        Raises:
            ValueError: A field is missing, of another type or length, or the nodes are no tree over
                `num_features` inputs.
        """
        if set(arrays) != set(FIELDS):
            raise ValueError(f"a tree has the fields {', '.join(FIELDS)}, not {', '.join(sorted(arrays))}")
        tree = cls(**arrays)
        nodes = np.arange(tree.left.size)
        for name, dtype in FIELDS.items():
            value = arrays[name]
            if value.dtype != dtype or value.shape != nodes.shape or not len(nodes):
                raise ValueError(f"'{name}' is {value.dtype} {value.shape}")
        inner = ~tree.is_leaf
        # A child after its parent: no walk can go round in a circle.
        forward = all(((c > nodes) & (c < len(nodes)))[inner].all() for c in (tree.left, tree.right))
        if not forward or (tree.right >= 0)[~inner].any():
            raise ValueError("a node's child is not a node after it")
        if ((tree.feature < 0) | (tree.feature >= num_features))[inner].any():
            raise ValueError(f"a split looks at an input that is not one of {num_features}")
        if not np.isfinite(tree.logit).all() or not np.isfinite(tree.threshold).all():
            raise ValueError("a threshold or an answer is not finite")
        return tree


def smoothed_logit(positive: Array, total: Array) -> Floats:
    """Log-odds of a share of positives, smoothed: log((positive + 1) / (total - positive + 1)), float32.

    That is the logit of Laplace's (positive + 1) / (total + 2), finite for pure leaves and near 0 for leaves
    of few samples.

    Source: Provost & Domingos, "Tree induction for probability-based ranking", Machine Learning 52, 2003.
    """
    positive, total = np.asarray(positive, np.float64), np.asarray(total, np.float64)
    odds = (positive + 1) / (total - positive + 1)
    return np.asarray(np.log(odds), np.float32)


def stump(positive: float, total: float, samples: int) -> Tree:
    """A tree of one leaf, which answers the same for all."""
    none = np.full(1, -1, np.int32)
    logit = np.atleast_1d(smoothed_logit(np.asarray(positive), np.asarray(total)))
    return Tree(none, none, none, np.zeros(1, np.float32), logit, np.full(1, samples, np.int32))


def from_sklearn(fitted: Any) -> Tree:
    """The tree of a DecisionTreeClassifier fitted on float32 inputs and the classes False and True.

    Same leaves for all float32 inputs: a threshold is rounded down, and no float32 lies between the two.
    """
    inner, leaf = fitted.tree_, fitted.tree_.children_left < 0
    exact = np.where(leaf, 0.0, inner.threshold)
    threshold = exact.astype(np.float32)
    threshold = np.where(threshold > exact, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    total = inner.weighted_n_node_samples
    return Tree(
        left=inner.children_left.astype(np.int32),
        right=inner.children_right.astype(np.int32),
        feature=np.where(leaf, -1, inner.feature).astype(np.int32),
        threshold=threshold.astype(np.float32),
        # Since scikit-learn 1.3 a node's value holds shares, not sums.
        logit=smoothed_logit(inner.value[:, 0, 1] * total, total),
        samples=inner.n_node_samples.astype(np.int32),
    )


def pack_trees(trees: Mapping[str, list[Tree]], outputs: tuple[Output, ...]) -> dict[str, Array]:
    """Trees as named arrays of a checkpoint: ``"<output>.<label>.<field>"``, both as numbers."""
    return {
        f"{i}.{k}.{name}": value
        for i, output in enumerate(outputs)
        for k, tree in enumerate(trees[output.name])
        for name, value in tree.to_arrays().items()
    }


def unpack_trees(
    arrays: Mapping[str, Array], outputs: tuple[Output, ...], num_features: int
) -> dict[str, list[Tree]]:
    """What `pack_trees` made. Raises ValueError where it is not a tree a label."""
    if len(arrays) != len(FIELDS) * sum(o.num_classes for o in outputs):
        raise ValueError("it does not hold one tree a label")
    trees: dict[str, list[Tree]] = {}
    for i, output in enumerate(outputs):
        trees[output.name] = []
        for k, label in enumerate(output.labels):
            found = {f: arrays[f"{i}.{k}.{f}"] for f in FIELDS if f"{i}.{k}.{f}" in arrays}
            try:
                trees[output.name].append(Tree.from_arrays(found, num_features))
            except ValueError as error:
                raise ValueError(f"tree of '{label}': {error}") from None
    return trees
