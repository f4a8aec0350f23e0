"""What is wrong with a data set: duplicates within and across parts, labels that disagree, blank images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ..errors import DataError, did_you_mean
from .faceset import SPLITS, FaceSet
from .near import Method, default_threshold, describe, near_pairs

Array = npt.NDArray[Any]

SCHEMA = 1
_EXAMPLES = 20  # near pairs named in the report, the most alike first


@dataclass(frozen=True)
class Overlap:
    """Two parts that share images.

    Attributes:
        first: A part's name.
        second: Another's.
        first_faces: Faces (rows) of the first part whose image also stands in the second.
        second_faces: Faces of the second part whose image also stands in the first.
        images: Distinct images that stand in both (for near duplicates: 0, as none is in both).
    """

    first: str
    second: str
    first_faces: int
    second_faces: int
    images: int


@dataclass(frozen=True)
class Conflict:
    """Groups of identical images whose labels disagree: how many, and their ids."""

    output: str
    groups: int
    ids: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Near:
    """Pairs of distinct images that look the same.

    Attributes:
        method: "thumbnail" (correlation of 16x16 thumbnails) or "dhash" (64-bit difference hash).
        threshold: Least correlation, or most differing bits.
        pairs: How many pairs of distinct images; exact duplicates are not counted again.
        across_parts: Faces with a near, and no exact, duplicate in another part.
        across_splits: The same by split.
        examples: The most alike pairs: two ids and their score.
    """

    method: str
    threshold: float
    pairs: int
    across_parts: tuple[Overlap, ...]
    across_splits: tuple[Overlap, ...]
    examples: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class AuditReport:
    """What `audit` found.

    Attributes:
        name: The data set's.
        n: Faces.
        distinct: Distinct images among them.
        duplicates: Groups of identical images: their faces' ids, the largest group first.
        within: Part -> faces that repeat an earlier one of the same part.
        across_parts: Images shared between the publisher's parts.
        across_splits: Images shared between train, val and test.
        conflicts: Per output, identical images with different labels.
        blank: Ids of images of a single grey or colour.
        near: Near duplicates, None where they were not asked for.
        class_counts: Output -> split (or "all") -> label -> faces.
    """

    name: str
    n: int
    distinct: int
    duplicates: tuple[tuple[str, ...], ...]
    within: dict[str, int]
    across_parts: tuple[Overlap, ...]
    across_splits: tuple[Overlap, ...]
    conflicts: tuple[Conflict, ...]
    blank: tuple[str, ...]
    near: Near | None
    class_counts: dict[str, dict[str, dict[str, int]]]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, with a schema version."""
        return {"schema": SCHEMA, **asdict(self)}

    def to_text(self) -> str:
        """A page for reading."""
        from .audit_text import audit_text

        return audit_text(self)


def exact_keys(faces: FaceSet) -> npt.NDArray[np.str_]:
    """A hash of each face's pixels and shape, ``(N,)`` of 32 hex digits: equal where the images are equal."""
    known: dict[int, str] = {}
    for row in faces.rows.tolist():
        if row not in known:
            image = np.ascontiguousarray(faces.images[row])
            digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
            digest.update(image.data)
            known[row] = digest.hexdigest()
    return np.array([known[row] for row in faces.rows.tolist()], dtype="<U32")


def audit(
    faces: FaceSet,
    *,
    near: Method | None = "thumbnail",
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Look for duplicates, disagreeing labels and blank images.

    Counts of faces are rows: "280 PublicTest faces also stand in Training" means 280 rows of PublicTest,
    which may hold fewer distinct images.

    Args:
        faces: The set.
        near: How near duplicates are found, or None for exact ones only.
        threshold: See `near.default_threshold`.
        progress: Called with images compared and all distinct images.

    Raises:
        DataError: Unknown method or a threshold out of range.
    """
    if near is not None and near not in get_args(Method):
        raise DataError(
            f"there is no method '{near}' for near duplicates", did_you_mean(near, get_args(Method))
        )
    limit = _threshold(near, threshold) if near is not None else 0.0
    _, first, image = np.unique(exact_keys(faces), return_index=True, return_inverse=True)
    image = image.reshape(-1)
    parts = np.where(faces.part == "", faces.split, faces.part)
    shared = _presence(image, parts), _presence(image, faces.split)
    return AuditReport(
        name=faces.name,
        n=len(faces),
        distinct=len(first),
        duplicates=_groups(faces.ids, image),
        within={
            str(p): int((parts == p).sum() - len(np.unique(image[parts == p])))
            for p in dict.fromkeys(parts.tolist())
            if p
        },
        across_parts=_overlaps(image, parts, shared[0], shared[0]),
        across_splits=_overlaps(image, faces.split, shared[1], shared[1]),
        conflicts=tuple(_conflict(faces, o.name, image) for o in faces.outputs),
        blank=tuple(faces.ids[_blank(faces, first)[image]].tolist()),
        near=None
        if near is None
        else _near(faces, near, limit, first, image, (parts, faces.split), progress),
        class_counts={
            o.name: {
                "all": faces.class_counts(o.name),
                **{s: faces.where(s).class_counts(o.name) for s in SPLITS if (faces.split == s).any()},
            }
            for o in faces.outputs
        },
    )


def _threshold(method: Method, threshold: float | None) -> float:
    value = default_threshold(method) if threshold is None else float(threshold)
    low, high = (0.5, 1.0) if method == "thumbnail" else (0.0, 32.0)
    if not low <= value <= high:
        raise DataError(f"a threshold of {value} for {method} is not between {low:g} and {high:g}")
    return value


def _groups(ids: Array, image: Array) -> tuple[tuple[str, ...], ...]:
    """Ids of the faces of each image that stands more than once, the largest group first."""
    counts = np.bincount(image)
    order = np.argsort(image, kind="stable")
    stops = np.cumsum(counts)
    groups = [tuple(ids[order[stops[g] - counts[g] : stops[g]]].tolist()) for g in np.flatnonzero(counts > 1)]
    return tuple(sorted(groups, key=lambda g: (-len(g), g)))


def _presence(image: Array, parts: Array) -> dict[str, Array]:
    """Part -> ``(M,)`` bool: which distinct images stand in it."""
    m = int(image.max(initial=-1)) + 1
    return {
        str(p): np.bincount(image[parts == p], minlength=m) > 0 for p in dict.fromkeys(parts.tolist()) if p
    }


def _overlaps(
    image: Array, parts: Array, here: dict[str, Array], there: dict[str, Array]
) -> tuple[Overlap, ...]:
    """For each two parts, the faces of one whose image ``there`` marks in the other."""
    names = list(here)
    result = []
    for i, b in enumerate(names):
        for a in names[i + 1 :]:
            overlap = Overlap(
                first=a,
                second=b,
                first_faces=int(there[b][image[parts == a]].sum()),
                second_faces=int(there[a][image[parts == b]].sum()),
                images=int((here[a] & here[b] & there[a] & there[b]).sum()),
            )
            if overlap.first_faces or overlap.second_faces:
                result.append(overlap)
    return tuple(result)


def _conflict(faces: FaceSet, name: str, image: Array) -> Conflict:
    """Images whose faces carry different labels; what is not annotated disagrees with nothing."""
    m = int(image.max(initial=-1)) + 1
    if faces.output(name).kind == "single":
        codes = faces.hard(name)[:, None]
        known = codes >= 0
    else:
        codes = (faces.targets[name] >= 0.5).astype(np.int64)
        known = faces.masks.get(name, np.ones(codes.shape, dtype=bool))
    low = np.full((m, codes.shape[1]), np.iinfo(np.int64).max)
    high = np.full((m, codes.shape[1]), -1)
    np.minimum.at(low, image, np.where(known, codes, np.iinfo(np.int64).max))
    np.maximum.at(high, image, np.where(known, codes, -1))
    torn = ((low != high) & (high >= 0)).any(axis=1)
    chosen = torn[image]
    return Conflict(name, int(torn.sum()), _groups(faces.ids[chosen], _renumber(image[chosen])))


def _renumber(image: Array) -> Array:
    return np.unique(image, return_inverse=True)[1].reshape(-1)


def _blank(faces: FaceSet, first: Array) -> npt.NDArray[np.bool_]:
    """Which distinct images have one colour throughout."""
    blank = np.zeros(len(first), dtype=bool)
    for i, face in enumerate(first.tolist()):
        pixels = faces.image(face)
        blank[i] = bool((pixels == pixels[0, 0]).all())
    return blank


def _near(
    faces: FaceSet,
    method: Method,
    threshold: float,
    first: Array,
    image: Array,
    columns: tuple[Array, Array],
    progress: Callable[[int, int], None] | None,
) -> Near:
    vectors = describe(faces.images, faces.rows[first], method)
    pairs = near_pairs(vectors, method, threshold, progress)
    across = []
    for parts in columns:
        here = _presence(image, parts)
        there = {}
        for p, stands in here.items():
            beside = np.zeros_like(stands)
            np.logical_or.at(beside, pairs.first, stands[pairs.second])
            np.logical_or.at(beside, pairs.second, stands[pairs.first])
            there[p] = beside & ~stands
        across.append(_overlaps(image, parts, here, there))
    best = np.argsort(-pairs.score if method == "thumbnail" else pairs.score, kind="stable")[:_EXAMPLES]
    examples = tuple(
        (
            str(faces.ids[first[pairs.first[k]]]),
            str(faces.ids[first[pairs.second[k]]]),
            round(float(pairs.score[k]), 4),
        )
        for k in best
    )
    return Near(method, threshold, pairs.total, across[0], across[1], examples)
