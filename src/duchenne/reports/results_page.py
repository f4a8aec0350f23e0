"""docs/results.md from result files: claimed beside measured, and a plain sentence about each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..experiment.run import write_text
from ..recipe import Recipe, load_recipe, recipe_ids
from .claims import SPLITS, claimed_text, figure_title
from .resultfile import ResultFile, load_results
from .results import claims_of
from .results_gap import gap_table
from .results_tables import (
    across,
    class_table,
    confusion_tables,
    difference_lines,
    figures_table,
    free_table,
    label_tables,
    parts_of,
    runs_table,
    safe,
    targets_line,
)

HEADER = "<!-- Generated from results/*.json. Do not edit: run `duchenne reproduce --page`. -->"

_INTRO = """# Results

What each packaged recipe reached on its real data, beside what its source claims.

- **Status**: *complete*: exact settings, all epochs; *partial*: what was shortened is said; *not comparable*:
  why is said; *not run yet*: no figures are known.
- **Measured**: the mean and, over several seeds, ± the standard deviation; of a single training, the figure
  and its 95% bootstrap interval in brackets. The epoch is the one that validation chose, so validation
  figures lean to the bright side; the test part has no say in it.
- Train figures are means over an epoch, taken while training (dropout on), where the training part was not
  evaluated by itself.
- An accuracy over 2 points from its claim has a sentence on why, or is said to be *not explained yet*.
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
        parts += [f"## {safe(source)}", "\n".join(lines)]
        here = {name: done[name] for name in sorted(rows) if name in done}
        if gaps := gap_table(here):
            parts.append(gaps)
        packaged = {r.id: r for r in known}
        parts += [_section(result, packaged.get(name)) for name, result in here.items()]
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


def _claims(claimed: Mapping[str, Mapping[str, float]], headline: str = "") -> str:
    """The claimed test and validation accuracy; where there is none, the first figure that is claimed."""
    if headline:
        return safe(headline)
    accuracies = [
        f"{split} {claimed_text('accuracy', claimed[split]['accuracy'])}"
        for split in ("test", "val")
        if "accuracy" in claimed.get(split, {})
    ]
    others = [
        f"{split} {safe(figure_title(name))} {claimed_text(name, value)}"
        for split in SPLITS
        for name, value in claimed.get(split, {}).items()
    ]
    return "; ".join(accuracies or others[:1]) or "-"


def _row(result: ResultFile) -> str:
    parts = ["test", *(name for name in parts_of(result) if name not in SPLITS), "val"]
    measured = {name: across(result, name, "accuracy") for name in (*parts, "train")}
    found = [f"{name} {measured[name]}" for name in parts if measured[name]]
    if not found and measured["train"]:
        found = [f"train {measured['train']}"]
    if result.headline:
        found = [safe(result.headline)]
    first = f"[{result.id}](#{result.id})"
    claims = _claims(result.claimed, result.claimed_headline)
    return f"| {first} | {claims} | {'; '.join(found) or '-'} | {_status(result)} |"


def _status(result: ResultFile) -> str:
    if result.status != "partial" or not result.seeds:
        return result.status
    fewest = min(result.seeds, key=lambda s: s.epochs_done)
    short = fewest.epochs_done < fewest.epochs_planned
    return f"partial: {fewest.epochs_done} of {fewest.epochs_planned} epochs" if short else "partial"


def _waiting_row(recipe: Recipe) -> str:
    claims = claims_of(recipe)
    text = _claims(claims["claimed"], claims["claimed_headline"])
    return f"| {recipe.id} | {text} | - | not run yet |"


def _section(result: ResultFile, recipe: Recipe | None) -> str:
    parts = [
        f"### {result.id}",
        safe(result.title) + (f" ({safe(result.source)})" if result.source else ""),
        f"**{_status(result).capitalize()}.** {safe(result.sentence)}",
    ]
    if result.seeds:
        parts.append(figures_table(result))
        parts += [table for split in SPLITS if (table := class_table(result, split))]
        parts += label_tables(result, "test")
    parts += [free_table(table) for table in result.tables]
    if why := difference_lines(result):
        parts += ["Why the figures differ:", "\n".join(f"- {line}" for line in why)]
    parts += confusion_tables(result)
    if result.seeds:
        parts.append(runs_table(result.seeds))
        if recipe is not None and recipe.stop.targets:
            parts.append(targets_line(result.seeds, recipe.stop.targets, recipe.expect.epochs_to_targets))
    parts.append(_facts(result))
    if result.notes:
        parts.append("\n".join(f"- {safe(note)}" for note in result.notes))
    return "\n\n".join(parts)


def _facts(result: ResultFile) -> str:
    parts = "; ".join(f"{split}: {' + '.join(names)}" for split, names in sorted(result.data.parts.items()))
    facts = f"Data: {safe(result.data.name)}" + (f" ({safe(parts)})" if parts else "")
    facts += f", fingerprint `{result.data.fingerprint}`. Command: `{result.command}`."
    if views := sorted({view for seed in result.seeds for view in seed.views}):
        facts += f" Figures are of probabilities averaged over several views: {', '.join(views)}."
    versions = ", ".join(f"{k} {v}" for k, v in sorted(result.versions.items()))
    return facts + (f" Versions: {safe(versions)}." if versions else "")
