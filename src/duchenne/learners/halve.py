"""A checkpoint's weights in half precision: to be handed on, and trained on from. No torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from ..artifacts.card import replace_file
from ..errors import RunError
from .arrayfile import read_arrays, write_arrays


def save_halved(checkpoint: Path, path: Path) -> str:
    """Write the weights of a net's checkpoint in float16; `TorchLearner.load` reads them, in float32.

    A float array with a value that float16 cannot hold stays as it is. The history is left out.

    Returns:
        The file's SHA-256.

    Raises:
        RunError: The checkpoint cannot be read, or the file not be written.
    """
    groups, facts = read_arrays(checkpoint, ("model", "optimizer", "ema"))
    halved = {}
    for name, array in groups["model"].items():
        half = array
        if array.dtype == np.float32:
            with np.errstate(over="ignore"):
                half = array.astype(np.float16)
            if not np.isfinite(half).all():
                half = array
        halved[name] = half
    kept = {k: v for k, v in facts.items() if k not in ("history", "tag", "seconds", "denoised")}
    write_arrays(path, {"model": halved}, kept | {"history": []})
    try:
        _in_order(path)
        path.chmod(0o644)  # safetensors keeps its files to their owner; this one is to be handed on
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None


def _in_order(path: Path) -> None:
    """Sort the file's header, whose order safetensors leaves to chance: the same weights, the same bytes."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # arrays begin at a multiple of 8, as safetensors lays them
    replace_file(path, len(header).to_bytes(8, "little") + header + content[end:])
