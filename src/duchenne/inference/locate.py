"""Which model is meant: a folder, a run's name, the package's own, or the newest finished run."""

from __future__ import annotations

import json
from pathlib import Path

from ..artifacts import FLAGSHIP, packaged
from ..artifacts.artifact import CARD, MODEL
from ..errors import RunError, did_you_mean

_TRAIN = "`duchenne train demo` trains one on built-in faces in a few minutes"


def find_model(named: str | Path, runs: Path) -> Path:
    """Return the artifact's folder that is meant.

    Args:
        named: An artifact's folder, a run's folder, or the name of a run in `runs`; "flagship", where no run
            is called so, is the package's own model.
        runs: Where runs lie.

    Raises:
        RunError: There is none.
    """
    if not str(named):
        raise RunError("no model is named", "name a run or a model's folder, or none for the package's own")
    for path in (Path(named), runs / named):
        if (path / CARD).is_file() or (path / MODEL).is_file():
            return path
        if (path / "run.json").is_file() or (path / "artifact").is_dir():
            return artifact_of_run(path)
    if str(named) == FLAGSHIP and (folder := packaged.packaged_model()) is not None:
        return folder
    if Path(named).is_dir():
        raise RunError(f"{named} is neither a run nor a model's folder ({MODEL} and {CARD})", _TRAIN)
    if Path(named).is_file():
        raise RunError(
            f"{named} is a file; a model is named by its folder, which holds {MODEL} and {CARD}",
            f"--model {Path(named).parent} names the folder of this file",
        )
    known = [p.parent.name for p in runs.glob("*/run.json")]
    raise RunError(
        f"there is no model at '{named}', and no such run in {runs}",
        did_you_mean(str(named), known) if known else _TRAIN,
    )


def default_model(runs: Path = Path("runs")) -> Path:
    """Return the model's folder that is meant where none is named: the package's own, else the newest run's.

    Raises:
        RunError: The package has none, and there is no finished run.
    """
    return packaged.packaged_model() or artifact_of_run(newest_run(runs))


def artifact_of_run(run: Path) -> Path:
    """Return the artifact's folder of a run. Raises RunError where it has none."""
    folder = run / "artifact"
    if (folder / CARD).is_file():
        return folder
    if not (run / "run.json").is_file():
        raise RunError(f"{run} is not a run folder (no run.json)", _TRAIN)
    raise RunError(
        f"run {run} has no model yet",
        "finish its training, or let `duchenne evaluate` make it from the best epoch",
    )


def newest_run(runs: Path) -> Path:
    """Return the finished run with a model that was changed last.

    Raises:
        RunError: There is none.
    """
    found = []
    for path in runs.glob("*/run.json"):
        try:
            state = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue  # a damaged run is not the newest one; naming it says what is wrong with it
        finished = isinstance(state, dict) and state.get("status") == "finished"
        if finished and (path.parent / "artifact" / CARD).is_file():
            found.append((str(state.get("updated", "")), path.parent.name, path.parent))
    if not found:
        raise RunError(f"no finished run under {runs}", f"{_TRAIN}; or name a model with --model")
    return max(found)[2]
