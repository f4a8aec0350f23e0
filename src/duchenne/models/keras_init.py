"""Keras' initial values and constants, for systems that were published in Keras."""

from __future__ import annotations

from torch import nn

# keras.layers.BatchNormalization: momentum 0.99 (the share kept; torch counts the share renewed),
# epsilon 1e-3.
BATCH_NORM_MOMENTUM = 0.01
BATCH_NORM_EPS = 1e-3


def keras_init(module: nn.Module) -> None:
    """Glorot-uniform kernels and zero biases, as keras.layers.Conv2D and Dense start.

    Source: Glorot & Bengio 2010, equation 16.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
