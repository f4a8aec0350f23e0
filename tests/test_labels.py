"""Labels are matched by name, never by code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.labels import ACTION_UNITS, FER2013_EMOTIONS, FERPLUS_EMOTIONS, Output, canonical, match_labels


@pytest.mark.parametrize(
    ("given_name", "ours"),
    [
        ("Anger", "angry"),
        (" HAPPINESS ", "happy"),
        ("Joy", "happy"),
        ("Surprised", "surprise"),
        ("afraid", "fear"),
        ("contempt", "contempt"),
        ("au12", "AU12"),
        ("AU01", "AU1"),
        ("AU 12", "AU12"),
        ("au_4", "AU4"),
        ("au", "au"),
        ("audience", "audience"),
        ("au²", "au²"),  # a digit that int() does not read
        ("Very Happy", "very_happy"),
        ("Fro\u0308hlich", "fr\u00f6hlich"),  # as macOS writes file names
    ],
)
def test_canonical_names(given_name: str, ours: str) -> None:
    assert canonical(given_name) == ours


@given(st.text(max_size=20))
def test_canonical_is_idempotent(name: str) -> None:
    once = canonical(name)
    assert canonical(once) == once


def test_own_names_are_canonical_already() -> None:
    for name in (*FER2013_EMOTIONS, *FERPLUS_EMOTIONS, *ACTION_UNITS):
        assert canonical(name) == name
    assert FER2013_EMOTIONS[3] == "happy"
    assert len(FER2013_EMOTIONS) == 7


def test_fer2013_and_ferplus_match_by_name() -> None:
    fer = Output("emotion", "single", FER2013_EMOTIONS)
    plus = Output("emotion", "single", FERPLUS_EMOTIONS)
    pairs, lost, unseen = match_labels(plus, fer)
    assert {plus.labels[a]: fer.labels[b] for a, b in pairs.items()} == {n: n for n in FER2013_EMOTIONS}
    assert lost == ["contempt"]
    assert unseen == []
    assert match_labels(fer, plus) == ({b: a for a, b in pairs.items()}, [], ["contempt"])


def test_synonyms_match_and_two_sources_may_share_a_target() -> None:
    source = Output("emotion", "single", ("Happiness", "joy", "bored"))
    target = Output("emotion", "single", ("sad", "happy"))
    assert match_labels(source, target) == ({0: 1, 1: 1}, ["bored"], ["sad"])


@given(st.lists(st.sampled_from(FERPLUS_EMOTIONS), unique=True, min_size=1))
def test_a_shuffled_subset_is_matched_onto_itself(labels: list[str]) -> None:
    source = Output("emotion", "single", tuple(labels))
    target = Output("emotion", "single", FERPLUS_EMOTIONS)
    pairs, lost, unseen = match_labels(source, target)
    assert [target.labels[pairs[i]] for i in range(source.num_classes)] == labels
    assert lost == []
    assert set(unseen) == set(FERPLUS_EMOTIONS) - set(labels)
