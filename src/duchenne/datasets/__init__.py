"""Data sets by name: one publisher's layout a file. To add one: its file, and its line in `DATASETS`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from ..errors import DataError, RecipeError, did_you_mean
from .faceset import SPLITS, FaceSet

__all__ = ["DATASETS", "SPLITS", "FaceSet", "load"]

Loader = Callable[..., FaceSet]


def _cifar10(root: Path | None, **options: Any) -> FaceSet:
    from .cifar10 import LAYOUT, load_cifar10

    _check_options("cifar10", load_cifar10, options)
    return load_cifar10(_needed("cifar10", root, LAYOUT), **options)


def _ckplus(root: Path | None, **options: Any) -> FaceSet:
    from .ckplus import LAYOUT, load_ckplus

    _check_options("ckplus", load_ckplus, options)
    return load_ckplus(_needed("ckplus", root, LAYOUT), **options)


def _fer2013(root: Path | None, **options: Any) -> FaceSet:
    from .fer2013 import LAYOUT, load_fer2013

    _check_options("fer2013", load_fer2013, options)
    return load_fer2013(_needed("fer2013", root, LAYOUT), **options)


def _folder(root: Path | None, **options: Any) -> FaceSet:
    from .folder import LAYOUT, load_folder

    path = options.pop("path", None)
    if not isinstance(path, str | Path | None):
        raise RecipeError(f"data set 'folder', option path = {path!r}: this is no folder's name")
    _check_options("folder", load_folder, options, also=("path",))
    if path is not None and not Path(path).is_absolute() and root is not None:
        path = root / path
    return load_folder(_needed("folder", path or root, LAYOUT), **options)


def _sfew(root: Path | None, **options: Any) -> FaceSet:
    from .sfew import LAYOUT, load_sfew

    _check_options("sfew", load_sfew, options)
    return load_sfew(_needed("sfew", root, LAYOUT), **options)


def _synthetic(root: Path | None, **options: Any) -> FaceSet:
    from .synthetic import load_synthetic

    _check_options("synthetic", load_synthetic, options)
    faces: FaceSet = load_synthetic(**options)
    return faces


# Name -> function of the data folder and the loader's own options.
DATASETS: dict[str, Loader] = {
    "cifar10": _cifar10,
    "ckplus": _ckplus,
    "fer2013": _fer2013,
    "folder": _folder,
    "sfew": _sfew,
    "synthetic": _synthetic,
}


def load(name: str, root: Path | None = None, **options: Any) -> FaceSet:
    """Load a data set by name.

    Args:
        name: A key of `DATASETS`.
        root: The data folder with the publishers' layouts ($DUCHENNE_DATA); "synthetic" needs none. For
            "folder", the option ``path`` names the folder (relative to root), else root is the folder.
        options: The loader's own keyword arguments.

    Raises:
        DataError: Unknown name, or the data are missing or broken.
        RecipeError: An option the set does not have, or a value of another kind.
    """
    if name not in DATASETS:
        raise DataError(f"there is no data set '{name}'", did_you_mean(name, DATASETS))
    return DATASETS[name](None if root is None else Path(root), **options)


def _needed(name: str, root: str | Path | None, layout: str) -> Path:
    if root is None:
        raise DataError(f"data set '{name}' needs a data folder, and none was named", layout)
    path = Path(root)
    if not path.is_dir():
        what = "is no folder" if path.exists() else "does not exist"
        raise DataError(f"the data folder {path} {what}", layout)
    return path


def _check_options(name: str, loader: Loader, options: Mapping[str, Any], also: tuple[str, ...] = ()) -> None:
    """Check names and kinds of a loader's options by its signature; ranges are the loader's own."""
    if not options:
        return
    from pydantic import TypeAdapter, ValidationError

    parameters = inspect.signature(loader).parameters.values()
    known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"name"}
    hints = get_type_hints(loader)
    for key, value in options.items():
        if key == "allow_missing" and key not in known:
            raise RecipeError(
                f"data set '{name}' has no option allow_missing (--allow-missing): images that are missing "
                "are not left out of it",
                "leave it out; of the data sets here only ckplus has it",
            )
        if key not in known:
            raise RecipeError(
                f"data set '{name}' has no such option: '{key}'", did_you_mean(key, known | set(also))
            )
        if type(value).__module__ != "builtins":
            continue  # a NumPy number and the like, from Python: the loader's business
        try:
            TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            shown, why = repr(value)[:60], error.errors()[0]["msg"]
            raise RecipeError(f"data set '{name}', option {key} = {shown}: {why}") from None
