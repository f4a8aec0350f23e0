"""The report's section on what a training left out, and when, and at what loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..denoise import VARIANCE
from ..errors import RunError
from ..experiment.run import Run
from .blocks import Block, Picture, Section, Table, Text, decimal, percent
from .denoise_figures import MOST_FACES, left_out_sheet, loss_histograms, variance_curve
from .faces import ImageOf, faces_block
from .style import png

Record = Mapping[str, Any]

_ROWS = 200  # faces in the table; denoise.json holds all
_SHOWN = 6  # rounds with histograms, and with words on the curve: of more, the words would cover each other


def denoise_section(run: Run, image_of: ImageOf | None = None, images: bool = True) -> list[Section]:
    """The section of a run that left samples out; none for other runs.

    Args:
        run: The run folder.
        image_of: Id -> pixels, or None where the data set is not at hand.
        images: False says that faces are left out on request.

    Raises:
        RunError: denoise.json is damaged, or `image_of` knows no such face.
    """
    info = run.info("denoise")
    if not info:
        return []
    try:
        return [_section(run, info["rounds"], image_of, images)]
    except (KeyError, TypeError, IndexError) as error:
        raise RunError(
            f"{run.path / 'denoise.json'} is damaged: {error!r}", "train again with --force"
        ) from None


def _section(run: Run, rounds: Sequence[Record], image_of: ImageOf | None, images: bool) -> Section:
    section = Section("denoise", "Samples left out of training")
    history = [row for row in run.history() if row.get(VARIANCE) is not None]
    state = run.state
    if state.status == "failed":
        # The refusal of a round is the one error that begins so (`Denoiser`).
        refused = state.reason.startswith("denoise '")
        what = "A round was refused, and training ended there" if refused else "Training failed"
        section.blocks.append(Text(f"{what}: {state.reason or 'why is not known'}.", "warning"))
    elif not rounds:
        section.blocks.append(Text("Denoising was on, but its time to look did not come.", "warning"))
    total = sum(len(r["removed"]) for r in rounds)
    if rounds:
        section.blocks.append(
            Text(
                f"{total:,} of {rounds[0]['n']:,} training faces were left out in {len(rounds)} round(s). "
                "Whether their labels are wrong, nobody knows: hard faces of rare classes have large losses "
                "too. The losses are those that training computed in that epoch."
            )
        )
    shown = _shown(rounds)
    if history:
        values = [f"epoch {row['epoch']}: {row[VARIANCE]:.3f}" for row in history]
        section.blocks.append(
            Picture(
                "loss-variance", png(variance_curve(history, rounds, shown)),
                f"Variance of the training losses. {'; '.join(values)}.",
                "Variance of the training losses in each epoch; dotted: rounds.", wide=False,
            )
        )  # fmt: skip
    if len(shown) < sum(bool(r["removed"]) for r in rounds):
        words = (
            f"Histograms are shown of {len(shown)} rounds: the first, the last and {len(shown) - 2} between; "
        )
        section.blocks.append(Text(words + "denoise.json holds those of all."))
    for record in rounds:
        section.blocks += _round_blocks(record, record["round"] in shown)
    section.blocks += _by_class(run, rounds)
    section.blocks += _removed_blocks(rounds, image_of, images)
    return section


def _shown(rounds: Sequence[Record]) -> set[int]:
    """Numbers of the rounds to draw: those that left faces out; of many, the first, last, some between."""
    numbers = [int(r["round"]) for r in rounds if r["removed"]]
    if len(numbers) <= _SHOWN:
        return set(numbers)
    return {numbers[i * (len(numbers) - 1) // (_SHOWN - 1)] for i in range(_SHOWN)}


def _round_blocks(record: Record, drawn: bool) -> list[Block]:
    words = (
        f"Round {record['round']} after epoch {record['epoch']}: {record['n']:,} faces, mean loss M1 "
        f"{decimal(record['m1'])}, above it mean M2 {decimal(record['m2'])} and standard deviation "
        f"{decimal(record['s2'])}, limit {decimal(record['threshold'])}: {len(record['removed']):,} left out."
    )
    if not drawn:
        return [Text(words)]
    caption = "Losses before and after the round; M1, M2 and the limit above which faces are left out."
    return [Picture(f"losses-{record['round']}", png(loss_histograms(record)), words, caption), Text(words)]


def _by_class(run: Run, rounds: Sequence[Record]) -> list[Block]:
    """How large a share of each class went."""
    gone: dict[str, int] = {}
    for record in rounds:
        for one in record["removed"]:
            gone[one["label"]] = gone.get(one["label"], 0) + 1
    if not gone:
        return []
    outputs = run.info("data").get("outputs", {}).values()
    counts: Mapping[str, int] = next(
        (o.get("train", {}) for o in outputs if set(gone) <= {*o.get("labels", ()), ""}), {}
    )
    rows = [
        [label or "(none)", f"{n:,}", f"{counts[label]:,}" if label in counts else "n/a",
         percent(n / counts[label], 1) if counts.get(label) else "n/a"]
        for label, n in sorted(gone.items(), key=lambda item: -item[1])
    ]  # fmt: skip
    return [Table("Left out by class", ["class", "left out", "of", "share"], rows)]


def _removed_blocks(rounds: Sequence[Record], image_of: ImageOf | None, images: bool) -> list[Block]:
    """The faces that went, the largest losses first; as pictures where they are at hand and wanted."""
    found = sorted(
        ((r["epoch"], one) for r in rounds for one in r["removed"]), key=lambda pair: -pair[1]["loss"]
    )
    if not found:
        return []
    shown = found[:_ROWS]
    rows = [[one["id"], one["label"], decimal(one["loss"]), str(epoch)] for epoch, one in shown]
    notes = [f"The {_ROWS} largest losses of {len(found):,}; denoise.json holds all."]
    table = Table(
        "Faces left out", ["face", "label", "loss", "after epoch"], rows,
        notes if len(found) > _ROWS else (), folded=True,
    )  # fmt: skip
    largest = [one for _, one in found[:MOST_FACES]]
    words = "; ".join(f"{one['label']}, loss {one['loss']:.2f}" for one in largest)

    def sheet(of: ImageOf) -> Picture:
        return Picture(
            "left-out", png(left_out_sheet(largest, [of(one["id"]) for one in largest])),
            f"Faces left out of training. {words}.",
            "The faces left out with the largest losses: their label, and the loss.",
        )  # fmt: skip

    return [faces_block(image_of, images, sheet, "trained"), table]
