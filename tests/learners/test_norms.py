"""Batch norms' statistics of training images as they stand, reckoned by hand beside the library's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from duchenne.datasets.faceset import FaceSet
from duchenne.errors import RecipeError
from duchenne.learners.batches import Source
from duchenne.learners.contract import Storage
from duchenne.learners.norms import BATCH, FACES, precise_norms
from duchenne.learners.scratch_learner import ScratchLearner
from duchenne.learners.torch_learner import TorchLearner
from duchenne.models.frozen import BATCH_NORMS
from duchenne.recipe import Train
from duchenne.transforms import Preprocess
from duchenne.transforms.augment import Augment

Faces = Callable[..., FaceSet]
Learner = Callable[..., TorchLearner]

NORMED = {"args": {"filters": [4, 6], "batch_norm": True}}
# Dropout stands before a batch norm.
DROPPING = {"model": "friv", "args": {"filters": [3, 4], "pools": ["max", "average"], "dense": 6}}


def by_hand(net: torch.nn.Module, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and unbiased variance of each batch norm's input, in the net's order; one batch, no dropout."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(module: torch.nn.Module, given: tuple[torch.Tensor]) -> None:
        axes = (0, 2, 3) if given[0].ndim == 4 else (0,)
        seen.append((given[0].mean(axes), given[0].var(axes)))

    norms = [m for m in net.modules() if isinstance(m, BATCH_NORMS)]
    hooks = [m.register_forward_pre_hook(note) for m in norms]
    net.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return seen


def norms_of(net: torch.nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    found = []
    for m in net.modules():
        if isinstance(m, BATCH_NORMS):
            assert m.running_mean is not None
            assert m.running_var is not None
            found.append((m.running_mean.clone(), m.running_var.clone()))
    return found


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("net", [NORMED, DROPPING])
def test_what_is_kept_has_the_statistics_of_plain_images(
    make_faces: Faces, make_learner: Learner, net: dict[str, Any], ema: float
) -> None:
    """With augmentation and dropout on: the statistics are of images as they stand, without either."""
    faces, val = make_faces(40), make_faces(20, seed=1)
    changes = {**net, "ema": ema, "augment": Augment(brightness=0.9, shift=0.3), "epochs": 2}
    learner = make_learner(precise_norms=True, **changes).fit(faces, val=val)
    before = norms_of(learner.net_)
    assert len(before) >= 2
    wanted = by_hand(learner.net_, torch.from_numpy(Preprocess(size=(12, 12))(faces.pixels())))
    for (mean, var), (right_mean, right_var) in zip(before, wanted, strict=True):
        torch.testing.assert_close(mean, right_mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(var, right_var, atol=1e-5, rtol=1e-5)
    without = norms_of(make_learner(**changes).fit(faces, val=val).net_)
    assert not torch.allclose(without[0][0], wanted[0][0], atol=1e-3)  # or nothing was tested


def test_training_itself_stays_as_it_is(make_faces: Faces, make_learner: Learner) -> None:
    """Batch norms use a batch's own figures while they learn: the weights must be the same."""
    faces = make_faces(40)
    plain = make_learner(**NORMED).fit(faces).net_.state_dict()
    precise = make_learner(precise_norms=True, **NORMED).fit(faces).net_.state_dict()
    for name, value in plain.items():
        assert ("running" in name or "tracked" in name) or torch.equal(value, precise[name]), name


def test_whole_batches_of_so_many_faces(make_faces: Faces) -> None:
    """Each batch counts alike, so that a smaller one would count too much."""
    for n, wanted in ((10, [10]), (BATCH + 3, [BATCH]), (FACES + 300, [BATCH] * (FACES // BATCH))):
        sizes: list[int] = []

        def inputs(images: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(len(images))
            return images.permute(0, 3, 1, 2).float()

        source = Source(make_faces(n, side=2), Preprocess(size=(2, 2)))
        precise_norms(torch.nn.BatchNorm2d(1), source, np.arange(n), 0, inputs)
        assert sizes == wanted


def test_only_rows_that_are_allowed(make_faces: Faces) -> None:
    """Faces that denoising left out of training do not come back through the norms."""
    source, norm = Source(make_faces(30, side=4), Preprocess(size=(4, 4))), torch.nn.BatchNorm2d(1)
    rows = np.array([3, 4, 17])
    precise_norms(norm, source, rows, 0, lambda images: images.permute(0, 3, 1, 2).float())
    assert norm.running_mean is not None
    np.testing.assert_allclose(norm.running_mean, source.batch(rows).images.float().mean(), rtol=1e-5)


def test_statistics_over_several_batches(make_faces: Faces) -> None:
    """The mean of the batches' means, which is that of all images; of the variances likewise."""
    source = Source(make_faces(2 * BATCH, side=4), Preprocess(size=(4, 4)))
    norm, rows = torch.nn.BatchNorm2d(1), np.arange(2 * BATCH)
    given: list[torch.Tensor] = []

    def inputs(images: torch.Tensor) -> torch.Tensor:
        given.append(images.permute(0, 3, 1, 2).float())
        return given[-1]

    precise_norms(norm, source, rows, 5, inputs)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    np.testing.assert_allclose(norm.running_mean, torch.cat(given).mean(), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, sum(float(x.var()) for x in given) / 2, rtol=1e-5)
    assert norm.momentum == 0.1
    assert norm.training  # as it was


def test_it_is_refused_where_it_would_do_nothing_or_harm(
    make_faces: Faces, make_learner: Learner, tmp_path: Path
) -> None:
    faces = make_faces(12)
    for ask in ("fit", "check"):  # the latter before anything is deleted for a new run
        with pytest.raises(RecipeError, match="this net has no batch norms"):
            getattr(make_learner(precise_norms=True), ask)(faces)
    make_learner(**NORMED).fit(faces, storage=Storage(tmp_path, tag="t"))
    start = tmp_path / "best.safetensors"
    with pytest.raises(RecipeError, match="a body that is not trained must not change"):
        make_learner(precise_norms=True, start=start, start_train="head", **NORMED).check(faces)
    with pytest.raises(RecipeError, match="precise_norms = True: learner 'scratch' has no such setting"):
        ScratchLearner(train=Train(precise_norms=True)).fit(faces)
