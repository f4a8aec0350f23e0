"""What stands in the report of a support vector machine where other learners have curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import RunError
from ..experiment.run import Run, RunState
from .blocks import Block, Section, Table, Text, decimal, duration, percent


def svm_section(run: Run, state: RunState) -> Section:
    """The settings that cross-validation tried, and the machine that was fitted."""
    section = Section("training", "Training")
    history, path = run.history(), run.checkpoint("last")
    if not history or not path.is_file():
        section.blocks.append(Text("Nothing has been fitted yet.", "warning"))
        return section
    from ..learners.arrayfile import read_facts

    try:
        section.blocks += _blocks(history[-1], read_facts(path)["selection"], state)
    except (KeyError, TypeError) as error:
        raise RunError(f"checkpoint {path} does not say its {error}", "train again with --force") from None
    return section


def _blocks(row: Mapping[str, Any], tried: list[Mapping[str, Any]], state: RunState) -> list[Block]:
    words = (
        f"Fitted once, in {duration(state.train_seconds)}: a machine for each pair of classes, on "
        f"{row['faces']:,} faces; {row['support_vectors']:,} of them are support vectors, "
        f"{state.num_parameters:,} numbers are kept. Kernel and C are those of the best accuracy in "
        "cross-validation within the training part; the validation part decided nothing. Votes are "
        f"divided by {row['temperature']:.2f}, which fits their softmax to the held-out folds."
    )
    rows = []
    for one in tried:
        chosen = all(one[k] == row[k] for k in ("kernel", "gamma", "C"))
        gamma = f"{one['gamma']:.4g}" if one["kernel"] == "rbf" else ""
        rows.append(
            [one["kernel"], f"{one['C']:g}", gamma, percent(one["accuracy"]), "chosen" if chosen else ""]
        )
    figures = [
        [word, decimal(row.get(f"{part}_loss")), *(percent(row.get(k)) for k in _accuracies(row, part))]
        for part, word in (("train", "training"), ("val", "validation"))
        if f"{part}_loss" in row
    ]
    return [
        Text(words),
        Table("Settings tried", ["kernel", "C", "gamma", "accuracy, cross-validated", ""], rows),
        Table("After fitting", ["part", "loss", "accuracy"], figures),
    ]


def _accuracies(row: Mapping[str, Any], part: str) -> list[str]:
    return [k for k in row if k.startswith(f"{part}_") and k.endswith("_accuracy")]
