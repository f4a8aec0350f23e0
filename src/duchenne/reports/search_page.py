"""The report of a search: one self-contained HTML page, and its pictures as files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..experiment.run import write_text
from ..experiment.search import Search, Trial
from ..experiment.search.importance import importances
from ..experiment.search.result import SearchState
from ..experiment.search.space import Field, fields_of
from ..recipe.text import toml_text
from . import figures, search_figures
from .blocks import Block, Code, Picture, Section, Table, Text, decimal, duration
from .overview import curves_in_words, data_section
from .page import fill_template, write_pictures
from .search_figures import Scale, scale_of, text_of
from .style import new_figure, png


def write_search_report(search: Search) -> Path:
    """Write report/index.html of a search, and its pictures as PNGs beside it; of an unfinished one too.

    Args:
        search: The search's folder; nothing but its files is read.

    Returns:
        The path of index.html.

    Raises:
        MissingExtraError: matplotlib, Jinja2 or Optuna is not installed.
        RunError: The folder is damaged or cannot be written.
    """
    new_figure(1, 1)
    recipe, state, trials = search.recipe, search.state, search.trials
    # A trial whose process died or was stopped has a successor with the same values.
    ended = [t for t in trials if t.settled]
    fields = fields_of(recipe)
    best = search.best
    sections = [
        _result(search, state, trials, best),
        _space(recipe.tune.method if recipe.tune else "", state, fields),
        _progress(state, ended),
        _parameters(state, ended, fields, best),
        _importance(search),
        *([_winner(state, best)] if best is not None else []),
        _trial_table(state, trials, fields, best),
        data_section(search.info("data")),
        Section("recipe", "Recipe", [Code(toml_text(recipe.to_dict()), "The searched recipe as TOML")]),
        _circumstances(search, state),
    ]
    status, tone = _status_words(state, ended)
    page = fill_template(
        noun="search", title=recipe.title, run_name=state.name, recipe_id=recipe.id, source=recipe.source,
        status=status, status_tone=tone, reason=state.reason, sections=sections,
    )  # fmt: skip
    folder = search.path / "report"
    write_pictures(folder, [p for s in sections for p in s.pictures()])
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _status_words(state: SearchState, ended: Sequence[Trial]) -> tuple[str, str]:
    done, planned = len(ended), state.trials_planned
    if state.status == "finished":
        return f"complete: {done} trials", "good"
    words = {"running": "still running, or killed", "failed": "failed", "stopped": "stopped"}[state.status]
    return f"partial: {done} of {planned} trials ({words})", "warn"


def _result(search: Search, state: SearchState, trials: Sequence[Trial], best: Trial | None) -> Section:
    section = Section("result", "Result")
    ended = [t for t in trials if t.settled]
    counts = {s: sum(t.state == s for t in ended) for s in ("complete", "pruned", "failed")}
    told = ", ".join(f"{n} {s}" for s, n in counts.items() if n) or "none"
    epochs, seconds = sum(t.epochs for t in ended), sum(t.seconds for t in ended)
    if best is None:
        section.blocks.append(Text("No trial was trained to its end yet, so there is no winner.", "warning"))
    else:
        section.blocks.append(
            Text(
                f"Best: trial {best.number} with {state.monitor} {decimal(best.value, 4)} at epoch "
                f"{best.best_epoch} of {best.epochs_planned}. Its recipe is best.toml: "
                f"duchenne train {search.best_recipe}"
            )
        )
        section.blocks.append(
            Table(
                "The winner's values", ["field", "value"], [[k, text_of(v)] for k, v in best.params.items()]
            )
        )
    section.blocks += [
        Text(f"Trials: {told}; {epochs:,} epochs in {duration(seconds)} of training."),
        Text(
            "Validation alone decided; the test part was not read. The best of many trials looks better on "
            "validation than it is, because it was chosen by it: only a test figure of the winner is fair."
        ),
    ]
    return section


_METHODS = {
    "grid": "Grid: every combination of the listed values.",
    "random": "Random draws from the space.",
    "tpe": "Tree-structured Parzen estimator: each trial is proposed from those before it.",
    "coarse_to_fine": "Coarse to fine: random draws of few epochs, then draws of more epochs from what the "
    "best of them span.",
    "one_at_a_time": "One field at a time, in the order given; the others stand at the best so far.",
}


def _space(method: str, state: SearchState, fields: Sequence[Field]) -> Section:
    section = Section("space", "Space", [Text(_METHODS.get(method, method))])
    head = ["field", "values", "the recipe's own"]
    rows = [[f.name, _range_words(f), text_of(f.own) if f.stated else "not stated"] for f in fields]
    if state.narrowed:
        head.append("narrowed to")
        for row, field in zip(rows, fields, strict=True):
            row.append(_narrowed_words(field, state.narrowed.get(field.name, [])))
    section.blocks.append(Table("What was searched", head, rows, words=True))
    if len(state.stages) > 1:
        rows = [[str(i), words] for i, words in enumerate(state.stages.values(), start=1)]
        section.blocks.append(Table("Stages", ["stage", "what"], rows, words=True))
    return section


def _range_words(field: Field) -> str:
    if field.range is None:
        return ", ".join(text_of(v) for v in field.values)
    r = field.range
    words = f"{r.low:g} to {r.high:g}"
    words += ", logarithmic" if r.log else ""
    words += f", step {r.step:g}" if r.step is not None else ""
    return words + (", whole numbers" if r.integer else "")


def _narrowed_words(field: Field, narrowed: Sequence[Any]) -> str:
    if field.range is None:
        return ", ".join(text_of(v) for v in narrowed)
    return " to ".join(f"{v:.4g}" for v in narrowed)


def _progress(state: SearchState, ended: Sequence[Trial]) -> Section:
    section = Section("progress", "Best value so far")
    if not any(t.value is not None for t in ended):
        section.blocks.append(Text("No trial has a value yet.", "warning"))
        return section
    known = [t for t in ended if t.value is not None]
    better = max if state.direction == "maximize" else min
    top = better(known, key=lambda t: t.value or 0.0)
    section.blocks.append(
        Picture(
            "best-so-far",
            png(search_figures.best_so_far(ended, state.direction, state.monitor)),
            f"{state.monitor} of {len(known)} trials by number; the best of all values is "
            f"{decimal(top.value, 4)}, of trial {top.number}.",
            f"{state.monitor} of each trial (its best epoch), and the best so far of those trained to their "
            "end.",
        )
    )
    return section


def _parameters(
    state: SearchState, ended: Sequence[Trial], fields: Sequence[Field], best: Trial | None
) -> Section:
    section = Section("parameters", "Parameters")
    valued = [t for t in ended if t.value is not None]
    scales: list[Scale] = []
    for field in fields:
        values = [t.params[field.name] for t in ended if field.name in t.params]
        if values:
            scales.append(scale_of(field.name, values, None if field.range is None else field.log))
    whole = [t for t in valued if all(s.name in t.params for s in scales)]
    if not whole or not scales:
        section.blocks.append(Text("No trial has a value yet.", "warning"))
        return section
    words = "" if best is None else " The best has " + ", ".join(
        f"{k} = {text_of(v)}" for k, v in best.params.items()
    )  # fmt: skip
    section.blocks += [
        Picture(
            "parameters",
            png(search_figures.against_parameters(ended, scales, best, state.monitor)),
            f"{state.monitor} of {len(valued)} trials against each of {', '.join(s.name for s in scales)}."
            + words,
            f"{state.monitor} against each field; axes are logarithmic where the field was drawn so or its "
            "values span it. Points of listed values are spread sideways.",
        ),
        Picture(
            "parallel",
            png(search_figures.parallel_coordinates(whole, scales, best, state.monitor)),
            f"Parallel coordinates of {len(whole)} trials over {', '.join(s.name for s in scales)}.{words}",
            "One line a trial; its colour is its value.",
        ),
    ]
    return section


def _importance(search: Search) -> Section:
    shares, words = importances(search)
    section = Section("importance", "Importance", [Text(words)])
    if shares:
        told = ", ".join(f"{k} {v:.2f}" for k, v in shares.items())
        section.blocks.append(
            Picture(
                "importance",
                png(search_figures.importance_bars(shares)),
                f"Importance: {told}.",
                "How much of the spread of the values each field explains, within the searched space.",
            )
        )
    return section


def _winner(state: SearchState, best: Trial) -> Section:
    history = list(best.history)
    blocks: list[Block] = [Text("No history was kept.", "warning")]
    if history:
        blocks = [
            Picture(
                "winner", png(figures.training_curves(history, best.best_epoch)),
                curves_in_words(history, best.best_epoch), f"Trial {best.number} over its epochs.",
            )
        ]  # fmt: skip
    return Section("winner", "The winner's training", blocks)


def _trial_table(
    state: SearchState, trials: Sequence[Trial], fields: Sequence[Field], best: Trial | None
) -> Section:
    names = [f.name for f in fields]
    rows = []
    for t in trials:
        if t.state == "waiting":
            continue
        mark = " (best)" if best is not None and t.number == best.number else ""
        values = [text_of(t.params[n]) if n in t.params else "own" for n in names]
        at = "" if t.best_epoch is None else str(t.best_epoch)
        rows.append(
            [
                f"{t.number}{mark}", t.stage, t.state, decimal(t.value, 4), at,
                f"{t.epochs} of {t.epochs_planned}", f"{t.seconds:.1f}", *values, t.reason,
            ]
        )  # fmt: skip
    head = ["trial", "stage", "state", state.monitor, "best epoch", "epochs", "seconds", *names, "reason"]
    keep = [i for i in range(len(head)) if head[i] != "reason" or any(r[i] for r in rows)]
    waiting = sum(t.state == "waiting" for t in trials)
    notes = [f"{waiting} more trials wait."] if waiting else []
    if any(t.state == "pruned" for t in trials):
        notes.append("A pruned trial's value is the best of the epochs it had.")
    table = Table(
        "All trials", [head[i] for i in keep], [[r[i] for i in keep] for r in rows], notes, len(rows) > 60
    )
    return Section("trials", "Trials", [table])


def _circumstances(search: Search, state: SearchState) -> Section:
    rows = [["search made", state.created], ["last change", state.updated]]
    rows += [["storage", state.storage or "search.db in the folder"], ["study", state.study]]
    if state.overrides:
        rows.append(["overridden", "; ".join(state.overrides)])
    for key, value in search.info("environment").items():
        if isinstance(value, Mapping):
            rows += [[str(k), str(v)] for k, v in value.items()]
        else:
            rows.append([str(key).replace("_", " "), value if isinstance(value, str) else json.dumps(value)])
    return Section("circumstances", "Circumstances", [Table("Environment", ["what", "value"], rows)])
