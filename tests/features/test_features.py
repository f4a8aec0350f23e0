"""Features by name: one after the other, as JSON, and what is said of slips."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from duchenne.errors import RecipeError
from duchenne.features import FEATURES, LPQ, PHOG, Features

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 24, 26), dtype=np.uint8)


@pytest.mark.parametrize("name", FEATURES)
def test_each_feature_works_with_its_defaults(name: str) -> None:
    features = Features(((name, {}),))
    x = features(IMAGES)
    assert x.shape == (3, features.length)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()


def test_one_after_the_other() -> None:
    both = Features((("lpq", {"window": 5, "grid": [2, 2]}), ("phog", {"levels": 1})))
    assert both.length == 4 * 256 + 8 * 5
    x = both(IMAGES)
    np.testing.assert_array_equal(x[:, :1024], LPQ(5, grid=(2, 2))(IMAGES))
    np.testing.assert_array_equal(x[:, 1024:], PHOG(levels=1)(IMAGES))


def test_json_gives_an_equal_object() -> None:
    features = Features((("lpq", {"grid": (2, 3)}), ("phog", {"angle": 180, "root": True})))
    again = Features.from_json(json.loads(json.dumps(features.to_json())))
    assert again == features
    assert hash(again) == hash(features)
    assert pickle.loads(pickle.dumps(features)) == features
    np.testing.assert_array_equal(again(IMAGES), features(IMAGES))


def test_options_left_out_are_the_defaults() -> None:
    assert Features((("lpq", {}),)) == Features((("lpq", {"window": 7, "rho": 0.9}),))
    assert Features((("lpq", {}),)) != Features((("lpq", {"window": 5}),))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([], "features is empty"),
        ([{"name": "lqp"}], "no feature 'lqp'\n  did you mean 'lpq'"),
        ([{"name": "lpq", "windows": 7}], "features.lpq.windows: no such option\n  did you mean 'window'"),
        ([{"window": 7}], "not a table with a name"),
        (["lpq"], "not a table with a name"),
        ("lpq", "must be a list of tables"),
        ([{"name": "phog", "levels": -1}], "features.phog.levels = -1"),
    ],
)
def test_slips_are_named(tables: object, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Features.from_json(tables)  # type: ignore[arg-type]


def test_it_says_what_it_is() -> None:
    said = Features((("lpq", {}), ("phog", {}))).describe()
    assert "lpq (4096 numbers: window 7" in said
    assert "phog (680 numbers: bins 8" in said
