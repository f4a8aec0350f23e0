"""Result files hold what the runs measured; the page shows the files, and nothing else."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duchenne.errors import RecipeError, RunError
from duchenne.recipe import load_recipe, parse_recipe, recipe_ids
from duchenne.reports import (
    ResultFile,
    load_result,
    load_results,
    render_results_page,
    result_from_runs,
    write_result,
    write_results_page,
)
from duchenne.reports.resultfile import Confusion, DataUsed, ResultTable, SeedResult
from duchenne.reports.results import renew_claims, run_fingerprint
from duchenne.reports.results_tables import targets_line

ROOT = Path(__file__).resolve().parents[2]


def seed_result(seed: int, test: float, **changes: Any) -> SeedResult:
    entry = SeedResult(
        seed=seed,
        epochs_done=50,
        epochs_planned=50,
        best_epoch=30,
        train={"accuracy": 0.8, "loss": 0.5},
        val={"accuracy": 0.6, "loss": 1.25},
        test={"accuracy": test, "f1.happy": 0.85, "f1.sad": None, "au.macro_f1": 0.5},
        n_test=4,
        train_seconds=90.0,
        run_fingerprint="00ff00ff00ff00ff",
        last={"train": {"accuracy": 0.9}, "val": {"accuracy": 0.58}},
        intervals={"val": (0.58, 0.62), "test": (0.6, 0.7)},
        num_parameters=1234,
    )
    return replace(entry, **changes)


def result(*seeds: SeedResult, **changes: Any) -> ResultFile:
    whole = ResultFile(
        id="one-row",
        title="A | title",
        source="try2024, Table 1",
        status="complete",
        sentence="Exact settings, all 50 epochs, one seed.",
        claimed={
            "train": {},
            "val": {"accuracy": 0.6353, "loss": 1.2657},
            "test": {"accuracy": 0.67, "f1.happy": 0.86, "f1.sad": 0.53},
        },
        seeds=list(seeds),
        data=DataUsed("fer2013", "0123456789abcdef"),
        versions={"torch": "2.5.0"},
        command="duchenne reproduce one-row",
        notes=["The matrix sums to 3,654 <slip>."],
    )
    return replace(whole, **changes)


GOLDEN = """\
## try2024

| recipe | claimed | measured | status |
|---|---|---|---|
| [one-row](#one-row) | test 67 %; val 63.53 % | test 65.00 % [60.00, 70.00]; val 60.00 % [58.00, 62.00] | complete |
| waiting | val 45 % | - | not run yet |

### one-row

A \\| title (try2024, Table 1)

**Complete.** Exact settings, all 50 epochs, one seed.

| figure | claimed | measured | last epoch |
|---|--:|--:|--:|
| train accuracy |  | 80.00 % | 90.00 % |
| train loss |  | 0.5000 |  |
| val accuracy | 63.53 % | 60.00 % [58.00, 62.00] | 58.00 % |
| val loss | 1.2657 | 1.2500 |  |
| test accuracy | 67 % | 65.00 % [60.00, 70.00] |  |
| test au macro F1 |  | 50.00 % |  |

Per class, test:

| class | F1 claimed | F1 measured |
|---|--:|--:|
| happy | 86 % | 85.00 % |
| sad | 53 % | n/a |

Why the figures differ:

- val accuracy: 3.53 points below the claim, not explained yet.

Confusion matrix, test, seed 0 (row: true class, column: answer):

| | happy | sad |
|---|--:|--:|
| happy | 2 | 0 |
| sad | 1 | 1 |

| seed | epochs | best epoch | val accuracy | test accuracy | parameters | minutes | run |
|--:|--:|--:|--:|--:|--:|--:|---|
| 0 | 50 of 50 | 30 | 60.00 % | 65.00 % | 1,234 | 1.5 | `00ff00ff00ff00ff` |

Data: fer2013, fingerprint `0123456789abcdef`. Command: `duchenne reproduce one-row`. Versions: torch 2.5.0.

- The matrix sums to 3,654 &lt;slip&gt;.
"""  # noqa: E501


def waiting_recipe() -> Any:
    table = {
        "schema": 1, "id": "waiting", "title": "t", "source": "try2024: x", "data": {"name": "fer2013"},
        "learner": {}, "expect": {"val": {"accuracy": 0.45}},
    }  # fmt: skip
    return parse_recipe(table, where="test")


def test_page_of_hand_made_files() -> None:
    matrix = Confusion("test", ["happy", "sad"], [[2, 0], [1, 1]])
    page = render_results_page([result(seed_result(0, 0.65, confusion=matrix))], [waiting_recipe()])
    first, _, rest = page.partition("## try2024")
    assert first.startswith(
        "<!-- Generated from results/*.json. Do not edit: run `duchenne reproduce --page`. -->"
    )
    assert "## try2024" + rest == GOLDEN


def test_several_seeds_give_mean_and_standard_deviation() -> None:
    page = render_results_page([result(seed_result(0, 0.64), seed_result(1, 0.66), seed_result(2, 0.68))], [])
    assert "| test accuracy | 67 % | 66.00 % ± 2.00 (3 seeds) |" in page
    assert "[60.00" not in page


def test_partial_rows_say_what_is_short() -> None:
    short = result(seed_result(0, 0.6, epochs_done=12), status="partial", sentence="Shortened.")
    page = render_results_page([short], [])
    assert "| partial: 12 of 50 epochs |" in page
    assert "**Partial: 12 of 50 epochs.** Shortened." in page


def test_every_packaged_recipe_has_a_row_without_any_file() -> None:
    page = render_results_page([])
    assert all(f"| {name} |" in page for name in recipe_ids())
    assert page.count("| not run yet |") == len(recipe_ids())


def test_files_read_back_and_are_strict(tmp_path: Path) -> None:
    whole = result(seed_result(0, 0.65))
    path = write_result(whole, tmp_path)
    assert load_result(path) == whole
    assert load_results(tmp_path) == [whole]
    assert load_results(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2"),
        ({"extra": 1}, "extra"),
        ({"status": "done"}, "status"),
        ({"id": "other"}, "of the recipe 'other'"),
        ({"title": 3}, "title"),
        ({"seeds": []}, "no training and no table"),
        ({"tables": [{"title": "t", "columns": ["a", "b"], "rows": [[1]]}]}, r"tables\.0\.rows\.0.: 1 cells"),
        ({"tables": [{"title": "t", "columns": ["a"], "rows": [[[1]]]}]}, r"tables\.0\.rows\.0\.0"),
        ({"claimed_confusion": [[1, 2]]}, "claimed_confusion.: the matrix is not square"),
        ({"seeds": [{}]}, r"seeds\.0"),
        ({"claimed": {"val": {"accuracy": "0.5"}}}, r"claimed\.val\.accuracy"),
    ],
)
def test_wrong_files_are_refused_by_field(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = write_result(result(seed_result(0, 0.65)), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=words):
        load_result(path)


@pytest.mark.parametrize("text", ["", "[1]", '{"schema": 1', '{"schema": 1}'])
def test_broken_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "one-row.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"one-row\.json"):
        load_result(path)


def test_nan_is_refused_in_files(tmp_path: Path) -> None:
    path = write_result(result(seed_result(0, 0.65)), tmp_path)
    path.write_text(path.read_text().replace("0.65", "NaN"))
    with pytest.raises(RunError, match="accuracy"):
        load_result(path)


def test_result_holds_the_figures_of_the_runs(make_run: Any, tmp_path: Path) -> None:
    runs = [make_run("b", seed=1), make_run("a", seed=0)]
    found = result_from_runs(runs)
    assert (found.id, found.status) == ("try-two", "complete")
    assert found.sentence == "Exact settings, all 50 epochs, 2 seeds."
    assert [s.seed for s in found.seeds] == [0, 1]
    for run, seed in zip(runs[::-1], found.seeds, strict=True):
        test = run.metrics()["test"]["outputs"]
        best = run.history()[27]
        assert (seed.best_epoch, seed.n_test) == (28, 300)
        assert seed.test["accuracy"] == test["emotion"]["accuracy"]
        assert seed.test["f1.happy"] == test["emotion"]["per_class"][3]["f1"]
        assert seed.test["f1.angry"] is None
        assert seed.test["accuracy.sad"] == test["emotion"]["one_vs_rest"][4]["accuracy"]
        assert seed.test["au.f1.AU12"] == test["au"]["per_class"][3]["f1"]
        assert "loss" not in seed.test
        assert seed.train["accuracy"] == best["train_emotion_accuracy"]
        assert seed.train["au.binary_accuracy"] == best["train_au_binary_accuracy"]
        assert seed.val["loss"] == best["val_loss"]
        assert seed.val["emotion.loss"] == best["val_emotion_loss"]
        assert seed.val["accuracy"] == run.metrics()["val"]["outputs"]["emotion"]["accuracy"]
        assert seed.last["val"]["accuracy"] == run.history()[-1]["val_emotion_accuracy"]
        assert list(seed.intervals["test"]) == test["emotion"]["intervals"]["accuracy"]
        assert seed.confusion is not None
        assert seed.confusion.counts == test["emotion"]["confusion"]
    assert found.claimed["test"] == {"accuracy": 0.67, "f1.happy": 0.86, "f1.sad": 0.53}
    assert found.notes == ["The padding is unstated."]
    assert found.versions["torch"] == "2.5.0"
    assert load_result(write_result(found, tmp_path / "results")) == found


def test_accuracy_without_images_of_the_training_part_stands_beside_the_usual_one(make_run: Any) -> None:
    run = make_run()
    found = result_from_runs([run])
    clean = run.metrics()["test"]["outputs"]["emotion"]["without_in_train"]["accuracy"]
    assert found.seeds[0].test["accuracy_without_training_images"] == clean
    line = f"| test accuracy without training images |  | {100 * clean:.2f} % |"
    assert line in render_results_page([found])


def test_loss_of_one_output_is_its_log_loss(make_run: Any) -> None:
    run = make_run(au=False)
    loss = run.metrics()["test"]["outputs"]["emotion"]["log_loss"]
    assert result_from_runs([run]).seeds[0].test["loss"] == loss
    assert math.isfinite(loss)


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ({"epochs": 12, "status": "stopped"}, "partial", "12 of 50 epochs (seed 0)"),
        ({"epochs": 20}, "partial", "20 of 50 epochs"),
        ({"evaluated": ("val",)}, "partial", "The test part was not read."),
    ],
)
def test_status_of_shortened_runs(make_run: Any, how: dict[str, Any], status: str, words: str) -> None:
    found = result_from_runs([make_run(**how)])
    assert found.status == status
    assert words in found.sentence


def test_changed_settings_of_a_packaged_recipe_are_named(make_run: Any) -> None:
    from duchenne.recipe import load_recipe

    table = load_recipe("friv-model1", ["train.epochs=2", "train.batch_size=64"]).to_dict()
    found = result_from_runs([make_run(table=table, au=False, epochs=2, seed=5)])
    assert found.status == "partial"
    assert (
        found.sentence == "Shortened: 2 of 50 epochs (seed 5). Changed: train.batch_size = 64 (recipe: 128)."
    )


def test_early_stopping_by_the_recipe_is_complete(make_run: Any, make_table: Any) -> None:
    found = result_from_runs([make_run(table=make_table(stop={"patience": 5}), epochs=20)])
    assert (found.status, "stopping rule" in found.sentence) == ("complete", True)


def test_not_comparable_keeps_its_reason(make_run: Any) -> None:
    found = result_from_runs([make_run()], not_comparable="The test part is unknown.")
    assert (found.status, found.sentence) == ("not comparable", "The test part is unknown.")


def test_recipe_says_itself_that_it_is_not_comparable(make_run: Any, make_table: Any) -> None:
    table = make_table()
    reason = "The weights it began from are not on hand."
    table["expect"] = table.get("expect", {}) | {"not_comparable": reason}
    found = result_from_runs([make_run(table=table)])
    assert (found.status, found.sentence) == ("not comparable", reason)


def test_runs_that_do_not_belong_together_are_refused(make_run: Any, make_table: Any) -> None:
    one = make_run("one")
    other = make_run("other", table=make_table(id="other"), seed=1)
    elsewhere = make_run("elsewhere", seed=1, data_fingerprint="f" * 16)
    with pytest.raises(RunError, match="at least one run"):
        result_from_runs([])
    with pytest.raises(RunError, match="several recipes"):
        result_from_runs([one, other])
    with pytest.raises(RunError, match="different data"):
        result_from_runs([one, elsewhere])
    with pytest.raises(RunError, match="same seed"):
        result_from_runs([one, one])
    with pytest.raises(RunError, match="nothing has been measured"):
        result_from_runs([make_run("empty", epochs=0, status="running", evaluated=())])


def test_stale_moved_or_averaged_figures_are_not_passed_off(make_run: Any) -> None:
    run = make_run()
    raw = run.metrics()["test"]
    run.save_metrics("test", raw | {"epoch": 28, "views": "flip", "data_changed": True})
    found = result_from_runs([run])
    assert (found.status, "The data changed" in found.sentence) == ("partial", True)
    assert found.seeds[0].views == ["flip"]
    assert "averaged over several views: flip." in render_results_page([found])
    run.save_metrics("test", raw | {"epoch": 27})
    with pytest.raises(RunError, match="of epoch 27, the best one is now 28"):
        result_from_runs([run])


def test_run_fingerprint_changes_with_what_figures_rest_on(make_run: Any) -> None:
    run = make_run()
    before = run_fingerprint(run)
    assert run_fingerprint(make_run("again")) == before
    rows = run.history()
    rows[0]["val_loss"] += 1e-9
    run.save_history(rows)
    assert run_fingerprint(run) != before


def test_both_confusion_matrices_stand_on_the_page_with_their_sums() -> None:
    matrix = Confusion("test", ["happy", "sad"], [[2, 0], [1, 1]])
    row = result(seed_result(0, 0.65, confusion=matrix), claimed_confusion=[[1, 1], [0, 2]])
    page = render_results_page([row], [])
    assert (
        """\
Confusion matrix, test, as the source prints it (row: true class, column: answer):

| | happy | sad | sum |
|---|--:|--:|--:|
| happy | 1 | 1 | 2 |
| sad | 0 | 2 | 2 |
| sum | 1 | 3 | 4 |

Measured, test, seed 0:

| | happy | sad | sum |
|---|--:|--:|--:|
| happy | 2 | 0 | 2 |
| sad | 1 | 1 | 2 |
| sum | 3 | 1 | 4 |

Both are of 4 faces, as many of each class.
"""
        in page
    )
    slip = render_results_page([replace(row, claimed_confusion=[[1, 1], [0, 1_001]])], [])
    words = "Faces: 1,003 in the source's matrix, 4 in the measured one. They differ in: sad 1,001 and 2."
    assert words in slip


def test_a_claimed_matrix_without_a_measured_one_stands_alone() -> None:
    page = render_results_page([result(seed_result(0, 0.65), claimed_confusion=[[1, 1], [0, 2]])], [])
    assert "| 0 | 1 | 1 | 2 |" in page
    assert "None was measured yet." in page


def test_a_claimed_matrix_comes_from_the_recipe_and_must_fit_its_labels(
    make_run: Any, make_table: Any
) -> None:
    matrix = [[int(i == j) for j in range(7)] for i in range(7)]
    expect = {"confusion": matrix, "differences": ["The cut is another one."]}
    found = result_from_runs([make_run("a", table=make_table(expect=expect))])
    assert found.claimed_confusion == matrix
    assert found.differences == ["The cut is another one."]
    with pytest.raises(RecipeError, match="has 6 rows of"):
        result_from_runs([make_run("b", table=make_table(expect={"confusion": matrix[:6]}))])


def test_differences_are_explained_or_said_not_to_be() -> None:
    far = result(seed_result(0, 0.64), seed_result(1, 0.66))
    page = render_results_page([far], [])
    assert "- val accuracy: 3.53 points below the claim, not explained yet." in page
    assert "test accuracy:" not in page  # 65 of 67 is no more than 2 points
    said = render_results_page([replace(far, differences=["Their cut is unknown."])], [])
    assert "Why the figures differ:\n\n- Their cut is unknown.\n" in said
    assert "not explained yet." not in said
    near = result(seed_result(0, 0.67, val={"accuracy": 0.64}))
    assert "Why the figures differ" not in render_results_page([near], [])


def table_result(**changes: Any) -> ResultFile:
    table = ResultTable(
        "Learning rate",
        ["setting", "claimed val accuracy (%)", "measured val accuracy (%)", "minutes", "updates", "state"],
        [["lr = 1e-05", None, 26.5, 12.345678, 12_345, "whole"], ["lr = 0.1", 45.08, 41.0, 0.5, 3, "a|b"]],
        "Best epochs.",
    )
    return result(
        claimed={}, headline="val 41.00 %", claimed_headline="val 45.08 %", tables=[table], **changes
    )


def test_a_result_may_be_a_table_alone(tmp_path: Path) -> None:
    row = table_result()
    page = render_results_page([row], [])
    assert (
        """\
Learning rate:

| setting | claimed val accuracy (%) | measured val accuracy (%) | minutes | updates | state |
|---|--:|--:|--:|--:|---|
| lr = 1e-05 |  | 26.50 | 12.346 | 12,345 | whole |
| lr = 0.1 | 45.08 | 41.00 | 0.5 | 3 | a\\|b |

Best epochs.

Why the figures differ:

- lr = 0.1, val accuracy: 4.08 points below the claim, not explained yet.
"""
        in page
    )
    assert "| [one-row](#one-row) | val 45.08 % | val 41.00 % | complete |" in page
    assert load_result(write_result(row, tmp_path)) == row


def test_a_second_test_part_stands_on_the_page(make_run: Any, make_table: Any) -> None:
    table = make_table(evaluate={"also": {"PrivateTest": {"n": 500}}})
    run = make_run("a", table=table)
    assert "PrivateTest was not read" in result_from_runs([run]).sentence
    raw = run.metrics()["val"] | {"epoch": run.state.best["epoch"], "part": ["PrivateTest"]}
    run.save_metrics("PrivateTest", raw)
    found = result_from_runs([run])
    accuracy = raw["outputs"]["emotion"]["accuracy"]
    assert found.status == "complete"
    assert found.seeds[0].also["PrivateTest"]["accuracy"] == accuracy
    assert found.data.parts == {"PrivateTest": ["PrivateTest"]}
    page = render_results_page([found], [])
    low, high = raw["outputs"]["emotion"]["intervals"]["accuracy"]
    shown = f"{100 * accuracy:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
    assert f"| PrivateTest accuracy |  | {shown} |" in page
    assert f"; PrivateTest {shown}; val" in page
    assert "Data: synthetic (PrivateTest: PrivateTest)" in page


def test_accuracy_among_groups_stands_beside_that_of_single_classes(make_run: Any, make_table: Any) -> None:
    expect = {"test": {"accuracy_among.old": 0.5, "accuracy.happy": 0.9}}
    run = make_run("a", table=make_table(expect=expect))
    raw = run.metrics()["test"]
    raw["outputs"]["emotion"]["groups"] = [
        {"name": "old", "labels": ["sad"], "n": 9, "accuracy": 0.25},
        {"name": "happy", "labels": ["happy"], "n": 0, "accuracy": None},
    ]
    run.save_metrics("test", raw)
    found = result_from_runs([run])
    assert found.seeds[0].test["accuracy_among.old"] == 0.25
    assert found.seeds[0].test["accuracy_among.happy"] is None
    assert found.seeds[0].test["accuracy.happy"] == raw["outputs"]["emotion"]["one_vs_rest"][3]["accuracy"]
    page = render_results_page([found], [])
    assert "| test accuracy among old | 50 % | 25.00 % |" in page
    assert "| test accuracy among happy |  | n/a |" in page
    assert "| class | accuracy claimed | accuracy measured |" in page


def test_the_smallest_training_loss_is_held_against_its_claim(make_run: Any, make_table: Any) -> None:
    run = make_run(table=make_table(expect={"train": {"min_loss": 0.01}}))
    smallest = min(row["train_loss"] for row in run.history())
    page = render_results_page([result_from_runs([run])], [])
    assert f"| train min loss | 0.01 | {smallest:.4f} |" in page


def test_words_of_the_recipe_reach_its_file_without_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
id = "one-row"
title = "Another title"
source = "try2024, Table 1"
data = { name = "fer2013" }
learner = {}
[expect]
val = { accuracy = 0.6 }
differences = ["Their cut is unknown."]
"""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "one-row.toml").write_text(text)
    monkeypatch.setattr("duchenne.recipe.recipe.recipe_folder", lambda: tmp_path / "recipes")
    before = result(seed_result(0, 0.65))
    path = write_result(before, tmp_path / "results")
    other = write_result(replace(before, id="not-packaged"), tmp_path / "results")
    kept = other.read_bytes()
    assert renew_claims(tmp_path / "results") == [path]
    after = load_result(path)
    assert (after.title, after.claimed["val"], after.notes) == ("Another title", {"accuracy": 0.6}, [])
    assert after.differences == ["Their cut is unknown."]
    assert (after.seeds, after.status, after.data) == (before.seeds, before.status, before.data)
    assert renew_claims(tmp_path / "results") == []
    assert other.read_bytes() == kept


def test_files_say_what_their_recipes_say(tmp_path: Path) -> None:
    """Claims and words in the committed files are the recipes'. If this fails: duchenne reproduce --page."""
    for path in (ROOT / "results").glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert renew_claims(tmp_path) == []


def test_page_and_files_agree(tmp_path: Path) -> None:
    """The committed page is what the committed files give. If this fails: duchenne reproduce --page."""
    page = ROOT / "docs" / "results.md"
    assert page.read_text(encoding="utf-8") == render_results_page(load_results(ROOT / "results"))


def test_a_page_that_disagrees_is_noticed(tmp_path: Path) -> None:
    write_result(result(seed_result(0, 0.65)), tmp_path)
    text = write_results_page(tmp_path, tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == text == render_results_page(load_results(tmp_path))
    write_result(result(seed_result(0, 0.66)), tmp_path)
    assert text != render_results_page(load_results(tmp_path))


def test_labels_of_an_output_of_several_stand_beside_yes_always() -> None:
    units = {"au.map": 0.7, "au.f1.AU2": None, "au.always_yes_f1.AU1": 0.4}
    units["au.always_no_binary_accuracy"] = 0.77
    tests = [{"accuracy": 0.6, "au.f1.AU1": f1, **units} for f1 in (0.5, 0.6)]
    seeds = [replace(seed_result(i, 0.6), test=test) for i, test in enumerate(tests)]
    page = render_results_page([result(*seeds)])
    assert "Per label of au, test" in page
    assert "| AU1 | 55.00 % ± 7.07 (2 seeds) | 40.00 % ± 0.00 (2 seeds) |" in page
    assert "| AU2 | n/a |  |" in page  # a file of before: no baseline was kept
    assert "| test au map |  | 70.00 % ± 0.00 (2 seeds) |" in page
    assert "au always no binary accuracy" in page


def test_the_gap_between_both_splits_stands_on_the_page() -> None:
    known = [seed_result(i, accuracy) for i, accuracy in enumerate((0.80, 0.90))]
    apart, random = result(seed_result(0, 0.70)), result(*known, id="one-row-frames")
    page = render_results_page([apart, random], [])
    assert (
        "| one-row | accuracy | 70.00 % [60.00, 70.00] | 85.00 % ± 7.07 (2 seeds) | +15.00 points |" in page
    )
    assert "| one-row | au macro F1 | 50.00 % | 50.00 % ± 0.00 (2 seeds) | +0.00 points |" in page
    assert "frames at random" not in render_results_page([apart], [])


def test_epochs_to_the_targets_are_told() -> None:
    targets = {"val_emotion_accuracy": 0.8, "val_au_binary_accuracy": 0.7, "val_loss": 2.0}
    val = {"accuracy": 0.8, "au.binary_accuracy": 0.75, "loss": 1.0}
    seeds = [
        seed_result(0, 0.6, epochs_done=11, last={"val": val}),
        seed_result(1, 0.6, epochs_done=30, last={"val": val | {"au.binary_accuracy": 0.6}}),
        seed_result(2, 0.6, last={}),
    ]
    assert targets_line(seeds, targets) == (
        "Epochs to the targets (val emotion accuracy of at least 0.8 and val au binary accuracy of at least "
        "0.7 and val loss of at most 2): seed 0: epoch 11; seed 1: not in 30 epochs; seed 2: not known."
    )
    recipe = load_recipe("chan-base")
    page = render_results_page([result(seeds[0], id=recipe.id)], [recipe])
    assert "Epochs to the targets (val emotion accuracy of at least 0.8" in page
    assert "claimed 11; measured seed 0: epoch 11." in page
    assert ": claimed 5 to 8; measured seed 0: epoch 11; seed 1: not in" in targets_line(
        seeds, targets, (5, 8)
    )
