"""A FaceSet of arrays that are already in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..labels import Output
from .faceset import SPLITS, FaceSet, Images

Array = npt.NDArray[Any]


def from_arrays(
    images: Array | Images | Sequence[Array],
    targets: Array | Sequence[Any] | Mapping[str, Array],
    *,
    outputs: Sequence[Output] | Sequence[str] | Output | None = None,
    ids: Sequence[str] | Array | None = None,
    split: str | Sequence[str] | Array = "train",
    part: Sequence[str] | Array | None = None,
    masks: Mapping[str, Array] | None = None,
    sample_weight: Array | None = None,
    subject: Sequence[str] | Array | None = None,
    group: Mapping[str, Array] | None = None,
    name: str = "arrays",
) -> FaceSet:
    """Make a FaceSet of arrays.

    Args:
        images: uint8 ``(N, H, W)`` or ``(N, H, W, 3)``, or N images of any sizes.
        targets: ``(N,)`` codes or names, ``(N, K)`` votes or ``(N, A)`` occurrences; or a dict of such by
            output name.
        outputs: The outputs in order; or, for one single-label output ``emotion``, just its label names.
            Default (``(N,)`` targets only): the sorted names, or "0", "1" and so on.
        ids: ``(N,)`` unique; default "000000" and so on.
        split: One split for all, or ``(N,)``.
        part: ``(N,)`` publisher's part; default none.
        masks: Per multi-label output ``(N, A)`` bool, True where annotated.
        sample_weight: ``(N,)``.
        subject: ``(N,)``.
        group: Attribute -> ``(N,)``.
        name: The set's name.

    Raises:
        DataError: Shapes, dtypes, codes or ids that do not fit together (says which).
    """
    pixels = _images(images, name)
    n = len(pixels)
    columns = dict(targets) if isinstance(targets, Mapping) else {"": np.asarray(targets)}
    wanted = _outputs(outputs, columns, name)
    if "" in columns:
        columns = {wanted[0].name: columns[""]}
    if missing := [o.name for o in wanted if o.name not in columns]:
        raise DataError(f"{name}: no targets for output '{missing[0]}'")
    split_column = np.full(n, split, dtype="<U5") if isinstance(split, str) else np.asarray(split, dtype=str)
    if odd := sorted(set(split_column.tolist()) - {*SPLITS, ""}):
        raise DataError(f"{name}: there is no split '{odd[0]}'", f"known: {', '.join(SPLITS)} or empty")
    id_column = np.char.mod("%06d", np.arange(n)) if ids is None else np.asarray(ids, dtype=str)
    unique, counts = np.unique(id_column, return_counts=True)
    if len(unique) != len(id_column):
        raise DataError(
            f"{name}: id '{unique[counts > 1][0]}' stands {counts.max()} times; ids must be unique"
        )
    return FaceSet(
        name=name,
        images=pixels,
        ids=id_column,
        outputs=tuple(wanted),
        targets={o.name: _target(np.asarray(columns[o.name]), o, n, name) for o in wanted},
        split=split_column,
        part=np.full(n, "") if part is None else np.asarray(part, dtype=str),
        rows=np.arange(n),
        masks={k: np.asarray(v, dtype=bool) for k, v in (masks or {}).items()},
        sample_weight=None if sample_weight is None else np.asarray(sample_weight, dtype=np.float32),
        subject=None if subject is None else np.asarray(subject, dtype=str),
        group={k: np.asarray(v, dtype=str) for k, v in (group or {}).items()},
    )


def _images(images: Array | Images | Sequence[Array], name: str) -> Array | Images:
    if not isinstance(images, np.ndarray):
        return images
    if images.dtype != np.uint8:
        raise DataError(
            f"{name}: images are {images.dtype}, not uint8", "give the pixels as 0 to 255, unscaled"
        )
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise DataError(f"{name}: images of shape {images.shape}", "give (N, H, W), or (N, H, W, 3) RGB")
    return images


def _outputs(
    outputs: Sequence[Output] | Sequence[str] | Output | None, columns: Mapping[str, Array], name: str
) -> list[Output]:
    if isinstance(outputs, Output):
        return [outputs]
    if outputs is not None:
        listed = list(outputs)
        if listed and all(isinstance(o, Output) for o in listed):
            return [o for o in listed if isinstance(o, Output)]
        return [Output("emotion", "single", tuple(str(o) for o in listed))]
    if len(columns) != 1 or next(iter(columns.values())).ndim != 1:
        raise DataError(f"{name}: several outputs, or votes, need their labels named", "give outputs=")
    key, target = next(iter(columns.items()))
    if target.dtype.kind in "US":
        labels = tuple(np.unique(target).tolist())
    else:
        labels = tuple(str(i) for i in range(int(target.max(initial=0)) + 1))
    return [Output(key or "emotion", "single", labels)]


def _target(target: Array, output: Output, n: int, name: str) -> Array:
    """Check one output's target and give it its dtype."""
    where = f"{name}: targets of '{output.name}'"
    if len(target) != n:
        raise DataError(f"{where} have {len(target)} rows for {n} images")
    if target.ndim == 2 and target.shape[1] != output.num_classes:
        raise DataError(f"{where} have {target.shape[1]} columns for {output.num_classes} labels")
    if target.ndim == 2:
        values = target.astype(np.float32)
        top = 1.0 if output.kind == "multi" else np.inf
        if not ((values >= 0) & (values <= top) & np.isfinite(values)).all():
            raise DataError(f"{where} must be finite and from 0 to {top:g}")
        return values
    if target.ndim != 1 or output.kind == "multi":
        raise DataError(f"{where} have shape {target.shape}, which a {output.kind}-label output cannot have")
    if target.dtype.kind in "US":
        codes = {label: i for i, label in enumerate(output.labels)}
        if odd := sorted(set(target.tolist()) - set(codes)):
            raise DataError(f"{where}: unknown label '{odd[0]}'", f"known: {', '.join(output.labels)}")
        return np.array([codes[t] for t in target.tolist()], dtype=np.int64)
    if target.dtype.kind not in "iub":
        raise DataError(f"{where} are {target.dtype}: codes must be integers, or names")
    if n and not (target.min() >= -1 and target.max() < output.num_classes):
        raise DataError(f"{where} hold a code outside -1..{output.num_classes - 1}")
    return target.astype(np.int64)
