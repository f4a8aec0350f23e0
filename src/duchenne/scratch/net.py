"""The network: Linear, activation, dropout, ..., Linear; its parameters lie in one array."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from . import init as start
from .layers import Dropout, LeakyReLU, Linear, ReLU

Array = npt.NDArray[Any]

# Rows at a time in test mode; more gain nothing and cost memory.
TEST_BATCH = 256

INITS = {"he": start.he, "glorot": start.glorot}


@dataclass(frozen=True)
class Head:
    """One output of the net.

    Attributes:
        name: As in the history rows.
        kind: "single": softmax over `size` classes; "multi": `size` independent sigmoids.
        size: Columns of the logits; the heads' columns stand side by side.
    """

    name: str
    kind: Literal["single", "multi"]
    size: int


class Group(NamedTuple):
    """Parameters that are updated alike: a stretch of the net's flat arrays.

    Attributes:
        span: Where they lie in `Net.values` and `Net.gradients`.
        decays: Whether L2 applies: to weights, not to biases.
    """

    span: slice
    decays: bool


class Net:
    """A fully connected network of any depth.

    Args:
        in_features: D, numbers of one sample.
        hidden: Units of each hidden layer; none: a linear classifier.
        heads: Outputs, in order.
        activation: "relu" or "leaky_relu" (with `slope`).
        dropout: Probability to DROP a hidden unit in training.
        init: "he", "glorot", or "normal" with `init_std`.
        seed: Of the initial weights.
        dtype: float32; float64 for gradient checks.

    Raises:
        ValueError: An argument is out of its range; the text begins with its name.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        heads: Sequence[Head],
        *,
        activation: str = "relu",
        slope: float = 0.01,
        dropout: float = 0.0,
        init: str = "he",
        init_std: float = 0.01,
        seed: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        _check(in_features, hidden, heads, activation, slope, dropout, init, init_std)
        self.heads, self.dtype = tuple(heads), np.dtype(dtype)
        self.sizes = (in_features, *hidden, sum(h.size for h in heads))
        self.in_features = in_features
        pairs = list(pairwise(self.sizes))
        self._n_weights = sum(d * b for d, b in pairs)
        self.num_parameters = self._n_weights + sum(self.sizes[1:])
        _check_memory(hidden, self.num_parameters, self.dtype.itemsize)
        # All weights, then all biases, in one array: an update is a few calls, whatever the depth.
        self.values = np.zeros(self.num_parameters, self.dtype)
        self.gradients = np.zeros(self.num_parameters, self.dtype)
        rng = np.random.default_rng(seed)
        p, g = self.named(self.values), self.named(self.gradients)
        self.linears: list[Linear] = []
        for i, (d, b) in enumerate(pairs):
            w, bias = f"linear{i}.weight", f"linear{i}.bias"
            p[w][:] = start.normal(rng, d, b, init_std) if init == "normal" else INITS[init](rng, d, b)
            self.linears.append(Linear(p[w], p[bias], g[w], g[bias]))
        kind = (lambda: LeakyReLU(slope)) if activation == "leaky_relu" else ReLU
        self.activations: list[ReLU | LeakyReLU] = [kind() for _ in hidden]
        self.dropouts = [Dropout(dropout) for _ in hidden] if dropout else []
        self.output_layer = f"linear{len(hidden)}"
        self._settings = {
            "activation": activation, "slope": slope, "dropout": dropout, "init": init, "init_std": init_std,
            "seed": seed, "dtype": dtype,
        }  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: settings and weights, from which views and BLAS functions are made anew."""
        given = (self.in_features, self.sizes[1:-1], self.heads)
        return {"given": given, "settings": self._settings, "values": self.values}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        Net.__init__(self, *state["given"], **state["settings"])
        self.values[:] = state["values"]

    def parameters(self) -> dict[str, Array]:
        """Live arrays: "linear0.weight" ``(D, B)``, "linear0.bias" ``(B,)``, ...; the output is last."""
        return self.named(self.values)

    def named(self, flat: Array) -> dict[str, Array]:
        """Views into an array laid out like `values`, by the names of `parameters`."""
        views, at, bias_at = {}, 0, self._n_weights
        for i, (d, b) in enumerate(pairwise(self.sizes)):
            views[f"linear{i}.weight"] = flat[at : at + d * b].reshape(d, b)
            views[f"linear{i}.bias"] = flat[bias_at : bias_at + b]
            at, bias_at = at + d * b, bias_at + b
        return views

    def groups(self, only_output_layer: bool = False) -> list[Group]:
        """What an optimiser updates: the weights, and the biases."""
        last, n, end = self.linears[-1], self._n_weights, self.num_parameters
        if only_output_layer:
            return [
                Group(slice(n - last.weight.size, n), True), Group(slice(end - last.bias.size, end), False)
            ]  # fmt: skip
        return [Group(slice(0, n), True), Group(slice(n, end), False)]

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take over weights. Raises ValueError naming the array when names or shapes differ."""
        load_into(self.parameters(), arrays)

    def logits(self, x: Array) -> Array:
        """Test mode (no dropout): ``(N, ...)``, flattened to ``(N, D)``, gives ``(N, sum of sizes)``."""
        out = np.empty((len(x), self.sizes[-1]), self.dtype)
        for at in range(0, len(x), TEST_BATCH):
            out[at : at + TEST_BATCH] = self.forward(x[at : at + TEST_BATCH])
        return out

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> Array:
        """Logits in a buffer that the next call overwrites; training mode when `rng` is given."""
        x = np.ascontiguousarray(x, self.dtype).reshape(len(x), math.prod(x.shape[1:]))
        if x.shape[1] != self.in_features:
            raise ValueError(f"x: {x.shape[1]} numbers a sample, the net takes {self.in_features}")
        for i, activation in enumerate(self.activations):
            x = activation.forward(self.linears[i].forward(x))
            if self.dropouts:
                x = self.dropouts[i].forward(x, rng)
        return self.linears[-1].forward(x)

    def backward(self, d_logits: Array, beta: float = 0.0, *, only_output_layer: bool = False) -> None:
        """Accumulate all gradients after a `forward`: gradients <- beta * gradients + new ones."""
        d: Array | None = d_logits
        for i in range(len(self.linears) - 1, -1, -1):
            assert d is not None
            d = self.linears[i].backward(d, beta, need_dx=i > 0 and not only_output_layer)
            if d is None:
                return
            if self.dropouts:
                d = self.dropouts[i - 1].backward(d)
            d = self.activations[i - 1].backward(d)


def load_into(own: Mapping[str, Array], given: Mapping[str, Array]) -> None:
    """Copy arrays by name. Raises ValueError naming the array that does not fit; then copies none."""
    for name in [*own, *given]:
        if name not in given:
            raise ValueError(f"{name}: missing, the net has it with shape {own[name].shape}")
        if name not in own:
            raise ValueError(f"{name}: the net has no such array (it has {', '.join(own)})")
        if own[name].shape != np.shape(given[name]):
            raise ValueError(f"{name}: shape {np.shape(given[name])}, the net's is {own[name].shape}")
    for name, array in own.items():
        array[...] = given[name]


def _check_memory(hidden: Sequence[int], numbers: int, itemsize: int) -> None:
    """Raise ValueError where the net cannot be trained in this machine's memory, before it is asked for."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows does not say
        return
    # Weights, gradients, the best epoch's copy.
    if (need := 3 * itemsize * numbers) > memory:
        raise ValueError(
            f"hidden: {list(hidden)!r} makes a net of {numbers:,} numbers: training needs "
            f"{need / 2**30:,.1f} GiB of memory, this machine has {memory / 2**30:,.1f} GiB"
        )


def _check(
    in_features: int, hidden: Sequence[int], heads: Sequence[Head], activation: str, slope: float,
    dropout: float, init: str, init_std: float,
) -> None:  # fmt: skip
    """Raise ValueError for the first argument out of its range."""

    def count(value: Any) -> bool:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return bool(whole and value >= 1)

    wrong = {
        f"in_features: {in_features!r} is not a whole number of 1 or more": not count(in_features),
        f"hidden: {hidden!r} must be whole numbers of 1 or more": isinstance(hidden, str)
        or not all(map(count, hidden)),
        "heads: at least one is needed": not heads,
        f"heads: sizes must be whole numbers of 1 or more, kinds single or multi, names unique: {heads!r}": (
            not all(count(h.size) and h.kind in ("single", "multi") for h in heads)
            or len({h.name for h in heads}) < len(heads)
        ),
        f"activation: {activation!r} is not relu or leaky_relu": activation not in ("relu", "leaky_relu"),
        f"slope: {slope!r} is not in [0, 1)": not 0 <= slope < 1,
        f"dropout: {dropout!r} is not a probability to drop in [0, 1)": not 0 <= dropout < 1,
        f"init: {init!r} is not he, glorot or normal": init not in ("he", "glorot", "normal"),
        f"init_std: {init_std!r} is not a finite number above 0": not 0 < init_std < np.inf,
    }
    for text, bad in wrong.items():
        if bad:
            raise ValueError(text)
