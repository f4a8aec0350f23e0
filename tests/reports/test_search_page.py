"""The page of a search: whole, self-contained, true to its trials; of unfinished searches too."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duchenne.experiment.search import Search, Trial
from duchenne.experiment.search.importance import importances
from duchenne.experiment.search.result import SearchState
from duchenne.recipe import parse_recipe
from duchenne.reports import search_figures
from duchenne.reports.search_page import write_search_report

SPACE: dict[str, Any] = {
    "optimizer.lr": {"low": 1e-4, "high": 1.0, "log": True},
    "optimizer.momentum": {"low": 0.0, "high": 0.9},
    "learner.args.hidden": [[8], [16, 8]],
}


def value_of(params: dict[str, Any]) -> float:
    """The learning rate decides, momentum a little, the layers nothing."""
    return 0.6 - 0.1 * abs(math.log10(params["optimizer.lr"]) + 2) + 0.02 * params["optimizer.momentum"]


def trial(number: int, stage: str = "random", state: Any = "complete", **more: Any) -> Trial:
    rng = np.random.default_rng(number)
    params = {
        "optimizer.lr": float(10 ** rng.uniform(-4, 0)),
        "optimizer.momentum": float(rng.uniform(0, 0.9)),
        "learner.args.hidden": [[8], [16, 8]][number % 2],
    }
    value = None if state in ("failed", "waiting") else value_of(params)
    rows = tuple(
        {"epoch": e, "lr": params["optimizer.lr"], "seconds": 0.5, "train_loss": 1 / e, "val_loss": 1.5 / e,
         "train_emotion_accuracy": 0.1 * e, "val_emotion_accuracy": (value or 0) - 0.05 * (3 - e)}
        for e in (1, 2, 3)
    )  # fmt: skip
    base: dict[str, Any] = {
        "slot": f"{stage}-{number}", "stage": stage, "params": params, "state": state, "value": value,
        "best_epoch": 3, "epochs": 3, "epochs_planned": 3, "history": rows, "seconds": 1.5,
    }  # fmt: skip
    return Trial(number, **(base | more))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Search]:
    """A search's folder with these trials."""

    def made(trials: list[Trial], *, title: str = "A try", method: str = "random", **state: Any) -> Search:
        recipe = parse_recipe(
            {
                "id": "try", "title": title, "data": {"name": "synthetic"},
                "learner": {"name": "scratch", "args": {"hidden": [8]}},
                "tune": {"method": method, "space": SPACE},
            },
            "try",
        )  # fmt: skip
        search = Search(tmp_path / "try-search")
        base: dict[str, Any] = {
            "status": "finished",
            "trials_planned": len(trials),
            "stages": {"random": "draws"},
        }
        search.save_info("recipe", recipe.to_dict())
        search.save_trials(trials)
        search.save_state(
            SearchState("try-search", "try", "val_emotion_accuracy", "maximize", **(base | state))
        )
        return search

    return made


def test_the_page_says_what_the_trials_hold(make: Callable[..., Search]) -> None:
    trials = [
        *(trial(i) for i in range(30)),
        trial(30, state="failed", reason="the loss became nan", history=(), epochs=0),
        trial(31, state="pruned", epochs=1), trial(32, state="failed", lost=True, reason="its process ended"),
    ]  # fmt: skip
    search = make(trials)
    page = write_search_report(search).read_text(encoding="utf-8")
    best = max(trials[:30], key=lambda t: t.value or 0)
    assert f"Best: trial {best.number} with val_emotion_accuracy {best.value:.4f}" in page
    assert "30 complete, 1 pruned, 1 failed" in page
    assert "the loss became nan" in page
    assert "0.0001 to 1, logarithmic" in page
    assert "[16,8]" in page
    rows = re.findall(r'<th scope="row">(\d+(?: \(best\))?)</th><td>random', page)
    assert len(rows) == 33
    assert f"{best.number} (best)" in rows


def test_the_page_loads_nothing_and_shows_nothing_unescaped(make: Callable[..., Search]) -> None:
    page_path = write_search_report(make([trial(i) for i in range(4)], title="<script>alert(1)</script> $x$"))
    page = page_path.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page) == []
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert all('alt="' in tag for tag in re.findall(r"<img[^>]*>", page))
    pictures = {p.stem for p in page_path.parent.glob("*.png")}
    assert pictures == {"best-so-far", "parameters", "parallel", "winner"}


@pytest.mark.parametrize(
    ("trials", "state", "words"),
    [
        ([], {"status": "stopped"}, "partial: 0 of 0 trials (stopped)"),
        ([trial(0, state="waiting")], {"status": "running"}, "1 more trials wait"),
        ([trial(0, state="failed", history=())], {"status": "failed"}, "No trial was trained to its end"),
        ([trial(0)], {}, "Too few trials for importance: 1"),
        ([trial(0, state="pruned")], {}, "No trial was trained to its end"),
    ],
)
def test_searches_with_little_in_them_have_a_page(
    make: Callable[..., Search], trials: list[Trial], state: dict[str, Any], words: str
) -> None:
    assert words in write_search_report(make(trials, **state)).read_text(encoding="utf-8")


def test_both_stages_and_the_narrowed_ranges_are_shown(make: Callable[..., Search]) -> None:
    trials = [*(trial(i, "coarse") for i in range(6)), *(trial(i, "fine") for i in range(6, 9))]
    narrowed = {
        "optimizer.lr": [0.002, 0.05], "optimizer.momentum": [0.1, 0.9], "learner.args.hidden": [[16, 8]],
    }  # fmt: skip
    search = make(
        trials,
        method="coarse_to_fine",
        narrowed=narrowed,
        stages={"coarse": "six draws", "fine": "three draws"},
    )
    page = write_search_report(search).read_text(encoding="utf-8")
    for words in ("narrowed to", "0.002 to 0.05", "six draws", "three draws"):
        assert words in page


def test_importance_finds_the_field_that_decides(make: Callable[..., Search]) -> None:
    shares, words = importances(make([trial(i) for i in range(60)]))
    assert next(iter(shares)) == "optimizer.lr"
    assert shares["optimizer.lr"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert "60 trials" in words


def test_importance_says_when_it_cannot_be_told(make: Callable[..., Search]) -> None:
    assert importances(make([trial(i) for i in range(9)]))[0] == {}
    assert "Too few" in importances(make([trial(i) for i in range(9)]))[1]
    assert "same value" in importances(make([trial(i, value=0.5) for i in range(20)]))[1]


@pytest.mark.parametrize(
    ("values", "log", "names", "is_log"),
    [
        ([1e-4, 1e-1], True, (), True),
        ([0.1, 0.9], False, (), False),
        ([1e-5, 1e-1], None, (), True),
        ([0.0, 0.9], None, (), False),
        ([32, 64], None, (), False),
        (["sgd", "adam"], None, ("adam", "sgd"), False),
        ([[512, 256], [8], [16, 8]], None, ("[8]", "[16,8]", "[512,256]"), False),
        ([True, False], None, ("False", "True"), False),
        ([None, 3], None, ("3", "None"), False),
    ],
)  # fmt: skip
def test_axes_suit_their_values(
    values: list[Any], log: bool | None, names: tuple[str, ...], is_log: bool
) -> None:
    scale = search_figures.scale_of("f", values, log)
    assert (scale.names, scale.log) == (names, is_log)
    if names:
        assert sorted(scale.place(v) for v in values) == list(range(len(values)))


def test_listed_numbers_have_ticks_of_their_own_and_points_beside_each_other() -> None:
    from matplotlib.figure import Figure

    scale = search_figures.scale_of("train.batch_size", [50, 100, 200, 50], None)
    assert scale.listed == (50, 100, 200)
    assert search_figures.scale_of("f", [0.1, 0.5], False).listed == ()
    axes = Figure().subplots()
    search_figures._upright(axes, 0, scale, (50, 200))
    assert [a.get_text() for a in axes.texts] == ["50", "100", "200"]
    placed = [(trial(i), 50.0) for i in range(5)]
    xs = [x for _, x in search_figures._spread(placed, scale)]
    assert len(set(xs)) == 5
    assert all(abs(x - 50) < 50 / 4 for x in xs)
