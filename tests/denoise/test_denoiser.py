"""When rounds are made, what they may not take, and that records alone bring the state back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from duchenne.denoise import DENOISERS, VARIANCE, Denoiser, bdr_round, make_denoiser
from duchenne.errors import RecipeError, RunError, TrainingError
from duchenne.recipe import Denoise, parse_recipe

N = 200


def losses_of(seed: int, outliers: int = 10) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.exponential(0.3, N)
    values[:outliers] = rng.normal(6, 0.5, outliers)
    return values.astype(np.float32)


def made(**settings: Any) -> Denoiser:
    ids = np.array([f"face{i:03d}" for i in range(N)])
    return Denoiser(
        Denoise(**{"name": "bdr", "start": 2, **settings}), ids, np.arange(N) % 4, ("a", "b", "c", "d")
    )


def epochs(d: Denoiser, count: int, history: list[dict[str, float]] | None = None, start: int = 1) -> Any:
    history = [] if history is None else history
    for epoch in range(start, start + count):
        losses = np.where(d.rows, losses_of(epoch), np.nan)
        history.append(d.after_epoch(epoch, losses, history))
    return history


def test_every_name_of_the_recipe_has_its_line() -> None:
    names = Denoise.model_fields["name"].annotation.__args__  # type: ignore[union-attr]
    assert {"none", *DENOISERS} == set(names)
    assert make_denoiser(None, np.arange(3), np.zeros(3), ("a",)) is None
    assert make_denoiser(Denoise(), np.arange(3), np.zeros(3), ("a",)) is None


def test_one_round_at_its_epoch() -> None:
    d = made()
    history = epochs(d, 1)
    assert d.rows.all()
    epochs(d, 4, history, 2)
    expected = bdr_round(losses_of(2).astype(np.float64))
    np.testing.assert_array_equal(d.rows, expected.keep)
    (record,) = d.records
    assert (record["round"], record["epoch"], record["n"], record["last"]) == (1, 2, N, True)
    assert record["threshold"] == expected.threshold
    gone = [(one["id"], one["label"]) for one in record["removed"]]
    assert set(gone) == {(f"face{i:03d}", "abcd"[i % 4]) for i in np.flatnonzero(~expected.keep)}
    shown = [one["loss"] for one in record["removed"]]
    assert shown == sorted(shown, reverse=True)
    assert min(shown) > record["threshold"]
    histogram = record["histogram"]
    assert sum(histogram["before"]) == N
    assert sum(histogram["after"]) == int(expected.keep.sum())
    assert history[1][VARIANCE] == pytest.approx(losses_of(2).astype(np.float64).var())


def test_rounds_and_epochs_between_them() -> None:
    d = made(rounds=3, every=2)
    epochs(d, 12)
    assert [r["epoch"] for r in d.records] == [2, 4, 6]
    assert [r["last"] for r in d.records] == [False, False, True]
    names = [one["id"] for r in d.records for one in r["removed"]]
    assert len(set(names)) == len(names) == int((~d.rows).sum())
    assert d.records[1]["n"] == N - len(d.records[0]["removed"])


def test_until_the_upper_losses_are_one_heap() -> None:
    d = made(rounds="until_limit", limit=0.5)
    epochs(d, 30)
    assert d.records[-1]["last"]
    assert d.records[-1]["s2"] < 0.5
    assert d.records[-1]["removed"] == []
    assert all(r["s2"] >= 0.5 and r["removed"] for r in d.records[:-1])


def test_equal_losses_end_it() -> None:
    d = made(rounds="until_limit", start=1)
    d.after_epoch(1, np.ones(N), [])
    assert d.rows.all()
    assert d.records[0]["s2"] is None
    assert d.records[0]["last"]
    assert json.loads(json.dumps(d.records, allow_nan=False)) == d.records


def test_start_when_settled() -> None:
    d = made(start="settled", tolerance=0.1, window=2)
    history: list[dict[str, float]] = []
    for epoch, scale in enumerate([0.1, 0.5, 0.9, 1.0, 1.01, 1.0, 1.0], start=1):
        history.append(d.after_epoch(epoch, np.where(d.rows, losses_of(0) * scale, np.nan), history))
    assert [r["epoch"] for r in d.records] == [6]


def test_largest_losses() -> None:
    d = made(name="drop_largest", share=0.1, rounds=2)
    epochs(d, 5)
    assert [len(r["removed"]) for r in d.records] == [20, 18]


def test_repeated_faces_go_together() -> None:
    ids = np.array(["x", "y", "y", "z", "z", "z", "w", "w"])
    d = Denoiser(
        Denoise(name="drop_largest", start=1, share=0.25), ids, np.array([0, 1, 1, 1, 1, 1, 0, 0]), "ab"
    )
    # z has the largest single loss, y the largest mean.
    d.after_epoch(1, np.array([0.1, 4.0, 4.0, 9.0, 0.1, 0.1, 1.0, 1.0]), [])
    assert d.rows.tolist() == [True, False, False, True, True, True, True, True]
    assert d.records[0]["removed"] == [{"id": "y", "label": "b", "loss": 4.0}]


def test_rows_without_a_loss_are_left_alone() -> None:
    d = made(start=1)
    losses = losses_of(0)
    losses[:8] = np.nan  # of the ten outliers
    d.after_epoch(1, losses, [])
    assert d.records[0]["n"] == N - 8
    assert d.rows[:8].all()
    assert not d.rows[8:10].all()


def test_a_class_is_not_emptied() -> None:
    codes = np.ones(N, dtype=np.int64)
    codes[:6] = 0
    d = Denoiser(Denoise(name="drop_largest", start=1, share=0.1), np.arange(N), codes, ("disgust", "happy"))
    with pytest.raises(TrainingError, match="epoch 1 would remove the last face of class 'disgust'"):
        d.after_epoch(1, losses_of(0), [])
    assert d.rows.all()
    assert d.records == []


def test_no_more_than_a_stated_share_of_a_class() -> None:
    d = made(name="drop_largest", share=0.05, start=1, max_class_share=0.055)  # 3 of 50 are 0.06
    with pytest.raises(TrainingError, match=r"of 50 faces of class 'a', more than denoise\.max_class_share"):
        d.after_epoch(1, losses_of(0), [])
    d = made(name="drop_largest", share=0.05, start=1, max_class_share=0.06)
    d.after_epoch(1, losses_of(0), [])
    assert (~d.rows).sum() == 10


def test_no_more_than_a_stated_share() -> None:
    d = made(name="drop_largest", share=0.1, rounds=9, max_share=0.25, start=1)
    history = epochs(d, 2)
    with pytest.raises(
        TrainingError,
        match=r"removed 54 of 200 training faces \(27\.0%\), more than denoise.max_share = 0.25",
    ):
        epochs(d, 1, history, 3)
    assert len(d.records) == 2


@pytest.mark.parametrize(
    ("name", "field"), [("bdr", "a larger denoise.k"), ("drop_largest", "denoise.share")]
)
def test_what_to_do_next_is_of_the_method(name: str, field: str) -> None:
    with pytest.raises(TrainingError) as caught:
        made(name=name, share=0.1, max_share=0.001, start=1).after_epoch(1, losses_of(0), [])
    assert field in caught.value.todo
    assert ("denoise.k" in caught.value.todo) == (name == "bdr")


def test_records_bring_the_state_back() -> None:
    whole = made(rounds=4)
    history = epochs(whole, 9)
    part = made(rounds=4)
    before = epochs(part, 3)
    again = made(rounds=4)
    again.restore(json.loads(json.dumps(part.records)))
    np.testing.assert_array_equal(again.rows, part.rows)
    assert epochs(again, 6, before, 4) == history
    assert again.records == whole.records
    np.testing.assert_array_equal(again.rows, whole.rows)
    done = made(rounds=4)
    done.restore(whole.records)
    epochs(done, 3, history, 10)
    assert done.records == whole.records
    stranger = made()
    with pytest.raises(RunError, match="removed 'nobody', which is not in"):
        stranger.restore([{"removed": [{"id": "nobody"}], "last": True, "epoch": 2}])


@pytest.mark.parametrize(
    "settings",
    [{"k": 0}, {"k": -1}, {"share": 0}, {"share": 1}, {"max_share": 0}, {"rounds": 0}, {"rounds": "all"},
     {"start": 0}, {"start": "soon"}, {"limit": -1}, {"every": 0}, {"window": 0}, {"name": "brd"}],
)  # fmt: skip
def test_settings_that_a_recipe_refuses(settings: dict[str, Any]) -> None:
    table = {
        "schema": 1, "id": "try", "title": "a try", "data": {"name": "synthetic"},
        "learner": {"name": "torch", "model": "smallnet"}, "denoise": {"name": "bdr", **settings},
    }  # fmt: skip
    with pytest.raises(RecipeError, match=f"denoise.{next(iter(settings))}"):
        parse_recipe(table, "try")


def test_the_default_leaves_fingerprints_as_they_were() -> None:
    from duchenne.recipe import load_recipe

    assert load_recipe("friv-model1").fingerprint() == "dd3855cc"
    assert load_recipe("friv-model1", ["denoise.name=bdr"]).fingerprint() != "dd3855cc"
