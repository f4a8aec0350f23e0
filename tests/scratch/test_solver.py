"""The solver: what an epoch's row says, stopping, the best epoch, resuming, what goes wrong."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_memory import Arrays, blobs

from duchenne import scratch
from duchenne.labels import Output
from duchenne.learners.losses import Target, sample_losses
from duchenne.learners.scores import EpochScores
from duchenne.scratch import SGD, Adam, Head, Net, Solver

HEADS = [Head("emotion", "single", 3), Head("au", "multi", 2), Head("votes", "single", 4)]
OUTPUTS = (
    Output("emotion", "single", ("a", "b", "c")),
    Output("au", "multi", ("x", "y")),
    Output("votes", "single", ("p", "q", "r", "s")),
)


def mixed(n: int, seed: int = 0, spread: float = 1.0) -> Arrays:
    """Three heads, gaps in the annotation, unequal weights."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, n)
    has = (rng.random(n) < 0.8).astype(np.float32)
    votes = rng.dirichlet(np.ones(4), n).astype(np.float32)
    targets = {
        "emotion": np.where(has > 0, codes, -1),
        "au": rng.integers(0, 2, (n, 2)).astype(np.float32),
        "votes": votes,
    }
    masks = {
        "emotion": has,
        "au": (rng.random((n, 2)) < 0.5).astype(np.float32),
        "votes": np.ones(n, np.float32),
    }
    x = spread * rng.standard_normal((n, 6)).astype(np.float32)
    return Arrays(x, targets, masks, rng.uniform(0.5, 2, n).astype(np.float32))


def one(**change: Any) -> Solver:
    """A solver of a small net on one head."""
    settings: dict[str, Any] = {"batch_size": 20, "epochs": 6} | change
    net = Net(6, [16, 8], [Head("emotion", "single", 3)], dropout=0.1, seed=1)
    return Solver(net, settings.pop("optimizer", None) or SGD(0.05, 0.9), **settings)


@pytest.mark.parametrize("optimizer", [SGD(0.05, 0.9), SGD(0.05, 0.9, nesterov=True), Adam(0.01)])
def test_learns_blobs(optimizer: Any) -> None:
    solver = one(optimizer=optimizer, l2=1e-4)
    train = blobs(210)
    solver.fit(train, blobs(100, 1))
    assert (solver.finished, solver.reason, solver.epoch) == (True, "all epochs done", 6)
    assert solver.best["value"] > 0.9
    keys = ["epoch", "lr"] + [
        f"{s}_{k}" for s in ("train", "val") for k in ("loss", "emotion_accuracy", "emotion_macro_f1")
    ]
    assert [list(row) for row in solver.history] == [[*keys, "seconds"]] * 6
    assert solver.best["monitor"] == "val_emotion_accuracy"
    best = solver.history[solver.best["epoch"] - 1]
    assert (
        best["val_emotion_accuracy"]
        == solver.best["value"]
        == max(r["val_emotion_accuracy"] for r in solver.history)
    )
    assert solver.sample_losses.shape == (210,)
    assert solver.sample_losses.dtype == np.float32
    np.testing.assert_allclose(solver.sample_losses.mean(), solver.history[-1]["train_loss"], rtol=1e-5)


def test_a_row_is_what_the_torch_learner_would_write() -> None:
    val = mixed(157, 1)
    weights = {"au": 0.5, "votes": 2.0}
    net = Net(6, [16], HEADS, seed=3)
    solver = Solver(net, SGD(0.1), batch_size=32, epochs=2, head_weights=weights, monitor="val_au_macro_f1")
    solver.fit(mixed(100), val)
    z = torch.from_numpy(net.logits(val.x))
    logits = {"emotion": z[:, :3], "au": z[:, 3:5], "votes": z[:, 5:]}
    targets = {k: Target(torch.from_numpy(v), torch.from_numpy(val.masks[k])) for k, v in val.targets.items()}
    scores = EpochScores(OUTPUTS, torch.device("cpu"))
    losses = {o.name: sample_losses(o, logits[o.name], targets[o.name]) for o in OUTPUTS}
    scores.add(logits, targets, losses, torch.ones(len(val), dtype=torch.bool))
    expected = scores.row("val", weights)
    row = {k: v for k, v in solver.history[-1].items() if k.startswith("val_")}
    assert list(row) == list(expected)
    for k, v in expected.items():
        assert row[k] == pytest.approx(v, rel=1e-5), k


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_update_minimises_the_weighted_loss(smoothing: float) -> None:
    """One full-batch step against torch's autograd of the loss as the recipe defines it."""
    train, weights, lr, l2 = mixed(40), {"au": 0.5, "votes": 2.0}, 0.1, 0.02
    net = Net(6, [7], HEADS, seed=3)
    p = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in net.parameters().items()}
    h = torch.relu(torch.from_numpy(train.x) @ p["linear0.weight"] + p["linear0.bias"])
    z = h @ p["linear1.weight"] + p["linear1.bias"]
    total, plain_total, columns = (
        torch.zeros(()),
        torch.zeros(40),
        {"emotion": (0, 3), "au": (3, 5), "votes": (5, 9)},
    )
    for o in OUTPUTS:
        t = Target(torch.from_numpy(train.targets[o.name]), torch.from_numpy(train.masks[o.name]))
        part = z[:, slice(*columns[o.name])]
        has = t.mask if t.mask.ndim == 1 else (t.mask.sum(dim=1) > 0).float()
        w = torch.from_numpy(train.weight)
        each = sample_losses(o, part, t, smoothing if o.kind == "single" else 0.0)
        total = total + weights.get(o.name, 1.0) * (each * w).sum() / (w * has).sum()
        plain_total = plain_total + weights.get(o.name, 1.0) * sample_losses(o, part, t).detach()
    total = total + sum(0.5 * l2 * v.square().sum() for k, v in p.items() if k.endswith("weight"))
    total.backward()
    solver = Solver(
        net, SGD(lr), batch_size=40, epochs=1, head_weights=weights, label_smoothing=smoothing, l2=l2
    )
    solver.fit(train)
    for k, v in net.parameters().items():
        expected = p[k].detach() - lr * p[k].grad
        np.testing.assert_allclose(v, expected.numpy(), atol=1e-6, err_msg=k)
    np.testing.assert_allclose(solver.sample_losses, plain_total.numpy(), atol=1e-5)


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.05, 0.9), lambda: SGD(0.05), lambda: Adam(0.01)])
@pytest.mark.parametrize("only_output_layer", [False, True])
def test_resumed_is_bit_for_bit_unbroken(optimizer: Any, only_output_layer: bool) -> None:
    train, val = blobs(105), blobs(50, 1, shift=1.0)
    settings: dict[str, Any] = {
        "l2": 1e-3, "lr_factor": lambda t: 0.99**t, "only_output_layer": only_output_layer, "seed": 7
    }  # fmt: skip
    whole = one(optimizer=optimizer(), **settings)
    whole.fit(train, val)
    broken = one(optimizer=optimizer(), stop=lambda: "interrupted" if broken.epoch == 2 else None, **settings)
    broken.fit(train, val)
    assert (broken.finished, broken.reason, broken.epoch) == (False, "interrupted", 2)
    rest = one(optimizer=optimizer(), **settings)
    rest.restore(broken.state(), broken.epoch, broken.history, broken.best, broken.best_parameters)
    rest.fit(train, val)
    np.testing.assert_array_equal(rest.net.values, whole.net.values)
    without = [[{k: v for k, v in row.items() if k != "seconds"} for row in s.history] for s in (rest, whole)]
    assert without[0] == without[1]
    assert rest.best == whole.best
    assert all((rest.best_parameters[k] == v).all() for k, v in whole.best_parameters.items())
    state, expected = rest.state(), whole.state()
    assert list(state) == list(expected)
    assert all((state[k] == v).all() for k, v in expected.items())
    np.testing.assert_array_equal(rest.sample_losses, whole.sample_losses)


def test_restore_names_what_does_not_fit() -> None:
    solver = one()
    state = solver.state()
    best = {k: v.copy() for k, v in solver.net.parameters().items()}
    before = solver.net.values.copy()
    for change, text in (
        ({"model/linear0.weight": np.zeros((2, 2))}, r"linear0.weight: shape \(2, 2\)"),
        ({"optimizer/velocity/linear1.bias": np.zeros(2)}, "velocity/linear1.bias: shape"),
        ({"other": np.zeros(2)}, "other: neither"),
    ):
        with pytest.raises(ValueError, match=text):
            solver.restore(state | change, 1, [], {}, best)
        np.testing.assert_array_equal(solver.net.values, before)
    with pytest.raises(ValueError, match="t: missing"):
        one(optimizer=Adam(0.1)).restore({k: v for k, v in state.items() if "model" in k}, 1, [], {}, best)


def test_patience_and_monitor() -> None:
    said: list[bool] = []
    solver = one(
        epochs=50,
        patience=3,
        monitor="val_loss",
        min_delta=0.01,
        on_epoch=lambda row, better: said.append(better),
    )
    solver.fit(blobs(60), blobs(40, 1, shift=0.5))
    assert solver.reason == "no better val_loss for 3 epochs"
    assert solver.finished
    assert solver.epoch == solver.best["epoch"] + 3 < 50
    assert said[-4:] == [True, False, False, False]
    losses = [row["val_loss"] for row in solver.history]
    best = losses[0]
    expected = [True]
    for value in losses[1:]:
        expected.append(best - value > 0.01)
        best = value if expected[-1] else best
    assert said == expected
    net = Net(6, [16, 8], [Head("emotion", "single", 3)])
    net.load(solver.best_parameters)
    z = net.logits(blobs(40, 1, shift=0.5).x)
    codes = torch.from_numpy(blobs(40, 1, shift=0.5).targets["emotion"])
    assert float(torch.nn.functional.cross_entropy(torch.from_numpy(z), codes)) == pytest.approx(
        best, rel=1e-5
    )


def test_without_validation_the_last_epoch_is_kept() -> None:
    solver = one(patience=1, epochs=4)
    solver.fit(blobs(60))
    assert solver.best == {"epoch": 4, "monitor": "", "value": None}
    assert all((solver.best_parameters[k] == v).all() for k, v in solver.net.parameters().items())
    assert not any(k.startswith("val") for k in solver.history[0])


def test_learning_rate_and_calls() -> None:
    steps: list[int] = []
    asked: list[int] = []

    def factor(t: int) -> float:
        asked.append(t)
        return 0.5**t

    solver = one(epochs=2, lr_factor=factor, on_batch=steps.append)
    solver.fit(blobs(50))
    assert steps == [1, 2, 3] * 2
    assert asked == list(range(6))
    assert [row["lr"] for row in solver.history] == [0.05 * 0.5**2, 0.05 * 0.5**5]


def test_only_the_output_layer_is_trained() -> None:
    solver = one(only_output_layer=True, l2=0.1)
    before = {k: v.copy() for k, v in solver.net.parameters().items()}
    solver.fit(blobs(60), blobs(40, 1))
    for k, v in solver.net.parameters().items():
        assert (v == before[k]).all() != k.startswith(solver.net.output_layer), k
    # Nor is time spent on the derivatives of the layers below.
    for k, g in solver.net.named(solver.net.gradients).items():
        assert g.any() == k.startswith(solver.net.output_layer), k


@pytest.mark.parametrize("optimizer", [SGD(1e30, 0.9), SGD(1e30), Adam(1e38)])
def test_divergence_keeps_what_was_best(optimizer: Any) -> None:
    solver = one(optimizer=optimizer, lr_factor=lambda t: 1e-32 if t < 6 else 1.0)
    with pytest.raises(
        FloatingPointError, match=r"became -?(nan|inf|nan or infinite) in epoch 3, step \d of 3"
    ):
        solver.fit(blobs(60), blobs(40, 1))
    assert solver.best["epoch"] in (1, 2)
    assert solver.epoch == 2
    assert all(np.isfinite(v).all() for v in solver.best_parameters.values())
    nan = blobs(60)
    nan.x[30] = np.nan
    with pytest.raises(FloatingPointError, match="the loss became nan in epoch 1, step"):
        one().fit(nan)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": 1.5}, "epochs"),
        ({"patience": 0}, "patience"),
        ({"l2": -1.0}, "l2"),
        ({"l2": float("inf")}, "l2"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
    ],
)
def test_wrong_settings_are_named(change: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}: "):
        one(**change)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SGD(float("inf")), "lr"),
        (lambda: SGD(0.1, 1.0), "momentum"),
        (lambda: SGD(0.1, nesterov=True), "nesterov"),
        (lambda: Adam(0.1, (1.0, 0.9)), "betas"),
        (lambda: Adam(0.1, eps=0.0), "eps"),
    ],
)
def test_wrong_optimisers_are_named(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}: "):
        make()


def test_wrong_data_is_named() -> None:
    good = blobs(30)
    for examples, text in (
        (Arrays(good.x[:0], {"emotion": good.targets["emotion"][:0]}), "examples: there are none"),
        (Arrays(good.x, {}), "targets: 'emotion' is missing"),
        (
            Arrays(good.x, {"emotion": good.targets["emotion"] + 1}),
            "targets: 'emotion' has codes outside 0 to 2",
        ),
        (
            Arrays(good.x, {"emotion": np.ones((30, 4), np.float32)}),
            r"targets: 'emotion' has shape \(30, 4\)",
        ),
        (Arrays(good.x, good.targets, weight=np.ones(3)), r"weight: shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=text):
            one().fit(examples)
    with pytest.raises(ValueError, match="monitor: 'val_nothing' is not in the history rows"):
        one(monitor="val_nothing").fit(good, blobs(20))


def test_one_class_only() -> None:
    train = blobs(30)
    train.targets = {"emotion": np.zeros(30, np.int64)}
    solver = one()
    solver.fit(train, train)
    assert solver.best["value"] == 1.0


def test_the_engine_imports_numpy_and_scipy_alone() -> None:
    for path in Path(scratch.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
                names = [] if node.level else [node.module or ""]
            for name in names:
                root = name.split(".")[0]
                assert root in {"numpy", "scipy"} or root in sys.stdlib_module_names, (path, name)
