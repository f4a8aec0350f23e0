"""From a run's best checkpoint to its artifact: what prediction and evaluation use."""

from __future__ import annotations

from ..artifacts import Artifact, Card, save_artifact
from ..errors import RunError
from ..learners import learner_class
from .environment import need, versions
from .run import Run, now

# Terms of the data decide the terms of the weights; the code's licence does not cover them.
TERMS = {
    "cifar10": "Weights trained on CIFAR-10, whose publisher states no terms: research use.",
    "ckplus": "Weights trained on CK+ (agreement-only research data): not to be published.",
    "fer2013": "Weights trained on FER2013 (Kaggle competition data): research use.",
    "sfew": "Weights trained on SFEW 2.0 (agreement-only research data): not to be published.",
    "synthetic": "Weights trained on this project's synthetic faces: Apache-2.0.",
}
OTHER_TERMS = "The terms of the training data decide; they are not known to this program."


def terms_of(run: Run) -> str:
    """The terms of the run's data, of what its weights began from, and of what taught them."""
    own = TERMS.get(run.recipe.data.name, OTHER_TERMS)
    about = run.info("environment")
    begun = str(about.get("start_terms", "")) if run.recipe.start.run else ""
    taught = str(about.get("teacher_terms", "")) if run.recipe.teacher.run else ""
    parts = [
        own,
        f"The weights began from others: {begun}" if begun and begun != own else "",
        f"They learned from others' answers: {taught}" if taught and taught != own else "",
    ]
    return " ".join(part for part in parts if part)


def ensure_artifact(run: Run) -> Artifact:
    """Return the artifact of the run's best epoch, exporting it first where it is missing or older.

    Raises:
        RunError: The run has no checkpoint yet, or a damaged one.
    """
    state = run.state
    best = run.checkpoint("best")
    if not best.is_file():
        raise RunError(
            f"run {run.path} has no checkpoint yet ({state.epochs_done} epochs done, {state.status})",
            f"`duchenne train {state.recipe_id} --resume` goes on with it",
        )
    training = {
        "epoch": state.best.get("epoch", state.epochs_done),
        "epochs_done": state.epochs_done,
        "epochs_planned": state.epochs_planned,
        "status": state.status,
        "seed": state.seed,
        "recipe_fingerprint": state.recipe_fingerprint,
    }
    if (run.artifact / "card.json").is_file():
        try:
            artifact = Artifact.load(run.artifact)
        except RunError:
            artifact = None
        if artifact is not None and dict(artifact.card.training) == training:
            return artifact
    recipe, data = run.recipe, run.info("data")
    need("onnx", "onnxscript")
    learner = learner_class(recipe.learner.name).load(best)
    # A kill between a checkpoint and its record leaves run.json an epoch behind; the checkpoint knows.
    epoch = learner.n_iter_
    training |= {"epoch": epoch, "epochs_done": max(epoch, state.epochs_done)}
    card = Card(
        name=recipe.id,
        outputs=learner.outputs_,
        preprocess=learner.preprocess.to_json(),
        figures={"best": learner.best_},
        terms=terms_of(run),
        data={"name": recipe.data.name, "fingerprint": data.get("fingerprint", "")},
        training=training,
        versions=versions(),
        created=now(),
    )
    save_artifact(run.artifact, learner.to_onnx(), card)
    return Artifact.load(run.artifact)
