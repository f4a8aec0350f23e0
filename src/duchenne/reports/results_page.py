"""docs/results.md from result files: claimed beside measured, and a plain sentence about each row."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..experiment.run import write_text
from ..recipe import Recipe, load_recipe, recipe_ids
from .claims import SPLITS, claimed_text, figure_title, is_per_class, is_share, measured_text
from .measured import Figures
from .resultfile import Confusion, ResultFile, SeedResult, load_results

HEADER = "<!-- Generated from results/*.json. Do not edit: run `duchenne reproduce --page`. -->"

# Shown for validation and test even where the source claims nothing about them.
_ALWAYS = (
    "accuracy", "accuracy_without_training_images", "balanced_accuracy", "binary_accuracy", "macro_f1",
    "weighted_f1", "loss",
)  # fmt: skip

_INTRO = """# Results

What each packaged recipe reached on its real data, beside what its source claims.

- **Status**: *complete*: exact settings, all epochs; *partial*: what was shortened is said; *not comparable*:
  why is said; *not run yet*: no figures are known.
- **Measured**: the mean and, over several seeds, ± the standard deviation; of a single training, the figure
  and its 95% bootstrap interval in brackets. The epoch is the one that validation chose, so validation
  figures lean to the bright side; the test part has no say in it.
- Train figures are means over an epoch, taken while training (dropout on), where the training part was not
  evaluated by itself.
- Measured losses are of the stored probabilities, clipped at 1.2e-7 as in scikit-learn and Keras; those of
  the last epoch are of logits, not clipped, and so a little higher where a net is sure and wrong."""


def render_results_page(results: Sequence[ResultFile], recipes: Sequence[Recipe] | None = None) -> str:
    """The results page as Markdown.

    Args:
        results: One a recipe, in any order.
        recipes: What appears as "not run yet" where no result is given; by default all packaged recipes.
    """
    known = [load_recipe(name) for name in recipe_ids()] if recipes is None else list(recipes)
    done = {r.id: r for r in results}
    waiting = [r for r in known if r.id not in done]
    sources = sorted(
        {_report(r.source) for r in done.values()} | {_report(r.source) for r in waiting},
        key=lambda source: (source == _OWN, source),
    )
    parts = [HEADER, _INTRO]
    for source in sources:
        rows = {r.id: _row(r) for r in done.values() if _report(r.source) == source}
        rows |= {r.id: _waiting_row(r) for r in waiting if _report(r.source) == source}
        lines = ["| recipe | claimed | measured | status |", "|---|---|---|---|"]
        lines += [rows[name] for name in sorted(rows)]
        parts += [f"## {_safe(source)}", "\n".join(lines)]
        parts += [_section(done[name]) for name in sorted(rows) if name in done]
    return "\n\n".join(parts) + "\n"


def write_results_page(folder: Path, page: Path) -> str:
    """Render `folder`/*.json into the file `page`; returns the text. Raises RunError on a damaged file."""
    text = render_results_page(load_results(folder))
    write_text(page, text)
    return text


_OWN = "This project"


def _report(source: str) -> str:
    """ "friv2024" of "friv2024, section 3"."""
    return source.split(",")[0].split(":")[0].strip() or _OWN


def _safe(text: str) -> str:
    """Text that Markdown takes literally in a line or a table cell."""
    flat = " ".join(text.split())
    for character in "\\|*_`":
        flat = flat.replace(character, "\\" + character)
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _measured(name: str, values: Sequence[float | None], interval: tuple[float, float] | None = None) -> str:
    """Mean ± sd over seeds, or one figure with its interval; empty where nobody measured it."""
    if not values:
        return ""
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return "n/a"
    if len(known) > 1:
        unit = 100 if is_share(name) else 1
        digits = 2 if is_share(name) else 4
        spread = f"{unit * statistics.stdev(known):.{digits}f}"
        return f"{measured_text(name, statistics.fmean(known))} ± {spread} ({len(known)} seeds)"
    text = measured_text(name, known[0])
    if interval is not None:
        text += f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
    return text


def _across(result: ResultFile, split: str, name: str) -> str:
    figures: list[Figures] = [getattr(seed, split) for seed in result.seeds]
    values = [f[name] for f in figures if name in f]
    if len(values) < len(figures):
        return ""
    interval = result.seeds[0].intervals.get(split) if name == "accuracy" and len(values) == 1 else None
    return _measured(name, values, interval)


def _claims(claimed: Mapping[str, Mapping[str, float]]) -> str:
    """The claimed test and validation accuracy; where there is none, the first figure that is claimed."""
    accuracies = [
        f"{split} {claimed_text('accuracy', claimed[split]['accuracy'])}"
        for split in ("test", "val")
        if "accuracy" in claimed.get(split, {})
    ]
    others = [
        f"{split} {_safe(figure_title(name))} {claimed_text(name, value)}"
        for split in SPLITS
        for name, value in claimed.get(split, {}).items()
    ]
    return "; ".join(accuracies or others[:1]) or "-"


def _row(result: ResultFile) -> str:
    found = [f"{s} {text}" for s in ("test", "val") if (text := _across(result, s, "accuracy"))]
    first = f"[{result.id}](#{result.id})"
    return f"| {first} | {_claims(result.claimed)} | {'; '.join(found) or '-'} | {_status(result)} |"


def _status(result: ResultFile) -> str:
    if result.status != "partial":
        return result.status
    fewest = min(result.seeds, key=lambda s: s.epochs_done)
    short = fewest.epochs_done < fewest.epochs_planned
    return f"partial: {fewest.epochs_done} of {fewest.epochs_planned} epochs" if short else "partial"


def _waiting_row(recipe: Recipe) -> str:
    expect = recipe.expect
    claims = _claims({"train": expect.train, "val": expect.val, "test": expect.test})
    return f"| {recipe.id} | {claims} | - | not run yet |"


def _section(result: ResultFile) -> str:
    parts = [
        f"### {result.id}",
        _safe(result.title) + (f" ({_safe(result.source)})" if result.source else ""),
        f"**{_status(result).capitalize()}.** {_safe(result.sentence)}",
        _figures_table(result),
    ]
    parts += [table for split in SPLITS if (table := _class_table(result, split))]
    shown = next((s.confusion for s in result.seeds if s.confusion is not None), None)
    if shown is not None:
        parts.append(_confusion_table(shown, result))
    parts.append(_runs_table(result.seeds))
    versions = ", ".join(f"{k} {v}" for k, v in sorted(result.versions.items()))
    facts = f"Data: {_safe(result.data.name)}, fingerprint `{result.data.fingerprint}`. "
    facts += f"Command: `{result.command}`." + (f" Versions: {_safe(versions)}." if versions else "")
    parts.append(facts)
    if result.notes:
        parts.append("\n".join(f"- {_safe(note)}" for note in result.notes))
    return "\n\n".join(parts)


def _figures_table(result: ResultFile) -> str:
    lines = ["| figure | claimed | measured | last epoch |", "|---|--:|--:|--:|"]
    for split in SPLITS:
        claimed = {n: v for n, v in result.claimed.get(split, {}).items() if "." not in n}
        measured: Figures = getattr(result.seeds[0], split)
        kept = [n for n in measured if n in _ALWAYS or (n.count(".") == 1 and n.split(".")[1] in _ALWAYS)]
        kept += [n for n in result.claimed.get(split, {}) if n in measured]
        for name in dict.fromkeys([*claimed, *(n for n in kept if not is_per_class(n))]):
            last = [s.last.get(split, {}).get(name) for s in result.seeds]
            lines.append(
                f"| {split} {_safe(figure_title(name))} "
                f"| {claimed_text(name, claimed[name]) if name in claimed else ''} "
                f"| {_across(result, split, name)} "
                f"| {_measured(name, last) if all(v is not None for v in last) else ''} |"
            )
    return "\n".join(lines)


def _class_table(result: ResultFile, split: str) -> str:
    """Claimed and measured figures per class, where the source claims any."""
    claimed = {n: v for n, v in result.claimed.get(split, {}).items() if is_per_class(n)}
    if not claimed:
        return ""
    kinds = list(dict.fromkeys(name.partition(".")[0] for name in claimed))
    classes = list(dict.fromkeys(name.partition(".")[2] for name in claimed))
    head = "".join(f" {figure_title(kind)} claimed | {figure_title(kind)} measured |" for kind in kinds)
    lines = [f"Per class, {split}:", "", f"| class |{head}", "|---|" + "--:|--:|" * len(kinds)]
    for label in classes:
        cells = ""
        for kind in kinds:
            name = f"{kind}.{label}"
            cells += f" {claimed_text(name, claimed[name]) if name in claimed else ''} |"
            cells += f" {_across(result, split, name)} |"
        lines.append(f"| {_safe(label)} |{cells}")
    return "\n".join(lines)


def _confusion_table(confusion: Confusion, result: ResultFile) -> str:
    seed = next(s.seed for s in result.seeds if s.confusion is confusion)
    labels = [_safe(label) for label in confusion.labels]
    lines = [
        f"Confusion matrix, {confusion.split}, seed {seed} (row: true class, column: answer):",
        "",
        "| | " + " | ".join(labels) + " |",
        "|---|" + "--:|" * len(labels),
    ]
    for label, row in zip(labels, confusion.counts, strict=True):
        lines.append(f"| {label} | " + " | ".join(str(n) for n in row) + " |")
    return "\n".join(lines)


def _runs_table(seeds: Sequence[SeedResult]) -> str:
    lines = [
        "| seed | epochs | best epoch | val accuracy | test accuracy | parameters | minutes | run |",
        "|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for s in seeds:
        val = measured_text("accuracy", s.val["accuracy"]) if "accuracy" in s.val else ""
        test = measured_text("accuracy", s.test["accuracy"]) if "accuracy" in s.test else ""
        best = "" if s.best_epoch is None else s.best_epoch
        parameters = f"{s.num_parameters:,}" if s.num_parameters else ""
        lines.append(
            f"| {s.seed} | {s.epochs_done} of {s.epochs_planned} | {best} | {val} | {test} "
            f"| {parameters} | {s.train_seconds / 60:.1f} | `{s.run_fingerprint}` |"
        )
    return "\n".join(lines)
