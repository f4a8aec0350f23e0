"""Frozen bodies: cached features give what recomputed ones give; learning rates of body and head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetModel

from duchenne.errors import RecipeError
from duchenne.learners import frozen as frozen_module
from duchenne.learners.contract import Storage
from duchenne.learners.optimizers import make_optimizer, parameter_groups
from duchenne.learners.torch_learner import TorchLearner
from duchenne.models import Backbone, make_model
from duchenne.recipe import Loss, Optimizer, Train
from duchenne.transforms import Preprocess
from duchenne.transforms.augment import Augment

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ResNet's weights."""
    torch.manual_seed(5)
    net = ResNetModel(
        ResNetConfig(embedding_size=4, hidden_sizes=[6, 6, 8, 8], depths=[1, 1, 1, 1], layer_type="basic")
    )
    for name, buffer in net.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("body")
    net.save_pretrained(path)
    return path


@pytest.fixture
def make(folder: Path) -> Make:
    """A learner of that body."""

    def learner(**changes: Any) -> TorchLearner:
        args = {"name": str(folder), "pretrained": True, "frozen": True, **changes.pop("args", {})}
        train = {"epochs": 3, "batch_size": 8, **changes.pop("train", {})}
        settings: dict[str, Any] = {
            "model": "backbone", "args": args, "preprocess": Preprocess(size=(32, 32)),
            "optimizer": Optimizer(name="adam", lr=0.01), "train": Train(**train), "accelerator": "cpu",
        }  # fmt: skip
        return TorchLearner(**settings | changes)

    return learner


def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that go through a body, as they go."""
    seen: list[int] = []
    plain = Backbone.features

    def counted(self: Backbone, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return plain(self, x)

    monkeypatch.setattr(Backbone, "features", counted)
    return seen


def history(learner: TorchLearner) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in learner.history_]


@pytest.mark.parametrize("head", ["linear", "wang2020"])
def test_cached_training_is_the_recomputed_one(
    head: str, make: Make, make_faces: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces, val = make_faces(37), make_faces(11, seed=1)
    seen = calls(monkeypatch)
    cached = make(args={"head": head}).fit(faces, val=val)
    assert sum(seen) == 37 + 11
    monkeypatch.setattr(frozen_module, "FEATURE_LIMIT", 0)
    seen.clear()
    plain = make(args={"head": head}).fit(faces, val=val)
    assert sum(seen) >= 3 * (37 + 11)
    for a, b in zip(history(cached), history(plain), strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    for (name, a), b in zip(cached.net_.state_dict().items(), plain.net_.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4, msg=name)
    np.testing.assert_allclose(cached.logits(val)["emotion"], plain.logits(val)["emotion"], atol=1e-4)


def test_body_stays_as_it_was_loaded(make: Make, make_faces: Make, folder: Path) -> None:
    learner = make(loss=Loss(l2=0.1), train={"ema": 0.9}).fit(make_faces(37))
    fresh = make_model("backbone", 1, (32, 32), {"emotion": 3}, {"name": str(folder), "pretrained": True})
    for (name, a), b in zip(
        learner.net_.body.state_dict().items(), fresh.body.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_augmented_images_go_through_the_body_unless_copies_are_kept(
    make: Make, make_faces: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces, augment = make_faces(37), Augment(shift=0.2)
    seen = calls(monkeypatch)
    make(augment=augment).fit(faces)
    assert sum(seen) == 3 * 37
    seen.clear()
    kept = make(augment=augment, train={"feature_copies": 2, "epochs": 5}).fit(faces)
    assert sum(seen) == 2 * 37
    again = make(augment=augment, train={"feature_copies": 2, "epochs": 5}).fit(faces)
    assert history(kept) == history(again)


def test_copies_are_taken_in_turn() -> None:
    table = frozen_module.FeatureTable(np.arange(12, dtype=np.float32).reshape(3, 4, 1))
    index = np.array([2, 0])
    given = []
    for turn in range(4):
        table.turn = turn
        given.append(table[index][:, 0].tolist())
    assert given == [[2, 0], [6, 4], [10, 8], [2, 0]]


def test_resumed_is_unbroken_and_loads_without_the_folder(
    make: Make, make_faces: Make, tmp_path: Path, folder: Path
) -> None:
    faces, val = make_faces(37), make_faces(11, seed=1)
    whole = make(train={"epochs": 4}).fit(faces, val=val)
    parts = tmp_path / "parts"
    parts.mkdir()
    make(train={"epochs": 4}).fit(faces, val=val, storage=Storage(parts, tag="t", deadline=0.0))
    resumed = make(train={"epochs": 4}).fit(faces, val=val, storage=Storage(parts, tag="t", resume=True))
    assert history(resumed) == history(whole)
    kept = TorchLearner.load(parts / "best.safetensors")
    assert kept.args["pretrained"] is False
    np.testing.assert_allclose(kept.logits(val)["emotion"], resumed.logits(val)["emotion"], atol=1e-6)
    kept.save(tmp_path / "again.safetensors")
    again = TorchLearner.load(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(again.logits(val)["emotion"], kept.logits(val)["emotion"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"feature_copies": 2}}, "without augmentation all copies are the same"),
        (
            {"train": {"feature_copies": 2}, "augment": Augment(flip=0.5), "args": {"frozen": False}},
            "only a frozen body's features are kept",
        ),
    ],
)
def test_copies_that_say_nothing_are_refused(
    changes: dict[str, Any], message: str, make: Make, make_faces: Make
) -> None:
    for verb in ("check", "fit"):
        with pytest.raises(RecipeError, match=message):
            getattr(make(**changes), verb)(make_faces(12))


# -- learning rates -----------------------------------------------------------------------------------------


def test_equal_rates_are_one_group() -> None:
    net = make_model("smallnet", 1, (12, 12), {"emotion": 3}, {"filters": [4]})
    groups = parameter_groups(net, Optimizer())
    assert len(groups) == 1
    assert groups[0]["params"] == list(net.parameters())


def test_body_and_head_step_at_their_own_rates(make_faces: Make, make_learner: Make) -> None:
    """Plain SGD, one step: each step is the rate times the gradient, and the gradients are the same."""
    moved = {}
    for factor in (1.0, 10.0):
        learner = make_learner(
            optimizer=Optimizer(name="sgd", lr=0.01, head_lr_factor=factor), epochs=1, batch_size=37
        )
        torch.manual_seed(0)
        learner.fit(make_faces(37))
        moved[factor] = {k: v.clone() for k, v in learner.net_.state_dict().items()}
    still = make_learner(optimizer=Optimizer(name="sgd", lr=1e-30), epochs=1, batch_size=37).fit(
        make_faces(37)
    )
    for name, before in still.net_.state_dict().items():
        one, ten = moved[1.0][name] - before, moved[10.0][name] - before
        assert one.abs().max() > 0
        torch.testing.assert_close(ten, (10 if name.startswith("head") else 1) * one, atol=1e-6, rtol=1e-3)


def test_head_rates_survive_a_resume(make_faces: Make, make_learner: Make, tmp_path: Path) -> None:
    settings = {"optimizer": Optimizer(name="adam", lr=0.01, head_lr_factor=5.0), "epochs": 3}
    whole = make_learner(**settings).fit(make_faces(37))
    make_learner(**settings).fit(make_faces(37), storage=Storage(tmp_path, tag="t", deadline=0.0))
    resumed = make_learner(**settings).fit(make_faces(37), storage=Storage(tmp_path, tag="t", resume=True))
    assert history(resumed) == history(whole)


def test_head_rate_of_a_net_without_head_is_refused() -> None:
    with pytest.raises(RecipeError, match="head_lr_factor = 2"):
        parameter_groups(torch.nn.Linear(2, 2), Optimizer(head_lr_factor=2.0))
    head_alone = torch.nn.Module()
    head_alone.head = torch.nn.Linear(2, 2)
    assert (
        len(
            make_optimizer(
                parameter_groups(head_alone, Optimizer(head_lr_factor=2.0)), Optimizer()
            ).param_groups
        )
        == 1
    )
