"""A FaceSet of arrays: what is filled in, and what does not fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from duchenne.datasets.arrays import from_arrays
from duchenne.errors import DataError
from duchenne.labels import Output

IMAGES = np.zeros((4, 8, 8), dtype=np.uint8)
AU = Output("au", "multi", ("AU1", "AU2"))


def test_names_become_codes() -> None:
    faces = from_arrays(IMAGES, ["sad", "happy", "sad", "happy"])
    assert faces.outputs[0].labels == ("happy", "sad")
    assert faces.hard("emotion").tolist() == [1, 0, 1, 0]
    assert faces.ids.tolist() == ["000000", "000001", "000002", "000003"]
    assert set(faces.split) == {"train"}
    ordered = from_arrays(IMAGES, ["sad", "happy", "sad", "happy"], outputs=("sad", "happy"))
    assert ordered.hard("emotion").tolist() == [0, 1, 0, 1]


def test_codes_votes_and_several_outputs() -> None:
    assert from_arrays(IMAGES, [0, 2, 1, -1]).outputs[0].labels == ("0", "1", "2")
    emotion = Output("emotion", "single", ("a", "b", "c"))
    votes = np.arange(12).reshape(4, 3)
    both = from_arrays(IMAGES, {"au": np.ones((4, 2)), "emotion": votes}, outputs=[emotion, AU])
    assert [o.name for o in both.outputs] == ["emotion", "au"]
    assert both.targets["emotion"].dtype == np.float32
    assert both.hard("emotion").tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": IMAGES.astype(np.float32)}, "images are float32, not uint8"),
        ({"images": IMAGES[..., None]}, "images of shape"),
        ({"targets": [0, 1]}, "2 rows for 4 images"),
        ({"targets": [0, 1, 2, 9], "outputs": ("a", "b", "c")}, "code outside -1..2"),
        ({"targets": [0, 1, 2, -2]}, "code outside"),
        ({"targets": [0.5, 1, 2, 0]}, "codes must be integers"),
        ({"targets": ["a", "b", "a", "x"], "outputs": ("a", "b")}, "unknown label 'x'"),
        ({"targets": np.ones((4, 3)), "outputs": AU}, "3 columns for 2 labels"),
        ({"targets": np.full((4, 2), 1.5), "outputs": AU}, "from 0 to 1"),
        ({"targets": np.full((4, 2), np.nan), "outputs": AU}, "must be finite"),
        ({"targets": [0, 1, 0, 1], "outputs": AU}, "multi-label output cannot have"),
        ({"targets": np.ones((4, 2))}, "need their labels named"),
        ({"ids": ["a", "b", "a", "c"]}, "id 'a' stands 2 times"),
        ({"ids": ["a", "b"]}, "rows for 2 faces"),
        ({"split": "trian"}, "no split 'trian'"),
        ({"sample_weight": np.ones(3)}, "sample_weight has 3 rows"),
        ({"targets": {"au": np.ones((4, 2))}, "outputs": [AU, Output("x", "single", ("a",))]}, "output 'x'"),
    ],
)
def test_what_does_not_fit(change: dict[str, Any], said: str) -> None:
    arguments: dict[str, Any] = {"images": IMAGES, "targets": [0, 1, 2, 0], **change}
    with pytest.raises(DataError, match=said):
        from_arrays(**arguments)
