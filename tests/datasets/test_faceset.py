"""FaceSet: selection keeps rows together, counts are right, the fingerprint sees every change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.faceset import FaceSet
from duchenne.errors import DataError
from duchenne.labels import Output

N = 12
EMOTION = Output("emotion", "single", ("a", "b", "c"))
AU = Output("au", "multi", ("AU1", "AU2"))


def make() -> FaceSet:
    rng = np.random.default_rng(0)
    return from_arrays(
        rng.integers(0, 256, (N, 8, 8)).astype(np.uint8),
        {"emotion": np.arange(N) % 3, "au": rng.random((N, 2))},
        outputs=[EMOTION, AU],
        split=np.repeat(["train", "val", "test"], 4),
        part=np.repeat(["A", "B", ""], 4),
        masks={"au": rng.random((N, 2)) < 0.7},
        sample_weight=np.arange(N),
        subject=np.arange(N) // 2,
        group={"age": np.arange(N) % 2},
    )


@given(st.lists(st.integers(0, N - 1), max_size=20))
def test_select_keeps_every_column_together(which: list[int]) -> None:
    faces = make()
    chosen = faces.select(np.array(which, dtype=np.int64))
    assert len(chosen) == len(which)
    for at, i in enumerate(which):
        np.testing.assert_array_equal(chosen.image(at), faces.image(i))
        assert chosen.ids[at] == faces.ids[i]
        assert chosen.split[at] == faces.split[i]
        assert chosen.part[at] == faces.part[i]
        assert chosen.targets["emotion"][at] == faces.targets["emotion"][i]
        np.testing.assert_array_equal(chosen.targets["au"][at], faces.targets["au"][i])
        np.testing.assert_array_equal(chosen.masks["au"][at], faces.masks["au"][i])
        assert chosen.sample_weight is not None
        assert chosen.sample_weight[at] == i
        assert chosen.subject is not None
        assert chosen.subject[at] == str(i // 2)
        assert chosen.group["age"][at] == str(i % 2)


def test_select_by_mask_and_twice() -> None:
    faces = make()
    mask = np.arange(N) % 2 == 0
    assert faces.select(mask).ids.tolist() == faces.ids[mask].tolist()
    assert faces.select(mask).select([1, 0]).ids.tolist() == ["000002", "000000"]
    assert faces.select(mask).images is faces.images


def test_where_and_unknown_names() -> None:
    faces = make()
    assert faces.where("val").ids.tolist() == faces.ids[4:8].tolist()
    with pytest.raises(DataError, match="did you mean 'train'"):
        faces.where("tran")
    with pytest.raises(DataError, match="did you mean 'emotion'"):
        faces.output("emotoin")
    assert [o.name for o in faces.keep_outputs(["au"]).outputs] == ["au"]
    assert list(faces.keep_outputs(["emotion"]).masks) == []


def test_counts() -> None:
    faces = make()
    assert faces.class_counts("emotion") == {"a": 4, "b": 4, "c": 4}
    expected = [
        sum(bool(faces.targets["au"][i, j] >= 0.5 and faces.masks["au"][i, j]) for i in range(N))
        for j in (0, 1)
    ]
    assert list(faces.class_counts("au").values()) == expected
    unknown = replace(faces, targets={**faces.targets, "emotion": np.full(N, -1)})
    assert unknown.class_counts("emotion") == {"a": 0, "b": 0, "c": 0}
    about = faces.describe()
    assert about["n"] == N
    assert about["splits"] == {"train": 4, "val": 4, "test": 4}
    assert about["parts"] == {"A": 4, "B": 4}
    assert about["subjects"] == 6
    assert about["groups"] == {"age": ["0", "1"]}


def test_pixels() -> None:
    faces = make()
    np.testing.assert_array_equal(faces.pixels(), faces.images)
    np.testing.assert_array_equal(faces.select([3, 1]).pixels([1]), faces.images[[1]])  # type: ignore[index]
    ragged = from_arrays([np.zeros((8, 8), np.uint8), np.zeros((9, 9, 3), np.uint8)], [0, 1])
    assert [p.shape for p in ragged.pixels()] == [(8, 8), (9, 9, 3)]


def test_fingerprint_sees_every_change() -> None:
    faces = make()
    first = faces.fingerprint()
    assert first == make().fingerprint()
    assert len(first) == 16
    assert isinstance(faces.images, np.ndarray)
    pixels = faces.images.copy()
    pixels[5, 3, 3] ^= 1
    codes = faces.targets["emotion"].copy()
    codes[0] = 2
    changed = [
        replace(faces, images=pixels),
        replace(faces, targets={**faces.targets, "emotion": codes}),
        replace(faces, ids=np.roll(faces.ids, 1)),
        replace(faces, split=np.roll(faces.split, 1)),
        faces.select(np.arange(N)[::-1]),
        faces.select(np.arange(N - 1)),
        faces.keep_outputs(["emotion"]),
    ]
    assert len({first, *(f.fingerprint() for f in changed)}) == 8
    seen: list[int] = []
    faces.fingerprint(seen.append)
    assert seen == [N]


FOUR = ("a", "b", "c", "d")


@given(
    st.lists(st.integers(-1, 3), min_size=1, max_size=20),
    st.lists(st.sampled_from(FOUR), unique=True, max_size=2),
    st.booleans(),
)
def test_left_out_labels_against_a_slow_way(codes: list[int], without: list[str], votes: bool) -> None:
    n = len(codes)
    if votes:
        rng = np.random.default_rng(n)
        target = np.where(np.array(codes)[:, None] < 0, 0, rng.random((n, 4))).astype(np.float32)
    else:
        target = np.array(codes)
    faces = from_arrays(np.zeros((n, 8, 8), np.uint8), {"e": target}, outputs=[Output("e", "single", FOUR)])
    left = faces.without_labels(without)
    names = [label for label in FOUR if label not in without]
    assert list(left.outputs[0].labels) == names
    before = {i: FOUR[c] if c >= 0 else "" for i, c in zip(faces.ids, faces.hard("e"), strict=True)}
    after = {i: names[c] if c >= 0 else "" for i, c in zip(left.ids, left.hard("e"), strict=True)}
    assert after == {i: label for i, label in before.items() if label not in without}
    if votes:
        kept = target[np.isin(faces.ids, left.ids)]
        now = left.targets["e"]
        assert now.dtype == np.float32
        np.testing.assert_allclose(now.sum(axis=1), kept.sum(axis=1), rtol=1e-5)
        for column, label in enumerate(names):  # and each vote keeps its ratio to the others
            old = kept[:, FOUR.index(label)]
            rest = kept[:, [FOUR.index(x) for x in names]].sum(axis=1)
            np.testing.assert_allclose(now[:, column] * rest, old * kept.sum(axis=1), rtol=1e-5, atol=1e-6)
    else:
        assert left.targets["e"].dtype == np.int64


def test_left_out_labels_keep_the_other_columns() -> None:
    faces = make()
    left = replace(faces, truth={"emotion": np.full(N, 1)}).without_labels(["b"])
    which = np.flatnonzero(np.arange(N) % 3 != 1)
    assert left.ids.tolist() == faces.ids[which].tolist()
    np.testing.assert_array_equal(left.targets["au"], faces.targets["au"][which])
    np.testing.assert_array_equal(left.masks["au"], faces.masks["au"][which])
    assert left.output("emotion").labels == ("a", "c")
    assert left.output("au") == AU
    assert set(left.truth["emotion"].tolist()) == {-1}
    assert left.notes[-1] == "Without b: 4 faces left out."
    assert left.images is faces.images
    assert left.fingerprint() != faces.select(which).fingerprint()
    assert faces.without_labels([]) is faces
    assert faces.without_labels(["b"], "emotion").fingerprint() == left.fingerprint()


@pytest.mark.parametrize(
    ("labels", "output", "said"),
    [
        (["hapy"], "", "output 'emotion' has no label 'hapy' to leave out"),
        (["B"], "", r"(?s)no label 'B'.*known: a, b, c"),
        (["a", "c"], "", "output 'emotion' has 1 label"),
        (["a", "b", "c"], "", "has 0 label"),
        (["AU1"], "au", "'au' is not single-label"),
        (["a"], "emotio", "did you mean 'emotion'"),
    ],
)
def test_labels_that_cannot_be_left_out(labels: list[str], output: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make().without_labels(labels, output)
    with pytest.raises(DataError, match="no single-label output"):
        make().keep_outputs(["au"]).without_labels(["a"])


def test_columns_must_fit() -> None:
    faces = make()
    with pytest.raises(DataError, match=r"split has 3 rows for 12 faces"):
        replace(faces, split=faces.split[:3])
    with pytest.raises(DataError, match="do not match the outputs"):
        replace(faces, outputs=(EMOTION,))
