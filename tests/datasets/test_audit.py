"""The audit on planted faults, against an obvious count, and on the real FER2013."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.datasets import FaceSet, load
from duchenne.datasets.arrays import from_arrays
from duchenne.datasets.audit import audit, exact_keys
from duchenne.errors import DataError
from duchenne.labels import Output


@pytest.fixture
def planted() -> FaceSet:
    """Twelve images: 3 repeats 0 with another label, 4 repeats 1, 5 and 6 are blank, 7 is near 2."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 24, 24)).astype(np.uint8)
    images[3] = images[0]
    images[4] = images[1]
    images[5] = images[6] = 90
    images[7] = np.clip(images[2].astype(int) // 2 + 40, 0, 255)
    codes = np.arange(12) % 3
    codes[3] = 1
    codes[4] = codes[1]
    codes[5] = codes[6]
    split = np.array(["train"] * 3 + ["test"] * 3 + ["train", "test"] + ["val"] * 4)
    return from_arrays(images, codes, outputs=("a", "b", "c"), split=split)


def test_planted_faults_are_found(planted: FaceSet) -> None:
    report = audit(planted)
    assert (report.n, report.distinct) == (12, 9)
    assert set(report.duplicates) == {("000000", "000003"), ("000001", "000004"), ("000005", "000006")}
    assert report.conflicts[0].groups == 1
    assert report.conflicts[0].ids == (("000000", "000003"),)
    assert report.blank == ("000005", "000006")
    (overlap,) = report.across_splits
    assert {overlap.first, overlap.second} == {"test", "train"}
    assert (overlap.first_faces, overlap.second_faces, overlap.images) == (3, 3, 3)
    assert report.within == {"train": 0, "test": 0, "val": 0}
    assert report.near is not None
    assert report.near.pairs == 1
    assert report.near.examples[0][:2] in (("000002", "000007"), ("000007", "000002"))
    (close,) = report.near.across_splits
    assert (close.first_faces, close.second_faces, close.images) == (1, 1, 0)
    assert report.class_counts["emotion"]["val"] == planted.where("val").class_counts("emotion")


def test_report_is_json_and_text(planted: FaceSet) -> None:
    report = audit(planted)
    assert json.loads(json.dumps(report.to_json()))["distinct"] == 9
    text = report.to_text()
    for said in ("12 faces, 9 distinct images", "correlation of 16x16 thumbnails >= 0.96", "000000, 000003"):
        assert said in text
    assert "differ in <= 5 bits" in audit(planted, near="dhash", threshold=5).to_text()
    assert "not looked for" in audit(planted, near=None).to_text()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_equals_the_obvious_count(faces: list[tuple[int, int, int]]) -> None:
    """Each face is (which image, label, split); counted by dicts and sets."""
    pool = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    names = ("train", "val", "test")
    images = np.stack([pool[i] for i, _, _ in faces])
    split = [names[s] for _, _, s in faces]
    labels = np.array([c for _, c, _ in faces])
    report = audit(from_arrays(images, labels, outputs=("a", "b", "c"), split=split), near=None)
    by_image = defaultdict(list)
    for i, c, s in faces:
        by_image[i].append((c, names[s]))
    assert report.distinct == len(by_image)
    assert len(report.duplicates) == sum(len(v) > 1 for v in by_image.values())
    assert report.conflicts[0].groups == sum(len({c for c, _ in v}) > 1 for v in by_image.values())
    found = {}
    for o in report.across_splits:
        found[o.first, o.second] = o.first_faces
        found[o.second, o.first] = o.second_faces
    for a in names:
        for b in names:
            rows = sum(s == a and b in {t for _, t in by_image[i]} for i, (_, _, s) in _named(faces, names))
            if a != b:
                assert found.get((a, b), 0) == rows


def _named(
    faces: list[tuple[int, int, int]], names: tuple[str, ...]
) -> list[tuple[int, tuple[int, int, str]]]:
    return [(i, (i, c, names[s])) for i, c, s in faces]


def test_keys_see_pixels_and_shape_only() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    tall = grey.reshape(16, 4)
    faces = from_arrays([grey, tall, grey.copy()], np.zeros(3, dtype=int), outputs=("a",))
    keys = exact_keys(faces)
    assert keys[0] == keys[2] != keys[1]
    assert exact_keys(faces.select([1, 0])).tolist() == keys[[1, 0]].tolist()


def test_conflicts_of_action_units_mind_the_mask() -> None:
    images = np.zeros((4, 8, 8), dtype=np.uint8)
    images[2:] = 9
    target = np.array([[1, 0], [0, 0], [1, 1], [1, 0]], dtype=np.float32)
    mask = np.array([[True, True], [False, True], [True, True], [True, True]])
    au = Output("au", "multi", ("AU1", "AU2"))
    report = audit(from_arrays(images, target, outputs=au, masks={"au": mask}), near=None)
    assert report.conflicts[0].ids == (("000002", "000003"),)


def test_wrong_arguments(planted: FaceSet) -> None:
    with pytest.raises(DataError, match="did you mean 'dhash'"):
        audit(planted, near="dhsh")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"not between 0\.5 and 1"):
        audit(planted, threshold=4)


@pytest.mark.real_data
def test_real_fer2013(data_dir: Path, shared_cache: Path) -> None:
    """The known facts; "280 PublicTest images also stand in Training" counts faces (rows) of PublicTest."""
    report = audit(load("fer2013", data_dir, cache_dir=shared_cache))
    assert (report.n, report.distinct) == (35_887, 34_034)
    rows = {(o.first, o.second): (o.first_faces, o.images) for o in report.across_parts}
    assert rows == {
        ("PublicTest", "Training"): (280, 270),
        ("PrivateTest", "Training"): (288, 278),
        ("PrivateTest", "PublicTest"): (44, 43),
    }
    assert report.conflicts[0].groups == 57
    assert len(report.blank) == 12
    assert report.near is not None
    assert 1_700 < report.near.pairs < 2_000
