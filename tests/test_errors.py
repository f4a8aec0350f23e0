"""Errors: they say what and what next, survive a trip between processes, and name the nearest word."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne import errors
from duchenne.errors import DuchenneError, MissingExtraError, RecipeError, did_you_mean

KINDS = [errors.DataError, errors.RecipeError, errors.RunError, errors.TrainingError]


def test_message_has_what_then_what_to_do() -> None:
    error = RecipeError("train.epochs = 0", "give 1 or more")
    assert str(error) == "train.epochs = 0\n  give 1 or more"
    assert (error.what, error.todo) == ("train.epochs = 0", "give 1 or more")
    assert str(RecipeError("train.epochs = 0")) == "train.epochs = 0"


@pytest.mark.parametrize("kind", KINDS)
def test_crosses_a_process_border_whole(kind: type[DuchenneError]) -> None:
    error = kind("row 3 is bad", "mend it")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (twin.what, twin.todo, str(twin)) == (error.what, error.todo, str(error))


def test_missing_extra_names_the_install_command_and_crosses_too() -> None:
    error = pickle.loads(pickle.dumps(MissingExtraError("torch", "train")))
    assert type(error) is MissingExtraError
    assert (error.package, error.extra) == ("torch", "train")
    assert "pip install 'duchenne[train]'" in str(error)
    assert "'torch'" in error.what


def test_exit_codes_tell_wrong_arguments_from_wrong_input() -> None:
    assert RecipeError("x").exit_code == 2
    assert {k("x").exit_code for k in KINDS if k is not RecipeError} == {1}


def test_nearest_word_or_all_of_them() -> None:
    assert did_you_mean("epoch", ["epochs", "seed"]) == "did you mean 'epochs'?"
    assert did_you_mean("zzz", ["seed", "epochs"]) == "known: epochs, seed"


@given(st.lists(st.text("abcdefgh_", min_size=2, max_size=9), min_size=1, unique=True), st.data())
def test_one_slip_of_the_pen_finds_some_known_word(known: list[str], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(known))
    assert did_you_mean(word, known) == f"did you mean '{word}'?"
    slipped = did_you_mean(word + "x", known)
    assert slipped.startswith("did you mean")
    assert any(f"'{k}'" in slipped for k in known)
