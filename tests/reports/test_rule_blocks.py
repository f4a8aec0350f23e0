"""The report's tables of an emotion told from action units by rule."""

from __future__ import annotations

from collections.abc import Callable

from duchenne.experiment.run import Run, write_json
from duchenne.reports import write_report
from duchenne.reports.blocks import Table, percent
from duchenne.reports.measured import evaluations
from duchenne.reports.rule_blocks import rule_blocks

MakeRun = Callable[..., Run]


def blocks(run: Run) -> list[Table]:
    test = evaluations(run)[0]
    output = test.output("emotion")
    assert output is not None
    return [b for b in rule_blocks(run, test, output) if isinstance(b, Table)]


def test_rule_and_head_stand_side_by_side_with_reasons(make_run: MakeRun) -> None:
    run = make_run(epochs=3)
    raw = run.metrics()["test"]["outputs"]["emotion"]["from_units"]
    short, classes, reasons = blocks(run)
    assert [r[0] for r in short.rows] == [
        "the net's own answer", "by rule, from its answers of au", "by rule, from the true au",
    ]  # fmt: skip
    assert short.rows[0][2] == percent(raw["head"]["accuracy"], 1)
    assert short.rows[1][2].startswith(percent(raw["accuracy"], 1))
    assert short.rows[2][2] == percent(raw["given_true_units"]["accuracy"], 1)
    assert any("Never answered" in n and "disgust" in n for n in short.notes)  # AU9 is not among the units
    for t in (short, classes, reasons):
        assert all(len(r) == len(t.head) for r in t.rows)
    assert reasons.rows[0][3] == raw["examples"][0]["reason"]
    page = write_report(run, images=False).read_text(encoding="utf-8")
    assert "emotion from au by rule" in page


def test_files_of_before_have_no_such_table(make_run: MakeRun) -> None:
    run = make_run(epochs=3)
    metrics = run.metrics()["test"]
    del metrics["outputs"]["emotion"]["from_units"]
    write_json(run.path / "metrics" / "test.json", metrics)
    assert blocks(run) == []
