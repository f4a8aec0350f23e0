"""How many threads the NumPy engine's matrix products take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Where one of these is set, the user has chosen.
CHOSEN = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS work in one thread for a while, unless the user has chosen by `CHOSEN`.

    NumPy's and SciPy's wheels bring an OpenBLAS each. Their threads wait for work by spinning, and the engine
    calls both in turn: on two cores an epoch of FER2013 takes 10 s with two threads each, 1.5 s with one.
    """
    if any(os.environ.get(name) for name in CHOSEN):
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
