"""The figures of a run, from its metrics and its history, under the names that a recipe's [expect] uses."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import RunError
from ..experiment.run import Run

# Figure name -> value in the names of [expect] ("accuracy", "loss", "macro_f1", "f1.happy"); None: undefined.
# Outputs after the first single-label one carry their name in front ("au.macro_f1").
Figures = dict[str, float | None]

METRICS_SCHEMA = 1

# Figures over the faces of a named group of classes: "accuracy_among.NAME".
AMONG = "accuracy_among"

_TITLES = {"test": "Test", "val": "Validation", "train": "Training"}


@dataclass(frozen=True)
class Row:
    """Figures of one class (or label of a multi-label output); None where undefined or not of that kind."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    ovr_accuracy: float | None = None
    accuracy: float | None = None
    baseline_accuracy: float | None = None
    baseline_f1: float | None = None


@dataclass(frozen=True)
class Group:
    """Accuracy over the n faces whose true class is one of the labels; None where there is none."""

    name: str
    labels: list[str]
    n: int
    accuracy: float | None


@dataclass(frozen=True)
class Reliability:
    """Bins of confidence: edges (one more than bins), means (None in an empty bin) and counts."""

    edges: list[float]
    confidence: list[float | None]
    accuracy: list[float | None]
    counts: list[int]


@dataclass(frozen=True)
class OutputFigures:
    """What was measured of one output on one set of predictions.

    Attributes:
        figures: Name -> value, as in the metrics file.
        intervals: Name -> 95% interval, where there is one.
        groups: Accuracy over named groups of classes, where the recipe asks for any.
        clean: The same figures without the faces whose image also stands in training; empty where none does.
    """

    name: str
    kind: str
    labels: list[str]
    n: int
    figures: Figures
    intervals: dict[str, tuple[float, float]]
    rows: list[Row]
    confusion: list[list[int]]
    reliability: Reliability | None
    groups: list[Group]
    clean: Figures
    clean_n: int
    clean_intervals: dict[str, tuple[float, float]]

    @property
    def anchor(self) -> str:
        """The name in letters, digits and hyphens."""
        return slug(self.name)


@dataclass(frozen=True)
class Evaluated:
    """One metrics file.

    Attributes:
        name: "val", "test" or "<dataset>-<split>".
        n: Faces.
        in_train: How many of them also stand in training; None where that is not known.
        views: How many views of a face were averaged.
        part: The publisher's names of these faces' parts.
        epoch: Of which epoch the weights are; None where the file does not say.
        data_changed: The run's own data are no longer those it was trained on.
        unmatched: Sentences on labels and faces that found no partner in the model.
        notes: Sentences about the data.
    """

    name: str
    n: int
    in_train: int | None
    views: str
    outputs: list[OutputFigures]
    notes: list[str]
    part: list[str]
    epoch: int | None
    data_changed: bool
    unmatched: list[str]

    @property
    def anchor(self) -> str:
        """The name in letters, digits and hyphens."""
        return slug(self.name)

    @property
    def title(self) -> str:
        """The name as a heading."""
        return _TITLES.get(self.name, self.name)

    def output(self, name: str) -> OutputFigures | None:
        """The named output, or None."""
        return next((o for o in self.outputs if o.name == name), None)


def slug(text: str) -> str:
    """Letters, digits and hyphens, for anchors and file names."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "x"


def evaluations(run: Run) -> list[Evaluated]:
    """Everything evaluated so far: the test part first, then validation, training and other data sets.

    Raises:
        RunError: A metrics file is damaged or of another schema.
    """
    order = ("test", "val", "train")
    found = [_read(run, name, raw) for name, raw in run.metrics().items()]
    return sorted(found, key=lambda e: (order.index(e.name) if e.name in order else len(order), e.name))


def _read(run: Run, name: str, raw: Mapping[str, Any]) -> Evaluated:
    path = run.path / "metrics" / f"{name}.json"
    if raw.get("schema") != METRICS_SCHEMA:
        raise RunError(
            f"{path} has schema {raw.get('schema')}; this version reads {METRICS_SCHEMA}",
            "evaluate the run again",
        )
    try:
        return Evaluated(
            name=name,
            n=int(raw["n"]),
            in_train=raw.get("in_train"),
            views=str(raw["views"]),
            outputs=[_output(str(key), entry) for key, entry in raw["outputs"].items()],
            notes=[str(note) for note in raw.get("notes", [])],
            part=[str(part) for part in raw.get("part", [])],
            epoch=raw.get("epoch"),
            data_changed=bool(raw.get("data_changed", False)),
            unmatched=_unmatched(raw.get("matching", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error!r}", "evaluate the run again") from None


def _unmatched(matching: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, found in matching.items():
        if not isinstance(found, Mapping):
            continue
        for key, who in (("only_in_data", "only the data know"), ("only_in_model", "only the model knows")):
            if labels := found.get(key):
                lines.append(f"Labels of {name} that {who}: {', '.join(map(str, labels))}.")
    if left_out := matching.get("left_out"):
        lines.append(f"{left_out:,} faces were left out, for the model knows none of their labels.")
    return lines


def _output(name: str, raw: Mapping[str, Any]) -> OutputFigures:
    clean = raw.get("without_in_train") or {}
    groups = [
        Group(str(g["name"]), [str(x) for x in g["labels"]], int(g["n"]), g["accuracy"])
        for g in raw.get("groups", [])
    ]
    return OutputFigures(
        name=name,
        kind=str(raw["kind"]),
        labels=[str(label) for label in raw["labels"]],
        n=int(raw["n"]),
        figures=numbers(raw) | {f"{AMONG}.{g.name}": g.accuracy for g in groups},
        groups=groups,
        intervals=_intervals(raw),
        rows=_rows(raw),
        confusion=[[int(c) for c in row] for row in raw.get("confusion", [])],
        reliability=_reliability(raw.get("reliability", [])),
        clean=numbers(clean),
        clean_n=int(clean.get("n", 0)),
        clean_intervals=_intervals(clean),
    )


def numbers(values: Mapping[str, Any]) -> Figures:
    """The figures of a metrics entry: its floats and nulls. Whole numbers there are counts."""
    return {str(k): v for k, v in values.items() if isinstance(v, float) or (v is None and k not in _PARTS)}


# Parts of a metrics entry that are null where there is nothing to say.
_PARTS = ("without_in_train", "intervals")


def _intervals(raw: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, pair in (raw.get("intervals") or {}).items():
        if pair is not None and None not in pair:
            low, high = pair
            found[str(name)] = (float(low), float(high))
    return found


def _rows(raw: Mapping[str, Any]) -> list[Row]:
    rest = {r["label"]: r.get("accuracy") for r in raw.get("one_vs_rest", [])}
    return [
        Row(
            label=str(r["label"]),
            precision=r["precision"],
            recall=r["recall"],
            f1=r["f1"],
            support=int(r["support"]),
            ovr_accuracy=rest.get(r["label"]),
            accuracy=r.get("accuracy"),
            baseline_accuracy=r.get("always_no_accuracy"),
            baseline_f1=r.get("always_yes_f1"),
        )
        for r in raw.get("per_class", [])
    ]


def _reliability(bins: Sequence[Mapping[str, Any]]) -> Reliability | None:
    if not bins:
        return None
    return Reliability(
        edges=[float(bins[0]["low"]), *(float(b["high"]) for b in bins)],
        confidence=[b["confidence"] for b in bins],
        accuracy=[b["accuracy"] for b in bins],
        counts=[int(b["n"]) for b in bins],
    )


def main_output(run: Run) -> str:
    """The output whose figures carry no prefix: the first single-label one, else the first, else ""."""
    kinds: dict[str, str] = {str(n): str(o["kind"]) for n, o in run.info("data").get("outputs", {}).items()}
    for e in evaluations(run):
        for o in e.outputs:
            kinds.setdefault(o.name, o.kind)
    wanted = [n for n in run.recipe.data.outputs if n in kinds] or list(kinds)
    return next((n for n in wanted if kinds[n] == "single"), wanted[0] if wanted else "")


def flat_figures(e: Evaluated, main: str) -> Figures:
    """All figures of one evaluation under the names of [expect], per-class ones as "f1.happy".

    "accuracy_without_training_images" is that of the faces whose image does not also stand in training.

    "loss" is the log loss, where there is one output only: of several, the loss is their weighted sum, which
    the history holds.
    """
    flat: Figures = {}
    for o in e.outputs:
        prefix = "" if o.name == main else f"{o.name}."
        flat |= {prefix + k: v for k, v in o.figures.items()}
        if o.clean_n and "accuracy" in o.clean:
            flat[f"{prefix}accuracy_without_training_images"] = o.clean["accuracy"]
        for row in o.rows:
            for kind in ("precision", "recall", "f1"):
                flat[f"{prefix}{kind}.{row.label}"] = getattr(row, kind)
            accuracy = row.ovr_accuracy if o.kind == "single" else row.accuracy
            flat[f"{prefix}accuracy.{row.label}"] = accuracy
            if o.kind == "multi":
                flat[f"{prefix}always_yes_f1.{row.label}"] = row.baseline_f1
    if len(e.outputs) == 1 and "log_loss" in flat:
        flat["loss"] = flat["log_loss"]
    return flat


def history_figures(row: Mapping[str, Any], split: str, main: str, outputs: Sequence[str]) -> Figures:
    """A history row's figures of "train" or "val" under the names of [expect]."""
    flat: Figures = {}
    for key, value in row.items():
        if not key.startswith(f"{split}_") or not isinstance(value, int | float | None):
            continue
        name = key.removeprefix(f"{split}_")
        owner = next((o for o in sorted(outputs, key=len, reverse=True) if name.startswith(f"{o}_")), "")
        if owner:
            if len(outputs) == 1 and name == f"{owner}_loss":
                continue  # the same as the loss itself
            name = name.removeprefix(f"{owner}_")
            # "loss" is the sum over outputs, so the main output's share keeps its prefix.
            name = name if owner == main and name != "loss" else f"{owner}.{name}"
        flat[name] = None if value is None or not math.isfinite(value) else float(value)
    return flat


def split_figures(run: Run) -> dict[str, Figures]:
    """ "train", "val" and "test" figures of the epoch that was kept.

    They come from the metrics files; what was not evaluated by itself comes from that epoch's history row.
    """
    main = main_output(run)
    done = {e.name: e for e in evaluations(run)}
    best, history = run.state.best.get("epoch"), run.history()
    # Without a validation part there is no best epoch, and the last one is kept.
    kept = next((row for row in history if row.get("epoch") == best), {})
    kept = history[-1] if history and best is None else kept
    found: dict[str, Figures] = {}
    for split in ("train", "val", "test"):
        found[split] = history_figures(kept, split, main, output_names(run))
        if split in done:
            found[split] |= flat_figures(done[split], main)
    return found


def output_names(run: Run) -> list[str]:
    """Names of the outputs that the run's data and metrics speak of."""
    names = [str(n) for n in run.info("data").get("outputs", {})]
    names += [o.name for e in evaluations(run) for o in e.outputs]
    return list(dict.fromkeys(names))
