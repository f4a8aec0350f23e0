"""The engine as the reports write it: float64, a function a formula, all arrays made anew; slow, obvious."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def linear_forward(x: Array, w: Array, b: Array) -> Array:
    """kontogouris2018, equation 1."""
    return x.reshape(len(x), -1) @ w + b


def linear_backward(dout: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """kontogouris2018, equations 2 to 4, with the transposes and the sum that they leave out."""
    flat = x.reshape(len(x), -1)
    return (dout @ w.T).reshape(x.shape), flat.T @ dout, dout.sum(axis=0)


def relu_forward(x: Array, slope: float = 0.0) -> Array:
    """kontogouris2018, equation 5; leaky with a slope."""
    return np.where(x > 0, x, slope * x)


def relu_backward(dout: Array, x: Array, slope: float = 0.0) -> Array:
    """kontogouris2018 section 1.4."""
    return np.where(x > 0, dout, slope * dout)


def softmax(logits: Array) -> Array:
    """kontogouris2018 equation 6, shifted by the maximum (wright2019 section 3)."""
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    return np.exp(shifted) / np.sum(np.exp(shifted), axis=1, keepdims=True)


class SlowNet:
    """A fully connected softmax classifier with SGD and momentum, or Adam.

    Args:
        parameters: As `Net.parameters` gives them; copied to `dtype`.
    """

    def __init__(
        self, parameters: dict[str, Array], slope: float = 0.0, l2: float = 0.0, dtype: Any = np.float64
    ) -> None:
        self.p = {k: np.array(v, dtype) for k, v in parameters.items()}
        self.dtype = dtype
        self.depth, self.slope, self.l2 = len(parameters) // 2, slope, l2
        self.v = {k: np.zeros_like(v) for k, v in self.p.items()}
        self.s = {k: np.zeros_like(v) for k, v in self.p.items()}
        self.t = 0

    def loss(
        self, x: Array, codes: Array, masks: list[Array] | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Mean cross-entropy without the penalty, and all gradients with it."""
        x, inputs, before = np.asarray(x, self.dtype), [], []
        for i in range(self.depth):
            inputs.append(x)
            y = linear_forward(x, self.p[f"linear{i}.weight"], self.p[f"linear{i}.bias"])
            before.append(y)
            x = y if i == self.depth - 1 else relu_forward(y, self.slope)
            if masks is not None and i < self.depth - 1:
                x = x * masks[i]
        probs = softmax(x)
        one_hot = np.eye(x.shape[1], dtype=self.dtype)[codes]
        loss = -np.mean(np.sum(one_hot * np.log(probs), axis=1))
        dout, grads = (probs - one_hot) / len(x), {}
        for i in reversed(range(self.depth)):
            if i < self.depth - 1:
                if masks is not None:
                    dout = dout * masks[i]
                dout = relu_backward(dout, before[i], self.slope)
            w = f"linear{i}.weight"
            dout, grads[w], grads[f"linear{i}.bias"] = linear_backward(dout, inputs[i], self.p[w])
            grads[w] = grads[w] + self.l2 * self.p[w]
        return float(loss), grads

    def sgd(self, grads: dict[str, Array], lr: float, momentum: float) -> None:
        """v <- momentum v + g, w <- w - lr v."""
        for k, g in grads.items():
            self.v[k] = momentum * self.v[k] + g
            self.p[k] = self.p[k] - lr * self.v[k]

    def adam(self, grads: dict[str, Array], lr: float, b1: float = 0.9, b2: float = 0.999) -> None:
        """Kingma and Ba 2015, algorithm 1."""
        self.t += 1
        for k, g in grads.items():
            self.v[k] = b1 * self.v[k] + (1 - b1) * g
            self.s[k] = b2 * self.s[k] + (1 - b2) * g**2
            m, s = self.v[k] / (1 - b1**self.t), self.s[k] / (1 - b2**self.t)
            self.p[k] = self.p[k] - lr * m / (np.sqrt(s) + 1e-8)
