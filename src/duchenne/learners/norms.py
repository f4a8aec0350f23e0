"""Batch norms' statistics, taken anew from training images as they stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from ..errors import RecipeError
from ..models.frozen import BATCH_NORMS
from .batches import Source, batches
from .frozen import is_frozen

# Means and variances of a channel are over all places of all images: more images change nothing.
FACES = 4096
BATCH = 256

Rows = npt.NDArray[np.int64]


def check_norms(net: torch.nn.Module, wanted: bool, only_heads: bool) -> None:
    """Raise RecipeError where `train.precise_norms` has no batch norms that may change."""
    if wanted and not any(isinstance(m, BATCH_NORMS) for m in net.modules()):
        raise RecipeError("train.precise_norms: this net has no batch norms", "leave it out")
    if wanted and (only_heads or is_frozen(net)):
        raise RecipeError(
            "train.precise_norms: the batch norms of a body that is not trained must not change",
            'leave it out, or train all weights (start.train = "all", learner.args.frozen = false)',
        )


@torch.no_grad()
def precise_norms(
    net: torch.nn.Module, train: Source, rows: Rows, seed: int, inputs: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Set the running statistics of all batch norms to those of up to `FACES` training images.

    The statistics that training leaves behind are of augmented images, of features dropped here and there,
    and of weights on their way; in use the net sees images as they stand. Everything but the batch norms is
    as in use meanwhile, dropout too. The last batch is left out where it is smaller: each counts alike.

    Args:
        net: Its batch norms' statistics change, nothing else.
        train: Where the images are from.
        rows: ``(n,)`` int64: which of its rows may be taken.
        seed: Chooses among them.
        inputs: From a batch's images to the net's input.

    Source: Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3 ("PreciseBN").
    """
    rows = np.random.default_rng(seed).permutation(rows)[:FACES]
    rows = rows[: len(rows) // BATCH * BATCH or len(rows)]
    modes = {module: module.training for module in net.modules()}
    norms = {module: module.momentum for module in net.modules() if isinstance(module, BATCH_NORMS)}
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for part in batches(rows, BATCH):
        net(inputs(train.batch(part).images))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
