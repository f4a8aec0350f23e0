"""The model that lies inside the package, where it does."""

from __future__ import annotations

from pathlib import Path

from ..errors import RunError
from .artifact import CARD, MODEL

# Its name wherever a run's name may stand (`[start] run`, `[teacher] run`).
FLAGSHIP = "flagship"
WEIGHTS = "weights.safetensors"

# What a wheel may weigh for it, and how large a net it may be.
MAX_BYTES = 20_000_000
MAX_PARAMETERS = 2_500_000


def packaged_folder() -> Path:
    """Where the packaged model lies, or would lie; wheels are unpacked when installed."""
    return Path(__file__).resolve().parent.parent / "packaged" / FLAGSHIP


def packaged_model() -> Path | None:
    """The folder of the packaged model (`Artifact.load` reads it); None where this package has none."""
    folder = packaged_folder()
    return folder if (folder / CARD).is_file() and (folder / MODEL).is_file() else None


def packaged_weights() -> Path:
    """The packaged model's weights, to train on from. Raises RunError where this package has none."""
    path = packaged_folder() / WEIGHTS
    if not path.is_file():
        raise RunError(
            "this installation of duchenne holds no packaged model to train from",
            "name a run of your own instead, or install a release, which has the model inside",
        )
    return path
