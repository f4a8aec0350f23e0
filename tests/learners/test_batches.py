"""Source and its batches: shards partition a batch, weights and counts, images decoded when asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import DataError
from duchenne.labels import Output
from duchenne.learners import pixels as module
from duchenne.learners.batches import Source, batches, make_targets
from duchenne.transforms import Preprocess

PRE = Preprocess(size=(12, 12))
AU = Output("au", "multi", ("AU1", "AU12"))
VOTED = Output("emotion", "single", ("a", "b", "c"))


@given(st.integers(1, 60), st.integers(1, 20))
def test_batches_cut_an_order_into_pieces(n: int, size: int) -> None:
    order = np.random.default_rng(n).permutation(n)
    pieces = list(batches(order, size))
    np.testing.assert_array_equal(np.concatenate(pieces), order)
    assert all(len(p) == size for p in pieces[:-1])
    assert 1 <= len(pieces[-1]) <= size
    assert len(pieces) == -(-n // size)


@given(st.integers(1, 12), st.integers(1, 5))
def test_shards_partition_a_batch(n: int, world: int) -> None:
    faces = from_arrays(np.zeros((20, 12, 12), np.uint8), np.arange(20) % 2)
    source = Source(faces, PRE)
    whole = np.random.default_rng(n).permutation(20)[:n]
    shards = [source.batch(whole, rank, world) for rank in range(world)]
    used = [int(i) for b in shards for i, w in zip(b.index, b.weight, strict=True) if w > 0]
    assert sorted(used) == sorted(whole.tolist())
    for b in shards:
        assert len(b.index) >= 1  # every process steps
        assert b.counts == {"emotion": n}
        assert b.images.shape == (len(b.index), 12, 12, 1)
        assert b.targets["emotion"].values.tolist() == (b.index % 2).tolist()


def test_an_empty_shard_is_one_sample_of_weight_zero(make_faces: Callable[..., FaceSet]) -> None:
    source = Source(make_faces(), PRE)
    padded = source.batch(np.array([5]), rank=1, world=2)
    assert padded.index.tolist() == [5]
    assert padded.weight.tolist() == [0.0]
    assert source.batch(np.array([5]), rank=0, world=2).weight.tolist() == [1.0]


def test_pixels_are_the_preprocess_of_the_faces(make_faces: Callable[..., FaceSet]) -> None:
    faces = make_faces()
    for size, channels in (((12, 12), 1), ((12, 12), 3), ((7, 9), 1)):
        pre = Preprocess(size=size, channels=channels)
        batch = Source(faces, pre).batch(np.array([3, 0, 8]))
        assert batch.images.dtype == torch.uint8
        np.testing.assert_array_equal(batch.images, pre.shape(faces.pixels([3, 0, 8])))


class Files:
    """Images of different sizes that count how often they are decoded."""

    def __init__(self, n: int) -> None:
        self.decoded: list[int] = []
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int, /) -> Any:
        self.decoded.append(index)
        return np.full((10 + index, 20), index * 10, np.uint8)


def test_images_decoded_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(6)
    faces = from_arrays(files, np.arange(6) % 2).select([5, 0, 1, 2])
    kept = Source(faces, PRE)
    assert sorted(files.decoded) == [0, 1, 2, 5]  # once, in the net's shape
    assert kept.batch(np.array([0, 3])).images.float().mean((1, 2, 3)).tolist() == [50, 20]
    assert len(files.decoded) == 4
    monkeypatch.setattr(module, "SHAPED_LIMIT", 100)  # too large to keep: again for every batch
    files.decoded.clear()
    lazy = Source(faces, PRE)
    assert files.decoded == []
    assert lazy.batch(np.array([0, 3])).images.float().mean((1, 2, 3)).tolist() == [50, 20]
    assert files.decoded == [5, 2]


def test_targets_of_votes_and_of_several_labels() -> None:
    faces = from_arrays(
        np.zeros((3, 12, 12), np.uint8),
        {
            "emotion": np.array([[2, 1, 1], [0, 0, 0], [0, 0, 5]], np.float32),
            "au": np.array([[1.0, 0.0], [0.5, 1.0], [1.0, 1.0]], np.float32),
        },
        outputs=(VOTED, AU),
        masks={"au": np.array([[True, True], [False, True], [False, False]])},
    )
    targets = make_targets(faces)
    assert targets["emotion"].values.tolist() == [[0.5, 0.25, 0.25], [0, 0, 0], [0, 0, 1]]
    assert targets["emotion"].mask.tolist() == [1, 0, 1]
    assert targets["au"].values.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert targets["au"].mask.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert Source(faces, PRE).batch(np.arange(3)).counts == {"emotion": 2, "au": 2}


def test_a_code_without_a_label_is_refused(make_faces: Callable[..., FaceSet]) -> None:
    faces = make_faces()
    faces.targets["emotion"][4] = 3
    with pytest.raises(DataError, match="code 3 of 'emotion' has no label"):
        Source(faces, PRE)


def test_weights_of_set_and_argument_multiply(make_faces: Callable[..., FaceSet]) -> None:
    own = np.linspace(0.5, 2, 37)
    faces = make_faces(sample_weight=own)
    source = Source(faces, PRE, np.full(37, 3.0))
    batch = source.batch(np.array([0, 36, 7]))
    np.testing.assert_allclose(batch.weight, 3 * own[[0, 36, 7]], rtol=1e-6)
    # Divided by the number of samples times the mean weight: the scale of the weights does not matter.
    assert batch.counts["emotion"] == pytest.approx(3 * 3 * own.mean())


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_cannot_be(make_faces: Callable[..., FaceSet], bad: float) -> None:
    for weight in (np.r_[bad, np.ones(36)], np.zeros(37)):
        with pytest.raises(DataError, match="sample weights"):
            Source(make_faces(), PRE, weight)
