"""A frozen body's pooled features, computed once instead of in every epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from ..errors import RecipeError
from ..recipe import Train
from ..transforms.augment import Augment
from .batches import Source, batches
from .contract import epoch_seed

# Images per batch: the activations of a ResNet-50 at 224x224 stay below 1 GB.
FEATURE_BATCH = 64

# Above this many bytes features are computed batch by batch, as without a frozen body.
FEATURE_LIMIT = 2 << 30

Inputs = Callable[[torch.Tensor, torch.Generator | None], torch.Tensor]


class FeatureTable:
    """Pooled features by row.

    Args:
        copies: ``(K, N, F)`` float32: of each of N images those of its K copies.

    Attributes:
        turn: Which copy is given (modulo K).
    """

    def __init__(self, copies: npt.NDArray[np.float32]) -> None:
        self.copies = copies
        self.turn = 0

    def __getitem__(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        copy: npt.NDArray[np.float32] = self.copies[self.turn % len(self.copies)]
        return copy[index]


def is_frozen(net: torch.nn.Module) -> bool:
    """Whether a net has a body that is not trained, and says so."""
    return bool(getattr(net, "frozen", False))


def check_copies(net: torch.nn.Module, train: Train, augment: Augment) -> None:
    """Raise RecipeError where `train.feature_copies` would say nothing."""
    if not train.feature_copies:
        return
    where = f"train.feature_copies = {train.feature_copies}"
    if not is_frozen(net):
        raise RecipeError(
            f"{where}: only a frozen body's features are kept",
            "set learner.args.frozen = true, or leave it out",
        )
    if augment.is_identity:
        raise RecipeError(f"{where}: without augmentation all copies are the same", "leave it out")


def copies_to_keep(train: Train, augment: Augment) -> int:
    """How many copies of each image are kept; 0: none, they are drawn anew in each epoch."""
    return 1 if augment.is_identity else train.feature_copies


def keep_features(
    fabric: Fabric, net: torch.nn.Module, source: Source, inputs: Inputs, copies: int, seed: int | None
) -> FeatureTable | None:
    """The features of a part's images, in the order of its rows.

    Args:
        fabric: Whose device and precision are used.
        net: Has ``features``: inputs ``(n, C, H, W)`` to ``(n, F)``.
        source: The part.
        inputs: From pixels to the net's input, augmented when a generator is given.
        copies: How many of each image.
        seed: Of the copies' augmentation; None: the images as they are.

    Returns:
        The table, or None where it would take more than `FEATURE_LIMIT` bytes.
    """
    features = net.features
    assert callable(features)  # what makes a body frozen: `is_frozen`
    table: npt.NDArray[np.float32] | None = None
    for copy in range(copies):
        generator = None
        if seed is not None:
            # Apart from the streams of epochs: those are below 10,000 + the number of processes.
            generator = torch.Generator(fabric.device).manual_seed(epoch_seed(seed, copy, 20_000))
        for rows in batches(np.arange(len(source)), FEATURE_BATCH):
            with torch.no_grad(), fabric.autocast():
                found = features(inputs(source.batch(rows).images, generator)).float().cpu().numpy()
            if table is None:
                if copies * len(source) * found.shape[1] * 4 > FEATURE_LIMIT:
                    return None
                table = np.empty((copies, len(source), found.shape[1]), np.float32)
            table[copy, rows] = found
    return None if table is None else FeatureTable(table)
