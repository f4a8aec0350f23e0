"""Searches as rows of the results page: claims beside each setting, and what is short of the claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from duchenne.errors import RunError
from duchenne.experiment.search import Search, Trial
from duchenne.experiment.search.result import SearchState
from duchenne.recipe import parse_recipe
from duchenne.reports import load_result, render_results_page, result_from_search, write_result

GRID = {"method": "grid", "space": {"optimizer.lr": [0.1, 0.01], "learner.args.hidden": [[8, 4], [8]]}}
DRAWN = {
    "method": "coarse_to_fine",
    "space": {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}},
    "trials": 3,
}
CLAIMS = [
    {
        "set": {"optimizer.lr": 0.01, "learner.args.hidden": [8, 4]},
        "val": {"accuracy": 0.45},
        "train": {"accuracy": 0.98, "min_loss": 0.0069},
    },
    {"set": {"optimizer.lr": 0.1, "learner.args.hidden": [8, 4]}, "val": {"accuracy": 0.2}},
]


def row(epoch: int, val: float, train: float, loss: float) -> dict[str, Any]:
    return {
        "epoch": epoch, "lr": 0.1, "seconds": 1.0, "train_loss": loss, "val_loss": 1.0,
        "train_emotion_accuracy": train, "val_emotion_accuracy": val,
    }  # fmt: skip


def trial(number: int, lr: float, hidden: list[int], *vals: float, **changes: Any) -> Trial:
    """A trial of four planned epochs; training accuracy rises by 0.1 an epoch, the loss falls by 0.1."""
    history = tuple(row(i, v, 0.5 + 0.1 * i, 1.0 - 0.1 * i) for i, v in enumerate(vals, start=1))
    best = max(range(len(vals)), key=lambda i: vals[i]) + 1 if vals else None
    fields = {
        "number": number, "slot": f"grid-{number}", "stage": "grid",
        "params": {"optimizer.lr": lr, "learner.args.hidden": hidden}, "state": "complete",
        "value": max(vals, default=None), "best_epoch": best, "epochs": len(vals), "epochs_planned": 4,
        "history": history, "seconds": 30.0,
    }  # fmt: skip
    return Trial(**(fields | changes))


def make_search(
    path: Path, trials: list[Trial], tune: dict[str, Any] | None = None, **sections: Any
) -> Search:
    table = {
        "id": "try-search", "title": "A search", "source": "try2024, Table 2",
        "data": {"name": "synthetic", "outputs": ["emotion"]}, "learner": {"name": "scratch"},
        "train": {"epochs": 4}, "tune": tune or GRID, "expect": {"trials": CLAIMS},
    }  # fmt: skip
    recipe = parse_recipe(table | sections, where="test")
    path.mkdir(parents=True)
    search = Search(path)
    search.save_info("recipe", recipe.to_dict())
    outputs = {"emotion": {"kind": "single", "labels": ["happy", "sad"]}}
    search.save_info("data", {"name": "synthetic", "outputs": outputs, "fingerprint": "0123456789abcdef"})
    search.save_info("environment", {"versions": {"optuna": "4.0"}})
    stages = dict.fromkeys((t.stage for t in trials), "some words")
    search.save_state(
        SearchState(
            path.name, recipe.id, "val_emotion_accuracy", "maximize", status="finished", stages=stages
        )
    )
    search.save_trials(trials)
    return search


WHOLE = [
    trial(0, 0.1, [8, 4], 0.1, 0.2, 0.2, 0.1),
    trial(1, 0.1, [8], 0.1, 0.3, 0.2, 0.1),
    trial(2, 0.01, [8, 4], 0.2, 0.4, 0.42, 0.3),
    trial(3, 0.01, [8], 0.25, 0.2, 0.1, 0.1),
]


def test_each_setting_stands_with_its_claims(tmp_path: Path) -> None:
    found = result_from_search(make_search(tmp_path / "s", WHOLE))
    assert (found.status, found.seeds) == ("complete", [])
    assert found.sentence == "Exact settings, 4 of them, each trained once in full."
    assert found.headline == "val 42.00 %, best: lr = 0.01, hidden = [8, 4]"
    assert found.claimed_headline == "val 45 %, the best of 2 settings"
    assert found.data.fingerprint == "0123456789abcdef"
    (table,) = found.tables
    rows = {cells[0]: dict(zip(table.columns, cells, strict=True)) for cells in table.rows}
    assert list(rows) == [
        "lr = 0.1, hidden = [8, 4]", "lr = 0.1, hidden = [8]", "lr = 0.01, hidden = [8, 4]",
        "lr = 0.01, hidden = [8]",
    ]  # fmt: skip
    assert rows["lr = 0.01, hidden = [8, 4]"] == {
        "setting": "lr = 0.01, hidden = [8, 4]",
        "claimed val accuracy (%)": 45.0, "measured val accuracy (%)": 42.0,
        "claimed train accuracy (%)": 98.0, "measured train accuracy (%)": pytest.approx(90.0),
        "train at best epoch (%)": pytest.approx(80.0),
        "claimed min loss": 0.0069, "measured min loss": pytest.approx(0.6),
        "best epoch": 3, "epochs": 4, "minutes": 0.5, "state": "all epochs",
    }  # fmt: skip
    assert rows["lr = 0.1, hidden = [8]"]["claimed val accuracy (%)"] is None
    page = render_results_page([found], [])
    assert "| [try-search](#try-search) | val 45 %, the best of 2 settings | val 42.00 %, best:" in page
    assert (
        "- lr = 0.01, hidden = [8, 4], val accuracy: 3.00 points below the claim, not explained yet." in page
    )
    assert "lr = 0.1, hidden = [8, 4], val" not in page
    assert load_result(write_result(found, tmp_path)) == found


def test_the_recipes_own_patience_is_no_shortening(tmp_path: Path) -> None:
    trials = [*WHOLE[:3], trial(3, 0.01, [8], 0.25, 0.2)]
    found = result_from_search(make_search(tmp_path / "s", trials, stop={"patience": 1}))
    assert found.status == "complete"
    assert found.sentence.endswith("(3 for all epochs, 1 until the recipe's own patience ended it).")
    assert found.tables[0].rows[3][-1] == "ended by patience"


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (trial(2, 0.01, [8, 4], 0.2, state="running"), "lr = 0.01, hidden = [8, 4]: 1 of 4 epochs, not fin"),
        (trial(2, 0.01, [8, 4], 0.2, state="pruned"), "1 of 4 epochs, pruned."),
        (trial(2, 0.01, [8, 4], state="failed", reason="no memory"), "0 of 4 epochs, failed: no memory."),
        (trial(2, 0.01, [8, 4], 0.2, epochs_planned=1), "1 of 4 epochs, no more were planned."),
        (None, "lr = 0.01, hidden = [8, 4]: not trained yet."),
    ],
)  # fmt: skip
def test_a_claimed_setting_that_is_not_whole_makes_the_row_partial(
    tmp_path: Path, last: Trial | None, words: str
) -> None:
    trials = [*WHOLE[:2], *([] if last is None else [last]), WHOLE[3]]
    found = result_from_search(make_search(tmp_path / "s", trials))
    assert found.status == "partial"
    assert words in found.sentence
    assert "| partial |" in render_results_page([found], [])
    assert any(cells[0] == "lr = 0.01, hidden = [8, 4]" for cells in found.tables[0].rows)


def test_a_setting_that_nobody_claims_may_be_unfinished(tmp_path: Path) -> None:
    trials = [*WHOLE[:3], trial(3, 0.01, [8], 0.25, state="running")]
    found = result_from_search(make_search(tmp_path / "s", trials))
    assert found.status == "complete"
    assert found.sentence.startswith("Exact settings, 3 of them")


def test_trials_of_a_dead_process_do_not_count(tmp_path: Path) -> None:
    dead = trial(2, 0.01, [8, 4], 0.9, state="failed", lost=True)
    found = result_from_search(make_search(tmp_path / "s", [*WHOLE, dead]))
    assert len(found.tables[0].rows) == 4


def drawn(number: int, stage: str, lr: float, *vals: float, **changes: Any) -> Trial:
    made = trial(number, lr, [], *vals, stage=stage, **changes)
    made.params.pop("learner.args.hidden")
    return made


def test_a_drawn_search_shows_stages_the_best_trials_and_both_winners(tmp_path: Path) -> None:
    trials = [drawn(0, "coarse", 0.1, 0.5), drawn(1, "coarse", 0.02, 0.3, epochs_planned=1)]
    trials += [drawn(i + 2, "fine", 0.01 * (i + 1), 0.2 + 0.01 * i, 0.1) for i in range(12)]
    claims = [{"set": {"optimizer.lr": 0.001, "train.batch_size": 10}, "val": {"accuracy": 0.25}}]
    search = make_search(tmp_path / "s", trials, DRAWN, expect={"trials": claims})
    found = result_from_search(search)
    assert (found.status, found.sentence) == (
        "complete",
        "The whole search: 14 trials in 2 stages, one seed.",
    )
    assert found.headline == "val 31.00 %, best: lr = 0.12"
    assert found.claimed_headline == "val 25 %"
    stages, best, winner = found.tables
    assert stages.rows == [["coarse", "some words", 2, 50.0, 1.0], ["fine", "some words", 12, 31.0, 6.0]]
    assert [cells[0] for cells in best.rows] == [13, 12, 11, 10, 9, 8, 7, 6, 5, 4]
    assert best.rows[0] == [13, "0.12", 1, 2, 31.0, pytest.approx(60.0), "ended by patience"]
    assert winner.rows == [
        ["optimizer.lr", "0.001", "0.12"], ["train.batch_size", "10", "not searched"],
        ["val accuracy", "25 %", "31.00 %"],
    ]  # fmt: skip
    state = search.state
    state.status, state.reason = "stopped", "time limit"
    search.save_state(state)
    again = result_from_search(search)
    assert again.status == "partial"
    assert again.sentence == "Shortened: 14 trials done, the search is stopped (time limit)."
    assert render_results_page([again], []).count("### try-search") == 1


def test_a_winner_of_many_fields_is_not_spelled_out_in_the_list_of_rows(tmp_path: Path) -> None:
    trials = [trial(i, 0.1, [8], 0.2 + i / 10) for i in range(3)]
    for made in trials:
        made.params["train.batch_size"] = 10
    search = make_search(tmp_path / "s", trials, DRAWN)
    assert result_from_search(search).headline == "val 40.00 %, the best of 3 trials"


def test_nothing_trained_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no trial of s has an epoch yet"):
        result_from_search(make_search(tmp_path / "s", [trial(0, 0.1, [8], state="waiting")]))


def test_other_settings_than_the_packaged_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(tmp_path / "s", WHOLE, optimizer={"lr": 0.5})
    packaged = make_search(tmp_path / "p", WHOLE).recipe
    monkeypatch.setattr("duchenne.reports.searched.recipe_ids", lambda: ["try-search"])
    monkeypatch.setattr("duchenne.reports.searched.load_recipe", lambda name: packaged)
    found = result_from_search(search)
    assert (found.status, found.sentence) == ("partial", "Changed: optimizer.lr = 0.5 (recipe: 0.001).")
