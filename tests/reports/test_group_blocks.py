"""The report's section about groups: figures, gaps, small groups; and files without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from duchenne.evaluation import Predictions, evaluate_predictions
from duchenne.experiment.run import Run, write_json
from duchenne.reports import write_report
from duchenne.reports.blocks import Picture, Section, Table, Text, percent
from duchenne.reports.group_blocks import MOST_DRAWN, group_sections
from duchenne.reports.measured import evaluations

MakeRun = Callable[..., Run]


def grouped(run: Run, column: list[str], name: str = "tone & <age>") -> list[Section]:
    """The test part evaluated by an attribute of these values, in turn."""
    old = Predictions.load(run.predictions_path("test"))
    values = np.resize(np.array(column), len(old))
    p = Predictions(old.ids, old.outputs, old.probs, old.targets, group={name: values})
    metrics = run.metrics()["test"]
    metrics["by"] = evaluate_predictions(p, bootstrap=20, by=[name])["by"]
    write_json(run.path / "metrics" / "test.json", metrics)
    return group_sections(run, evaluations(run)[0])


def tables(section: Section) -> list[Table]:
    return [b for b in section.blocks if isinstance(b, Table)]


def test_each_output_has_figures_gaps_classes_and_a_picture(make_run: MakeRun) -> None:
    run = make_run(epochs=3)
    (section,) = grouped(run, ["light", "light", "dark", ""])
    entry = run.metrics()["test"]["by"][0]
    assert section.heading == "By tone & <age>"
    assert any(isinstance(b, Text) and "75 faces whose" in b.text for b in section.blocks)
    figures, gaps, classes = tables(section)[:3]
    assert [r[0] for r in figures.rows] == ["dark", "light"]
    row = entry["outputs"]["emotion"]["rows"][0]
    assert figures.rows[0][1] == f"{row['n']:,}"
    assert figures.rows[0][3].startswith(percent(row["accuracy"], 1))
    gap = entry["outputs"]["emotion"]["gaps"][0]
    assert gaps.rows[0][2] == f"{gap['highest']} over {gap['lowest']}"
    assert gaps.rows[0][3].startswith(percent(gap["gap"], 1))
    assert gaps.rows[0][5] == f"{gap['p_value']:.3f}"
    for t in tables(section):
        assert all(len(r) == len(t.head) for r in t.rows)
    assert classes.folded
    assert len([b for b in section.blocks if isinstance(b, Picture)]) == 2
    units = next(t for t in tables(section) if t.caption.startswith("au by"))
    for row, own in zip(units.rows, entry["outputs"]["au"]["rows"], strict=True):
        cells = dict(zip(units.head, row, strict=True))
        assert cells["of answering no"] == percent(own["always_no_binary_accuracy"], 1)
        assert cells["of answering yes"] == percent(own["always_yes_macro_f1"], 1)
    page = write_report(run, images=False).read_text(encoding="utf-8")
    assert "By tone &amp; &lt;age&gt;" in page


def test_small_groups_are_marked_and_many_are_drawn_in_part(make_run: MakeRun) -> None:
    run = make_run(epochs=3)
    (section,) = grouped(run, [f"p{i:02d}" for i in range(MOST_DRAWN + 5)], "subject")
    table = tables(section)[0]
    assert len(table.rows) == MOST_DRAWN + 5
    assert all(r[0].endswith("(small)") for r in table.rows)
    picture = next(b for b in section.blocks if isinstance(b, Picture))
    assert "5 others" in picture.caption
    assert picture.alt.count("%") == MOST_DRAWN


def test_files_of_before_have_no_such_section(make_run: MakeRun) -> None:
    run = make_run(epochs=3)
    metrics = run.metrics()["test"]
    metrics.pop("by", None)
    write_json(run.path / "metrics" / "test.json", metrics)
    assert group_sections(run, evaluations(run)[0]) == []


def test_one_group_says_that_there_is_no_gap(make_run: MakeRun) -> None:
    (section,) = grouped(make_run(epochs=3), ["all"])
    assert any(isinstance(b, Text) and "fewer than two groups" in b.text for b in section.blocks)
