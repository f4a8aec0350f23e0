"""Export: a run's best epoch as a folder for others: ONNX (also in 8 bits), card, README, weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts import Artifact, Card, save_artifact
from ..artifacts.artifact import CARD, INT8, MODEL, read_model
from ..artifacts.metadata import with_metadata
from ..artifacts.packaged import MAX_BYTES, MAX_PARAMETERS, WEIGHTS, packaged_folder
from ..build import build_faces
from ..datasets.faceset import FaceSet
from ..errors import DataError, RecipeError, RunError
from ..learners import learner_class
from .environment import need
from .finish import ensure_artifact
from .int8 import MAX_LOSS_POINTS, int8_model
from .modelcard import LICENSE, fresh_metrics, write_modelcard
from .run import Run
from .temperature import HOW, all_logits

# Faces on which the ONNX file is held against the learner that it was made of, and how far they may differ.
PARITY_FACES = 1000
PARITY = 1e-4

# Kinds of learner whose weights are a net's; others are not quantised.
NETS = ("torch", "scratch")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        folder: Where it lies.
        card: Its card.
        sizes: File name -> bytes.
        notes: What a reader must know: what was refused, or not measured.
    """

    folder: Path
    card: Card
    sizes: dict[str, int]
    notes: tuple[str, ...]


def export_run(
    run: Run,
    out: Path,
    *,
    data: Path | None = None,
    int8: bool = False,
    half_weights: bool = False,
    say: Say = lambda text: None,
) -> Exported:
    """Write a run's best epoch as model.onnx, card.json and README.md.

    model.onnx says of itself all that is needed to use it (`duchenne.artifacts.metadata`). Where the run's
    data are here, its answers are held against the learner's own on validation faces.

    Args:
        run: A run with at least one finished epoch.
        out: A new or empty folder, or one of an earlier export of the same recipe.
        data: Folder of the published data sets.
        int8: Also model.int8.onnx, calibrated on training faces; it stands for the other where it loses no
            more than `MAX_LOSS_POINTS` points on the validation part.
        half_weights: Also weights.safetensors in half precision, to train on from.
        say: Hears what is being done.

    Raises:
        DuchenneError: No checkpoint, data missing where int8 needs them, the folder holds something else, the
            ONNX file does not answer as the learner does.
    """
    out = Path(out)
    _check_folder(run, out)
    kind = run.recipe.learner.name
    if int8 and kind not in NETS:
        raise RecipeError(
            f"--int8: a learner '{kind}' is no net, there is nothing to quantise", "leave it out"
        )
    if half_weights and kind != "torch":
        raise RecipeError(f"--half-weights: learner '{kind}' keeps no torch weights", "leave it out")
    need("onnx", "onnxscript")
    say("model.onnx")
    artifact = ensure_artifact(run)
    card, notes = replace(artifact.card, int8={}, weights={}), []
    if (out / INT8).is_file() and not int8:
        notes.append(f"{INT8} of the earlier export was removed; --int8 makes it anew")
    plain = read_model(artifact.folder / MODEL, card.model_sha256)
    faces = _faces(run, data, needed=int8)
    val = None if faces is None else faces.where("val")
    if val is None or not len(val):
        notes.append("the ONNX file was not held against the learner: the validation part is not here")
    else:
        card = replace(card, figures={**card.figures, "parity": check_parity(run, artifact, val)})
    content = None
    if int8:
        assert faces is not None
        say("model.int8.onnx")
        content, facts = int8_model(artifact, plain, faces)
        card = replace(card, int8=facts)
        content = with_metadata(content, card, "int8")
        if not facts["default"]:
            notes.append(_refused(facts))
    card = _with_weights(run, out, card, half_weights)
    card = save_artifact(out, with_metadata(plain, card), card, content)
    Artifact.load(out, precision="fp32")  # what was written can be read
    if stale := sorted(set(run.metrics()) - set(fresh_metrics(run, card))):
        notes.append(
            f"figures of {', '.join(stale)} are of other weights or another temperature and left out of "
            f"README.md; "
            f"`duchenne evaluate {run.path.name}` makes them anew"
        )
    write_modelcard(run, card, out)
    names = [MODEL, INT8, CARD, "README.md", LICENSE, WEIGHTS]
    sizes = {name: (out / name).stat().st_size for name in names if (out / name).is_file()}
    return Exported(out, card, sizes, tuple(notes))


def _with_weights(run: Run, out: Path, card: Card, wanted: bool) -> Card:
    """Write the weights in half precision, or remove what lies there; the card says which."""
    if not wanted:
        with suppress(OSError):
            (out / WEIGHTS).unlink()
        return card
    from ..learners.halve import save_halved

    sha256 = save_halved(run.checkpoint("best"), out / WEIGHTS)
    return replace(card, weights={"sha256": sha256, "precision": "float16"})


def export_package(
    run: Run, out: Path | None = None, *, data: Path | None = None, say: Say = lambda text: None
) -> Exported:
    """Make the model inside the package of a finished and evaluated run.

    Args:
        run: The run.
        out: Another folder than the package's own.
        data, say: As for `export_run`.

    Raises:
        RunError: The run is not finished, or not evaluated with a fitted temperature; it is too large.
    """
    state = run.state
    if state.status != "finished":
        raise RunError(
            f"run {run.path} is not finished ({state.status}, {state.epochs_done} of "
            f"{state.epochs_planned} epochs)",
            f"`duchenne train {state.recipe_id} --resume` goes on with it; "
            "`duchenne export RUN --out DIR` takes it as it is",
        )
    artifact = ensure_artifact(run)
    fresh = fresh_metrics(run, artifact.card)
    if HOW not in artifact.card.figures or not {"val", "test"} <= set(fresh):
        raise RunError(
            f"run {run.path} is not evaluated on validation and test with a fitted temperature",
            f"`duchenne evaluate {run.path.name} --temperature fit` does it",
        )
    if state.num_parameters > MAX_PARAMETERS:
        raise RunError(
            f"run {run.path} has {state.num_parameters:,} parameters; the packaged model may have "
            f"{MAX_PARAMETERS:,}",
            "train a smaller net",
        )
    done = export_run(run, out or packaged_folder(), data=data, int8=True, half_weights=True, say=say)
    if (total := sum(done.sizes.values())) > MAX_BYTES:
        raise RunError(f"{done.folder} weighs {total:,} bytes; the package may carry {MAX_BYTES:,}")
    return done


def check_parity(run: Run, artifact: Artifact, val: FaceSet) -> dict[str, Any]:
    """Hold the ONNX file against the learner it was made of, on up to `PARITY_FACES` validation faces.

    Returns:
        ``max_difference`` of logits, ``n`` faces.

    Raises:
        RunError: They differ by more than `PARITY`, relative to logits above 1.
    """
    chosen = val.select(np.arange(min(len(val), PARITY_FACES)))
    learner = learner_class(run.recipe.learner.name).load(run.checkpoint("best"))
    ours, theirs = all_logits(artifact, chosen), learner.logits(chosen)
    worst = 0.0
    for name, value in ours.items():
        gap = np.abs(value - theirs[name])
        worst = max(worst, float(gap.max()))
        if (gap > PARITY * np.maximum(1, np.abs(theirs[name]))).any():
            raise RunError(
                f"the ONNX file of run {run.path} answers otherwise than its learner: "
                f"'{name}' differs by up to {worst:.2g}",
                "this is a defect of the export; `pip install -U onnxruntime onnxscript` may help",
            )
    return {"max_difference": float(f"{worst:.2g}"), "n": len(chosen)}


def _check_folder(run: Run, out: Path) -> None:
    """Raises RunError where files of others would be written over."""
    if out.resolve() == run.artifact.resolve():
        raise RunError(f"{out} is the run's own model", "name another folder")
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} exists and is not a folder", "name another folder")
    if out.is_dir() and any(out.iterdir()) and not (out / CARD).is_file() and not (out / MODEL).is_file():
        raise RunError(f"{out} holds files that are no exported model", "name a new or an empty folder")
    if (out / CARD).is_file() and (name := _card_name(out / CARD)) not in ("", run.recipe.id):
        raise RunError(f"{out} holds the model of '{name}'", "name a new or an empty folder")


def _card_name(path: Path) -> str:
    """Whose model lies there; "" where the card is broken, and may be replaced."""
    try:
        return Card.load(path).name
    except RunError:
        return ""


def _faces(run: Run, data: Path | None, needed: bool) -> FaceSet | None:
    """The run's data in the run's outputs; None where they are not here and not needed."""
    try:
        return build_faces(run.recipe, data)
    except DataError:
        if needed:
            raise
        return None


def _refused(facts: dict[str, Any]) -> str:
    measured = facts["measured"]
    if not measured:
        return (
            "int8 is no default, for without a validation part it is not measured; precision='int8' takes it"
        )
    return (
        f"int8 is refused as default: it loses {measured['loss_points']:.2f} points of "
        f"{measured['figure']} on "
        f"validation (at most {MAX_LOSS_POINTS}); precision='int8' asks for it"
    )
