"""Running figures of an epoch against scikit-learn, whole and in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from duchenne.evaluation.multilabel import averages, sample_counts
from duchenne.labels import Output
from duchenne.learners.losses import Target
from duchenne.learners.scores import EpochScores
from duchenne.scratch.scores import multi_figures

CPU = torch.device("cpu")
ONE = Output("emotion", "single", ("a", "b", "c"))
MANY = Output("au", "multi", ("AU1", "AU2", "AU4"))


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 10**6))
def test_single_against_scikit_learn_in_batches(n: int, batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 3, n)
    losses = rng.random(n).astype(np.float32)
    scores = EpochScores((ONE,), CPU)
    for s in range(0, n, batch):
        part = slice(s, s + batch)
        target = Target(torch.from_numpy(y[part]), torch.ones(len(y[part])))
        scores.add(
            {"emotion": torch.from_numpy(z[part])},
            {"emotion": target},
            {"emotion": torch.from_numpy(losses[part])},
            torch.ones(len(y[part]), dtype=torch.bool),
        )
    row = scores.row("val", {})
    said = z.argmax(1)
    assert row["val_emotion_accuracy"] == pytest.approx(accuracy_score(y, said))
    labels = sorted({*y.tolist(), *said.tolist()})
    assert row["val_emotion_macro_f1"] == pytest.approx(f1_score(y, said, labels=labels, average="macro"))
    assert row["val_loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_padding_and_what_is_not_annotated_do_not_count() -> None:
    scores = EpochScores((ONE,), CPU)
    z = torch.eye(3)[[0, 1, 2, 0]]
    target = Target(torch.tensor([0, 2, -1, 1]), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    real = torch.tensor([True, True, True, False])
    scores.add({"emotion": z}, {"emotion": target}, {"emotion": torch.tensor([1.0, 3.0, 50.0, 70.0])}, real)
    row = scores.row("train", {})
    assert row["train_emotion_accuracy"] == 0.5
    assert row["train_loss"] == 2.0


def test_multi_against_scikit_learn_with_a_mask() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 3)).astype(np.float32)
    t = (rng.random((30, 3)) < 0.4).astype(np.float32)
    mask = (rng.random((30, 3)) < 0.8).astype(np.float32)
    scores = EpochScores((MANY,), CPU)
    scores.add(
        {"au": torch.from_numpy(z)},
        {"au": Target(torch.from_numpy(t), torch.from_numpy(mask))},
        {"au": torch.zeros(30)},
        torch.ones(30, dtype=torch.bool),
    )
    row = scores.row("val", {})
    keep = mask > 0
    assert row["val_au_binary_accuracy"] == pytest.approx(((z > 0) == (t > 0.5))[keep].mean())
    per_label = [f1_score(t[keep[:, a], a], z[keep[:, a], a] > 0) for a in range(3)]
    assert row["val_au_macro_f1"] == pytest.approx(np.mean(per_label))


@given(st.integers(1, 20), st.integers(0, 10**6))
def test_multi_equals_the_evaluations_with_labels_that_are_said_and_absent(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3)).astype(np.float32)
    t = (rng.random((n, 3)) < 0.3).astype(np.float32)
    t[:, 1] = 0  # answered, mostly, and absent
    mask = rng.random((n, 3)) < 0.8
    scores = EpochScores((MANY,), CPU)
    target = Target(torch.from_numpy(t), torch.from_numpy(mask.astype(np.float32)))
    real = torch.ones(n, dtype=torch.bool)
    scores.add({"au": torch.from_numpy(z)}, {"au": target}, {"au": torch.zeros(n)}, real)
    told = averages(sample_counts(1 / (1 + np.exp(-z.astype(np.float64))), t, mask).sum(axis=0))
    row, engine = scores.row("val", {}), multi_figures(z > 0, t > 0.5, mask)
    for figure in ("binary_accuracy", "macro_f1"):
        want = np.nan_to_num(told[figure])  # nothing annotated, or no label occurs: 0 here
        assert row[f"val_au_{figure}"] == pytest.approx(float(want))
        assert engine[figure] == pytest.approx(float(want))


def test_votes_count_for_their_largest() -> None:
    scores = EpochScores((ONE,), CPU)
    share = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]])
    scores.add(
        {"emotion": torch.eye(3)[[1, 2]]},
        {"emotion": Target(share, torch.ones(2))},
        {"emotion": torch.zeros(2)},
        torch.ones(2, dtype=torch.bool),
    )
    assert scores.row("val", {})["val_emotion_accuracy"] == 0.5


def test_two_outputs_are_named_and_their_losses_weighed() -> None:
    scores = EpochScores((ONE, MANY), CPU)
    scores.add(
        {"emotion": torch.eye(3)[:2], "au": torch.ones(2, 3)},
        {
            "emotion": Target(torch.tensor([0, 1]), torch.ones(2)),
            "au": Target(torch.ones(2, 3), torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])),
        },
        {"emotion": torch.tensor([1.0, 2.0]), "au": torch.tensor([4.0, 0.0])},
        torch.ones(2, dtype=torch.bool),
    )
    row = scores.row("val", {"au": 0.5})
    assert row["val_emotion_loss"] == 1.5
    assert row["val_au_loss"] == 4.0  # of the one annotated sample
    assert row["val_loss"] == 1.5 + 0.5 * 4.0
    assert (row["val_emotion_accuracy"], row["val_au_binary_accuracy"]) == (1.0, 1.0)


def test_sums_of_two_processes_add_up() -> None:
    def filled(rows: list[int]) -> EpochScores:
        scores = EpochScores((ONE,), CPU)
        z, y = torch.eye(3)[[0, 1, 1, 2]][rows], torch.tensor([0, 1, 2, 2])[rows]
        losses = torch.tensor([1.0, 2.0, 3.0, 4.0])[rows]
        real = torch.ones(len(rows), dtype=torch.bool)
        scores.add({"emotion": z}, {"emotion": Target(y, torch.ones(len(rows)))}, {"emotion": losses}, real)
        return scores

    whole, a, b = filled([0, 1, 2, 3]), filled([0, 2, 3]), filled([1])
    for mine, other in zip(a.tensors(), b.tensors(), strict=True):
        mine += other
    assert a.row("train", {}) == whole.row("train", {})
    assert whole.row("train", {})["train_emotion_accuracy"] == 0.75


def test_nothing_counted_is_no_division_by_zero() -> None:
    assert EpochScores((ONE, MANY), CPU).row("val", {})["val_loss"] == 0.0
