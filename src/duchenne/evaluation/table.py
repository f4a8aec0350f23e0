"""Predictions as files: a CSV that people and spreadsheets read, and a JSON sidecar that says what it holds.

Columns, in this order (`emotion` stands for a `single` output, `au` for a `multi` one):

    id                       the sample
    subject                  only where known
    in_train                 only where known: 1 where the image also stands in training, else 0
    group:NAME               one for each group attribute
    emotion                  the true label's name, empty where not annotated (no column where nothing is);
                             of votes: the label with most of them
    emotion:predicted        the label with the largest probability
    emotion:votes:LABEL      only where the truth is votes
    emotion:p:LABEL          probability
    au:predicted             the labels with probability >= 0.5, joined by "+"
    au:true:LABEL            occurrence or intensity in [0, 1], empty where not annotated
    au:p:LABEL               probability

Numbers are the shortest decimals that give back the same float32. The sidecar has the same name with `.json`.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, RunError
from ..labels import Output
from .predictions import Predictions, hard_codes

SCHEMA = 1

Array = npt.NDArray[Any]


def write(p: Predictions, path: Path) -> None:
    """Write the CSV and its sidecar; each replaces an older file in one step.

    Raises:
        RunError: The folder cannot be written to, or an id, subject or group holds a line break.
    """
    card = {
        "schema": SCHEMA,
        "n": len(p),
        "outputs": [
            {"name": o.name, "kind": o.kind, "labels": list(o.labels), "truth": _truth(p, o)}
            for o in p.outputs
        ],
        "subject": p.subject is not None,
        "in_train": p.in_train is not None,
        "group": list(p.group),
    }
    columns = dict(_columns(p))
    for name, column in columns.items():
        if any("\n" in cell or "\r" in cell or "\0" in cell for cell in column):
            raise RunError(f"{path}: a cell of column '{name}' holds a line break or a NUL character")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(columns)
            rows.writerows(zip(*columns.values(), strict=True))
        note = path.with_name(path.name + ".note")
        note.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)
        os.replace(note, path.with_suffix(".json"))
    except OSError as error:
        raise RunError(
            f"{path}: cannot write predictions: {error.strerror}", "free space or choose a folder"
        ) from error


def read(path: Path) -> Predictions:
    """Read what `write` wrote.

    Raises:
        RunError: A file is missing, of another schema, cut short, or a row is damaged (its number is named;
            the header is row 1).
    """
    side = path.with_suffix(".json")
    try:
        card = json.loads(side.read_text(encoding="utf-8"))
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = list(csv.reader(file))
    except OSError as error:
        raise RunError(f"{error.filename}: cannot read predictions: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise RunError(f"{path}: predictions or their sidecar {side.name} are damaged: {error}") from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise RunError(f"{side}: not predictions of schema {SCHEMA}")
    try:
        outputs = tuple(Output(o["name"], o["kind"], tuple(o["labels"])) for o in card["outputs"])
        truths = {o["name"]: o["truth"] for o in card["outputs"]}
        n, header = int(card["n"]), _header(card)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{side}: the sidecar is damaged: {error!r}") from error
    if not lines or lines[0] != header:
        raise RunError(f"{path}: row 1: the columns are not those that {side.name} names")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise RunError(f"{path}: row {number}: {len(line)} cells, not {len(header)}")
    if len(lines) - 1 != n:
        raise RunError(
            f"{path}: {len(lines) - 1} samples, but {side.name} says {n}", "evaluate the run again"
        )
    cells = dict(zip(header, zip(*lines[1:], strict=True) if n else [()] * len(header), strict=True))
    return _assemble(path, cells, outputs, truths, card)


def _assemble(
    path: Path,
    cells: dict[str, tuple[str, ...]],
    outputs: tuple[Output, ...],
    truths: dict[str, Any],
    card: Any,
) -> Predictions:
    probs: dict[str, Array] = {}
    targets: dict[str, Array] = {}
    masks: dict[str, Array] = {}
    for o in outputs:
        probs[o.name] = _floats(path, cells, [f"{o.name}:p:{x}" for x in o.labels])
        if truths[o.name] == "codes":
            targets[o.name] = _codes(path, cells, o)
        elif truths[o.name] == "votes":
            targets[o.name] = _floats(path, cells, [f"{o.name}:votes:{x}" for x in o.labels])
        elif truths[o.name] is not None:
            known = _floats(path, cells, [f"{o.name}:true:{x}" for x in o.labels], empty=True)
            targets[o.name] = np.nan_to_num(known, nan=0.0)
            if truths[o.name] == "masked":
                masks[o.name] = ~np.isnan(known)
    try:
        return Predictions(
            ids=np.array(cells["id"], dtype=str), outputs=outputs, probs=probs, targets=targets, masks=masks,
            subject=np.array(cells["subject"], dtype=str) if card["subject"] else None,
            group={g: np.array(cells[f"group:{g}"], dtype=str) for g in card["group"]},
            in_train=_floats(path, cells, ["in_train"])[:, 0] == 1 if card["in_train"] else None,
        )  # fmt: skip
    except DataError as error:
        raise RunError(f"{path}: {error.what}") from error


def _truth(p: Predictions, output: Output) -> str | None:
    if output.name not in p.targets:
        return None
    if output.kind == "multi":
        return "masked" if output.name in p.masks else "all"
    return "codes" if p.targets[output.name].ndim == 1 else "votes"


def _header(card: dict[str, Any]) -> list[str]:
    names = ["id", *(c for c in ("subject", "in_train") if card[c]), *(f"group:{g}" for g in card["group"])]
    for o in card["outputs"]:
        kinds = {"votes": ["votes"], "all": ["true"], "masked": ["true"]}.get(o["truth"], [])
        names += [o["name"]] * (o["truth"] in ("codes", "votes"))
        names.append(f"{o['name']}:predicted")
        names += [f"{o['name']}:{kind}:{label}" for kind in (*kinds, "p") for label in o["labels"]]
    return names


def _columns(p: Predictions) -> Iterator[tuple[str, list[str]]]:
    yield "id", [str(i) for i in p.ids.tolist()]
    if p.subject is not None:
        yield "subject", [str(s) for s in p.subject.tolist()]
    if p.in_train is not None:
        yield "in_train", ["1" if b else "0" for b in p.in_train]
    for name, group in p.group.items():
        yield f"group:{name}", [str(g) for g in group.tolist()]
    for o in p.outputs:
        probs, target, truth = p.probs[o.name], p.targets.get(o.name), _truth(p, o)
        if o.kind == "single":
            if target is not None:
                yield o.name, [o.labels[c] if c >= 0 else "" for c in hard_codes(target).tolist()]
            yield f"{o.name}:predicted", [o.labels[c] for c in probs.argmax(axis=1).tolist()]
        else:
            said = (probs >= 0.5).tolist()
            yield (
                f"{o.name}:predicted",
                ["+".join(x for x, y in zip(o.labels, r, strict=True) if y) for r in said],
            )
        blocks = (
            {} if target is None or truth == "codes" else {"votes" if truth == "votes" else "true": target}
        )
        for kind, block in {**blocks, "p": probs}.items():
            for j, label in enumerate(o.labels):
                column = [str(v) for v in np.asarray(block[:, j], np.float32).astype(str).tolist()]
                if kind == "true" and truth == "masked":
                    column = [
                        c if known else "" for c, known in zip(column, p.masks[o.name][:, j], strict=True)
                    ]
                yield f"{o.name}:{kind}:{label}", column


def _codes(path: Path, cells: dict[str, tuple[str, ...]], output: Output) -> npt.NDArray[np.int64]:
    codes = {"": -1, **{label: code for code, label in enumerate(output.labels)}}
    for number, cell in enumerate(cells[output.name], 2):
        if cell not in codes:
            raise RunError(f"{path}: row {number}, column '{output.name}': there is no label '{cell}'")
    return np.array([codes[cell] for cell in cells[output.name]], dtype=np.int64)


def _floats(
    path: Path, cells: dict[str, tuple[str, ...]], names: list[str], empty: bool = False
) -> npt.NDArray[np.float32]:
    """The named columns as ``(N, len(names))`` float32; an empty cell is nan where that is allowed."""
    done = np.empty((len(cells["id"]), len(names)), np.float32)
    for j, name in enumerate(names):
        for i, cell in enumerate(cells[name]):
            try:
                done[i, j] = np.nan if empty and not cell else float(cell)
            except ValueError:
                raise RunError(f"{path}: row {i + 2}, column '{name}': '{cell}' is not a number") from None
    return done
