"""Batch norms' statistics, taken anew from training images as they stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.optim.swa_utils import update_bn

from ..errors import RecipeError
from ..models.frozen import BATCH_NORMS
from .batches import Source, batches

# Means and variances of a channel are over all places of all images: more images change nothing.
FACES = 4096
BATCH = 256


def check_norms(net: torch.nn.Module, wanted: bool, trains_body: bool) -> None:
    """Raise RecipeError where `train.precise_norms` has no batch norms that may change."""
    if wanted and not any(isinstance(m, BATCH_NORMS) for m in net.modules()):
        raise RecipeError("train.precise_norms: this net has no batch norms", "leave it out")
    if wanted and not trains_body:
        raise RecipeError(
            "train.precise_norms: the batch norms of a body that is not trained must not change",
            'leave it out, or train all weights (start.train = "all", learner.args.frozen = false)',
        )


def precise_norms(
    net: torch.nn.Module, train: Source, seed: int, inputs: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Set the running statistics of all batch norms to those of up to `FACES` training images.

    The statistics that training leaves behind are of augmented images, and of weights on their way; in use
    the net sees images as they stand. The last batch is left out where it is smaller, for each counts alike.

    Args:
        net: Its batch norms change, nothing else.
        train: Where the images are from.
        seed: Chooses them.
        inputs: From a batch's images to the net's input.

    Source: Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3 ("PreciseBN").
    """
    rows = np.random.default_rng(seed).permutation(len(train))[:FACES]
    whole = len(rows) // BATCH * BATCH or len(rows)
    update_bn((inputs(train.batch(part).images) for part in batches(rows[:whole], BATCH)), net)
