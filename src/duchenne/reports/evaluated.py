"""Sections of the report about what was evaluated: key figures, claims, confusion, classes, calibration."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.predictions import Predictions
from ..experiment.run import Run, RunState
from . import figures
from .blocks import Block, Picture, Section, Table, Text, decimal, percent, with_interval
from .claims import claims_table, figure_title
from .faces import ImageOf
from .grids import confusion_matrix
from .group_blocks import group_sections
from .measured import Evaluated, OutputFigures, evaluations
from .mistakes import mistake_blocks
from .multi_blocks import multi_blocks
from .rule_blocks import rule_blocks
from .style import png

UNDEFINED = (
    "n/a: not defined, a division by zero: recall needs a face of the class, precision an answer of it, "
    "F1 needs one of the two."
)


def key_section(run: Run, state: RunState) -> Section:
    """Key figures of everything evaluated, with intervals, and the source's claims beside them."""
    section = Section("figures", "Key figures")
    done = evaluations(run)
    if not done:
        section.blocks.append(Text("Nothing has been evaluated yet.", "warning"))
    if not any(e.name == "test" for e in done):
        section.blocks.append(
            Text(f"The test part has not been evaluated. To do so: duchenne evaluate {state.name}", "warning")
        )
    singles = [(e, o) for e in done for o in e.outputs if o.kind == "single"]
    if singles:
        section.blocks.append(_single_table(singles))
    multis = [(e, o) for e in done for o in e.outputs if o.kind == "multi"]
    if multis:
        section.blocks.append(_multi_table(multis))
    section.blocks += [Text(line, "warning") for e in done for line in _doubts(e, state)]
    claims = claims_table(run)
    if claims is not None:
        section.blocks.append(claims)
        if state.epochs_done < state.epochs_planned:
            done_of = f"{state.epochs_done} of {state.epochs_planned}"
            section.blocks.append(Text(f"The claims are of a whole training; this one has {done_of} epochs."))
        if state.overrides:
            section.blocks.append(
                Text(
                    f"The claims are of the recipe as it is; this run overrode {', '.join(state.overrides)}.",
                    "warning",
                )
            )
    return section


def _single_table(pairs: Sequence[tuple[Evaluated, OutputFigures]]) -> Table:
    head = [
        "part",
        "output",
        "faces",
        "accuracy",
        "balanced accuracy",
        "macro F1",
        "log loss",
        "calibration error",
    ]
    rows = []
    for e, o in pairs:
        f, i = o.figures, o.intervals
        rows.append(
            [
                e.title, o.name, f"{o.n:,}",
                with_interval(f.get("accuracy"), i.get("accuracy")),
                with_interval(f.get("balanced_accuracy"), i.get("balanced_accuracy")),
                with_interval(f.get("macro_f1"), i.get("macro_f1")),
                decimal(f.get("log_loss")),
                decimal(f.get("ece")),
            ]
        )  # fmt: skip
    note = "In brackets: 95% bootstrap intervals. Macro: every class counts the same."
    return Table("One label a face", head, rows, [note])


def _multi_table(pairs: Sequence[tuple[Evaluated, OutputFigures]]) -> Table:
    head = [
        "part",
        "output",
        "faces",
        "binary accuracy",
        "of answering no",
        "macro F1",
        "of answering yes",
        "mean average precision",
        "by chance",
    ]
    rows = []
    for e, o in pairs:
        f, i = o.figures, o.intervals
        rows.append(
            [
                e.title, o.name, f"{o.n:,}",
                with_interval(f.get("binary_accuracy"), i.get("binary_accuracy")),
                percent(f.get("always_no_binary_accuracy")),
                with_interval(f.get("macro_f1"), i.get("macro_f1")),
                percent(f.get("always_yes_macro_f1")),
                with_interval(f.get("map"), i.get("map")),
                percent(f.get("chance_map")),
            ]
        )  # fmt: skip
    note = (
        "A label is answered yes at a probability of 0.5 or more. Beside the figures stands what answering "
        "no (or yes) to everything, or ranking the faces by chance, would reach without looking at a face."
    )
    return Table("Several labels a face", head, rows, [note])


def evaluation_sections(run: Run, image_of: ImageOf | None, images: bool) -> list[Section]:
    """One section for each thing evaluated, the test part first; all after the first are folded."""
    sections = []
    for place, e in enumerate(evaluations(run)):
        section = Section(f"eval-{e.anchor}", e.title, folded=place > 0)
        section.blocks += [Text(line) for line in (_facts(e), *e.unmatched, *e.notes)]
        predictions = _predictions(run, e.name)
        for o in e.outputs:
            if not o.n:
                nothing = Text(
                    "These faces carry no true labels of this output; there is nothing to measure."
                )
                section.sections.append(Section(f"eval-{e.anchor}-{o.anchor}", f"Output {o.name}", [nothing]))
                continue
            blocks = _single_blocks(e, o) if o.kind == "single" else multi_blocks(run, e, o)
            if o.kind == "multi" and o.clean and o.clean_n:
                blocks.append(_overlap_table(o))
            blocks += rule_blocks(run, e, o)
            if o.kind == "single" and predictions is not None:
                # The images are those of the run's own data; another set's ids ("SET-split") may name other
                # faces there.
                own = image_of if "-" not in e.name else None
                blocks += mistake_blocks(predictions, o.name, f"{e.anchor}-{o.anchor}", own, images)
            section.sections.append(Section(f"eval-{e.anchor}-{o.anchor}", f"Output {o.name}", blocks))
        section.sections += group_sections(run, e)
        sections.append(section)
    return sections


def _doubts(e: Evaluated, state: RunState) -> list[str]:
    """Why figures may not be what they seem."""
    lines = []
    best = state.best.get("epoch")
    if e.epoch is not None and best is not None and e.epoch != best:
        lines.append(
            f"{e.title}: of epoch {e.epoch}; since then epoch {best} became the best. Evaluate again."
        )
    if e.data_changed:
        lines.append(f"{e.title}: the data are no longer those that the run was trained on.")
    return lines


def _facts(e: Evaluated) -> str:
    views = {"single": "one view of each", "flip": "mean of each face and its mirror image"}.get(
        e.views, e.views
    )
    seen = "" if e.in_train is None else f" Images of {e.in_train:,} of them also stand in the training part."
    part = f" ({', '.join(e.part)})" if e.part else ""
    epoch = "" if e.epoch is None else f"; weights of epoch {e.epoch}"
    return f"{e.n:,} faces{part}; {views}{epoch}.{seen}"


def _predictions(run: Run, name: str) -> Predictions | None:
    path = run.predictions_path(name)
    return Predictions.load(path) if path.is_file() else None


def _single_blocks(e: Evaluated, o: OutputFigures) -> list[Block]:
    key = f"{e.anchor}-{o.anchor}"
    blocks: list[Block] = []
    if o.confusion:
        blocks.append(
            Picture(f"confusion-{key}", png(confusion_matrix(o.confusion, o.labels)), confusion_in_words(o),
                    "Confusion matrix: row = true class, column = answer.")
        )  # fmt: skip
        blocks.append(
            Table("Confusion matrix as a table (counts; row = true class)", ["true class", *o.labels],
                  [[x, *map(str, row)] for x, row in zip(o.labels, o.confusion, strict=True)], folded=True)
        )  # fmt: skip
    if o.rows:
        blocks += _class_blocks(o, key)
    if o.groups:
        rows = [[g.name, ", ".join(g.labels), f"{g.n:,}", percent(g.accuracy)] for g in o.groups]
        note = "An answer outside the group counts as wrong."
        head = ["group", "true classes", "faces", "accuracy"]
        blocks.append(Table("Accuracy among groups of classes", head, rows, [note]))
    if o.reliability is not None:
        r = o.reliability
        picture = figures.reliability(r.edges, r.confidence, r.accuracy, r.counts, o.figures.get("ece"))
        blocks.append(
            Picture(f"reliability-{key}", png(picture), reliability_in_words(o),
                    "Reliability: in each bin of confidence, the share of answers that are right. Bars below "
                    "the dashed line are answers given with too much confidence.", wide=False)
        )  # fmt: skip
    if o.clean and o.clean_n:
        blocks.append(_overlap_table(o))
    return blocks


def confusion_in_words(o: OutputFigures) -> str:
    """Per class how many were right and what it was most often taken for."""
    words = []
    for i, (label, row) in enumerate(zip(o.labels, o.confusion, strict=True)):
        total = sum(row)
        if not total:
            words.append(f"{label}: no faces")
            continue
        others = [(n, o.labels[j]) for j, n in enumerate(row) if j != i]
        n, most = max(others, default=(0, ""))
        text = f"{label}: {row[i]} of {total} right"
        words.append(text + (f", most often taken for {most} ({n})" if n else ""))
    return "Confusion matrix. " + "; ".join(words) + "."


def reliability_in_words(o: OutputFigures) -> str:
    """The calibration error and each filled bin."""
    r = o.reliability
    if r is None:
        return ""
    bins = [
        f"confidence {percent(c, 0)}: {percent(a, 0)} right of {n}"
        for c, a, n in zip(r.confidence, r.accuracy, r.counts, strict=True)
        if n
    ]
    return (
        f"Reliability diagram. Expected calibration error {decimal(o.figures.get('ece'))}. "
        + "; ".join(bins)
        + "."
    )


def _class_blocks(o: OutputFigures, key: str) -> list[Block]:
    f = o.figures
    rows = [
        [r.label, percent(r.precision), percent(r.recall), percent(r.f1), f"{r.support:,}"] for r in o.rows
    ]
    for average in ("macro", "weighted"):
        rows.append(
            [f"{average} average", *(percent(f.get(f"{average}_{k}")) for k in ("precision", "recall", "f1")),
             f"{sum(r.support for r in o.rows):,}"]
        )  # fmt: skip
    undefined = any(v is None for r in o.rows for v in (r.precision, r.recall, r.f1))
    notes = [UNDEFINED] if undefined else []
    words = ", ".join(f"{r.label} {decimal(r.f1, 2)}" for r in o.rows)
    chart = figures.class_f1([r.label for r in o.rows], [r.f1 for r in o.rows], [r.support for r in o.rows])
    blocks: list[Block] = [
        Table("Per class", ["class", "precision", "recall", "F1", "faces"], rows, notes),
        Picture(
            f"f1-{key}",
            png(chart),
            f"F1 per class: {words}.",
            "F1 per class; n is the number of faces.",
            wide=False,
        ),
    ]
    if any(r.ovr_accuracy is not None for r in o.rows):
        blocks.append(
            Table(
                "One class against the rest, each as a yes-or-no question",
                ["class", "accuracy", "precision", "recall", "F1"],
                [[r.label, *map(percent, (r.ovr_accuracy, r.precision, r.recall, r.f1))] for r in o.rows],
                [
                    "Accuracy counts rightly rejected faces too: it is high for rare classes.",
                    *notes,
                ],
            )
        )
    return blocks


def _overlap_table(o: OutputFigures) -> Table:
    names = [
        n
        for n in ("accuracy", "binary_accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
        if n in o.clean
    ]
    rows = [
        ["all", f"{o.n:,}", *(with_interval(o.figures.get(n), o.intervals.get(n)) for n in names)],
        [
            "without those",
            f"{o.clean_n:,}",
            *(with_interval(o.clean[n], o.clean_intervals.get(n)) for n in names),
        ],
    ]
    caption = f"With and without the {o.n - o.clean_n:,} faces whose image also stands in training"
    return Table(caption, ["faces", "number", *(figure_title(n) for n in names)], rows)
