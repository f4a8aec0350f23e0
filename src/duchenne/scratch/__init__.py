"""A fully connected network from scratch: NumPy and SciPy's BLAS, nothing else (`docs/engine.md`).

Read in this order: `layers`, `losses`, `init`, `net`, `optim`, `scores`, `epoch`, `solver`, `stack`.
"""

from .epoch import Examples
from .net import Head, Net
from .optim import SGD, Adam, inverse_time, per_epoch
from .solver import Solver
from .stack import Member, Stack, stack_wins

__all__ = [
    "SGD",
    "Adam",
    "Examples",
    "Head",
    "Member",
    "Net",
    "Solver",
    "Stack",
    "inverse_time",
    "per_epoch",
    "stack_wins",
]
