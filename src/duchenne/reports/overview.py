"""Sections of the report that are about the run as a whole: status, curves, data, recipe, circumstances."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..experiment.run import Run, RunState
from ..recipe.text import toml_text
from . import figures
from .blocks import Block, Code, Picture, Section, Table, Text, decimal, duration, percent
from .style import png


def status_words(run: Run, state: RunState) -> tuple[str, str]:
    """What became of the run, and "good" or "warn".

    A run that its own stopping rule ended before the planned epochs is complete.
    """
    done, planned = state.epochs_done, state.epochs_planned
    if state.status == "finished":
        if done >= planned:
            return f"complete: {done} of {planned} epochs", "good"
        return f"complete: stopped by its own rule after {done} of {planned} epochs", "good"
    words = {"running": "still running, or killed", "failed": "failed", "stopped": "stopped"}[state.status]
    return f"partial: {done} of {planned} epochs ({words})", "warn"


def training_section(run: Run, state: RunState) -> Section:
    """Curves over the epochs, and the same numbers as a table."""
    history = run.history()
    section = Section("training", "Training")
    if not history:
        section.blocks.append(Text("No epoch has been finished yet.", "warning"))
        return section
    best = state.best.get("epoch")
    facts = f"{state.epochs_done} epochs in {duration(state.train_seconds)}"
    if state.num_parameters:
        alone = " (the output layer alone is trained)" if run.recipe.start.train == "head" else ""
        facts += f"; {state.num_parameters:,} parameters{alone}"
    if best is not None:
        facts += f". Best epoch: {best} ({state.best.get('monitor')} {decimal(state.best.get('value'), 4)})"
        facts += "; its weights are the ones that are kept"
    section.blocks += [
        Text(facts + "."),
        *(Text(line) for line in origins(run)),
        Picture(
            "curves",
            png(figures.training_curves(history, best)),
            curves_in_words(history, best),
            "Loss, accuracy and learning rate over the epochs. Training figures are means over an epoch, "
            "while the weights move (dropout and augmentation on), validation figures are taken at its end.",
        ),
        _history_table(history),
    ]
    return section


def origins(run: Run) -> list[str]:
    """A sentence each on the weights that the run began from, and on what taught it beside the labels."""
    start, teacher, about = run.recipe.start, run.recipe.teacher, run.info("environment")
    lines = []
    if start.run:
        lines.append(f"The weights began from {_other(about, 'start', start.run)}.")
    if teacher.run:
        lines.append(
            f"A teacher's answers for the training faces counted for {percent(teacher.share, 0)} beside the "
            f"labels (temperature {teacher.temperature:g}): {_other(about, 'teacher', teacher.run)}. Losses "
            "in the history are of the labels alone."
        )
    return lines


def _other(about: Mapping[str, Any], prefix: str, name: str) -> str:
    """Another run by name, recipe, epoch and state, as far as environment.json says."""
    said = {key: about.get(f"{prefix}_{key}") for key in ("run", "recipe", "epoch", "status")}
    facts = [
        f"recipe {said['recipe']}" if said["recipe"] else "",
        f"epoch {said['epoch']}" if said["epoch"] is not None else "",
        str(said["status"] or ""),
    ]
    known = "; ".join(fact for fact in facts if fact)
    return f"{said['run'] or name}" + (f" ({known})" if known else "")


def curves_in_words(history: Sequence[Mapping[str, Any]], best: int | None) -> str:
    """What the curves show: first and last values, and where the validation loss was lowest."""
    words = [f"Training curves over {len(history)} epochs."]
    for name in ["loss", *figures.accuracy_names(history)]:
        for split, word in (("train", "training"), ("val", "validation")):
            known = [row[f"{split}_{name}"] for row in history if row.get(f"{split}_{name}") is not None]
            if known:
                words.append(f"{word} {name.replace('_', ' ')} from {known[0]:.3f} to {known[-1]:.3f}")
    if best is not None:
        words.append(f"best epoch {best}")
    return words[0] + " " + "; ".join(words[1:]) + "."


def _history_table(history: Sequence[Mapping[str, Any]]) -> Table:
    keys = list(dict.fromkeys(key for row in history for key in row if key != "epoch"))
    keys = [k for k in keys if any(isinstance(row.get(k), int | float) for row in history)]
    rows = [[str(row.get("epoch", "")), *(_cell(key, row.get(key)) for key in keys)] for row in history]
    return Table("All epochs as a table", ["epoch", *(k.replace("_", " ") for k in keys)], rows, folded=True)


def _cell(key: str, value: Any) -> str:
    if value is None or not isinstance(value, int | float) or not math.isfinite(value):
        return "n/a"
    if key == "lr":
        return f"{value:.3g}"
    return f"{value:.1f}" if key == "seconds" else f"{value:.4f}"


def data_section(info: Mapping[str, Any]) -> Section:
    """What the data set held: parts, class counts per split, fingerprint."""
    section = Section("data", "Data")
    if not info:
        section.blocks.append(
            Text("The run folder does not say which data it saw (no data.json).", "warning")
        )
        return section
    splits = {s: n for s, n in info.get("splits", {}).items() if n}
    sizes = ", ".join(f"{n:,} {s}" for s, n in splits.items())
    section.blocks.append(
        Text(f"{info.get('name')}: {sizes} faces. Data fingerprint {info.get('fingerprint', 'n/a')}.")
    )
    parts = {p: n for p, n in info.get("parts", {}).items() if p}
    if parts:
        held = ", ".join(f"{p} {n:,}" for p, n in parts.items())
        section.blocks.append(Text(f"The publisher's parts: {held}."))
    section.blocks += [Text(str(note)) for note in info.get("notes", [])]
    for name, output in info.get("outputs", {}).items():
        section.blocks += _distribution(str(name), output, splits)
    return section


def _distribution(name: str, output: Mapping[str, Any], splits: Mapping[str, int]) -> list[Block]:
    counts = {s: dict(output[s]) for s in splits if s in output}
    if not counts:
        return []
    several = output.get("kind") == "multi"
    totals = {s: splits[s] if several else max(1, sum(counts[s].values())) for s in counts}
    labels = [str(label) for label in output["labels"]]
    words = "; ".join(
        f"{s}: " + ", ".join(f"{label} {counts[s].get(label, 0):,}" for label in labels) for s in counts
    )
    rows = [
        [
            label,
            *(
                f"{counts[s].get(label, 0):,} ({percent(counts[s].get(label, 0) / totals[s], 1)})"
                for s in counts
            ),
        ]
        for label in labels
    ]
    caption = f"Faces per label of {name} in each split" + (" (several may hold at once)" if several else "")
    return [
        Picture(
            f"classes-{name}",
            png(figures.class_distribution(counts, totals)),
            f"Faces per label. {words}.",
            caption + ".",
        ),
        Table(f"{caption}, as a table", [name, *counts], rows, folded=True),
    ]


def _count(n: int, total: int) -> str:
    return f"{n:,} ({percent(n / max(1, total), 1)})"


def recipe_section(run: Run, state: RunState) -> Section:
    """The resolved recipe as text, and what was overridden."""
    recipe = run.recipe
    overrides = "; ".join(state.overrides)
    return Section(
        "recipe",
        "Recipe",
        [
            Text(
                f"Recipe {recipe.id}, fingerprint {state.recipe_fingerprint}, seed {state.seed}. "
                + (f"Overridden: {overrides}." if overrides else "Nothing was overridden.")
            ),
            Code(toml_text(recipe.to_dict()), "The recipe as TOML"),
        ],
    )


def circumstances_section(run: Run, state: RunState) -> Section:
    """Environment, the log of test readings, and the recipe's notes."""
    section = Section("circumstances", "Circumstances")
    reads = test_reads(run)
    if reads:
        rows = [[str(r.get("when", "")), str(r.get("command", "")), str(r.get("epoch", ""))] for r in reads]
        note = "Each reading of the test part is written down: no choice is made on it unseen."
        section.blocks.append(Table("Readings of the test part", ["when", "by", "of epoch"], rows, [note]))
    else:
        section.blocks.append(Text("The test part has not been read."))
    rows = [["run made", state.created], ["last change", state.updated]]
    for key, value in run.info("environment").items():
        if isinstance(value, Mapping):
            rows += [[str(k), str(v)] for k, v in value.items()]
        else:
            rows.append([str(key).replace("_", " "), value if isinstance(value, str) else json.dumps(value)])
    section.blocks.append(Table("Environment", ["what", "value"], rows))
    section.blocks += [Text(note) for note in run.recipe.expect.notes]
    return section


def test_reads(run: Run) -> list[dict[str, Any]]:
    """Rows of test_reads.jsonl; a line cut short by a kill is left out."""
    path = run.path / "test_reads.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(dict(json.loads(line)))
        except ValueError:
            continue
    return rows
