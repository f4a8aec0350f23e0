"""A torch net as ONNX bytes: input "images", one output of logits per output name."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

INPUT = "images"
OPSET = 18


class _Tuple(torch.nn.Module):
    """The net with its outputs as a tuple, in a fixed order, for the exporter."""

    def __init__(self, net: torch.nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net = net
        self.names = names

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = self.net(images)
        return tuple(logits[name] for name in self.names)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns and logs about its own internals; none of it concerns the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def export_onnx(net: torch.nn.Module, names: tuple[str, ...], channels: int, size: tuple[int, int]) -> bytes:
    """Return the net as ONNX, any number of images at a time.

    Args:
        net: Gives a dict of logits; exported in evaluation mode, on CPU.
        names: Outputs, in order.
        channels: Channels of the input.
        size: Height and width of the input in pixels.
    """
    training = net.training
    wrapped = _Tuple(net.cpu().eval(), names).eval()
    example = torch.zeros(2, channels, *size)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            wrapped,
            (example,),
            input_names=[INPUT],
            output_names=list(names),
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
    net.train(training)
    content: bytes = program.model_proto.SerializeToString()
    return content
