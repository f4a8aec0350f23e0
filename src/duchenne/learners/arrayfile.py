"""A learner's state on disk: named groups of arrays in one safetensors file, facts as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import RunError
from .contract import Storage

SCHEMA = "1"

Array = npt.NDArray[Any]
Group = Mapping[str, Array]


def write_arrays(path: Path, groups: Mapping[str, Group], facts: Mapping[str, Any]) -> None:
    """Write arrays in one step: a kill or a full disk leaves the old file whole.

    Args:
        path: The file; its folder is made.
        groups: Group -> name -> array.
        facts: Anything that JSON holds.

    Raises:
        RunError: It cannot be written.
    """
    arrays = {f"{g}/{k}": np.asarray(v, order="C") for g, group in groups.items() for k, v in group.items()}
    # One name for all: what a kill left half-written is overwritten by the next save.
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, scratch, metadata={"schema": SCHEMA, "facts": json.dumps(dict(facts))})
        scratch.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            scratch.unlink()
        raise RunError(
            f"checkpoint {path} cannot be written: {error}",
            "the one before it is untouched; free some space, then go on with --resume",
        ) from None


def read_arrays(path: Path, groups: Sequence[str]) -> tuple[dict[str, dict[str, Array]], dict[str, Any]]:
    """Read what `write_arrays` wrote: group -> name -> array, and the facts.

    Args:
        path: The file.
        groups: The groups it may hold; those it does not hold come back empty.

    Raises:
        RunError: It is missing, cut short, of another schema, or holds another group.
    """
    return _read(path, groups)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts alone, without reading an array. Raises RunError as `read_arrays`."""
    return _read(path, None)[1]


def _read(path: Path, groups: Sequence[str] | None) -> tuple[dict[str, dict[str, Array]], dict[str, Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("schema") != SCHEMA:
                raise RunError(
                    f"checkpoint {path} has schema {header.get('schema')}; this version reads {SCHEMA}"
                )
            found: dict[str, dict[str, Array]] = {g: {} for g in groups or ()}
            for key in () if groups is None else file.keys():
                group, _, name = key.partition("/")
                if group not in found:
                    raise RunError(f"checkpoint {path} holds '{key}', which this version does not know")
                found[group][name] = file.get_tensor(key)
            facts = json.loads(header["facts"])
            if not isinstance(facts, dict):
                raise ValueError("its facts are not a JSON object")
            return found, facts
    except FileNotFoundError:
        raise RunError(f"there is no checkpoint {path}") from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"checkpoint {path} is damaged or cut short: {error}",
            "train again with --force, or restore the file",
        ) from None


def read_last(
    storage: Storage, groups: Sequence[str]
) -> tuple[dict[str, dict[str, Array]], dict[str, Any]] | None:
    """What a training goes on from: `read_arrays` of its ``last.safetensors``; None where there is none.

    Raises:
        RunError: It cannot be read, or is of another recipe or other data.
    """
    path = storage.folder / "last.safetensors"
    if not path.is_file():
        return None
    found, facts = read_arrays(path, groups)
    check_tag(path, facts, storage.tag)
    return found, facts


def check_tag(path: Path, facts: Mapping[str, Any], tag: str) -> None:
    """Raise RunError where a checkpoint with these facts is of another recipe or other data than `tag`."""
    if facts.get("tag") != tag:
        raise RunError(
            f"checkpoint {path} is of another recipe or other data ({facts.get('tag')}, this one is {tag})",
            "train under another --name, or start over with --force",
        )


def learner_of(facts: Mapping[str, Any]) -> str:
    """Name of the learner that wrote a checkpoint with these facts.

    Checkpoints of before the field was written are of nets: torch ones name their model.
    """
    return str(facts.get("learner", "torch" if "model" in facts else "scratch"))
