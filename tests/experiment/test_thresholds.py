"""Thresholds come from validation alone, and from the same weights and views."""

from __future__ import annotations

from typing import Any

from duchenne.experiment.evaluate import evaluate
from duchenne.experiment.run import Run


def au(run: Run, split: str, **options: Any) -> dict[str, Any]:
    """The figures of action units of one evaluation."""
    (done,) = evaluate(run, splits=[split], **options)
    return dict(done.metrics["outputs"]["au"])


def test_test_takes_validations_thresholds(trained: Run) -> None:
    assert "at_thresholds" not in au(trained, "test")  # validation was not evaluated: there are none
    chosen = au(trained, "val")["at_thresholds"]
    assert chosen["chosen_here"] is True
    for split in ("test", "train"):
        taken = au(trained, split)["at_thresholds"]
        assert (taken["chosen_here"], taken["thresholds"]) == (False, chosen["thresholds"])
    both = evaluate(trained)
    assert [e.metrics["outputs"]["au"]["at_thresholds"]["chosen_here"] for e in both] == [True, False]


def test_validation_comes_first_whatever_the_order_given(trained: Run) -> None:
    done = evaluate(trained, splits=["test", "train", "val"])
    assert [e.name for e in done] == ["val", "test", "train"]
    tables = [e.metrics["outputs"]["au"]["at_thresholds"] for e in done]
    assert [t["chosen_here"] for t in tables] == [True, False, False]
    assert tables[1]["thresholds"] == tables[2]["thresholds"] == tables[0]["thresholds"]


def test_of_other_views_or_weights_there_are_none(trained: Run) -> None:
    au(trained, "val")
    assert "at_thresholds" not in au(trained, "test", views="flip")
    metrics = trained.metrics()["val"]
    trained.save_metrics("val", metrics | {"epoch": metrics["epoch"] + 1})
    assert "at_thresholds" not in au(trained, "test")
    (trained.path / "metrics" / "val.json").write_text("{")
    assert "at_thresholds" not in au(trained, "test")
