"""Leaving samples out of a training while it goes on: when to look, what goes, what is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RunError, TrainingError
from ..recipe import Denoise
from .bdr import Round, bdr_round, drop_largest, settled

Array = npt.NDArray[Any]
Record = dict[str, Any]

BINS = 40  # of the histograms before and after a round
VARIANCE = "train_loss_variance"  # key of a history row


class Denoiser:
    """What a training asks after each epoch: which of its rows take part in the next.

    Losses are those that training computed anyway, each sample's before the update it took part in, with
    dropout and augmentation on; they cost nothing more. Repeated rows of one face (oversampling) count as one
    face, with their mean loss, and go together.

    Args:
        section: The settings; its name is not "none".
        ids: ``(N,)`` the id of each row's face.
        codes: ``(N,)`` the class of each row, -1 for none; no class may lose its last face.
        labels: The class names.

    Attributes:
        rows: ``(N,)`` bool, which rows take part.
        records: One mapping a round: round, epoch, n (faces before), variance, m1, m2, s2, threshold, removed
            (id, label, loss of each, the largest loss first), histogram (edges, before, after); plain JSON.
    """

    def __init__(self, section: Denoise, ids: Array, codes: Array, labels: Sequence[str]) -> None:
        self.section, self.labels = section, tuple(labels)
        names, first, face = np.unique(np.asarray(ids), return_index=True, return_inverse=True)
        self._ids, self._face = names, face.reshape(-1)
        self._codes = np.asarray(codes, dtype=np.int64)[first]
        self._stays = np.ones(len(names), dtype=bool)
        self.records: list[Record] = []
        self._over = False

    @property
    def rows(self) -> npt.NDArray[np.bool_]:
        """Which rows take part, ``(N,)``."""
        return np.asarray(self._stays[self._face])

    def after_epoch(
        self, epoch: int, losses: Array, history: Sequence[Mapping[str, Any]]
    ) -> dict[str, float]:
        """Hear of an epoch's losses; where it is time, take samples out of the following ones.

        Args:
            epoch: Its number, from 1.
            losses: ``(N,)``, nan for rows that took no part or have no annotation.
            history: The rows of the epochs before, with their `VARIANCE`.

        Returns:
            `VARIANCE` of this epoch, for its history row.

        Raises:
            TrainingError: A round would take the last face of a class, or more than the largest share.
        """
        faces, loss = self._per_face(losses)
        variance = float(loss.var()) if len(loss) else 0.0
        variances = [float(row[VARIANCE]) for row in history] + [variance]
        if len(loss) and not self._over and self._due(epoch, variances):
            self._round(epoch, faces, loss, variance)
        return {VARIANCE: variance}

    def halted(self, history: Sequence[Mapping[str, Any]]) -> str | None:
        """Why training is to end, by `Denoise.halt`; None where it goes on."""
        limit = self.section.halt
        if not (self.records and history and float(history[-1][VARIANCE]) < limit):
            return None
        return f"the variance of the training losses is below denoise.halt = {limit:g}"

    def restore(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Go on from the records of a stored training. Raises RunError where they are of other data."""
        known = {name: i for i, name in enumerate(self._ids.tolist())}
        self.records = [dict(record) for record in records]
        self._stays[:] = True
        for record in self.records:
            for one in record["removed"]:
                if one["id"] not in known:
                    raise RunError(f"the checkpoint removed '{one['id']}', which is not in the training part")
                self._stays[known[one["id"]]] = False
        self._over = bool(self.records) and bool(self.records[-1]["last"])

    def _per_face(self, losses: Array) -> tuple[Array, Array]:
        """Faces with a loss, and their mean losses in float64."""
        values = np.asarray(losses, dtype=np.float64)
        known = ~np.isnan(values) & self.rows
        counts = np.bincount(self._face[known], minlength=len(self._ids))
        sums = np.bincount(self._face[known], weights=values[known], minlength=len(self._ids))
        faces = np.flatnonzero(counts)
        return faces, sums[faces] / counts[faces]

    def _due(self, epoch: int, variances: Sequence[float]) -> bool:
        s = self.section
        if self.records:
            return epoch >= int(self.records[-1]["epoch"]) + s.every
        if s.start == "settled":
            return settled(variances, s.tolerance, s.window)
        return epoch >= s.start

    def _round(self, epoch: int, faces: Array, loss: Array, variance: float) -> None:
        found = METHODS[self.section.name](loss, self.section)
        # A standard deviation below the limit: the upper losses are one heap, so nothing stands out.
        narrow = self.section.name == "bdr" and not found.s2 >= self.section.limit
        gone = np.flatnonzero(~found.keep) if not narrow else np.empty(0, dtype=np.int64)
        order = gone[np.argsort(-loss[gone], kind="stable")]
        out = faces[order]
        self._check(epoch, out)
        number = len(self.records) + 1
        rounds = self.section.rounds
        last = narrow or (not isinstance(rounds, str) and number >= rounds)
        kept = np.delete(loss, gone)
        edges = np.linspace(0.0, max(float(loss.max()), 1e-6), BINS + 1)
        self.records.append(
            {
                "round": number, "epoch": epoch, "method": self.section.name, "n": len(loss),
                "variance": variance, "m1": found.m1, "m2": _plain(found.m2), "s2": _plain(found.s2),
                "threshold": _plain(found.threshold), "last": last,
                "removed": [
                    {"id": str(self._ids[f]), "label": self._label(f), "loss": float(loss[o])}
                    for f, o in zip(out.tolist(), order.tolist(), strict=True)
                ],
                "histogram": {
                    "edges": edges.tolist(),
                    "before": np.histogram(loss, edges)[0].tolist(),
                    "after": np.histogram(kept, edges)[0].tolist(),
                },
            }
        )  # fmt: skip
        self._stays[out] = False
        self._over = last

    def _label(self, face: int) -> str:
        code = int(self._codes[face])
        return self.labels[code] if code >= 0 else ""

    def _check(self, epoch: int, out: Array) -> None:
        """Refuse what would do more harm than noise does."""
        after = self._stays.copy()
        after[out] = False
        what = f"denoise '{self.section.name}' in epoch {epoch}"
        least = "a smaller denoise.share" if self.section.name == "drop_largest" else "a larger denoise.k"
        less = f"{least}, fewer denoise.rounds or a later denoise.start removes less"
        gone, total = int((~after).sum()), len(after)
        if gone > self.section.max_share * total:
            raise TrainingError(
                f"{what} would have removed {gone:,} of {total:,} training faces ({gone / total:.1%}), "
                f"more than denoise.max_share = {self.section.max_share:g}",
                less,
            )
        has = self._codes >= 0
        counts = np.bincount(self._codes[has], minlength=len(self.labels))
        left = np.bincount(self._codes[has & after], minlength=len(self.labels))
        for code in np.flatnonzero(counts > 0).tolist():
            lost, most = int(counts[code] - left[code]), self.section.max_class_share
            if left[code] == 0:
                raise TrainingError(f"{what} would remove the last face of class '{self.labels[code]}'", less)
            if lost > most * counts[code]:
                raise TrainingError(
                    f"{what} would have removed {lost:,} of {counts[code]:,} faces of class "
                    f"'{self.labels[code]}', more than denoise.max_class_share = {most:g}",
                    less,
                )


def _plain(value: float) -> float | None:
    """JSON has no nan and no infinity."""
    return value if math.isfinite(value) else None


def _bdr(losses: Array, section: Denoise) -> Round:
    return bdr_round(losses, section.k)


def _drop_largest(losses: Array, section: Denoise) -> Round:
    return drop_largest(losses, section.share)


# Name -> what looks at the losses of the samples that are left.
METHODS = {"bdr": _bdr, "drop_largest": _drop_largest}


def make_denoiser(
    section: Denoise | None, ids: Array, codes: Array, labels: Sequence[str]
) -> Denoiser | None:
    """The denoiser of a training, or None where the section says "none"."""
    if section is None or section.name == "none":
        return None
    return Denoiser(section, ids, codes, labels)
