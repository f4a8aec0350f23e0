"""Many small nets of one architecture trained at once, as one stack of matrices on shared batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import get_blas_funcs

from .epoch import EpochFigures, Examples, Targets
from .layers import LeakyReLU, ReLU
from .net import Head, Net
from .optim import BLOCK, SGD
from .solver import Row, best_key, constant, epoch_seed
from .stopping import figure_of, improves

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Member:
    """What one net of a stack has of its own; as in `SGD`, `Solver` and `Net` (`seed`: initial weights)."""

    lr: float
    momentum: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    seed: int = 0


def stack_wins(hidden: Sequence[int], nets: int) -> bool:
    """Whether a stack is faster than its nets one after the other, by `docs/engine.md`'s figures."""
    return nets >= 4 and bool(hidden) and max(hidden) <= 64


class Stack:
    """G nets side by side: the first layer is ONE product over all nets' columns, the others are batched.

    x ``(N, D)`` is the same for all nets, so [x W_1, ..., x W_G] = x [W_1 ... W_G] with a matrix ``(D, G *
    B)``: a narrow layer alone would leave BLAS half idle. Each net gives what `Solver` with the same `seed`
    gives it alone; dropout's random numbers are shared and compared with each net's own p.

    Velocities are kept times each net's lr (u = lr v), so that one product and one subtraction serve all
    nets.

    Args:
        in_features, hidden, heads, net_options: As for `Net`.
        members: One a net.
        batch_size, epochs, seed, lr_factor, head_weights, label_smoothing, monitor, min_delta: As for
        `Solver`.

    Attributes:
        history: One list of rows a net, as `Solver.history` (without seconds).
        best, best_parameters: One a net, as in `Solver`.
        failures: Net -> why it is out: its loss or a weight became nan or infinite. The others go on.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        heads: Sequence[Head],
        members: Sequence[Member],
        *,
        batch_size: int,
        epochs: int,
        seed: int = 0,
        lr_factor: Callable[[int], float] = constant,
        head_weights: Mapping[str, float] | None = None,
        label_smoothing: float = 0.0,
        monitor: str = "",
        min_delta: float = 0.0,
        **net_options: Any,
    ) -> None:
        if not members:
            raise ValueError("members: at least one is needed")
        nets = [
            Net(in_features, hidden, heads, seed=m.seed, dropout=m.dropout, **net_options) for m in members
        ]
        for m in members:
            SGD(m.lr, m.momentum)  # its checks
            if not 0 <= m.l2 < math.inf:
                raise ValueError(f"l2: {m.l2!r} is not a finite number of 0 or more")
        self.members, self.heads, g = tuple(members), nets[0].heads, len(members)
        self.batch_size, self.epochs, self.seed, self.lr_factor = batch_size, epochs, seed, lr_factor
        self.head_weights = {h.name: float((head_weights or {}).get(h.name, 1.0)) for h in self.heads}
        self.smoothing, self.monitor, self.min_delta = (
            label_smoothing,
            best_key(monitor, self.heads),
            min_delta,
        )
        layers = [[net.linears[i] for net in nets] for i in range(len(nets[0].linears))]
        # First layer (D, G * B); the others (G, A, B); biases (G, 1, B).
        self.weights = [
            np.concatenate([n.weight for n in row], axis=1) if i == 0 else np.stack([n.weight for n in row])
            for i, row in enumerate(layers)
        ]
        self.biases = [np.stack([n.bias[None] for n in row]) for row in layers]
        self._u = [np.zeros_like(w) for w in self.weights]
        self._u_bias = [np.zeros_like(b) for b in self.biases]
        self.activations: list[ReLU | LeakyReLU] = list(nets[0].activations)
        column = (g, 1, 1)
        self._lr, self._momentum, self._l2, self._p = (
            np.array([getattr(m, k) for m in members], nets[0].dtype).reshape(column)
            for k in ("lr", "momentum", "l2", "dropout")
        )
        self._shrink = self._lr * self._l2
        self._gemm, self._axpy = get_blas_funcs(("gemm", "axpy"), dtype=nets[0].dtype)
        self.epoch = 0
        self.history: list[list[Row]] = [[] for _ in members]
        self.best: list[Row] = [{} for _ in members]
        self.best_parameters: list[dict[str, Array]] = [{} for _ in members]
        self.failures: dict[int, str] = {}

    def parameters(self, g: int) -> dict[str, Array]:
        """Copies of one net's weights, by the names of `Net.parameters`."""
        out, b = {}, self.biases[0].shape[2]
        for i, (w, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out[f"linear{i}.weight"] = (w[:, g * b : (g + 1) * b] if i == 0 else w[g]).copy()
            out[f"linear{i}.bias"] = bias[g, 0].copy()
        return out

    def logits(self, x: Array, rng: np.random.Generator | None = None) -> Array:
        """``(N, D)`` to ``(G, N, K)``; training mode (dropout) when `rng` is given."""
        g, n = len(self.members), len(x)
        self._inputs: list[Array] = [x]
        self._masks: list[Array | None] = []
        h: Array = (x @ self.weights[0]).reshape(n, g, -1).transpose(1, 0, 2)
        for i, bias in enumerate(self.biases):
            if i:
                h = h @ self.weights[i]
            h += bias
            if i < len(self.activations):
                h = self.activations[i].forward(h)
                self._masks.append(self._drop(h, rng))
                self._inputs.append(h)
        return h

    def _drop(self, h: Array, rng: np.random.Generator | None) -> Array | None:
        if rng is None or not self._p.any():
            return None
        mask = (rng.random(h.shape[1:], np.float32) >= self._p).astype(h.dtype)
        mask *= 1.0 / (1.0 - self._p)
        h *= mask
        return mask

    def _update(self, d: Array, factor: float) -> None:
        """Backward from the logits' derivative ``(G, N, K)``, and the step."""
        d = d * self._lr
        for i in range(len(self.weights) - 1, -1, -1):
            u, w, below = self._u[i], self.weights[i], None
            self._u_bias[i] *= self._momentum
            self._u_bias[i] += d.sum(axis=1, keepdims=True)
            if i:
                below = d @ w.transpose(0, 2, 1)
                u *= self._momentum
                u += self._inputs[i].transpose(0, 2, 1) @ d
                if self._shrink.any():
                    u += w * self._shrink
            else:
                self._accumulate_first(d)
            self._axpy(u.ravel(), w.ravel(), a=-factor)
            self.biases[i] -= factor * self._u_bias[i]
            if below is not None:
                mask = self._masks[i - 1]
                d = self.activations[i - 1].backward(below if mask is None else below * mask)

    def _accumulate_first(self, d: Array) -> None:
        """u <- momentum u + lr l2 w + x^T d; momentum goes into the product where all nets have one."""
        u, w, beta = self._u[0], self.weights[0], float(self._momentum[0, 0, 0])
        same = bool((self._momentum == beta).all())
        if not same or self._shrink.any():
            # In blocks of rows, which stay in the core's cache between the passes.
            momentum, shrink = self._columns(self._momentum), self._columns(self._shrink)
            rows = max(1, BLOCK // len(momentum))
            for at in range(0, len(u), rows):
                block = u[at : at + rows]
                block *= momentum
                block += w[at : at + rows] * shrink
            beta = 1.0
        flat = np.ascontiguousarray(d.transpose(1, 0, 2)).reshape(d.shape[1], -1)
        self._gemm(1.0, flat.T, self._inputs[0].T, beta=beta, c=u.T, trans_b=True, overwrite_c=True)

    def _columns(self, per_net: Array) -> Array:
        """``(G, 1, 1)`` to the columns of the first layer, ``(G * B,)``."""
        return np.repeat(per_net.ravel(), self.biases[0].shape[2])

    def fit(self, train: Examples, val: Examples | None = None) -> None:
        """Train all nets for the remaining epochs."""
        known = Targets(train, self.heads)
        checked = None if val is None else Targets(val, self.heads)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            while self.epoch < self.epochs and len(self.failures) < len(self.members):
                rows = self._pass(train, known, self.epoch + 1)
                if val is not None and checked is not None:
                    seen = self._pass(val, checked, None)
                    rows = [a | b for a, b in zip(rows, seen, strict=True)]
                self.epoch += 1
                for g, row in enumerate(rows):
                    self._note(g, row, val is not None)

    def _pass(self, examples: Examples, targets: Targets, epoch: int | None) -> list[Row]:
        """One pass over the samples, with updates when it is a training epoch; one row a net."""
        n, g, size = len(examples), len(self.members), self.batch_size
        order, rng = np.arange(n), None
        if epoch is not None:
            order = np.random.default_rng(epoch_seed(self.seed, epoch)).permutation(n)
            rng = np.random.default_rng(epoch_seed(self.seed, epoch, 1))
        starts = range(0, n, size)
        # Every batch once a net, so that all nets' logits are one batch of G * n for losses and figures.
        owner = np.concatenate([np.repeat(np.arange(g), min(size, n - s)) for s in starts])
        figures = EpochFigures(
            targets, np.concatenate([np.tile(order[s : s + size], g) for s in starts]), self.head_weights
        )
        x = np.empty((min(size, n), self.weights[0].shape[0]), np.float32)
        row: Row = {}
        for step, s in enumerate(starts):
            rows = order[s : s + size]
            batch = x[: len(rows)]
            examples.fill(rows, batch)
            z = self.logits(batch.astype(self.weights[0].dtype, copy=False), rng)
            flat = z.reshape(g * len(rows), -1)
            d = figures.add(slice(g * s, g * (s + len(rows))), flat, self.smoothing if epoch else 0.0)[1]
            if epoch is not None:
                factor = self.lr_factor((epoch - 1) * len(starts) + step)
                # The loss was averaged over all nets' samples; each net's own mean is G times that.
                self._update((d * g).reshape(z.shape), factor)
                row = {"epoch": epoch, "factor": factor}
        name = "val" if epoch is None else "train"
        rows_out = [dict(row) | figures.row(name, owner == k) for k in range(g)]
        for k, out in enumerate(rows_out):
            if epoch is not None:
                out["lr"] = self.members[k].lr * out.pop("factor")
        return rows_out

    def _note(self, g: int, row: Row, validated: bool) -> None:
        """Keep a net's row, and its weights where they are the best so far."""
        if g in self.failures:
            return
        mine = self.parameters(g)
        losses = [row["train_loss"], row.get("val_loss", 0.0)]
        if not all(map(math.isfinite, losses)) or not all(np.isfinite(p).all() for p in mine.values()):
            self.failures[g] = f"the loss or a weight became nan or infinite in epoch {self.epoch}"
            return
        self.history[g].append(row)
        if improves(row, self.best[g], self.monitor if validated else "", self.min_delta):
            monitor = self.monitor if validated else ""
            self.best[g] = {"epoch": self.epoch, "monitor": monitor, "value": figure_of(row, monitor)}
            self.best_parameters[g] = mine
