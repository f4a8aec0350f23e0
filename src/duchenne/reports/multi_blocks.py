"""Blocks about an output of several labels a face, such as action units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..experiment.run import Run
from . import figures
from .blocks import Block, Picture, Table, Text, decimal, percent, with_interval
from .grids import cooccurrence
from .measured import Evaluated, OutputFigures
from .style import png

Entry = Mapping[str, Any]

UNDEFINED = (
    "n/a: not defined, a division by zero: recall needs a face with the label, precision a yes to it, F1 "
    "needs one of the two."
)


def multi_blocks(run: Run, e: Evaluated, o: OutputFigures) -> list[Block]:
    """All that was measured of one output on one part.

    Files written before thresholds, co-occurrence and figures by class were kept give the first blocks alone.
    """
    raw: Entry = run.metrics().get(e.name, {}).get("outputs", {}).get(o.name, {})
    chart = figures.label_bars(
        [r.label for r in o.rows], [r.f1 for r in o.rows],
        [r.baseline_f1 for r in o.rows], [r.support for r in o.rows],
    )  # fmt: skip
    words = ", ".join(
        f"{r.label} {decimal(r.f1, 2)} (yes always {decimal(r.baseline_f1, 2)})" for r in o.rows
    )
    blocks: list[Block] = [
        Picture(f"labels-{e.anchor}-{o.anchor}", png(chart), f"F1 per label: {words}.",
                "F1 per label; the black mark is what answering yes to every face reaches.", wide=False),
        _label_table(run, o, raw),
    ]  # fmt: skip
    if o.name in untaught(run):
        text = (
            "No face of the training part has any label of this output: nothing taught the net to answer yes."
        )
        blocks.insert(0, Text(text, "warning"))
    blocks += _threshold_blocks(run, e, o, raw)
    if "cooccurrence" in raw:
        blocks += _pair_blocks(e, o, raw["cooccurrence"])
    if "by_class" in raw:
        blocks += _class_blocks(raw["by_class"], o.labels)
    if "argmax_form" in raw:
        blocks.append(_argmax_table(raw["argmax_form"]))
    return blocks


def without_positive(run: Run, output: str) -> list[str]:
    """Labels of a multi-label output that no face of the training part has."""
    about = run.info("data").get("outputs", {}).get(output, {})
    counts = about.get("train", {})
    return [label for label in about.get("labels", []) if label in counts and not counts[label]]


def untaught(run: Run) -> list[str]:
    """Multi-label outputs of which no face of the training part has any label."""
    outputs = run.info("data").get("outputs", {})
    return [
        name
        for name, about in outputs.items()
        if about.get("kind") == "multi" and set(without_positive(run, name)) >= set(about.get("labels", [""]))
    ]


def _label_table(run: Run, o: OutputFigures, raw: Entry) -> Table:
    found = {r["label"]: r for r in raw.get("per_class", [])}
    rows = []
    for r in o.rows:
        mine = found.get(r.label, {})
        low_high = mine.get("f1_interval")
        interval = None if not low_high or None in low_high else (low_high[0], low_high[1])
        rows.append(
            [
                r.label + ("" if r.support else " (absent)"), f"{r.support:,}",
                percent(r.precision, 1), percent(r.recall, 1), with_interval(r.f1, interval, 1),
                percent(r.baseline_f1, 1), percent(r.accuracy, 1), percent(r.baseline_accuracy, 1),
                percent(mine.get("average_precision"), 1), percent(mine.get("chance_average_precision"), 1),
            ]
        )  # fmt: skip
    f, i = o.figures, o.intervals
    total = f"{sum(r.support for r in o.rows):,}"
    rows.append(
        [
            "macro average", total, percent(f.get("macro_precision"), 1), percent(f.get("macro_recall"), 1),
            with_interval(f.get("macro_f1"), i.get("macro_f1"), 1), percent(f.get("always_yes_macro_f1"), 1),
            percent(f.get("binary_accuracy"), 1), percent(f.get("always_no_binary_accuracy"), 1),
            percent(f.get("map"), 1), percent(f.get("chance_map"), 1),
        ]
    )  # fmt: skip
    weighted = [percent(f.get(f"weighted_{k}"), 1) for k in ("precision", "recall")]
    f1 = with_interval(f.get("weighted_f1"), i.get("weighted_f1"), 1)
    rows.append(["weighted average", total, *weighted, f1, "", "", "", "", ""])
    head = [
        "label", "faces with it", "precision", "recall", "F1", "F1 of yes always", "accuracy",
        "accuracy of no always", "average precision", "by chance",
    ]  # fmt: skip
    return Table("Per label, yes at a probability of 0.5 or more", head, rows, _label_notes(run, o))


def _label_notes(run: Run, o: OutputFigures) -> list[str]:
    notes = ["In brackets: 95% bootstrap intervals, of whole subjects where the data name them."]
    if any(v is None for r in o.rows for v in (r.precision, r.recall, r.f1)):
        notes.append(UNDEFINED)
    if absent := [r.label for r in o.rows if not r.support]:
        notes.append(f"Absent from this part, and not in the averages: {', '.join(absent)}.")
    if untold := without_positive(run, o.name):
        notes.append(
            f"No face of the training part has {', '.join(untold)}: nothing taught the net to answer yes. "
            "They are scored as all others: where they occur here, what is not answered yes counts as missed."
        )
    return notes


def _threshold_blocks(run: Run, e: Evaluated, o: OutputFigures, raw: Entry) -> list[Block]:
    at = raw.get("at_thresholds")
    if at is None:
        advice = f"duchenne evaluate {run.path.name} --split val, then this part again"
        return [
            Text(
                f"No threshold a label: validation was not evaluated with these weights and views ({advice})."
            )
        ]
    half = {r.label: r for r in o.rows}
    rows = [
        [r["label"], decimal(t, 3), *(percent(r[k], 1) for k in ("precision", "recall", "f1")),
         percent(half[r["label"]].f1, 1), percent(half[r["label"]].baseline_f1, 1),
         percent(r["accuracy"], 1), percent(half[r["label"]].baseline_accuracy, 1)]
        for r, t in zip(at["per_class"], at["thresholds"], strict=True)
    ]  # fmt: skip
    pair = at["intervals"].get("macro_f1")
    interval = None if not pair or None in pair else (pair[0], pair[1])
    rows.append(
        ["macro average", "", percent(at["macro_precision"], 1), percent(at["macro_recall"], 1),
         with_interval(at["macro_f1"], interval, 1), percent(o.figures.get("macro_f1"), 1),
         percent(o.figures.get("always_yes_macro_f1"), 1), percent(at["binary_accuracy"], 1),
         percent(o.figures.get("always_no_binary_accuracy"), 1)]
    )  # fmt: skip
    if at["chosen_here"]:
        where = "Chosen on these very faces, label by label, for the highest F1: the figures flatter."
    else:
        where = (
            "Chosen on the validation part, label by label, for the highest F1 there; never on these faces."
        )
    head = [
        "label", "threshold", "precision", "recall", "F1", "F1 at 0.5", "F1 of yes always", "accuracy",
        "accuracy of no always",
    ]  # fmt: skip
    return [Table("Per label, at thresholds from validation", head, rows, [where])]


def _pair_blocks(e: Evaluated, o: OutputFigures, raw: Entry) -> list[Block]:
    true, said = raw["true"], raw["predicted"]
    rows = [
        [label, *(f"{t:,} / {s:,}" for t, s in zip(true[i], said[i], strict=True))]
        for i, label in enumerate(o.labels)
    ]
    return [
        Picture(f"pairs-{e.anchor}-{o.anchor}", png(cooccurrence(true, said, o.labels)),
                pairs_in_words(true, said, o.labels),
                "Labels that come together: of the faces with the row's label, the share that has the "
                "column's too; as it is, and as answered at 0.5."),
        Table("Labels that come together (faces: as they are / as answered)", ["label", *o.labels], rows,
              folded=True),
    ]  # fmt: skip


def pairs_in_words(
    true: Sequence[Sequence[int]], said: Sequence[Sequence[int]], labels: Sequence[str], most: int = 5
) -> str:
    """The pairs of labels whose answered count is furthest from the true one."""
    pairs = [
        (abs(said[i][j] - true[i][j]), labels[i], labels[j], true[i][j], said[i][j])
        for i in range(len(labels))
        for j in range(i)
    ]
    worst = [p for p in sorted(pairs, key=lambda p: -p[0])[:most] if p[0]]
    text = "; ".join(f"{b} with {a}: {t} faces, answered on {s}" for _, a, b, t, s in worst)
    return "Labels that come together. " + (
        f"Furthest apart: {text}." if worst else "All pairs are answered as often as they occur."
    )


def _class_blocks(raw: Entry, labels: Sequence[str]) -> list[Block]:
    name, found = raw["output"], raw["rows"]
    rows = []
    for r in found:
        pairs = {k: tuple(v) for k, v in r["intervals"].items() if v and None not in v}
        rows.append(
            [r["label"], f"{r['n']:,}",
             with_interval(r["binary_accuracy"], pairs.get("binary_accuracy"), 1),
             percent(r["always_no_binary_accuracy"], 1),
             with_interval(r["macro_f1"], pairs.get("macro_f1"), 1),
             percent(r.get("always_yes_macro_f1"), 1)]
        )  # fmt: skip
    head = [f"true {name}", "faces", "binary accuracy", "of answering no", "macro F1", "of answering yes"]
    note = "Macro F1: over the labels that occur among the faces of the class; n/a where none does."
    cells = [
        [label, *(f"{decimal(c['f1'], 2)}, {decimal(c.get('always_yes_f1'), 2)} ({c['support']:,}/"
                  f"{c['predicted']:,})" for c in (r["per_class"][i] for r in found))]
        for i, label in enumerate(labels)
    ]  # fmt: skip
    return [
        Table(f"By true {name}", head, rows, [note]),
        Table(
            f"F1 of each label by true {name}, then that of yes always (in brackets: faces with it / faces "
            "answered yes)",
            ["label", *(r["label"] for r in found)], cells, folded=True,
        ),
    ]  # fmt: skip


def _argmax_table(raw: Entry) -> Table:
    rows = [
        [r["label"], *(percent(r[k], 1) for k in ("precision", "recall", "f1")), f"{r['support']:,}"]
        for r in raw["per_class"]
    ]
    rows.append(["accuracy", "", "", percent(raw["accuracy"], 1), f"{raw['n']:,}"])
    rows.append(["macro average", "", "", percent(raw["macro_f1"], 1), f"{raw['n']:,}"])
    rows.append(["weighted average", "", "", percent(raw["weighted_f1"], 1), f"{raw['n']:,}"])
    commonest = max(raw["per_class"], key=lambda r: r["support"])
    notes = [
        f"Always answering {commonest['label']}: accuracy {percent(commonest['support'] / raw['n'], 1)}.",
        "No figure of a multi-label output: of each face the first label present, in the rows' order, is "
        "held against the likeliest one; all its other labels are dropped, and a face without any counts as "
        "the first label. Shown because chan2023 (figures 10 to 12) prints its action units so.",
    ]
    head = ["label", "precision", "recall", "F1", "faces"]
    return Table("In the form of chan2023: one label a face", head, rows, notes, folded=True)
