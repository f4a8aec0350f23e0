"""Updates of the parameters, and the reports' decays of the learning rate."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import get_blas_funcs

from .net import Net, load_into

Array = npt.NDArray[Any]

# Numbers updated at a time, so that a block stays in the core's cache between the passes over it.
BLOCK = 1 << 15


def per_epoch(rate: float, epoch: int) -> float:
    """Factor rate ** epoch on the learning rate; epochs count from 0.

    Source: kontogouris2018 section 5.4 (0.95), wright2019 section 4 (0.9).
    """
    return float(rate**epoch)


def inverse_time(rate: float, t: int) -> float:
    """Factor 1 / (1 + rate * t) on the learning rate; t counts updates from 0.

    One reading of wright2019's table 1 ("Learning rate decay 0.001"), Keras' form at the time; the report
    does not say which one it used.
    """
    return 1.0 / (1.0 + rate * t)


class Optimizer(ABC):
    """What SGD and Adam share.

    Attributes:
        accumulate: What the backward pass multiplies the gradient buffer with before it adds.
    """

    accumulate = 0.0

    def __init__(self, lr: float) -> None:
        if not 0 < lr < math.inf:
            raise ValueError(f"lr: {lr!r} is not a finite number above 0")
        self.lr = lr
        self._buffers: dict[str, Array] = {}

    def attach(self, net: Net, only_output_layer: bool = False) -> None:
        """Belong to a net from now on, with fresh buffers."""
        self.net, self.groups = net, net.groups(only_output_layer)
        self._axpy = get_blas_funcs("axpy", dtype=net.dtype)
        self._fresh()

    @abstractmethod
    def _fresh(self) -> None:
        """Make the buffers anew, for the net that is attached."""

    @abstractmethod
    def step(self, factor: float, l2: float) -> None:
        """Update the net from its gradients, with learning rate lr * factor; L2 adds l2 * w to a weight's."""

    def _named(self) -> dict[str, Array]:
        return {
            f"{kind}/{name}": view
            for kind, flat in self._buffers.items()
            for name, view in self.net.named(flat).items()
        }

    def state(self) -> dict[str, Array]:
        """Copies of what an unbroken training would carry on with."""
        return {name: view.copy() for name, view in self._named().items()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `state` gave. Raises ValueError naming the array that does not fit."""
        load_into(self._named(), state)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: v <- momentum v + g, w <- w - lr v.

    The velocity v is the net's gradient buffer itself: the backward pass accumulates with beta = momentum, so
    v costs no pass of its own. `nesterov` steps by g + momentum v instead of v; it needs g by itself.

    Source: torch's form of Sutskever et al. 2013; the reports give a momentum (0.5, 0.9) and no formula. The
    older v <- momentum v - lr g, w <- w + v takes the same steps as long as lr is constant.
    """

    def __init__(self, lr: float, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(lr)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: {momentum!r} is not in [0, 1)")
        if nesterov and momentum == 0:
            raise ValueError("nesterov: needs a momentum above 0")
        self.momentum, self.nesterov = momentum, nesterov
        self.accumulate = 0.0 if nesterov else momentum

    def _fresh(self) -> None:
        self.net.gradients[:] = 0
        if self.momentum:
            own = np.zeros_like(self.net.gradients) if self.nesterov else self.net.gradients
            self._buffers = {"velocity": own}

    def step(self, factor: float, l2: float) -> None:
        """w <- w - lr (v + l2 w), with l2 w entering v."""
        lr = self.lr * factor
        if self.nesterov:
            self._nesterov(lr, l2)
            return
        for span, decays in self.groups:
            w, v = self.net.values[span], self.net.gradients[span]
            if not (l2 and decays):
                self._axpy(v, w, a=-lr)
                continue
            for at in range(0, len(w), BLOCK):
                w_block, v_block = w[at : at + BLOCK], v[at : at + BLOCK]
                self._axpy(w_block, v_block, a=l2)
                self._axpy(v_block, w_block, a=-lr)

    def _nesterov(self, lr: float, l2: float) -> None:
        for span, decays in self.groups:
            w, g, v = self.net.values[span], self.net.gradients[span], self._buffers["velocity"][span]
            if l2 and decays:
                self._axpy(w, g, a=l2)
            v *= self.momentum
            v += g
            self._axpy(g, w, a=-lr)
            self._axpy(v, w, a=-lr * self.momentum)


class Adam(Optimizer):
    """Adam: steps of about lr, each divided by the running size of its own gradient.

    m <- b1 m + (1 - b1) g, s <- b2 s + (1 - b2) g^2, both started at 0 and therefore too small by 1 - b^t
    after t steps: w <- w - lr (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps).

    Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1; kontogouris2018 section 6, wright2019 section
    8.
    """

    def __init__(self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(lr)
        if not all(0 <= b < 1 for b in betas):
            raise ValueError(f"betas: {betas!r} are not both in [0, 1)")
        if not 0 < eps < math.inf:
            raise ValueError(f"eps: {eps!r} is not a finite number above 0")
        self.betas, self.eps, self.t = betas, eps, 0

    def _fresh(self) -> None:
        self.t = 0
        self._buffers = {kind: np.zeros_like(self.net.values) for kind in ("m", "s")}

    def state(self) -> dict[str, Array]:
        """Both means by parameter, and the number of steps."""
        return super().state() | {"t": np.array([self.t], np.int64)}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `state` gave."""
        if "t" not in state:
            raise ValueError("t: missing, Adam needs the number of steps")
        super().load_state({k: v for k, v in state.items() if k != "t"})
        self.t = int(state["t"][0])

    def step(self, factor: float, l2: float) -> None:
        """One step, block by block."""
        self.t += 1
        b1, b2 = self.betas
        lr = self.lr * factor / (1 - b1**self.t)
        root = math.sqrt(1 - b2**self.t)
        for span, decays in self.groups:
            for at in range(span.start, span.stop, BLOCK):
                block = slice(at, min(at + BLOCK, span.stop))
                w, g = self.net.values[block], self.net.gradients[block]
                m, s = self._buffers["m"][block], self._buffers["s"][block]
                if l2 and decays:
                    self._axpy(w, g, a=l2)
                m *= b1
                self._axpy(g, m, a=1 - b1)
                s *= b2
                g *= g
                self._axpy(g, s, a=1 - b2)
                np.sqrt(s, out=g)
                g *= 1 / root
                g += self.eps
                np.divide(m, g, out=g)
                self._axpy(g, w, a=-lr)
