"""Stopping on several figures and positive weights, in both learners that train by epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from duchenne.datasets.faceset import FaceSet
from duchenne.errors import RecipeError
from duchenne.labels import Output
from duchenne.learners.contract import Storage, check_loss, monitor_of, positive_weights, stop_rule
from duchenne.learners.losses import Target, sample_losses
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.svm_learner import SVMLearner
from duchenne.recipe import Loss, Optimizer, Stop, Train
from duchenne.scratch.losses import balanced_positives, sigmoid_cross_entropy
from duchenne.transforms import Preprocess

Faces = Callable[..., FaceSet]
Make = Callable[..., Any]
OUTPUTS = (Output("emotion", "single", ("a", "b")), Output("au", "multi", ("AU1", "AU2")))
E, A = "val_emotion_accuracy", "val_au_binary_accuracy"
SUM = "val_emotion_macro_f1 + val_au_macro_f1"


@pytest.fixture(params=["torch", "scratch"])
def make(request: Any, make_learner: Make) -> Make:
    """A learner of either kind, by its sections."""

    def scratch(**changes: Any) -> ScratchLearner:
        train = {k: changes.pop(k) for k in ("epochs", "batch_size") if k in changes}
        settings = {
            "args": {"hidden": [8], "dropout": 0.2},
            "preprocess": Preprocess(size=(12, 12)),
            "optimizer": Optimizer(name="sgd", lr=0.05, momentum=0.5),
            "train": Train(**{"epochs": 3, "batch_size": 8, **train}),
        }
        return ScratchLearner(**{**settings, **changes})

    return make_learner if request.param == "torch" else scratch


def figures(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


class Interrupt:
    """Ctrl-C after each epoch."""

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None: ...

    def on_batch(self, step: int) -> None: ...

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        raise KeyboardInterrupt


def test_it_ends_when_all_targets_are_reached_and_keeps_the_monitors_epoch(
    make_faces: Faces, make: Make
) -> None:
    faces, val = make_faces(60, au=True), make_faces(31, seed=1, au=True)
    whole = make(epochs=12).fit(faces, val=val)
    # Targets that some middle epoch is the first to reach.
    at = max(range(12), key=lambda i: (whole.history_[i][E] > whole.history_[0][E], -i))
    targets = {E: whole.history_[at][E], A: whole.history_[at][A]}
    first = next(r["epoch"] for r in whole.history_ if all(r[k] >= v for k, v in targets.items()))
    learner = make(epochs=12, stop=Stop(targets=targets, monitor=SUM)).fit(faces, val=val)
    assert (learner.n_iter_, learner.finished_) == (first, True)
    assert learner.reason_.startswith(f"targets reached at epoch {first}: {E} ")
    assert figures(learner.history_) == figures(whole.history_[:first])
    sums = [r["val_emotion_macro_f1"] + r["val_au_macro_f1"] for r in learner.history_]
    best = int(np.argmax(sums))
    assert learner.best_ == {"epoch": best + 1, "monitor": SUM, "value": sums[best]}


def test_patience_hears_all_named_figures_and_may_be_passed(make_faces: Faces, make: Make) -> None:
    faces, val = make_faces(au=True), make_faces(20, seed=1, au=True)
    still = Optimizer(name="sgd", lr=1e-12)
    out_of_reach = {E: 1.0, A: 1.0}
    learner = make(epochs=6, optimizer=still, stop=Stop(targets=out_of_reach, patience=2))
    learner.fit(faces, val=val)
    assert learner.n_iter_ == 3
    assert f"no better {E} or {A} for 2 epochs; targets not reached together" in learner.reason_
    stop = Stop(targets=out_of_reach, patience=2, past_patience=True)
    learner = make(epochs=6, optimizer=still, stop=stop).fit(faces, val=val)
    assert learner.n_iter_ == 6
    assert learner.reason_.startswith("all epochs done; targets not reached together")
    alone = make(epochs=4, stop=stop).fit(faces)  # no validation
    assert alone.reason_ == "all epochs done; there is no validation part for patience and targets to watch"


def test_resumed_equals_unbroken(make_faces: Faces, make: Make, tmp_path: Path) -> None:
    faces, val = make_faces(au=True), make_faces(20, seed=1, au=True)
    settings: dict[str, Any] = {
        "epochs": 9,
        "stop": Stop(targets={E: 1.0, A: 1.0}, monitor=SUM, patience=2, min_delta=0.02),
        "loss": Loss(positive_weights="balanced"),
    }
    unbroken = make(**settings).fit(faces, val=val)
    storage, broken = Storage(tmp_path, "t", resume=True), 0
    while True:
        resumed = make(**settings)
        try:
            resumed.fit(faces, val=val, storage=storage, listener=Interrupt())
        except KeyboardInterrupt:
            broken += 1
            continue
        break
    assert broken == unbroken.n_iter_ > 2
    assert (resumed.n_iter_, resumed.reason_) == (unbroken.n_iter_, unbroken.reason_)
    assert figures(resumed.history_) == figures(unbroken.history_)
    assert resumed.best_ == unbroken.best_


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ({"targets": {"val_au_binary_acuracy": 0.7}}, "did you mean 'val_au_binary_accuracy'"),
        ({"targets": {"val_au_accuracy": 0.7}}, "stop.targets: there is no figure 'val_au_accuracy'"),
        ({"targets": {E: 70}}, "70 is above 1"),
        ({"monitor": f"{E} + val_au_macro_f"}, "there is no figure 'val_au_macro_f'"),
        ({"monitor": f"{E} + val_loss"}, "adds a loss"),
        ({"monitor": f"{E} +"}, "there is no figure ''"),
    ],
)
def test_what_is_refused(stop: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words.replace("+", r"\+")):
        monitor_of(OUTPUTS, Stop(**stop))


def test_sums_and_losses_are_known() -> None:
    assert monitor_of(OUTPUTS, Stop(monitor=f"{E}+{A}")) == f"{E} + {A}"
    assert monitor_of(OUTPUTS, Stop(monitor="val_loss + val_au_loss")) == "val_loss + val_au_loss"
    assert stop_rule("", Stop(patience=1)).over([{"epoch": 1}, {"epoch": 2}], False) is None


def test_learners_of_one_fit_watch_one_figure(make_faces: Faces) -> None:
    learner = SVMLearner(preprocess=Preprocess(size=(12, 12)))
    learner.set_params(stop=Stop(monitor=f"{E} + val_emotion_macro_f1"))
    with pytest.raises(RecipeError, match="'svm' watches one figure"):
        learner.fit(make_faces(), val=make_faces())


# -- positive weights ---------------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
def test_positive_weights_are_torchs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, a = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    z = rng.normal(0, 20, (n, a)).astype(np.float32)
    t = rng.choice([0.0, 1.0, 0.4], (n, a)).astype(np.float32)
    mask = (rng.random((n, a)) < 0.7).astype(np.float32)
    w = rng.uniform(0.05, 20, a).astype(np.float32)
    logits = torch.from_numpy(z).requires_grad_()
    output = Output("au", "multi", tuple(f"AU{i}" for i in range(a)))
    target = Target(torch.from_numpy(t), torch.from_numpy(mask))
    theirs = sample_losses(output, logits, target, 0.0, torch.from_numpy(w))
    theirs.sum().backward()
    ours, d = sigmoid_cross_entropy(z, t, mask, w)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert logits.grad is not None
    np.testing.assert_allclose(d, logits.grad.numpy(), rtol=1e-4, atol=1e-5)
    # By the formula, where nothing overflows.
    if abs(z).max() < 10:
        s = 1 / (1 + np.exp(-z.astype(float)))
        cells = -(w * t * np.log(s) + (1 - t) * np.log(1 - s)) * mask
        np.testing.assert_allclose(ours, cells.sum(1) / np.maximum(mask.sum(1), 1), rtol=1e-3, atol=1e-5)


def test_balanced_is_negatives_over_positives_within_bounds() -> None:
    t = np.zeros((30, 5), np.float32)
    t[:10, 0] = 1  # 10 of 30: 20 / 10
    t[0, 1] = 1  # 29, bounded
    t[:29, 2] = 1  # 1 / 29, bounded
    t[:6, 4] = 1  # 6 of the 12 annotated, one of them counted twice: 6 / 7
    mask = np.ones_like(t)
    mask[12:, 4] = 0
    weight = np.ones(30)
    w, none = balanced_positives(t, mask, weight)
    np.testing.assert_allclose(w, [2, 20, 1 / 20, 1, 1])
    assert none.tolist() == [False, False, False, True, False]
    weight[0] = 2
    np.testing.assert_allclose(balanced_positives(t, mask, weight)[0][[0, 4]], [20 / 11, 6 / 7])


def test_labels_by_name() -> None:
    arrays = {"au": (np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32))}
    assert positive_weights(OUTPUTS, Loss(), arrays, np.ones(2)) == {}
    found = positive_weights(OUTPUTS, Loss(positive_weights={"AU2": 3.0}), arrays, np.ones(2))
    assert {k: v.tolist() for k, v in found.items()} == {"au": [1.0, 3.0]}
    with pytest.raises(RecipeError, match="did you mean 'AU2'"):
        check_loss(OUTPUTS, Loss(positive_weights={"AU22": 3.0}))
    with pytest.raises(RecipeError, match="no multi-label output"):
        check_loss(OUTPUTS[:1], Loss(positive_weights="balanced"))


@pytest.mark.parametrize("value", ["balancd", {"AU1": 0}, {"AU1": "x"}, {"AU1": True}, {"AU1": np.inf}, 3])
def test_weights_that_are_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"neither \"balanced\"|is not a finite number above 0"):
        Loss(positive_weights=value)


def test_a_heavier_positive_is_said_more_often(make_faces: Faces, make: Make) -> None:
    faces = make_faces(90, au=True)
    common: dict[str, Any] = {"epochs": 4, "optimizer": Optimizer(name="sgd", lr=0.02)}
    means = []
    for weights in ({}, {"AU1": 8.0}, {"AU1": 1.0, "AU12": 1.0}):
        learner = make(**common, loss=Loss(positive_weights=weights)).fit(faces)
        means.append((learner.predict_proba(faces)["au"].mean(axis=0), learner.history_[0]["train_au_loss"]))
    assert means[1][0][0] > means[0][0][0] + 0.05
    np.testing.assert_allclose(means[2][0], means[0][0], rtol=1e-4)
    # The history tells the loss without weights: the first update apart, they begin alike.
    assert abs(means[1][1] - means[0][1]) < 0.5 * means[0][1]
