from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duchenne.datasets.facemodel import render
from duchenne.datasets.prototypes import SYNTHETIC_AUS, variant_masks
from duchenne.datasets.synthetic import DIFFICULTIES, cast_faces, load_synthetic
from duchenne.errors import RecipeError
from duchenne.labels import FER2013_EMOTIONS


def test_what_a_set_holds() -> None:
    faces = load_synthetic(n=700)
    assert faces.pixels().shape == (700, 48, 48)
    assert faces.pixels().dtype == np.uint8  # type: ignore[union-attr]
    assert [o.name for o in faces.outputs] == ["emotion", "au"]
    assert faces.output("emotion").labels == FER2013_EMOTIONS
    assert faces.output("au").labels == SYNTHETIC_AUS
    assert faces.class_counts("emotion") == dict.fromkeys(FER2013_EMOTIONS, 100)
    assert {s: len(faces.where(s)) for s in ("train", "val", "test")} == {
        "train": 490,
        "val": 105,
        "test": 105,
    }
    assert faces.where("test").class_counts("emotion") == dict.fromkeys(FER2013_EMOTIONS, 15)
    assert len(set(faces.ids.tolist())) == 700
    assert faces.subject is None
    assert set(faces.group["skin_tone"].tolist()) == {"light", "medium", "dark"}
    assert faces.targets["au"].dtype == np.float32
    assert faces.describe()["groups"] == {"skin_tone": ["dark", "light", "medium"]}


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_action_units_are_those_of_a_prototype_of_the_emotion(difficulty: str) -> None:
    cast = cast_faces(1400, difficulty=difficulty)
    moved = cast.params.au >= 0.4  # strays stay below, active ones do not
    drawn: set[tuple[str, int]] = set()
    for emotion, row in zip(cast.emotion, moved, strict=True):
        masks = variant_masks(FER2013_EMOTIONS[emotion])
        hit = np.flatnonzero((masks == row).all(axis=1))
        assert len(hit) == 1
        drawn.add((FER2013_EMOTIONS[emotion], int(hit[0])))
    assert drawn == {(e, i) for e in FER2013_EMOTIONS for i in range(len(variant_masks(e)))}
    active = cast.params.au[moved]
    assert active.max() <= 1
    assert (active >= 0.5).mean() > 0.8  # most, not all, reach occurrence
    assert cast.params.au[~moved].max() < 0.5


def test_the_same_arguments_give_the_same_set_and_another_seed_another() -> None:
    a, b, c = load_synthetic(n=60), load_synthetic(n=60), load_synthetic(n=60, seed=1)
    assert a.fingerprint() == b.fingerprint()
    assert a.fingerprint() != c.fingerprint()
    assert (a.pixels() != c.pixels()).any()  # type: ignore[union-attr]


def test_golden_parameters() -> None:
    """The cast of seed 0 as drawn when this was written; rounded, so that a last bit does not matter."""
    cast = cast_faces(70, seed=0, subjects=10)
    digest = hashlib.sha256()
    for column in (cast.params.values, cast.params.au):
        digest.update((np.round(column, 6) + 0.0).astype("<f8").tobytes())
    digest.update(cast.params.noise_seed.astype("<u4").tobytes())
    digest.update(cast.emotion.astype("<i8").tobytes() + cast.subject.astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "f3df8ec244f62fa9"


def test_without_noise_the_labels_are_the_truth() -> None:
    faces = load_synthetic(n=70)
    np.testing.assert_array_equal(faces.targets["emotion"], faces.truth["emotion"])
    assert not any("noise" in note for note in faces.notes)


@settings(max_examples=15)
@given(st.integers(1, 90), st.floats(0, 1), st.integers(0, 2**40))
def test_exactly_the_asked_for_part_of_the_labels_is_wrong(n: int, part: float, seed: int) -> None:
    faces = load_synthetic(n=n, label_noise=part, seed=seed, size=8)
    wrong = faces.targets["emotion"] != faces.truth["emotion"]
    assert wrong.sum() == round(n * part)
    np.testing.assert_array_equal(
        faces.truth["emotion"], load_synthetic(n=n, seed=seed, size=8).truth["emotion"]
    )
    np.testing.assert_array_equal(faces.targets["au"], load_synthetic(n=n, seed=seed, size=8).targets["au"])


def test_flips_go_to_all_other_classes_alike() -> None:
    faces = load_synthetic(n=7000, label_noise=0.6, size=8)
    table = np.zeros((7, 7), int)
    np.add.at(table, (faces.truth["emotion"], faces.targets["emotion"]), 1)
    off = table[~np.eye(7, dtype=bool)]
    assert off.sum() == 4200
    # Pearson's chi-squared over 42 equal cells; 41 degrees of freedom exceed 84.0 once in 10,000.
    assert ((off - 100) ** 2 / 100).sum() < 84.0


def test_subjects_stay_in_one_split_and_keep_their_face() -> None:
    faces = load_synthetic(n=420, subjects=20, label_noise=0.1, size=16)
    assert faces.subject is not None
    assert len(set(faces.subject.tolist())) == 20
    people = {s: set(faces.where(s).subject.tolist()) for s in ("train", "val", "test")}  # type: ignore[union-attr]
    assert all(people.values())
    assert not people["train"] & people["val"]
    assert not people["train"] & people["test"]
    assert not people["val"] & people["test"]
    cast = cast_faces(420, subjects=20)
    for person in range(20):
        his = cast.subject == person
        assert np.bincount(cast.emotion[his], minlength=7).tolist() == [3] * 7
        for name in ("width", "skin", "hair_tone", "mouth_width", "iris_tone"):
            assert len(set(cast.params[name][his].tolist())) == 1
        assert len(set(cast.params["roll"][his].tolist())) == 21
        assert len(set(faces.group["skin_tone"][his].tolist())) == 1


def test_darker_groups_are_darker_on_average() -> None:
    faces = load_synthetic(n=600)
    brightness = np.stack(list(faces.pixels()))[:, 14:40, 14:34].mean(axis=(1, 2))
    mean = {t: brightness[faces.group["skin_tone"] == t].mean() for t in ("dark", "medium", "light")}
    assert mean["dark"] + 20 < mean["medium"]
    assert mean["medium"] + 20 < mean["light"]


@pytest.mark.parametrize("subjects", [None, 40])
def test_seen_skin_tones_change_training_and_validation_in_nothing_but_skin(subjects: int | None) -> None:
    everyone = load_synthetic(n=300, size=8, subjects=subjects, seed=4)
    some = load_synthetic(n=300, size=8, subjects=subjects, seed=4, seen_skin_tones=["light", "medium"])
    for column in ("ids", "split"):
        assert (getattr(everyone, column) == getattr(some, column)).all()
    for output in ("emotion", "au"):
        assert (everyone.targets[output] == some.targets[output]).all()
    test = everyone.split == "test"
    assert (everyone.images[test] == some.images[test]).all()
    assert (everyone.group["skin_tone"][test] == some.group["skin_tone"][test]).all()
    assert "dark" in some.group["skin_tone"][test]
    assert set(some.group["skin_tone"][~test]) == {"light", "medium"}
    was_dark = ~test & (everyone.group["skin_tone"] == "dark")
    brighter = some.images[was_dark].astype(float).mean() - everyone.images[was_dark].astype(float).mean()
    assert brighter > 5
    with pytest.raises(RecipeError, match="seen_skin_tones: there is no 'drak'"):
        load_synthetic(n=30, size=8, seen_skin_tones=["drak"])


def test_skin_tones_and_class_balance_as_asked() -> None:
    only = load_synthetic(n=50, skin_tones=["dark"], size=8)
    assert set(only.group["skin_tone"].tolist()) == {"dark"}
    most = cast_faces(2000, skin_tones={"light": 0.9, "dark": 0.1}).skin_tone
    assert set(most.tolist()) == {"light", "dark"}
    assert 0.87 < (most == "light").mean() < 0.93
    faces = load_synthetic(n=101, class_balance={"happy": 3, "sad": 1}, size=8)
    counts = faces.class_counts("emotion")
    assert counts["happy"] + counts["sad"] == 101
    assert counts["happy"] in (75, 76)


@given(st.integers(1, 300), st.lists(st.floats(0, 5), min_size=7, max_size=7).filter(lambda w: sum(w) > 0.01))
def test_class_counts_are_within_one_of_their_share(n: int, weights: list[float]) -> None:
    emotion = cast_faces(n, class_balance=dict(zip(FER2013_EMOTIONS, weights, strict=True))).emotion
    share = n * np.array(weights) / sum(weights)
    assert np.abs(np.bincount(emotion, minlength=7) - share).max() < 1 + 1e-9


def test_splits_as_asked() -> None:
    faces = load_synthetic(n=140, split={"train": 0.5, "test": 0.5}, size=8)
    assert {s: len(faces.where(s)) for s in ("train", "val", "test")} == {"train": 70, "val": 0, "test": 70}


@pytest.mark.parametrize(("size", "color", "shape"), [(96, "rgb", (96, 96, 3)), (30, "grey", (30, 30))])
def test_other_sizes_and_colour(size: int, color: Any, shape: tuple[int, ...]) -> None:
    faces = load_synthetic(n=4, size=size, color=color)
    assert faces.image(3).shape == shape
    np.testing.assert_array_equal(faces.image(3), render(cast_faces(4).params, size, color)[3])


def test_harder_pictures_vary_more() -> None:
    roll = [cast_faces(200, difficulty=d).params["roll"].std() for d in ("easy", "medium", "hard")]
    assert roll == sorted(roll)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n": 0}, "n: 0"), ({"n": 2.5}, "n: 2.5"), ({"n": True}, "n: True"), ({"n": 10**7}, "n: "),
        ({"n": 10**6, "size": 2048}, "n: .*GiB"),
        ({"size": 4}, "size"), ({"size": None}, "size"),
        ({"color": "red"}, "color"), ({"seed": -1}, "seed"), ({"seed": 0.5}, "seed"),
        ({"subjects": 0}, "subjects"), ({"subjects": 21}, "subjects"),
        ({"subjects": 2}, "subjects: 2 people"),
        ({"label_noise": 1.1}, "label_noise"), ({"label_noise": float("nan")}, "label_noise"),
        ({"label_noise": "0.1"}, "label_noise"), ({"class_balance": {"hapy": 1}}, "class_balance.*'hapy'"),
        ({"class_balance": {"happy": -1}}, "class_balance.*'happy'"),
        ({"class_balance": {}}, "class_balance"),
        ({"class_balance": {"happy": float("inf")}}, "class_balance"), ({"difficulty": "hrad"}, "difficulty"),
        ({"split": {"train": 0.5, "val": 0.4}}, "split: the parts sum to 0.9"),
        ({"split": {"train": 0.5, "dev": 0.5}}, "split.*'dev'"), ({"skin_tones": ["pink"]}, "skin_tones"),
        ({"skin_tones": []}, "skin_tones"), ({"skin_tones": {"dark": 0}}, "skin_tones"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=f"^{says}"):
        load_synthetic(**{"n": 20, **wrong})
