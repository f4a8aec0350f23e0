"""Tables of the results page, as Markdown: figures, classes, confusion matrices, runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ..scratch.stopping import lower_is_better, reaches
from .claims import SPLITS, claimed_text, figure_title, is_per_class, is_share, measured_text
from .measured import AMONG
from .resultfile import Confusion, ResultFile, ResultTable, SeedResult

# Shown for validation and test even where the source claims nothing about them.
_ALWAYS = (
    "accuracy", "accuracy_without_training_images", "balanced_accuracy", "binary_accuracy", "macro_f1",
    "weighted_f1", "loss", "map", "always_no_binary_accuracy", "always_yes_macro_f1", "chance_map",
)  # fmt: skip

# Points between a claimed and a measured accuracy that ask for a sentence.
_TOLERANCE = 2.0


def safe(text: str) -> str:
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


def across(result: ResultFile, split: str, name: str) -> str:
    """A figure over all seeds as text; empty where not every seed has it."""
    figures = [seed.figures(split) for seed in result.seeds]
    values = [f[name] for f in figures if name in f]
    if not values or len(values) < len(figures):
        return ""
    interval = result.seeds[0].intervals.get(split) if name == "accuracy" and len(values) == 1 else None
    return _measured(name, values, interval)


def figures_table(result: ResultFile) -> str:
    """Every figure that is claimed, and the usual ones, one a line."""
    lines = ["| figure | claimed | measured | last epoch |", "|---|--:|--:|--:|"]
    for split in parts_of(result):
        claimed = {n: v for n, v in result.claimed.get(split, {}).items() if not is_per_class(n)}
        measured = result.seeds[0].figures(split)
        kept = [n for n in measured if _is_shown(n)]
        kept += [n for n in result.claimed.get(split, {}) if n in measured]
        for name in dict.fromkeys([*claimed, *(n for n in kept if not is_per_class(n))]):
            last = [s.last.get(split, {}).get(name) for s in result.seeds]
            lines.append(
                f"| {split} {safe(figure_title(name))} "
                f"| {claimed_text(name, claimed[name]) if name in claimed else ''} "
                f"| {across(result, split, name)} "
                f"| {_measured(name, last) if all(v is not None for v in last) else ''} |"
            )
    return "\n".join(lines)


def class_table(result: ResultFile, split: str) -> str:
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
            cells += f" {across(result, split, name)} |"
        lines.append(f"| {safe(label)} |{cells}")
    return "\n".join(lines)


def label_tables(result: ResultFile, split: str) -> list[str]:
    """F1 of each label of the multi-label outputs, beside what answering yes to every face reaches."""
    outputs: dict[str, list[str]] = {}
    for name in result.seeds[0].figures(split):
        output, *rest = name.split(".", 2)
        if len(rest) == 2 and rest[0] == "f1":
            outputs.setdefault(output, []).append(rest[1])
    tables = []
    for output, labels in outputs.items():
        lines = ["| label | F1 | F1 of yes always |", "|---|--:|--:|"]
        for label in labels:
            own, yes = (across(result, split, f"{output}.{kind}.{label}") for kind in ("f1", "always_yes_f1"))
            lines.append(f"| {safe(label)} | {own} | {yes} |")
        tables += [
            f"Per label of {safe(output)}, {split} (n/a: in some seed no face has it):",
            "\n".join(lines),
        ]
    return tables


def confusion_tables(result: ResultFile) -> list[str]:
    """The measured confusion matrix, after the one that the source prints, where it prints one."""
    seed = next((s for s in result.seeds if s.confusion is not None), None)
    found = None if seed is None else seed.confusion
    claimed = result.claimed_confusion
    order = "row: true class, column: answer"
    if not claimed:
        if seed is None or found is None:
            return []
        return [
            f"Confusion matrix, {found.split}, seed {seed.seed} ({order}):",
            _matrix(found.labels, found.counts, False),
        ]
    labels = found.labels if found is not None else [str(code) for code in range(len(claimed))]
    parts = [f"Confusion matrix, test, as the source prints it ({order}):", _matrix(labels, claimed, True)]
    if seed is None or found is None:
        return [*parts, "None was measured yet."]
    parts += [f"Measured, {found.split}, seed {seed.seed}:", _matrix(found.labels, found.counts, True)]
    return [*parts, _sums_in_words(claimed, found)] if found.split == "test" else parts


def _matrix(labels: Sequence[str], counts: Sequence[Sequence[int]], sums: bool) -> str:
    names = [safe(label) for label in labels]
    head, rows = names, [list(row) for row in counts]
    if sums:
        head, rows = [*names, "sum"], [[*row, sum(row)] for row in rows]
        rows.append([sum(column) for column in zip(*rows, strict=True)])
    lines = ["| | " + " | ".join(head) + " |", "|---|" + "--:|" * len(head)]
    for label, row in zip([*names, "sum"], rows, strict=False):
        lines.append(f"| {label} | " + " | ".join(str(n) for n in row) + " |")
    return "\n".join(lines)


def _sums_in_words(claimed: Sequence[Sequence[int]], measured: Confusion) -> str:
    pairs = [(sum(a), sum(b)) for a, b in zip(claimed, measured.counts, strict=True)]
    theirs, ours = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    apart = [
        f"{safe(label)} {a:,} and {b:,}"
        for label, (a, b) in zip(measured.labels, pairs, strict=True)
        if a != b
    ]
    if not apart:
        return f"Both are of {ours:,} faces, as many of each class."
    totals = f"{theirs:,} in the source's matrix, {ours:,} in the measured one"
    return f"Faces: {totals}. They differ in: {'; '.join(apart)}."


def runs_table(seeds: Sequence[SeedResult]) -> str:
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


def targets_line(
    seeds: Sequence[SeedResult], targets: Mapping[str, float], claimed: tuple[int, int] | None = None
) -> str:
    """At which epoch each training reached the recipe's targets, all at once: it ends there.

    Args:
        seeds: The trainings.
        targets: `Stop.targets` of the recipe.
        claimed: `Expect.epochs_to_targets` of the recipe.
    """
    wanted = " and ".join(
        f"{safe(name.replace('_', ' '))} of {'at most' if lower_is_better(name) else 'at least'} {value:g}"
        for name, value in targets.items()
    )
    told = []
    for s in seeds:
        last = {name: _last_of(s, name) for name in targets}
        known = {name: value for name, value in last.items() if value is not None}
        if len(known) < len(last):
            when = "not known"
        elif all(reaches(known, name, value) for name, value in targets.items()):
            when = f"epoch {s.epochs_done}"
        else:
            when = f"not in {s.epochs_done} epochs"
        told.append(f"seed {s.seed}: {when}")
    said = ""
    if claimed is not None:
        first, last_claimed = claimed
        said = f"claimed {first}" + (f" to {last_claimed}" if last_claimed > first else "") + "; measured "
    return f"Epochs to the targets ({wanted}): {said}{'; '.join(told)}."


def _last_of(seed: SeedResult, key: str) -> float | None:
    """A history key's value in the last epoch; result files have the main output's without its name."""
    split, _, name = key.partition("_")
    figures = seed.last.get(split, {})
    for cut in (i for i, c in enumerate(name) if c == "_"):
        if (found := f"{name[:cut]}.{name[cut + 1 :]}") in figures:
            return figures[found]
    return next((figures[n] for n in (name, name.partition("_")[2]) if n in figures), None)


def free_table(table: ResultTable) -> str:
    """A table of a result file that is not of single trainings."""
    numeric = [all(not isinstance(row[c], str) for row in table.rows) for c in range(len(table.columns))]
    lines = [
        f"{safe(table.title)}:",
        "",
        "| " + " | ".join(safe(name) for name in table.columns) + " |",
        "|" + "|".join("--:" if right else "---" for right in numeric) + "|",
    ]
    for row in table.rows:
        cells = [_cell(name, value) for name, value in zip(table.columns, row, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    if table.note:
        lines += ["", safe(table.note)]
    return "\n".join(lines)


def _cell(column: str, value: str | float | int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return safe(value)
    if column.endswith("(%)"):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"


def difference_lines(result: ResultFile) -> list[str]:
    """Why figures differ; or, where nobody has said it, which accuracies lie over 2 points apart."""
    if result.differences:
        return [safe(text) for text in result.differences]
    gaps = [*_gaps_of_seeds(result), *(gap for table in result.tables for gap in _gaps_of_table(table))]
    return [
        f"{what}: {abs(gap):.2f} points {'above' if gap > 0 else 'below'} the claim, not explained yet."
        for what, gap in gaps
        if round(abs(gap), 2) > _TOLERANCE
    ]


def _gaps_of_seeds(result: ResultFile) -> list[tuple[str, float]]:
    """("val accuracy", points above the claim), ..."""
    gaps = []
    for split in SPLITS:
        claimed = result.claimed.get(split, {}).get("accuracy")
        values = [seed.figures(split).get("accuracy") for seed in result.seeds]
        known = [value for value in values if value is not None]
        if claimed is not None and known and len(known) == len(values):
            gaps.append((f"{split} accuracy", 100 * (statistics.fmean(known) - claimed)))
    return gaps


def _gaps_of_table(table: ResultTable) -> list[tuple[str, float]]:
    """Accuracies in columns "claimed X (%)" and "measured X (%)", one a row."""
    gaps = []
    for c, name in enumerate(table.columns):
        what = name.removeprefix("claimed ")
        other = f"measured {what}"
        if name == what or other not in table.columns or "accuracy" not in what:
            continue
        for row in table.rows:
            claimed, measured = row[c], row[table.columns.index(other)]
            if isinstance(claimed, int | float) and isinstance(measured, int | float):
                gaps.append((f"{safe(str(row[0]))}, {what.removesuffix(' (%)')}", measured - claimed))
    return gaps


def parts_of(result: ResultFile) -> list[str]:
    """ "train", "val", "test" and the further parts that were evaluated."""
    return [*SPLITS, *dict.fromkeys(name for seed in result.seeds for name in seed.also)]


def _is_shown(name: str) -> bool:
    own = name.partition(".")[2] if name.count(".") == 1 else name
    return name in _ALWAYS or own in _ALWAYS or name.startswith(f"{AMONG}.")
