"""Parts of a net that are not trained."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def train_only(net: nn.Module, parts: Iterable[nn.Module]) -> None:
    """Leave only the parts' parameters to be trained; all others get no gradients."""
    inside = {id(p) for part in parts for p in part.parameters()}
    for parameter in net.parameters():
        parameter.requires_grad_(id(parameter) in inside)


def hold_batch_norms(net: nn.Module, but: Iterable[nn.Module] = ()) -> None:
    """Batch norms outside some parts into evaluation mode: what is frozen must not move with the batches."""
    inside = {id(m) for part in but for m in part.modules()}
    for module in net.modules():
        if isinstance(module, BATCH_NORMS) and id(module) not in inside:
            module.eval()
