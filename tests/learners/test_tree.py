"""Trees as arrays: scikit-learn's leaves and shares, files that hold no tree, ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from duchenne.labels import Output
from duchenne.learners.tree import FIELDS, Tree, from_sklearn, pack_trees, smoothed_logit, stump, unpack_trees
from duchenne.learners.tree_export import export_trees


def fitted(seed: int = 0, n: int = 300, d: int = 9, **settings: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, d), dtype=np.float32)
    y = (x[:, 0] * x[:, 1] + 0.2 * rng.random(n) > 0.4) ^ (x[:, 2] > 0.9)
    return DecisionTreeClassifier(random_state=seed, **settings).fit(x, y), x, y


def walk(tree: Tree, row: np.ndarray) -> int:
    """The slow, obvious way down."""
    node = 0
    while tree.left[node] >= 0:
        below = float(row[tree.feature[node]]) <= float(tree.threshold[node])
        node = int(tree.left[node] if below else tree.right[node])
    return node


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    depth=st.one_of(st.none(), st.integers(1, 8)),
    leaf=st.integers(1, 30),
    weight=st.sampled_from([None, "balanced"]),
)
def test_same_leaves_and_shares_as_scikit_learn(
    seed: int, depth: int | None, leaf: int, weight: str | None
) -> None:
    model, x, _ = fitted(seed, max_depth=depth, min_samples_leaf=leaf, class_weight=weight)
    tree = from_sklearn(model)
    other = np.random.default_rng(seed + 1).random((200, x.shape[1]), dtype=np.float32)
    # On the thresholds themselves and on their float32 neighbours, where rounding would show.
    edges = np.repeat(tree.threshold[~tree.is_leaf][:60, None], x.shape[1], axis=1)
    for rows in (x, other, edges, np.nextafter(edges, np.float32(9)), np.nextafter(edges, np.float32(-9))):
        np.testing.assert_array_equal(tree.leaves(rows), model.apply(rows))
    np.testing.assert_array_equal(tree.leaves(x[:20]), [walk(tree, row) for row in x[:20]])
    # Take the smoothing back: total is what scikit-learn weighed in each leaf.
    total = model.tree_.weighted_n_node_samples[tree.leaves(other)]
    smooth = 1 / (1 + np.exp(-tree.answer(other).astype(np.float64)))
    share = (smooth * (total + 2) - 1) / total
    np.testing.assert_allclose(share, model.predict_proba(other)[:, 1], atol=1e-5)
    assert tree.levels.max() == model.get_depth()
    assert tree.is_leaf.sum() == model.get_n_leaves()
    np.testing.assert_array_equal(tree.samples, model.tree_.n_node_samples)


def test_smoothed_logit_by_hand() -> None:
    # 3 of 4 positives: (3 + 1) / (4 + 2) = 2/3, odds 2; none of 0: one half.
    np.testing.assert_allclose(smoothed_logit(np.array([3, 0, 8]), np.array([4, 0, 8])), np.log([2, 1, 9]))


def test_a_stump_answers_alike_for_all() -> None:
    tree = stump(1, 6, 6)
    x = np.zeros((3, 2), np.float32)
    np.testing.assert_allclose(tree.answer(x), np.log([2 / 6] * 3), rtol=1e-6)
    assert tree.leaves(x[:0]).shape == (0,)
    assert tree.levels.tolist() == [0]


def test_arrays_come_back_bit_for_bit() -> None:
    outputs = (Output("emotion", "single", ("a", "b")), Output("au", "multi", ("AU1",)))
    trees = {
        "emotion": [from_sklearn(fitted(1)[0]), stump(1, 3, 3)],
        "au": [from_sklearn(fitted(2, max_depth=2)[0])],
    }
    packed = pack_trees(trees, outputs)
    back = unpack_trees(packed, outputs, 9)
    for name, mine in trees.items():
        for one, other in zip(mine, back[name], strict=True):
            for field in FIELDS:
                np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    del packed["1.0.left"]
    with pytest.raises(ValueError, match="one tree a label"):
        unpack_trees(packed, outputs, 9)
    with pytest.raises(ValueError, match="tree of 'AU1': a tree has the fields"):
        unpack_trees({**packed, "9.9.left": trees["au"][0].left}, outputs, 9)


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        ("left", lambda v: np.where(v >= 0, 0, v), "not a node after it"),  # a circle
        ("right", lambda v: np.where(v >= 0, v + 10**6, v), "not a node after it"),
        ("right", lambda v: np.where(v < 0, 1, v), "not a node after it"),  # half a leaf
        ("feature", lambda v: np.where(v >= 0, 9, v), "not one of 9"),
        ("feature", lambda v: np.full_like(v, -1), "not one of 9"),
        ("threshold", lambda v: v * np.float32("nan"), "not finite"),
        ("logit", lambda v: v + np.float32("inf"), "not finite"),
        ("logit", lambda v: v.astype(np.float64), "float64"),
        ("samples", lambda v: v[:-1], "samples"),
    ],
)
def test_arrays_that_are_no_tree(field: str, change: Any, said: str) -> None:
    arrays = from_sklearn(fitted(3)[0]).to_arrays()
    arrays[field] = np.asarray(change(arrays[field])).astype(
        np.float64 if "float64" in said else arrays[field].dtype
    )
    with pytest.raises(ValueError, match=said):
        Tree.from_arrays(arrays, 9)


def test_onnx_gives_the_same_answers() -> None:
    import onnx
    import onnxruntime

    outputs = (Output("emotion", "single", ("a", "b", "c")), Output("au", "multi", ("AU1",)))
    trees = {
        "emotion": [from_sklearn(fitted(s, d=12, min_samples_leaf=3)[0]) for s in (1, 2)] + [stump(1, 9, 9)],
        "au": [from_sklearn(fitted(4, d=12)[0])],
    }
    content = export_trees(trees, outputs, 3, (2, 2))
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((500, 3, 2, 2), dtype=np.float32)
    flat = x.reshape(500, -1)
    flat[:100, :] = trees["emotion"][0].threshold[~trees["emotion"][0].is_leaf][0]
    for n in (500, 1):
        for output, got in zip(outputs, session.run(None, {"images": x[:n]}), strict=True):
            want = np.stack([t.answer(flat[:n]) for t in trees[output.name]], axis=1)
            np.testing.assert_allclose(got, want, atol=1e-5)
            np.testing.assert_array_equal(got > 0, want > 0)
