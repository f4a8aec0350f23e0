"""FaceSet: N faces with images, targets and provenance. It selects and describes; it decides nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from ..labels import Output, find_output

SPLITS = ("train", "val", "test")

Array = npt.NDArray[Any]


class Images(Protocol):
    """Where pixels come from: an array in RAM or on disk, or files that are decoded when asked for.

    ``images[i]`` is uint8, ``(H, W)`` grey or ``(H, W, 3)`` RGB; sizes may differ between images.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Array: ...


@dataclass(frozen=True)
class FaceSet:
    """N faces. Rows are views into ``images``: selecting copies no pixels.

    Attributes:
        name: The data set's name.
        images: uint8 array ``(M, H, W)`` or ``(M, H, W, 3)`` (RAM or memory map), or any `Images`.
        rows: ``(N,)`` int64: which of the M images each face is.
        ids: ``(N,)`` str, unique within the set; a face keeps its id through selection.
        outputs: What is annotated, in a fixed order.
        targets: Per output name: ``(N,)`` int64 codes, -1 where not annotated; or ``(N, K)`` float32
            votes/probabilities (``single``); or ``(N, A)`` float32 occurrence or intensity in [0, 1]
            (``multi``).
        masks: Per ``multi`` output, optional: ``(N, A)`` bool, True where annotated. Absent: all annotated.
        split: ``(N,)`` str of "train", "val", "test" or "" (not used).
        part: ``(N,)`` str: the publisher's own name of the part (``"PrivateTest"``), "" where there is none.
        sample_weight: ``(N,)`` float32 or None.
        subject: ``(N,)`` str or None: who is on the picture.
        group: Attribute name -> ``(N,)`` str (for example ``"skin_tone"``).
        truth: Per output name, only where labels were corrupted on purpose: the uncorrupted target.
        notes: Sentences a reader of the figures should know about this set.
        missing: Names of what the labels name, has no image and was left out on request.
    """

    name: str
    images: Images | Array
    ids: Array
    outputs: tuple[Output, ...]
    targets: Mapping[str, Array]
    split: Array
    part: Array
    rows: Array
    masks: Mapping[str, Array] = field(default_factory=dict)
    sample_weight: Array | None = None
    subject: Array | None = None
    group: Mapping[str, Array] = field(default_factory=dict)
    truth: Mapping[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        columns: dict[str, Array | None] = {
            "rows": self.rows, "split": self.split, "part": self.part,
            "sample_weight": self.sample_weight, "subject": self.subject,
            **{f"targets[{k}]": v for k, v in self.targets.items()},
            **{f"masks[{k}]": v for k, v in self.masks.items()},
            **{f"group[{k}]": v for k, v in self.group.items()},
            **{f"truth[{k}]": v for k, v in self.truth.items()},
        }  # fmt: skip
        for name, column in columns.items():
            if column is not None and len(column) != n:
                raise DataError(f"{self.name}: {name} has {len(column)} rows for {n} faces")
        if {o.name for o in self.outputs} != set(self.targets):
            raise DataError(f"{self.name}: targets {sorted(self.targets)} do not match the outputs")

    def __len__(self) -> int:
        return len(self.ids)

    def output(self, name: str) -> Output:
        """Return the named output; raises DataError naming the nearest one."""
        return find_output(self.outputs, name, self.name)

    def image(self, i: int) -> Array:
        """Pixels of face i: uint8 ``(H, W)`` or ``(H, W, 3)`` RGB."""
        return np.asarray(self.images[int(self.rows[i])])

    def pixels(self, indices: Array | Sequence[int] | None = None) -> Array | list[Array]:
        """Pixels of the chosen faces (default: all): one uint8 array where all have one size, else a list."""
        rows = self.rows if indices is None else self.rows[np.asarray(indices, dtype=np.int64)]
        if isinstance(self.images, np.ndarray):
            return np.asarray(self.images[rows])
        return [np.asarray(self.images[int(r)]) for r in rows]

    def select(self, which: Array | Sequence[int]) -> FaceSet:
        """Return the chosen faces (bool mask or indices), in that order, sharing the pixels."""
        index = np.asarray(which)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)

        def pick(a: Array | None) -> Array | None:
            return None if a is None else a[index]

        def pick_all(m: Mapping[str, Array]) -> dict[str, Array]:
            return {k: v[index] for k, v in m.items()}

        return replace(
            self,
            ids=self.ids[index], rows=self.rows[index], split=self.split[index], part=self.part[index],
            targets=pick_all(self.targets), masks=pick_all(self.masks), group=pick_all(self.group),
            truth=pick_all(self.truth), sample_weight=pick(self.sample_weight), subject=pick(self.subject),
        )  # fmt: skip

    def where(self, split: str) -> FaceSet:
        """Return the faces of one split ("train", "val" or "test")."""
        if split not in SPLITS:
            raise DataError(f"there is no split '{split}'", did_you_mean(split, SPLITS))
        return self.select(self.split == split)

    def keep_outputs(self, names: Sequence[str]) -> FaceSet:
        """Return the same faces with only the named outputs, in the named order."""
        outputs = tuple(self.output(n) for n in names)
        return replace(
            self,
            outputs=outputs,
            targets={n: self.targets[n] for n in names},
            masks={n: m for n, m in self.masks.items() if n in names},
            truth={n: t for n, t in self.truth.items() if n in names},
        )

    def without_labels(self, labels: Sequence[str], output: str = "") -> FaceSet:
        """Return the set as if some labels did not exist: they and their faces go, other codes close up.

        Args:
            labels: Labels of one single-label output; none: the set as it is.
            output: That output's name; "": the first single-label one.

        Returns:
            Of votes, the labels' columns go, each row keeping its sum, and the faces whose largest vote was
            for one of them. Faces without annotation stay. Where the uncorrupted target (`truth`) of a face
            that stays is one of the labels, it counts as not annotated.

        Raises:
            DataError: No such label or output, the output is not single-label, or fewer than two labels stay.
        """
        if not labels:
            return self
        singles = [o for o in self.outputs if o.kind == "single"]
        chosen = self.output(output) if output else (singles[0] if singles else None)
        if chosen is None or chosen.kind != "single":
            what = f"output '{output}' is not single-label" if chosen else "there is no single-label output"
            raise DataError(f"{self.name}: {what}, so no label can be left out")
        for label in labels:
            if label not in chosen.labels:
                raise DataError(
                    f"{self.name}: output '{chosen.name}' has no label '{label}' to leave out",
                    did_you_mean(label, chosen.labels),
                )
        stay = np.array([label not in labels for label in chosen.labels])
        if stay.sum() < 2:
            raise DataError(
                f"{self.name}: without {', '.join(labels)}, output '{chosen.name}' has {stay.sum()} label(s)",
                "leave at least two of them",
            )
        keep = np.append(stay, True)[self.hard(chosen.name)]  # code -1 reads the last entry
        left = Output(chosen.name, "single", tuple(np.array(chosen.labels)[stay].tolist()))
        faces = replace(
            self.select(keep), outputs=tuple(left if o.name == chosen.name else o for o in self.outputs)
        )
        targets, truth = dict(faces.targets), dict(faces.truth)
        for column in (targets, truth):
            if chosen.name in column:
                column[chosen.name] = _closed_up(column[chosen.name], stay)
        note = f"Without {', '.join(dict.fromkeys(labels))}: {(~keep).sum():,} faces left out."
        return replace(faces, targets=targets, truth=truth, notes=(*self.notes, note))

    def hard(self, name: str) -> Array:
        """Target codes ``(N,)`` int64 of a ``single`` output, -1 where not annotated.

        Votes are reduced to their largest (ties: the first); a row without votes is not annotated.
        """
        target = self.targets[name]
        if target.ndim == 1:
            return target.astype(np.int64)
        return np.where(target.sum(axis=1) > 0, target.argmax(axis=1), -1).astype(np.int64)

    def class_counts(self, name: str) -> dict[str, int]:
        """Label -> how many faces carry it (``multi``: intensity >= 0.5 and annotated)."""
        output = self.output(name)
        if output.kind == "single":
            codes = self.hard(name)
            counts = np.bincount(codes[codes >= 0], minlength=output.num_classes)
        else:
            positive = self.targets[name] >= 0.5
            counts = (positive & self.masks.get(name, np.ones_like(positive))).sum(axis=0)
        return dict(zip(output.labels, (int(c) for c in counts), strict=True))

    def describe(self) -> dict[str, Any]:
        """What the set holds, as plain JSON: sizes, splits, parts, class counts per split, notes."""
        splits = {s: self.where(s) for s in SPLITS}
        return {
            "name": self.name,
            "n": len(self),
            "splits": {s: len(f) for s, f in splits.items()},
            "unused": int((self.split == "").sum()),
            "parts": {str(p): int((self.part == p).sum()) for p in dict.fromkeys(self.part.tolist()) if p},
            "outputs": {
                o.name: {
                    "kind": o.kind,
                    "labels": list(o.labels),
                    "all": self.class_counts(o.name),
                    **{s: f.class_counts(o.name) for s, f in splits.items() if len(f)},
                }
                for o in self.outputs
            },
            "subjects": None if self.subject is None else len(np.unique(self.subject)),
            "groups": {k: sorted(set(v.tolist())) for k, v in self.group.items()},
            "notes": list(self.notes),
        }

    def fingerprint(self, progress: Callable[[int], None] | None = None) -> str:
        """SHA-256 (first 16 hex digits) over pixels, ids, splits and targets, in row order."""
        digest = hashlib.sha256()
        for start in range(0, len(self), 1024):
            block = self.pixels(np.arange(start, min(start + 1024, len(self))))
            for image in block:
                digest.update(repr(image.shape).encode())
                digest.update(np.ascontiguousarray(image).data)
            if progress is not None:
                progress(min(start + 1024, len(self)))
        digest.update("\n".join(map(str, self.ids.tolist())).encode())
        digest.update("\n".join(map(str, self.split.tolist())).encode())
        for output in self.outputs:
            digest.update(f"{output.name} {output.kind} {output.labels}".encode())
            digest.update(np.ascontiguousarray(self.targets[output.name]).data)
        return digest.hexdigest()[:16]


def _closed_up(target: Array, stay: Array) -> Array:
    """Codes or votes over all labels -> over those that stay; the code of one that goes becomes -1."""
    if target.ndim == 1:
        codes = np.append(np.where(stay, np.cumsum(stay) - 1, -1), -1)
        return np.asarray(codes.astype(target.dtype)[target])
    left = target[:, stay]
    total = left.sum(axis=1, keepdims=True)
    factor = np.divide(target.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(left * factor)
