"""The page on denoising, from the trials of `denoise.py`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Trial = Mapping[str, Any]

HEAD = """\
# Denoising: what it finds, and what it costs

Bimodal Distribution Removal (BDR; wang2020, section 2.3, after Slade & Gedeon 1993, whose paper was not at
hand, so that nothing is checked against it) leaves out of training the faces whose losses are far above the
mean: of the losses above their mean M1, those above M2 + k * s2 (the mean and standard deviation of that
upper part). `denoise.halt` ends a training once the variance of the losses is below a constant; here, as in
wang2020, it is off. On real data nobody knows which labels are wrong. Here the truth is known: labels of the
training part were flipped on purpose (uniformly to another class), and
FER2013's own labels are judged by the FER+ votes. Validation, which picks the epoch, and test keep theirs.

Beside it stand two others: a fixed share of the largest losses (5% where nothing was flipped, else exactly
the planted share, which nobody knows in life), and confident learning (Northcutt et al. 2021, prune by noise
rate; written from the paper, and checked against cleanlab 2.9.0, which is under the Apache licence), which
trains the net on folds first. **Precision**: share of what was left out that was flipped. **Recall**: share
of the flipped that was left out. The page is written by `python benchmarks/denoise.py write` from the trials
of `run`.
"""

SETTINGS = {
    "synthetic": (
        "Synthetic faces",
        "3,502 for training, 7 classes of equal size; a small CNN (smallnet, 10 epochs, AdamW). BDR after "
        "epoch 3; confident learning on 3 folds.",
    ),
    "fer2013": (
        "FER2013",
        "28,709 for training; the NumPy net of kontogouris2018, section 5.5 ([512, 256], 10 epochs), tested "
        "on PrivateTest. BDR after epoch 4; confident learning on 2 folds.",
    ),
}


def page(trials: Sequence[Trial]) -> str:
    """Markdown of all trials; several seeds are averaged."""
    parts = [HEAD]
    for data, (title, words) in SETTINGS.items():
        mine = [t for t in trials if t["data"] == data]
        if mine:
            seeds = len({t["seed"] for t in mine})
            parts.append(f"## {title}\n\n{words} Seeds: {seeds}.\n")
            parts += [_table(mine), _classes(mine), _judge(mine)]
    return "\n".join(p for p in [*parts, COST] if p)


def _groups(trials: Sequence[Trial]) -> dict[tuple[float, str], list[Trial]]:
    found: dict[tuple[float, str], list[Trial]] = {}
    for t in sorted(trials, key=lambda t: t["rate"]):
        found.setdefault((t["rate"], t["method"]), []).append(t)
    return found


def _mean(trials: Sequence[Trial], key: str) -> float:
    return statistics.mean(float(t[key]) for t in trials)


def _table(trials: Sequence[Trial]) -> str:
    lines = [
        "| flipped | method | left out | precision | recall | test accuracy | against none |",
        "|---|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    groups = _groups(trials)
    for (rate, method), group in groups.items():
        if refused := [t["refused"] for t in group if "refused" in t]:
            notes.append(f"{rate:.0%}, {method}, refused: {refused[0]}.")
            lines.append(f"| {rate:.0%} | {method} | refused, see below | | | | |")
            continue
        removed, flipped, hits = (_mean(group, k) for k in ("removed", "flipped", "hits"))
        accuracy, base = _mean(group, "accuracy"), groups.get((rate, "none"), group)
        gain = f"{100 * (accuracy - _mean(base, 'accuracy')):+.2f} points" if method != "none" else ""
        lines.append(
            f"| {rate:.0%} | {method} | {removed / group[0]['n']:.1%} "
            f"| {_share(hits, removed if flipped else 0)} | {_share(hits, flipped if removed else 0)} "
            f"| {accuracy:.2%} | {gain} |"
        )
    n = trials[0]["n_test"]
    half = 196 * (0.25 / n) ** 0.5  # normal approximation at p = 1/2
    notes.append(
        f"The test part has {n:,} faces: one figure's 95% interval is up to {half:.1f} points each way."
    )
    return "\n".join([*lines, "", *(f"{note}\n" for note in notes)])


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _classes(trials: Sequence[Trial]) -> str:
    """What BDR does to each class where nothing was flipped."""
    groups = _groups(trials)
    base = groups.get((0.0, "none"), [])
    methods = [m for r, m in groups if r == 0.0 and m != "none" and "removed_counts" in groups[(r, m)][0]]
    if not base or not methods:
        return ""
    lines = [
        "Per class, nothing flipped: share of the class's training faces left out, and change of its recall "
        "in the test (points). A training of another seed moves the recall of a class by several points too.",
        "",
        "| class | faces | " + " | ".join(methods) + " |",
        "|---|---|" + "---|" * len(methods),
    ]
    for c, label in enumerate(base[0]["labels"]):
        cells = []
        for method in methods:
            group = groups[(0.0, method)]
            gone = statistics.mean(t["removed_counts"][c] / max(1, t["train_counts"][c]) for t in group)
            before = statistics.mean(t["recall"][c] for t in base)
            change = 100 * (statistics.mean(t["recall"][c] for t in group) - before)
            cells.append(f"{gone:.1%}, {change:+.1f}")
        lines.append(f"| {label} | {base[0]['train_counts'][c]:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _judge(trials: Sequence[Trial]) -> str:
    """FER2013's own labels, by the FER+ votes."""
    groups = {k: g for k, g in _groups(trials).items() if k[1] != "none" and "judged" in g[0]}
    if not groups:
        return ""
    lines = [
        "FER2013's own labels, judged by the majority of the FER+ votes (faces whose majority is one of the "
        "seven emotions, flipped ones aside): how often it says otherwise "
        "than the label, and what share of all such faces was left out.",
        "",
        "| flipped | method | judged and left out | otherwise | of all judged | of all otherwise |",
        "|---|---|---|---|---|---|",
    ]
    for (rate, method), group in groups.items():
        judged, other, removed, hits = (
            _mean(group, k) for k in ("judged", "judged_other", "judged_removed", "judged_removed_other")
        )
        lines.append(
            f"| {rate:.0%} | {method} | {removed:,.0f} | {_share(hits, removed)} | {_share(other, judged)} "
            f"| {_share(hits, other)} |"
        )
    return "\n".join(lines) + "\n"


COST = """\
## What this says

- A round of BDR takes 3 to 8% of the faces, however many labels are wrong: its threshold goes by the shape
  of the losses, not by the noise. With few flips much of that is clean; with many, most flips stay.
- One round of BDR is "the largest losses" with a share that the losses choose: the two find alike.
- On the synthetic faces, where labels are wrong, leaving out the largest losses early raises test accuracy,
  whichever way the threshold is found; where they are not, it changes little.
- On FER2013 a round takes nine of ten faces of the class disgust, which has 436 and is not learned yet when
  BDR looks: its losses are large because it is rare. A second round would take the rest, and is refused; the
  guards (`denoise.max_share`, the last face of a class) are there for this. Accuracy hides it, for a net
  that never answers "disgust" loses nothing by not seeing it.
- Of the FER2013 faces that BDR leaves out, half are labelled otherwise by the FER+ majority, against a third
  of all faces: better than chance, far from a proof. Test accuracy moves by less than chance does.
- Confident learning is as good as its probabilities: with a net that is right on 43% of FER2013 it doubts
  two fifths of all labels; with one that knows its training part by heart it is too sure.
- The variance of the training losses need not settle: a net that learns its training part by heart has a
  variance that falls to 0, and `start = "settled"` then never comes. A stated epoch is the safer choice.

## What it costs

The losses are those that training computes anyway, each taken before the update, with dropout and
augmentation on. Measured within a training of the small CNN above (one thread, processor time): keeping
them, and one round with its record, take 1% of an epoch; `python benchmarks/denoise.py cost` gives the ratio
of whole epochs. Confident learning costs a training for each fold.
"""
