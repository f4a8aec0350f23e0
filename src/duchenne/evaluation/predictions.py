"""Predictions: what a learner answered about each sample, beside what is true. All that evaluation reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..labels import Output, find_output

Array = npt.NDArray[Any]

# Means of several views round: 1.0000001 is no mistake.
ROUNDING = 1e-5

# Half-precision softmax sums to 1 within a few parts in a thousand.
SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class Predictions:
    """Probabilities of N samples, one row a sample.

    Attributes:
        ids: ``(N,)`` str, unique.
        outputs: What was asked, in a fixed order.
        probs: Per output ``(N, K)`` float32 in [0, 1]; rows of a ``single`` output sum to 1.
        targets: As in `FaceSet`, per output: codes ``(N,)`` (-1: not annotated), votes ``(N, K)`` or, for a
            ``multi`` output, ``(N, A)`` in [0, 1]. An output without truth is left out.
        masks: Per ``multi`` output, optional: ``(N, A)`` bool, True where annotated. Absent: all annotated.
        subject: ``(N,)`` str or None.
        group: Attribute name -> ``(N,)`` str.
        in_train: ``(N,)`` bool or None: the sample's image also stands in the training part.
    """

    ids: Array
    outputs: tuple[Output, ...]
    probs: Mapping[str, Array]
    targets: Mapping[str, Array] = field(default_factory=dict)
    masks: Mapping[str, Array] = field(default_factory=dict)
    subject: Array | None = None
    group: Mapping[str, Array] = field(default_factory=dict)
    in_train: Array | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(set(self.ids.tolist())) != n:
            raise DataError("predictions: two samples have the same id")
        names = [o.name for o in self.outputs]
        if set(self.probs) != set(names) or not set(self.targets) <= set(names):
            raise DataError(f"predictions: probs and targets do not match the outputs {names}")
        if not set(self.masks) <= set(self.targets):
            raise DataError("predictions: a mask stands without its targets")
        for output in self.outputs:
            self._check_probs(output)
            if output.name in self.targets:
                self._check_targets(output)
        columns = {"subject": self.subject, "in_train": self.in_train, **self.group}
        for name, column in columns.items():
            if column is not None and np.shape(column) != (n,):
                raise DataError(f"predictions: {name} has shape {np.shape(column)} for {n} samples")

    def __len__(self) -> int:
        return len(self.ids)

    def output(self, name: str) -> Output:
        """Return the named output; raises DataError naming the nearest one."""
        return find_output(self.outputs, name, "this set of predictions")

    def truth(self, name: str) -> Array:
        """Targets of one output; raises DataError where the samples carry none."""
        self.output(name)
        if name not in self.targets:
            raise DataError(f"these samples carry no true labels for '{name}'", "there is nothing to measure")
        return self.targets[name]

    def hard(self, name: str) -> npt.NDArray[np.int64]:
        """Codes ``(N,)`` of a ``single`` output, by `hard_codes`; raises DataError without truth."""
        return hard_codes(self.truth(name))

    def annotated(self, name: str) -> npt.NDArray[np.bool_]:
        """``(N, A)`` bool of a ``multi`` output: where the truth is known."""
        return np.asarray(self.masks.get(name, np.ones(self.truth(name).shape, bool)))

    def select(self, which: Array | Sequence[int]) -> Predictions:
        """Return the chosen samples (bool mask or indices), in that order."""
        index = np.asarray(which)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        index = index.astype(np.int64)

        def pick(columns: Mapping[str, Array]) -> dict[str, Array]:
            return {k: v[index] for k, v in columns.items()}

        return replace(
            self,
            ids=self.ids[index],
            probs=pick(self.probs),
            targets=pick(self.targets),
            masks=pick(self.masks),
            group=pick(self.group),
            subject=None if self.subject is None else self.subject[index],
            in_train=None if self.in_train is None else self.in_train[index],
        )

    def save(self, path: Path) -> None:
        """Write `path` (CSV, one row a sample) and its JSON sidecar; see `table`."""
        from .table import write

        write(self, path)

    @staticmethod
    def load(path: Path) -> Predictions:
        """Read what `save` wrote. Raises RunError naming the file, and the row where there is one."""
        from .table import read

        return read(path)

    def _check_probs(self, output: Output) -> None:
        probs = self.probs[output.name]
        if probs.shape != (len(self), output.num_classes) or probs.dtype != np.float32:
            raise DataError(
                f"predictions: probs of '{output.name}' are {probs.dtype} {probs.shape}, "
                f"not float32 {(len(self), output.num_classes)}"
            )
        bad = ~((probs >= 0) & (probs <= 1 + ROUNDING)).all(axis=1)  # nan fails both
        if output.kind == "single":
            bad |= ~(abs(probs.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE)
        if bad.any():
            first = self.ids[int(bad.argmax())]
            what = " that sum to 1" if output.kind == "single" else ""
            raise DataError(
                f"predictions: '{output.name}' of sample '{first}' is not numbers in [0, 1]{what} "
                f"({int(bad.sum())} such samples)"
            )

    def _check_targets(self, output: Output) -> None:
        target = self.targets[output.name]
        n, k = len(self), output.num_classes
        if target.ndim == 1 and output.kind == "single":
            if target.shape != (n,) or not np.issubdtype(target.dtype, np.integer):
                raise DataError(f"predictions: codes of '{output.name}' are {target.dtype} {target.shape}")
            if n and not -1 <= target.min() <= target.max() < k:
                raise DataError(f"predictions: a code of '{output.name}' is outside -1..{k - 1}")
        elif target.shape != (n, k) or not ((target >= 0) & (target < np.inf)).all():
            raise DataError(f"predictions: targets of '{output.name}' are not {(n, k)} numbers of at least 0")
        mask = self.masks.get(output.name)
        if mask is not None and (output.kind != "multi" or mask.shape != (n, k) or mask.dtype != bool):
            raise DataError(
                f"predictions: the mask of '{output.name}' is not bool {(n, k)} of a multi output"
            )


def hard_codes(target: Array) -> npt.NDArray[np.int64]:
    """Codes ``(N,)`` of a ``single`` target: votes become their largest (ties: first), no votes become -1."""
    if target.ndim == 1:
        return target.astype(np.int64)
    return np.where(target.sum(axis=1) > 0, target.argmax(axis=1), -1).astype(np.int64)
