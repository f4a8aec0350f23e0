"""The layers: each has its forward pass, its backward pass and where the latter comes from.

All arrays are ``(N, width)``, one sample a row. dX stands for the derivative of the loss L by X. Layers keep
what their backward pass needs from the last forward pass, and work in place: ReLU and Dropout write into the
array they are given; Linear writes into buffers it keeps, so what it returns holds until its next call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import get_blas_funcs

Array = npt.NDArray[Any]


class Linear:
    r"""y = x W + b, with x ``(N, D)``, W ``(D, B)``, b ``(B,)``, y ``(N, B)``.

    Backward: y[n, j] = sum_d x[n, d] W[d, j] + b[j], so by the chain rule

        dW[d, j] = sum_n dy[n, j] x[n, d]   that is  dW = x^T dy   (D, B)
        db[j]    = sum_n dy[n, j]           that is  db = 1^T dy   (B,)
        dx[n, d] = sum_j dy[n, j] W[d, j]   that is  dx = dy W^T   (N, D)

    The gradients are *accumulated*: dW <- beta dW + x^T dy. BLAS does this inside the product, at no cost.
    With beta = 0 the buffer holds the gradient, with beta = momentum it is SGD's velocity.

    Args:
        weight, bias: Live parameters, C-contiguous.
        d_weight, d_bias: Where the (accumulated) gradients go; same shapes, C-contiguous.

    Source: kontogouris2018 sections 1.1 and 1.2, equations 1 to 4 (which leave out the transposes, and give
    db as N x B: it is summed over the N samples); wright2019 section 1 writes y = WX + b for a column x.
    """

    def __init__(self, weight: Array, bias: Array, d_weight: Array, d_bias: Array) -> None:
        self.weight, self.bias, self.d_weight, self.d_bias = weight, bias, d_weight, d_bias
        self._gemm, self._gemv = get_blas_funcs(("gemm", "gemv"), dtype=weight.dtype)
        none = np.empty(0, weight.dtype)
        self._y: Array = none
        self._dx: Array = none
        self._ones: Array = none

    def forward(self, x: Array) -> Array:
        """y = x W + b."""
        if len(x) > len(self._y):
            self._y = np.empty((len(x), self.weight.shape[1]), self.weight.dtype)
        self._x = x
        y = self._y[: len(x)]
        np.matmul(x, self.weight, out=y)
        y += self.bias
        return y

    def backward(self, dy: Array, beta: float = 0.0, *, need_dx: bool = True) -> Array | None:
        """Accumulate dW and db; return dx ``(N, D)``, or None where nobody needs it (the first layer)."""
        n = len(dy)
        if n > len(self._ones):
            self._ones = np.ones(n, dy.dtype)
        # BLAS counts by columns: a C-ordered matrix is its transpose there, so dW^T = dy^T x is what is asked
        # for, and no array is copied.
        self._gemm(1.0, dy.T, self._x.T, beta=beta, c=self.d_weight.T, trans_b=True, overwrite_c=True)
        self._gemv(1.0, dy.T, self._ones[:n], beta=beta, y=self.d_bias, overwrite_y=True)
        if not need_dx:
            return None
        if n > len(self._dx):
            self._dx = np.empty((n, self.weight.shape[0]), dy.dtype)
        return np.matmul(dy, self.weight.T, out=self._dx[:n])


class ReLU:
    """y = max(0, x), in place.

    Backward: dy/dx is 1 where x > 0 and 0 elsewhere (at 0 too, by choice), so dx = dy where y > 0, else 0.
    The output tells as much as the input, so nothing else is kept.

    Source: kontogouris2018 sections 1.3 and 1.4, equation 5; wright2019 section 1 (its backward text puts the
    condition on the gradient, "if it is larger than zero"; it belongs to the input).
    """

    def forward(self, x: Array) -> Array:
        """y = max(0, x)."""
        self._y = np.maximum(x, 0, out=x)
        return self._y

    def backward(self, dy: Array) -> Array:
        """dx = dy (y > 0)."""
        dy *= self._y > 0
        return dy


class LeakyReLU:
    """y = x where x > 0, else slope * x, in place; 0 <= slope < 1.

    Backward: dx = dy where x > 0, else slope * dy. A unit that is off still learns.

    Source: wright2019 section 8 (outlook); Maas et al. 2013.
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Array) -> Array:
        """y = max(x, slope * x)."""
        self._positive = x > 0
        np.multiply(x, self.slope, out=x, where=~self._positive)
        return x

    def backward(self, dy: Array) -> Array:
        """dx = dy where x > 0, else slope * dy."""
        np.multiply(dy, self.slope, out=dy, where=~self._positive)
        return dy


class Dropout:
    """Inverted dropout: y = x m / (1 - p) in training, y = x in test mode, in place.

    m is 0 with probability p and 1 else, drawn for each sample and unit. E[y] = x (1 - p) / (1 - p) = x, so
    test mode needs no scaling. Backward: dx = dy m / (1 - p), with the m of the forward pass.

    Args:
        p: Probability to DROP a unit, 0 <= p < 1.

    Source: kontogouris2018 section 2, whose p this is; wright2019 section 2, whose q = 1 - p is the
    probability to keep.
    """

    def __init__(self, p: float) -> None:
        self.p = p
        self.mask: Array | None = None

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """m / (1 - p): 0 or 1 / (1 - p)."""
        keep = rng.random(shape, np.float32) >= self.p
        mask: Array = keep.astype(dtype)
        mask *= 1.0 / (1.0 - self.p)
        return mask

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> Array:
        """Training mode when `rng` is given."""
        self.mask = None if rng is None else self.draw(rng, x.shape, x.dtype)
        if self.mask is not None:
            x *= self.mask
        return x

    def backward(self, dy: Array) -> Array:
        """dx = dy m / (1 - p)."""
        if self.mask is not None:
            dy *= self.mask
        return dy
