"""The loop against a slow, obvious twin in plain torch; determinism, stopping, the best epoch, divergence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import log_loss

from duchenne.datasets.faceset import FaceSet
from duchenne.errors import RecipeError, TrainingError
from duchenne.learners.checkpoint import load_checkpoint
from duchenne.learners.contract import Storage, epoch_seed
from duchenne.learners.torch_learner import TorchLearner
from duchenne.models import make_model
from duchenne.recipe import Balance, Loss, Optimizer, Schedule, Stop
from duchenne.transforms.augment import Augment

Faces = Callable[..., FaceSet]
Learner = Callable[..., TorchLearner]


def weights(learner: TorchLearner) -> dict[str, torch.Tensor]:
    return dict(learner.net_.state_dict())


def figures(learner: TorchLearner) -> list[dict[str, Any]]:
    """The history without the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in learner.history_]


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float = 0.0) -> None:
    assert a.keys() == b.keys()
    for k in a:
        torch.testing.assert_close(a[k], b[k], atol=atol, rtol=0, msg=lambda m, k=k: f"{k}: {m}")


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(a[k], b[k]) for k in a)


# -- the twin -----------------------------------------------------------------------------------------------


def twin(
    faces: FaceSet, *, epochs: int, batch: int, seed: int, weight: Any = None, mixup: float = 0.0
) -> tuple[Any, list[float]]:
    """SGD with momentum, emotion + 0.5 au, L2, label smoothing, lr x0.9 an epoch, as one would write it."""
    torch.manual_seed(epoch_seed(seed, 0))
    net = make_model(
        "smallnet", 1, (12, 12), {"emotion": 3, "au": 2}, {"filters": [4, 6], "batch_norm": False}
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x = torch.from_numpy(np.asarray(faces.pixels())[:, None].astype(np.float32) / 255)
    y, au = torch.from_numpy(faces.targets["emotion"]), torch.from_numpy(faces.targets["au"])
    w = torch.ones(len(x)) if weight is None else torch.from_numpy(np.asarray(weight, np.float32))
    losses = []
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng(epoch_seed(seed, epoch)).permutation(len(x))
        total = 0.0
        drawn = torch.Generator().manual_seed(epoch_seed(seed, epoch, 10_000))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * 0.9 ** (epoch - 1)
            inputs, share, other = x[rows], 1.0, rows
            if mixup:
                inputs, others, share = Augment(mixup=mixup).mix(inputs, drawn)
                other = rows[others.numpy()]
            out = net(inputs)
            z, a = out["emotion"], out["au"]

            def losses_of(which: Any, z: Any = z, a: Any = a) -> tuple[Any, Any]:
                return (
                    F.cross_entropy(z, y[which], reduction="none", label_smoothing=0.1),
                    F.binary_cross_entropy_with_logits(a, au[which], reduction="none").mean(1),
                )

            (s1, m1), (s2, m2) = losses_of(rows), losses_of(other)
            smooth, multi = share * s1 + (1 - share) * s2, share * m1 + (1 - share) * m2
            loss = (w[rows] * (smooth + 0.5 * multi)).sum() / (len(rows) * w.mean())
            loss = loss + 0.01 / 2 * sum((p**2).sum() for p in net.parameters() if p.ndim > 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            plain = F.cross_entropy(z, y[rows], reduction="none") + 0.5 * m1
            total += float(plain.sum().detach())
        losses.append(total / len(x))
    return net, losses


@pytest.mark.parametrize(("weighted", "mixup"), [(False, 0.0), (True, 0.0), (False, 0.5)])
def test_equals_the_plain_loop(
    make_faces: Faces, make_learner: Learner, weighted: bool, mixup: float
) -> None:
    """37 samples in batches of 8: the last batch, of 5, weighs as its samples do."""
    weight = np.linspace(0.2, 3, 37) if weighted else None
    faces = make_faces(37, au=True, sample_weight=weight)
    learner = make_learner(
        seed=5,
        augment=Augment(mixup=mixup),
        schedule=Schedule(name="epoch_decay", rate=0.9),
        loss=Loss(weights={"au": 0.5}, l2=0.01, label_smoothing=0.1),
    ).fit(faces)
    net, losses = twin(faces, epochs=3, batch=8, seed=5, weight=weight, mixup=mixup)
    assert_same(weights(learner), dict(net.state_dict()), atol=1e-6)
    assert [r["train_loss"] for r in learner.history_] == pytest.approx(losses, abs=1e-5)
    assert [r["lr"] for r in learner.history_] == pytest.approx([0.05, 0.045, 0.0405])
    for row in learner.history_:  # each of the 37 was counted once
        assert row["train_emotion_accuracy"] * 37 == pytest.approx(round(row["train_emotion_accuracy"] * 37))
        assert row["train_au_binary_accuracy"] * 74 == pytest.approx(
            round(row["train_au_binary_accuracy"] * 74)
        )


def test_it_learns(make_faces: Faces, make_learner: Learner) -> None:
    learner = make_learner(epochs=15, optimizer=Optimizer(lr=0.02), batch_size=16)
    learner.fit(make_faces(120), val=make_faces(60, seed=1))
    assert learner.history_[-1]["val_emotion_accuracy"] > 0.9
    assert learner.history_[-1]["train_loss"] < 0.5 * learner.history_[0]["train_loss"]


def test_average_of_weights_is_what_is_kept(make_faces: Faces, make_learner: Learner) -> None:
    """One update an epoch: first the weights themselves, then decays of 2/11 and of 3/12 (limited to 0.2)."""
    faces = make_faces(12)
    batch_norm = {"args": {"filters": [4, 6], "batch_norm": True}, "batch_size": 12}
    kept = [weights(make_learner(epochs=e, **batch_norm).fit(faces)) for e in (1, 2, 3)]
    average = weights(make_learner(epochs=3, ema=0.2, **batch_norm).fit(faces))
    assert any("running_var" in k for k in average)
    for k, value in average.items():
        first, second, third = (w[k] for w in kept)
        wanted = 0.2 * (2 / 11 * first + 9 / 11 * second) + 0.8 * third
        if not value.is_floating_point():
            wanted = third  # a count of batches
        torch.testing.assert_close(value, wanted, atol=1e-6, rtol=0)


# -- determinism --------------------------------------------------------------------------------------------


def rich(make_learner: Learner, **changes: Any) -> TorchLearner:
    """Dropout, batch norm and augmentation together."""
    settings: dict[str, Any] = {
        "model": "friv",
        "args": {"filters": [3, 4], "pools": ["max", "average"], "dense": 6},
        "augment": Augment(flip=0.5, shift=0.1, rotate=10, brightness=0.2, erase=0.3),
        "optimizer": Optimizer(lr=0.01),
    }
    return make_learner(**{**settings, **changes})


def test_same_seed_same_training_whatever_was_drawn_before(make_faces: Faces, make_learner: Learner) -> None:
    faces, val = make_faces(), make_faces(seed=1)
    learner = rich(make_learner)
    first = figures(learner.fit(faces, val=val))
    w = weights(learner)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 (the legacy state must not matter)
    torch.rand(7)
    again = rich(make_learner).fit(faces, val=val)
    assert figures(again) == first
    assert_same(weights(again), w)
    assert figures(learner.fit(faces, val=val)) == first  # and when fitted anew


def test_another_seed_another_training(make_faces: Faces, make_learner: Learner) -> None:
    faces = make_faces()
    a, b = (rich(make_learner, seed=s).fit(faces) for s in (0, 1))
    assert figures(a) != figures(b)
    assert differ(weights(a), weights(b))


def test_augmentation_and_order_change_with_the_epoch(make_faces: Faces, make_learner: Learner) -> None:
    plain, changed = (
        make_learner(augment=a).fit(make_faces()) for a in (None, Augment(brightness=0.5, flip=0.5))
    )
    assert differ(weights(plain), weights(changed))
    assert len({epoch_seed(0, e, p) for e in range(50) for p in range(3)}) == 150


# -- weights and balance ------------------------------------------------------------------------------------


def test_weight_two_is_the_sample_twice(make_faces: Faces, make_learner: Learner) -> None:
    faces = make_faces(12)
    doubled = np.ones(12)
    doubled[[0, 4]] = 2
    once = make_learner(batch_size=64, epochs=4).fit(make_faces(12, sample_weight=doubled))
    twice = make_learner(batch_size=64, epochs=4).fit(faces.select(np.r_[np.arange(12), 0, 4]))
    assert_same(weights(once), weights(twice), atol=1e-6)
    plain = make_learner(batch_size=64, epochs=4).fit(faces)
    assert not torch.allclose(*(next(iter(weights(m).values())) for m in (once, plain)), atol=1e-6)


def test_the_scale_of_weights_does_not_matter(make_faces: Faces, make_learner: Learner) -> None:
    a, b = (make_learner().fit(make_faces(sample_weight=s * np.linspace(1, 2, 37))) for s in (1e-3, 64.0))
    assert_same(weights(a), weights(b), atol=1e-6)


def test_weight_zero_is_the_sample_left_out(make_faces: Faces, make_learner: Learner) -> None:
    w = np.ones(12)
    w[[1, 2]] = 0
    without = make_learner(batch_size=64).fit(make_faces(12).select(np.flatnonzero(w)))
    assert_same(
        weights(make_learner(batch_size=64).fit(make_faces(12, sample_weight=w))), weights(without), 1e-6
    )


def uneven(make_faces: Faces) -> FaceSet:
    """2 angry, 4 happy, 12 sad."""
    faces = make_faces(36)
    codes = faces.hard("emotion")
    return faces.select(np.concatenate([np.flatnonzero(codes == c)[:n] for c, n in enumerate((2, 4, 12))]))


def test_class_weights_are_n_over_k_times_count(make_faces: Faces, make_learner: Learner) -> None:
    faces = uneven(make_faces)
    by_hand = np.repeat([18 / (3 * 2), 18 / (3 * 4), 18 / (3 * 12)], [2, 4, 12])
    weighed = make_faces(36, sample_weight=np.ones(36))
    weighed = weighed.select([int(i) for i in faces.ids])
    assert weighed.sample_weight is not None
    weighed.sample_weight[:] = by_hand
    balanced = make_learner(balance=Balance(class_weights="balanced")).fit(faces)
    assert_same(weights(balanced), weights(make_learner().fit(weighed)), atol=1e-6)
    assert differ(weights(balanced), weights(make_learner().fit(faces)))


class Steps:
    """Counts what the loop tells."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_start(self, epochs_done: int, epochs: int, steps_per_epoch: int) -> None:
        self.told.append(("start", epochs_done, epochs, steps_per_epoch))

    def on_batch(self, step: int) -> None:
        self.told.append(step)

    def on_epoch(self, row: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Any]) -> None:
        self.told.append(("epoch", row["epoch"], len(history), best["epoch"]))


def test_oversampling_repeats_rows(make_faces: Faces, make_learner: Learner) -> None:
    steps = Steps()
    spec = Balance(oversample="largest")
    learner = make_learner(balance=spec, batch_size=6, epochs=1).fit(uneven(make_faces), listener=steps)
    assert steps.told[0] == ("start", 0, 1, 36 // 6)  # 3 classes of 12
    assert learner.history_[0]["train_emotion_accuracy"] * 36 % 1 == pytest.approx(0, abs=1e-9)


def test_balance_of_an_output_that_cannot_be(make_faces: Faces, make_learner: Learner) -> None:
    spec = Balance(output="au", class_weights="balanced")
    with pytest.raises(RecipeError, match="no single-label output 'au'"):
        make_learner(balance=spec).fit(make_faces(au=True))


def test_the_listener_hears_all_in_order(make_faces: Faces, make_learner: Learner) -> None:
    steps = Steps()
    make_learner(epochs=2, batch_size=20).fit(make_faces(37), listener=steps)
    assert steps.told == [("start", 0, 2, 2), 1, 2, ("epoch", 1, 1, 1), 1, 2, ("epoch", 2, 2, 2)]


# -- stopping and the best epoch ----------------------------------------------------------------------------

STILL = Optimizer(name="sgd", lr=1e-12)


def test_patience_ends_a_training_that_does_not_improve(make_faces: Faces, make_learner: Learner) -> None:
    learner = make_learner(epochs=20, optimizer=STILL, stop=Stop(patience=2))
    learner.fit(make_faces(), val=make_faces(seed=1))
    assert [r["epoch"] for r in learner.history_] == [1, 2, 3]  # the first, and two without improvement
    assert learner.best_["epoch"] == 1
    assert learner.finished_
    assert "val_emotion_accuracy for 2 epochs" in learner.reason_


def test_without_validation_patience_is_off_and_the_last_epoch_kept(
    make_faces: Faces, make_learner: Learner
) -> None:
    learner = make_learner(epochs=6, optimizer=STILL, stop=Stop(patience=1)).fit(make_faces())
    assert learner.n_iter_ == 6
    assert learner.best_["epoch"] == 6
    assert learner.reason_ == "all epochs done; there is no validation part for patience to watch"
    assert not any(k.startswith("val") for k in learner.history_[0])


def test_min_delta_is_what_counts_as_improvement(make_faces: Faces, make_learner: Learner) -> None:
    faces, val = make_faces(), make_faces(seed=1)
    loose = make_learner(
        epochs=6, optimizer=Optimizer(name="sgd", lr=0.01), stop=Stop(monitor="val_loss", patience=2)
    )
    loose.fit(faces, val=val)
    losses = [r["val_loss"] for r in loose.history_]
    assert losses == sorted(losses, reverse=True), "the case needs a loss that falls"
    assert loose.n_iter_ == 6
    strict = loose.set_params(stop=Stop(monitor="val_loss", patience=2, min_delta=losses[0])).fit(
        faces, val=val
    )
    assert strict.n_iter_ == 3


@pytest.mark.parametrize("monitor", ["", "val_loss", "val_emotion_macro_f1"])
def test_the_best_epoch_by_validation_is_kept(make_faces: Faces, make_learner: Learner, monitor: str) -> None:
    faces, val = make_faces(), make_faces(21, seed=1)
    settings: dict[str, Any] = {"optimizer": Optimizer(name="sgd", lr=1.0), "stop": Stop(monitor=monitor)}
    learner = make_learner(epochs=8, **settings).fit(faces, val=val)
    key = monitor or "val_emotion_accuracy"
    values = [r[key] for r in learner.history_]
    best = (min if monitor == "val_loss" else max)(values)
    assert learner.best_ == {"epoch": values.index(best) + 1, "monitor": key, "value": best}
    shorter = make_learner(epochs=learner.best_["epoch"], **settings).fit(
        faces
    )  # without val: its last epoch
    assert_same(weights(learner), weights(shorter))
    assert learner.score(val) == pytest.approx(
        learner.history_[learner.best_["epoch"] - 1]["val_emotion_accuracy"]
    )


def test_validation_changes_nothing_in_the_training(make_faces: Faces, make_learner: Learner) -> None:
    faces = make_faces()
    train_only = figures(rich(make_learner).fit(faces))[-1]
    both = figures(rich(make_learner).fit(faces, val=make_faces(300, seed=4)))[-1]
    assert {k: v for k, v in both.items() if not k.startswith("val")} == train_only


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_validation_is_without_dropout_and_augmentation(
    make_faces: Faces, make_learner: Learner, ema: float
) -> None:
    """What stands in the history is what the kept net answers."""
    val = make_faces(40, seed=1)
    learner = rich(make_learner, epochs=1, ema=ema).fit(make_faces(), val=val)
    row, probs = learner.history_[0], learner.predict_proba(val)
    assert row["val_loss"] == pytest.approx(log_loss(val.hard("emotion"), probs), rel=1e-5)
    assert row["val_emotion_accuracy"] == pytest.approx(learner.score(val))


def test_monitor_that_does_not_exist(make_faces: Faces, make_learner: Learner) -> None:
    with pytest.raises(RecipeError, match="did you mean 'val_emotion_accuracy'"):
        make_learner(stop=Stop(monitor="val_emotion_acuracy")).fit(make_faces(), val=make_faces())


def test_weight_of_an_output_that_does_not_exist(make_faces: Faces, make_learner: Learner) -> None:
    with pytest.raises(RecipeError, match="did you mean 'emotion'"):
        make_learner(loss=Loss(weights={"emotions": 1.0})).fit(make_faces())


# -- divergence ---------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_and_is_placed(make_faces: Faces, make_learner: Learner) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1, step 2 \(of 5\); no epoch was finished") as caught:
        make_learner(optimizer=Optimizer(name="sgd", lr=1e30)).fit(make_faces())
    assert "lr" in caught.value.todo


def test_the_checkpoints_before_divergence_stay(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    """Two quiet epochs of 5 steps, then the rate leaps."""
    leap = Schedule(name="exponential", rate=1e30, every=10, staircase=True)
    learner = make_learner(epochs=9, schedule=leap)
    with pytest.raises(TrainingError, match=r"epoch 3, step 2 \(of 5\); the checkpoint of epoch \d is kept"):
        learner.fit(make_faces(), val=make_faces(seed=1), storage=Storage(tmp_path))
    last, best = (load_checkpoint(tmp_path / f"{n}.safetensors") for n in ("last", "best"))
    assert last.facts["epoch"] == 2
    assert best.facts["best"] == last.facts["best"]
    assert all(v.isfinite().all() for v in [*last.model.values(), *best.model.values()])
    with pytest.raises(TrainingError, match="nothing was stored"):
        learner.fit(make_faces())


def test_weights_that_blow_up_in_an_epochs_last_step_are_not_kept(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    """One step an epoch: the loss of epoch 3 is still a number, the weights after it are not."""
    leap = Schedule(name="exponential", rate=1e41, every=2, staircase=True)
    steep = Loss(l2=100.0)  # a gradient of about 100 * 0.3, times a rate of 1e38
    learner = make_learner(
        epochs=9, batch_size=64, schedule=leap, loss=steep, optimizer=Optimizer(name="sgd", lr=1e-3)
    )
    with pytest.raises(TrainingError, match="a weight became nan or infinite in epoch 3"):
        learner.fit(make_faces(), storage=Storage(tmp_path))
    for name in ("last", "best"):
        state = load_checkpoint(tmp_path / f"{name}.safetensors")
        assert state.facts["epoch"] == 2
        assert all(v.isfinite().all() for v in state.model.values())


def test_a_rate_that_torch_cannot_hold(make_faces: Faces, make_learner: Learner) -> None:
    leap = Schedule(name="epoch_decay", rate=1e60)
    with pytest.raises(TrainingError, match=r"the learning rate became 5e\+58 in epoch 2, step 1"):
        make_learner(schedule=leap).fit(make_faces())


def test_adams_first_step_may_be_larger_than_its_rate(make_faces: Faces, make_learner: Learner) -> None:
    with pytest.raises(TrainingError, match=r"the learning rate became 1e\+38 in epoch 1, step 1"):
        make_learner(optimizer=Optimizer(name="adam", lr=1e38)).fit(make_faces())


def test_a_validation_loss_of_nan_stops(make_faces: Faces, make_learner: Learner, tmp_path: Path) -> None:
    """Finite losses and weights may still give infinite logits on faces not trained on."""
    faces = make_faces()
    learner = make_learner(optimizer=Optimizer(name="sgd", lr=1e25), epochs=1, batch_size=len(faces))
    with pytest.raises(TrainingError, match=r"the validation loss became (nan|inf) in epoch 1"):
        learner.fit(faces, val=faces, storage=Storage(tmp_path))
    assert not list(tmp_path.glob("*.safetensors"))
