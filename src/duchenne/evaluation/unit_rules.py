"""Emotion from action units by readable rules: the prototypes of EMFACS, nothing learned.

A prototype is a set of units that move while all others rest. With units as independent yes-or-no questions
of probability p, its score is the log probability of exactly that picture: log p over its units, log (1 - p)
over the others. An emotion has several prototypes and takes the best one's score.

The prototypes are those that the synthetic faces are drawn by (`datasets.prototypes`). Units that a net does
not answer drop out of them; an emotion of which no required unit is answered cannot be told.

Source: Friesen & Ekman 1983, EMFACS-7; Ekman, Friesen & Hager 2002, emotion prediction table. CK+'s three
high-level emotions are chan2023's; that angry, disgust, fear and sad are its negative and happy its positive
is this project's reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..datasets.prototypes import PROTOTYPES
from ..errors import DataError
from ..labels import Output, canonical
from . import classification, multilabel
from .compare import mcnemar
from .intervals import percentiles, resample_cells
from .multi_summary import rows_of
from .predictions import Predictions

Array = npt.NDArray[Any]

# High-level emotion -> the emotions whose prototypes it takes.
HIGH_LEVEL = {"negative": ("angry", "disgust", "fear", "sad"), "positive": ("happy",)}

# No unit alone decides: a probability beyond counts as this much (this project's choice).
CLIP = 0.02

_YES = multilabel.THRESHOLD


@dataclass(frozen=True)
class Rule:
    """One prototype, in the units that are answered.

    Attributes:
        label: Code of the label that it speaks for.
        emotion: The prototype's own name ("angry" speaks for "negative").
        units: Columns of the units that move.
    """

    label: int
    emotion: str
    units: tuple[int, ...]


@dataclass(frozen=True)
class UnitRules:
    """The rules for given units and labels; `make_rules` makes them.

    Attributes:
        units: Canonical names of the A columns.
        labels: The K labels.
        rules: All prototypes.
        untold: Labels that no rule speaks for; never answered.
    """

    units: tuple[str, ...]
    labels: tuple[str, ...]
    rules: tuple[Rule, ...]
    untold: tuple[str, ...]

    def scores(self, probs: Array) -> npt.NDArray[np.float64]:
        """``(N, K)`` log probability of each label's best prototype; -inf: untold. `probs` is ``(N, A)``."""
        each = self._each(probs)
        done = np.full((len(probs), len(self.labels)), -np.inf)
        for i, rule in enumerate(self.rules):
            done[:, rule.label] = np.maximum(done[:, rule.label], each[:, i])
        return done

    def probs(self, probs: Array) -> npt.NDArray[np.float32]:
        """``(N, K)`` the scores as shares of their sum: what each label's best prototype has of all."""
        scores = self.scores(probs)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def reasons(self, probs: Array) -> list[str]:
        """Why each face is called what it is called, a sentence."""
        # Prototypes of the label that is answered, so that a tie cannot give another label's reason.
        said, each = self.scores(probs).argmax(axis=1), self._each(probs)
        codes = np.array([rule.label for rule in self.rules])
        best = np.where(codes == said[:, None], each, -np.inf).argmax(axis=1)
        return [self._reason(self.rules[b], row) for b, row in zip(best, probs, strict=True)]

    def _each(self, probs: Array) -> npt.NDArray[np.float64]:
        """``(N, R)`` log probability of each prototype."""
        p = np.clip(np.asarray(probs, np.float64), CLIP, 1 - CLIP)
        yes, no = np.log(p), np.log(1 - p)
        moves = np.zeros((len(self.rules), len(self.units)))
        for i, rule in enumerate(self.rules):
            moves[i, list(rule.units)] = 1
        return np.asarray(yes @ moves.T + no @ (1 - moves).T)

    def _reason(self, rule: Rule, row: Array) -> str:
        says = rule.emotion
        if self.labels[rule.label] != says:
            says += f", which is {self.labels[rule.label]}"
        for_it = [a for a in rule.units if row[a] >= _YES]
        lacking = [a for a in rule.units if row[a] < _YES]
        in_rules = {a for r in self.rules for a in r.units}
        against = [a for a in sorted(in_rules - set(rule.units)) if row[a] >= _YES]
        if not rule.units:
            text = f"no unit above {_two(_YES)} says {says}" if not against else f"the nearest is {says}"
        elif for_it:
            text = f"{self._named(for_it, row)} {'say' if len(for_it) > 1 else 'says'} {says}"
        else:
            text = f"the nearest is {says}"
        if lacking:
            text += f", though {self._named(lacking, row)} {'do' if len(lacking) > 1 else 'does'} not"
        if against:
            text += (
                f", and {self._named(against, row)} {'speak' if len(against) > 1 else 'speaks'} against it"
            )
        return text

    def _named(self, units: Sequence[int], row: Array) -> str:
        words = [f"{self.units[a]} {_two(float(row[a]))}" for a in units]
        return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _two(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def make_rules(units: Sequence[str], labels: Sequence[str]) -> UnitRules:
    """The rules that tell these labels from these action units.

    Args:
        units: Names of the units that are answered ("AU12"; also "au_12"); others than action units are
            passed over.
        labels: Emotions, FER2013's or chan2023's, in the order of the codes.

    Raises:
        DataError: Fewer than two of the labels can be told.
    """
    names = tuple(canonical(u) for u in units)
    place = {name: i for i, name in enumerate(names)}
    rules: dict[Rule, None] = {}
    for code, label in enumerate(labels):
        name = canonical(label)
        for emotion in HIGH_LEVEL.get(name, (name,)):
            prototype = PROTOTYPES.get(emotion)
            if prototype is None:
                continue
            if prototype.required and not set(prototype.required) & set(place):
                continue
            for variant in prototype.variants:
                moved = (*prototype.required, *variant)
                rules[Rule(code, emotion, tuple(sorted(place[u] for u in moved if u in place)))] = None
    told = {rule.label for rule in rules}
    untold = tuple(label for code, label in enumerate(labels) if code not in told)
    if len(told) < 2:
        raise DataError(
            f"no rules from {', '.join(units) or 'no units'} to {', '.join(labels) or 'no labels'}",
            f"there are prototypes of {', '.join((*PROTOTYPES, *HIGH_LEVEL))}",
        )
    return UnitRules(names, tuple(labels), tuple(rules), untold)


def rules_for(outputs: Sequence[Output]) -> tuple[Output, Output, UnitRules] | None:
    """The first single-label output that rules can tell from a multi-label one, that one, and the rules."""
    for single in outputs:
        if single.kind != "single":
            continue
        for multi in outputs:
            if multi.kind != "multi":
                continue
            try:
                return single, multi, make_rules(multi.labels, single.labels)
            except DataError:
                continue
    return None


def rule_figures(p: Predictions, bootstrap: int, seed: int) -> tuple[str, dict[str, Any]] | None:
    """Name of the emotion output and how well the rules tell it (layout: `summary`, ``from_units``).

    None where no output pair has rules, or no emotion is annotated.
    """
    found = rules_for(p.outputs)
    if found is None or found[0].name not in p.targets:
        return None
    single, multi, rules = found
    p = p.select(classification.labelled(p.targets[single.name]))
    if not len(p):
        return None
    units, codes = p.probs[multi.name], p.hard(single.name)
    by_rule, by_head = rules.scores(units).argmax(axis=1), p.probs[single.name].argmax(axis=1)
    matrix = classification.confusion(codes, by_rule, single.num_classes)
    drawn = resample_cells(
        codes * single.num_classes + by_rule, single.num_classes**2, bootstrap,
        np.random.default_rng(seed), p.subject,
    ).reshape(bootstrap, *matrix.shape)  # fmt: skip
    resampled = classification.averages(drawn)
    return single.name, {
        "units": multi.name,
        "n": len(p),
        "untold": list(rules.untold),
        **_short(matrix),
        "intervals": {f: percentiles(resampled[f]) for f in ("accuracy", "macro_f1")},
        "head": _short(classification.confusion(codes, by_head, single.num_classes)),
        "mcnemar": asdict(mcnemar(by_rule == codes, by_head == codes)),
        "given_true_units": _given_true_units(p, single, multi, rules),
        "per_class": rows_of(single.labels, classification.per_class(matrix)),
        "confusion": matrix,
        "examples": _examples(p, single, rules, units, by_rule, codes),
    }


def _short(matrix: Array) -> dict[str, float]:
    means = classification.averages(matrix)
    return {"accuracy": float(means["accuracy"]), "macro_f1": float(means["macro_f1"])}


def _given_true_units(
    p: Predictions, single: Output, multi: Output, rules: UnitRules
) -> dict[str, Any] | None:
    """What the rules would reach if the net saw every unit rightly; None where no sample says."""
    if multi.name not in p.targets:
        return None
    p = p.select(np.asarray(p.annotated(multi.name).all(axis=1)))
    if not len(p):
        return None
    said = rules.scores((p.truth(multi.name) >= _YES).astype(np.float64)).argmax(axis=1)
    return {
        "n": len(p),
        **_short(classification.confusion(p.hard(single.name), said, single.num_classes)),
    }


def _examples(
    p: Predictions, single: Output, rules: UnitRules, units: Array, said: Array, codes: Array
) -> list[dict[str, str]]:
    """Of each label the first face of it that the rules call so, and the first that they do not."""
    rows = []
    for code in range(single.num_classes):
        for right in (True, False):
            where = np.flatnonzero((codes == code) & ((said == codes) == right))[:1]
            rows += [int(i) for i in where]
    reasons = rules.reasons(units[rows]) if rows else []
    return [
        {"id": str(p.ids[i]), "true": single.labels[codes[i]], "answer": single.labels[said[i]], "reason": r}
        for i, r in zip(rows, reasons, strict=True)
    ]
