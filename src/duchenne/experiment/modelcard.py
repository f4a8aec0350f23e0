"""README.md beside an exported model: a model card in Hugging Face's form, written of the run's own figures.

Source: Mitchell et al. 2019, Model Cards for Model Reporting; Hugging Face, model card metadata
    ("model-index").
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..artifacts import Card
from ..artifacts.artifact import INT8, MODEL
from ..artifacts.card import replace_file
from ..artifacts.metadata import SNIPPET, card_version
from ..artifacts.packaged import WEIGHTS
from ..transforms import Preprocess
from .datasheets import Datasheet, datasheet
from .run import Run
from .temperature import HOW, said

Metrics = Mapping[str, Any]

# The file of the weights' terms, which Hugging Face's front matter links to.
LICENSE = "LICENSE.md"

# Which evaluation's figures stand first: what nothing was chosen on.
_ORDER = ("test", "val", "train")

# Regulation (EU) 2024/1689, as published in the Official Journal of 12 July 2024.
_USES = """\
## Intended use

Research and teaching: what expression a face shows in the terms of the labels below, on pictures whose people
agreed to it. To compare methods, to find mistakes, to be trained on from.

## Out-of-scope uses

- **To infer emotions of people at work or in education.** In the European Union this is prohibited, except
  for medical or safety reasons: Regulation (EU) 2024/1689 (the AI Act), Article 5(1)(f), in force since
  2 February 2025.
- Other emotion recognition there counts as high risk (Article 6(2) and Annex III, point 1(c)), and people
  exposed to it must be told (Article 50(3)).
- Anything decided about a person by it: hiring, marks, insurance, credit, policing, health, lie detection.
- Identifying people, or watching them without their knowledge.

A label is what people call a picture of a face. It is not what that person feels: expressions vary with
culture, situation and person, and may be acted (Barrett et al. 2019)."""


def fresh_metrics(run: Run, card: Card) -> dict[str, Metrics]:
    """The run's evaluations that were made with these weights and this temperature, by name."""
    chosen, wanted = {}, said(card)
    for name, metrics in run.metrics().items():
        told = {"values": dict.fromkeys(card.temperature, 1.0)} | metrics.get("temperature", {})
        same = all(told.get(key) == wanted.get(key) for key in ("values", "scaling"))
        if metrics.get("epoch") == card.training.get("epoch") and same:
            chosen[name] = metrics
    known = [n for n in _ORDER if n in chosen]
    return {n: chosen[n] for n in [*known, *sorted(set(chosen) - set(known))]}


def write_modelcard(run: Run, card: Card, folder: Path) -> None:
    """Write README.md, and the weights' terms as a file of their own where no known licence covers them.

    Raises RunError where they cannot be written.
    """
    sheet, metrics = datasheet(str(card.data.get("name", ""))), fresh_metrics(run, card)
    title = run.recipe.title
    partial = card.training.get("status") != "finished"
    done, planned = card.training.get("epochs_done"), card.training.get("epochs_planned")
    parts = [
        _front(card, sheet, metrics),
        f"# {card.name}\n\n{title}.",
        f"**This training was not finished: {done} of {planned} epochs.**" if partial else "",
        _model(run, card, folder),
        _how_to(run, card),
        _USES,
        _data(run, card, sheet),
        _evaluation(metrics),
        _precision(card),
        _calibration(card, metrics),
        _by_group(metrics, sheet),
        f"## Limits and bias\n\n{sheet.limits}\n\n{sheet.people}",
        _provenance(card),
    ]
    text = "\n\n".join(p.strip() for p in parts if p) + "\n"
    replace_file(folder / "README.md", text.encode())
    if sheet.license_name:
        replace_file(folder / LICENSE, f"# {sheet.license_name}\n\n{sheet.terms}\n\n{card.terms}\n".encode())
    else:
        with suppress(OSError):
            (folder / LICENSE).unlink()


def _front(card: Card, sheet: Datasheet, metrics: Mapping[str, Metrics]) -> str:
    """The YAML front matter; values are written as JSON, which YAML reads."""
    data = str(card.data.get("name", ""))
    lines = ["---", f"license: {sheet.license}"]
    if sheet.license_name:
        lines += [f"license_name: {sheet.license_name}", f"license_link: {LICENSE}"]
    lines += ["library_name: duchenne", "pipeline_tag: image-classification"]
    tags = ["facial-expression-recognition", "emotion", "image-classification", "onnx", "duchenne"]
    lines += ["tags:", *(f"- {tag}" for tag in tags), "datasets:", f"- {json.dumps(data)}"]
    lines += [
        "metrics:",
        "- accuracy",
        "- f1",
        "model-index:",
        f"- name: {json.dumps(card.name)}",
        "  results:",
    ]
    before = len(lines)
    for name, entry in metrics.items():
        for output, figures in entry["outputs"].items():
            if figures["n"]:
                lines += _result(name, entry, output, figures)
    if len(lines) == before:
        lines[-1] += " []"
    return "\n".join([*lines, "---"])


# Name on the card -> keys of the metrics, the first that is there; Hugging Face's type.
_INDEXED = (
    ("accuracy", ("accuracy", "binary_accuracy"), "Accuracy"),
    ("f1", ("macro_f1",), "Macro F1"),
    ("expected_calibration_error", ("ece",), "Expected calibration error, 15 bins"),
)


def _result(name: str, entry: Metrics, output: str, figures: Metrics) -> list[str]:
    part = ", ".join(entry.get("part", [])) or name
    lines = [
        "  - task:",
        "      type: image-classification",
        f"      name: {json.dumps(f'Facial expression: {output}')}",
        "    dataset:",
        f"      name: {json.dumps(entry['data'])}",
        f"      type: {json.dumps(entry['data'])}",
        f"      split: {json.dumps(part)}",
        "    metrics:",
    ]
    for kind, keys, shown in _INDEXED:
        value = next((figures[k] for k in keys if figures.get(k) is not None), None)
        if value is not None:
            lines += [f"    - type: {kind}", f"      value: {value:.4f}", f"      name: {json.dumps(shown)}"]
    return lines


def _model(run: Run, card: Card, folder: Path) -> str:
    learner = run.recipe.learner
    what = f"`{learner.model}` ({learner.name})" if learner.model else f"`{learner.name}`"
    count = run.state.num_parameters
    rows = [f"- Architecture: {what}" + (f", {count:,} parameters" if count else "") + "."]
    if learner.args:
        rows.append(f"- Its arguments: `{json.dumps(learner.args)}`.")
    rows.append(f"- Input: {Preprocess.from_json(card.preprocess).describe()}")
    for output in card.outputs:
        sure = "one of" if output.kind == "single" else "each by itself"
        rows.append(f"- Output `{output.name}`, {sure}: {_plain(', '.join(output.labels))}.")
    about = {
        MODEL: "float32; says in its metadata all that is needed to use it",
        INT8: "8-bit weights and activations",
        WEIGHTS: "weights in half precision, to train on from",
    }
    for name, words in about.items():
        if (folder / name).is_file():
            rows.append(f"- `{name}`: {(folder / name).stat().st_size / 1e6:.1f} MB, {words}.")
    return "## Model\n\n" + "\n".join(rows)


def _how_to(run: Run, card: Card) -> str:
    text = (
        "## How to use\n\nWith duchenne, which finds the faces on a photograph first (`pip install "
        "duchenne`; no torch needed):\n\n```sh\nduchenne predict photo.jpg --model FOLDER   # the folder of "
        "this file\n```\n\n```python\nfrom duchenne import Predictor\n\n"
        'for record in Predictor.load("FOLDER").predict(["photo.jpg"]):\n    print(record)\n```'
    )
    if "features" in card.preprocess:
        return text
    return (
        f"{text}\n\nWithout duchenne, on a face that is cut out (`python this.py {MODEL} face.png`):\n\n"
        f"```python\n{SNIPPET.strip()}\n```"
    )


def _data(run: Run, card: Card, sheet: Datasheet) -> str:
    held = run.info("data")
    splits = ", ".join(f"{k} {v:,}" for k, v in held.get("splits", {}).items())
    notes = "".join(f"\n- {note}" for note in held.get("notes", []))
    about = run.info("environment")
    begun = about.get("start_run", "") if run.recipe.start.run else ""
    taught = about.get("teacher_run", "") if run.recipe.teacher.run else ""
    return (
        f"## Training data and terms\n\n{sheet.title[0].upper()}{sheet.title[1:]}. {sheet.source}\n\n"
        f"- Faces: {splits}.{notes}\n"
        + (f"- The weights began from {begun}.\n" if begun else "")
        + (f"- They learned from the answers of {taught} too, beside the labels.\n" if taught else "")
        + f"\n**Terms.** {sheet.terms}\n\n> {card.terms}"
    )


def _evaluation(metrics: Mapping[str, Metrics]) -> str:
    if not metrics:
        return "## Evaluation\n\nNot evaluated yet: `duchenne evaluate RUN`, then export again."
    blocks = ["## Evaluation"]
    for name, entry in metrics.items():
        part = ", ".join(entry.get("part", []))
        where = f"{entry['data']}, {name}" + (f" ({part})" if part else "")
        blocks.append(f"### {where}: {entry['n']:,} faces, {entry['views']} view")
        if entry.get("partial"):
            blocks.append(f"Partial: {entry['epochs_done']} of {entry['epochs_planned']} epochs.")
        if entry.get("in_train"):
            blocks.append(f"{entry['in_train']:,} of these faces also stand in the training part.")
        for output, figures in entry["outputs"].items():
            if figures["n"]:
                blocks.append(_figures(output, figures))
    return "\n\n".join(blocks)


def _figures(output: str, figures: Metrics) -> str:
    """Overall figures with intervals, and one row a class."""
    shown = []
    for key in ("accuracy", "binary_accuracy", "balanced_accuracy", "macro_f1", "map", "top_2", "ece"):
        if figures.get(key) is None:
            continue
        low, high = (figures.get("intervals") or {}).get(key) or (None, None)
        around = f" [{_percent(low)}, {_percent(high)}]" if low is not None else ""
        shown.append(f"{key.replace('_', ' ')} {_percent(figures[key])}{around}")
    head = ["label", "precision", "recall", "F1", "faces"]
    keys: tuple[str, ...] = ("precision", "recall", "f1")
    without = ""
    if "binary_accuracy" in figures:  # labels each by itself, most of them rare: silence scores high
        head[3:4] = ["F1", "F1 of always yes", "accuracy", "accuracy of always no"]
        keys = ("precision", "recall", "f1", "always_yes_f1", "accuracy", "always_no_accuracy")
        without = (
            f" Without a model: always no has a binary accuracy of "
            f"{_percent(figures.get('always_no_binary_accuracy'))}, always yes a macro F1 of "
            f"{_percent(figures.get('always_yes_macro_f1'))}."
        )
    rows = [
        [r["label"], *(_percent(r.get(key)) for key in keys), f"{r['support']:,}"]
        for r in figures.get("per_class", [])
    ]
    return (
        f"`{output}` (n = {figures['n']:,}): {', '.join(shown)}. In brackets: 95 % intervals.{without}\n\n"
        + _table(head, rows)
    )


def _precision(card: Card) -> str:
    if not card.int8:
        return ""
    measured = card.int8.get("measured") or {}
    text = "## The 8-bit model\n\n"
    if not measured:
        return text + 'Its loss was not measured; `precision="int8"` asks for it.'
    text += (
        f"On validation ({measured['n']:,} faces), {measured['figure'].replace('_', ' ')} of "
        f"`{measured['output']}`: "
        f"float32 {_percent(measured['fp32'])}, int8 {_percent(measured['int8'])}; the same answer on "
        f"{_percent(measured['same_answer'])}. "
    )
    if card.int8["default"]:
        return text + 'It answers unless `precision="fp32"` is asked for.'
    return text + 'It loses too much to be the default; `precision="int8"` asks for it.'


def _calibration(card: Card, metrics: Mapping[str, Metrics]) -> str:
    fitted = card.figures.get(HOW)
    values = ", ".join(f"`{k}` {v:g}" for k, v in card.temperature.items())
    if not fitted:
        how = "No temperature was fitted (all are 1): scores may be too sure or too unsure."
    elif card.scaling:
        how = (
            f"A scale and a shift for each label's logit, fitted by log loss on {fitted['n']:,} validation "
            "faces (vector scaling, Guo et al. 2017):\n\n"
        ) + _table(["output", "label", "scale", "shift"], _scalings(card))
    else:
        how = f"Temperature, fitted by log loss on {fitted['n']:,} validation faces: {values}."
    rows = [
        [name, output, _percent(figures.get("ece")), f"{figures['n']:,}"]
        for name, entry in metrics.items()
        for output, figures in entry["outputs"].items()
        if figures["n"]
    ]
    table = "\n\n" + _table(["part", "output", "expected calibration error", "faces"], rows) if rows else ""
    return f"## Calibration\n\n{how}{table}"


def _scalings(card: Card) -> list[list[str]]:
    return [
        [f"`{output.name}`", label, f"{fitted['scale'][i]:.3f}", f"{fitted['shift'][i]:+.3f}"]
        for output in card.outputs
        if (fitted := card.scaling.get(output.name))
        for i, label in enumerate(output.labels)
    ]


# What figures may differ by (chan2023, section 6, names two) -> the attributes that say so.
_GROUPS = {
    "gender": {"gender", "sex"},
    "age": {"age", "age_group"},
    "skin tone": {"skin_tone", "skin_color", "skin_colour"},
    "person": {"subject"},
}


def _by_group(metrics: Mapping[str, Metrics], sheet: Datasheet) -> str:
    """Figures by each attribute that was asked for, and what was not measured."""
    blocks = ["## Evaluation by group"]
    measured: set[str] = set()
    for name, metric in metrics.items():
        for entry in metric.get("by") or []:
            for output, found in (entry.get("outputs") or {}).items():
                rows = [_group_row(r) for r in found.get("rows") or []]
                if rows:
                    measured.add(str(entry.get("attribute")).lower())
                    blocks.append(f"{name}, `{output}`, by {entry.get('attribute')}:")
                    blocks.append(_table(["group", "accuracy", "macro F1", "faces", ""], rows))
    if lacking := [group for group, attributes in _GROUPS.items() if not attributes & measured]:
        why = sheet.groups[0].upper() + sheet.groups[1:]
        blocks.append(f"Not measured: {', '.join(lacking)}. {why}.")
    return "\n\n".join(blocks)


def _group_row(row: Mapping[str, Any]) -> list[str]:
    accuracy = row.get("accuracy", row.get("binary_accuracy"))
    small = "too few to say" if row.get("small") else ""
    return [
        str(row.get("group")),
        _percent(accuracy),
        _percent(row.get("macro_f1")),
        f"{row.get('n', 0):,}",
        small,
    ]


def _provenance(card: Card) -> str:
    training = card.training
    lines = [
        f"- Version {card_version(card)}: recipe {training.get('recipe_fingerprint')}, seed "
        f"{training.get('seed')}, "
        f"epoch {training.get('epoch')} of {training.get('epochs_planned')} ({training.get('status')}).",
        f"- Data fingerprint {card.data.get('fingerprint')}.",
        f"- Made {card.created} with " + ", ".join(f"{k} {v}" for k, v in card.versions.items()) + ".",
    ]
    if parity := card.figures.get("parity"):
        lines.append(
            f"- The ONNX file's logits differ from the learner's by at most {parity['max_difference']:g} on "
            f"{parity['n']:,} validation faces."
        )
    return "## Provenance\n\n" + "\n".join(lines)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(
        [*lines, *("| " + " | ".join(_plain(c).replace("|", "\\|") for c in row) + " |" for row in rows)]
    )


def _plain(text: str) -> str:
    """The text so that no label becomes a tag: Markdown lets HTML through."""
    return text.replace("<", "&lt;")


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.2f} %"
