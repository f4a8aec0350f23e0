"""Which model a verb asks."""

from __future__ import annotations

from pathlib import Path

from .text import printable, tell

RUNS = Path("runs")


def model_folder(model: str | None, runs: Path) -> Path:
    """The folder of the model that ``--model`` names, or of the one meant without it. Raises RunError."""
    from ..artifacts import packaged_model
    from ..inference import default_model, find_model

    if model is not None:
        return find_model(model, runs)
    folder = default_model(runs)
    if folder != packaged_model():
        tell(f"model: {printable(str(folder.parent))} (the newest finished run; --model names another)")
    return folder
