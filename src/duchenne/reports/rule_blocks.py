"""Blocks about an emotion told from action units by rule, beside the net's own answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..experiment.run import Run
from .blocks import Block, Table, Text, decimal, percent, with_interval
from .measured import Evaluated, OutputFigures

Entry = Mapping[str, Any]

_FIGURES = ("accuracy", "macro_f1")


def rule_blocks(run: Run, e: Evaluated, o: OutputFigures) -> list[Block]:
    """What `from_units` of an output holds; nothing where no rules fit, or in files written before."""
    raw: Entry | None = run.metrics().get(e.name, {}).get("outputs", {}).get(o.name, {}).get("from_units")
    if raw is None:
        return []
    pairs = {k: tuple(v) for k, v in raw["intervals"].items() if v and None not in v}
    rows = [
        ["the net's own answer", f"{raw['n']:,}", *(percent(raw["head"][f], 1) for f in _FIGURES)],
        [f"by rule, from its answers of {raw['units']}", f"{raw['n']:,}",
         *(with_interval(raw[f], pairs.get(f), 1) for f in _FIGURES)],
    ]  # fmt: skip
    if (true := raw["given_true_units"]) is not None:
        rows.append(
            [
                f"by rule, from the true {raw['units']}",
                f"{true['n']:,}",
                *(percent(true[f], 1) for f in _FIGURES),
            ]
        )
    test = raw["mcnemar"]
    notes = [
        "The rules are the prototypes of EMFACS (Friesen & Ekman 1983) in the units that are answered; "
        "nothing in them is learned. A face is called by the prototype that its units fit best.",
        f"Right by rule alone: {test['only_a']:,}; right by the net alone: {test['only_b']:,} "
        f"(McNemar's test: p = {decimal(test['p_value'])}).",
    ]
    if raw["untold"]:
        notes.append(f"Never answered, for no rule speaks for it: {', '.join(raw['untold'])}.")
    caption = f"{o.name} from {raw['units']} by rule"
    blocks: list[Block] = [
        Table(caption, ["answer", "faces", "accuracy", "macro F1"], rows, notes),
        Table(
            "By rule, per class", ["class", "precision", "recall", "F1", "faces"],
            [[r["label"], *(percent(r[k], 1) for k in ("precision", "recall", "f1")), f"{r['support']:,}"]
             for r in raw["per_class"]], folded=True,
        ),
    ]  # fmt: skip
    if raw["examples"]:
        cells = [[x["id"], x["true"], x["answer"], x["reason"]] for x in raw["examples"]]
        blocks.append(
            Table("Reasons of the rules, for some faces", ["face", "true", "by rule", "because"], cells,
                  ["Of each class the first face told rightly, and the first told wrongly."],
                  folded=True, words=True)
        )  # fmt: skip
    else:
        blocks.append(Text("No face to give a reason for."))
    return blocks
