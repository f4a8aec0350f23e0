"""Which face of a frame is which of the frames before: numbers that a face keeps.

Faces are matched by how much their boxes overlap and how near their middles lie. The matching of a frame is
exact (least total cost by shortest augmenting paths), not greedy: where two people stand close, the best pair
alone would leave the other two the worst.

Source: R. Jonker and A. Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse Linear
Assignment Problems", Computing 38 (1987), without its initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import RecipeError

Floats = npt.NDArray[np.float64]

MAX_GAP = 1.0  # seconds a face may be out of sight and keep its number
# Two boxes can be one face where their middles are less than this many sides apart (the side: the root of the
# mean area) and their areas differ by less than this factor.
_REACH, _GROWTH = 1.0, 3.0
# Part of a newly seen speed that is believed; boxes shake by a few hundredths of their side.
_SPEED = 0.5
_LOOK_AHEAD = 0.4  # seconds: nobody keeps a speed for longer
_NEVER = 1e6  # the cost of a pair that cannot be


def assign(cost: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Pairs (row, column) of least total cost: as many as the smaller side has, each row and column once.

    Args:
        cost: ``(N, M)``, finite.
    """
    costs = np.asarray(cost, np.float64)
    if costs.shape[0] > costs.shape[1]:
        return sorted((row, column) for column, row in assign(costs.T))
    rows, columns = costs.shape
    u, v = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for start in range(rows):
        least, before = np.full(columns, np.inf), np.full(columns, -1)
        done = np.zeros(columns, bool)
        row, column = start, -1
        total = 0.0
        tree = [start]
        while True:
            reach = total + costs[row] - u[row] - v
            better = ~done & (reach < least)
            least[better], before[better] = reach[better], column
            column = int(np.argmin(np.where(done, np.inf, least)))
            total = float(least[column])
            done[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
            tree.append(row)
        u[start] += total
        for j in np.flatnonzero(done):
            if j != column:
                u[owner[j]] += total - least[j]
                v[j] -= total - least[j]
        while column >= 0:
            back = int(before[column])
            owner[column] = owner[back] if back >= 0 else start
            column = back
    return sorted((int(owner[j]), int(j)) for j in np.flatnonzero(owner >= 0))


@dataclass
class _Track:
    number: int
    box: Floats  # middle x, middle y, width, height
    speed: Floats  # pixels a second
    time: float


class Tracker:
    """Numbers the faces of one video; numbers count from 1 and are never used again.

    Args:
        max_gap: Seconds that a face may be out of sight and still keep its number.

    Raises:
        RecipeError: max_gap is below 0.
    """

    def __init__(self, max_gap: float = MAX_GAP) -> None:
        if not (math.isfinite(max_gap) and max_gap >= 0):
            raise RecipeError(f"max_gap must be at least 0, not {max_gap:g}")
        self.max_gap = max_gap
        self._tracks: list[_Track] = []
        self._last = 0

    def update(self, time: float, boxes: Sequence[Sequence[float]]) -> list[int]:
        """Give each box of the next frame its number.

        Args:
            time: Seconds; later than the frame before.
            boxes: x, y, width, height in pixels each.
        """
        self._tracks = [t for t in self._tracks if time - t.time <= self.max_gap + 1e-9]
        found = np.asarray(boxes, np.float64).reshape(-1, 4)
        found = np.column_stack([found[:, :2] + found[:, 2:] / 2, found[:, 2:]])
        numbers = [0] * len(found)
        if self._tracks and len(found):
            cost = _costs(np.stack([_expected(t, time) for t in self._tracks]), found)
            for i, j in assign(cost):
                if cost[i, j] < _NEVER:
                    _move(self._tracks[i], found[j], time)
                    numbers[j] = self._tracks[i].number
        for j, number in enumerate(numbers):
            if number == 0:
                self._last += 1
                numbers[j] = self._last
                self._tracks.append(_Track(self._last, found[j], np.zeros(2), time))
        return numbers

    def numbers(self) -> set[int]:
        """The numbers of the faces that may still come back."""
        return {t.number for t in self._tracks}


def _expected(track: _Track, time: float) -> Floats:
    box = track.box.copy()
    box[:2] += track.speed * min(time - track.time, _LOOK_AHEAD)
    return box


def _move(track: _Track, box: Floats, time: float) -> None:
    passed = max(time - track.time, 1e-3)
    track.speed = (1 - _SPEED) * track.speed + _SPEED * (box[:2] - track.box[:2]) / passed
    track.box, track.time = box, time


def _costs(a: Floats, b: Floats) -> Floats:
    """``(N, M)``: 1 - intersection over union + distance in sides; `_NEVER` where two cannot be one face."""
    left, right = a[:, None], b[None]
    low = np.maximum(left[..., :2] - left[..., 2:] / 2, right[..., :2] - right[..., 2:] / 2)
    high = np.minimum(left[..., :2] + left[..., 2:] / 2, right[..., :2] + right[..., 2:] / 2)
    shared = np.clip(high - low, 0, None).prod(-1)
    area, other = left[..., 2:].prod(-1), right[..., 2:].prod(-1)
    distance = np.hypot(*np.moveaxis(left[..., :2] - right[..., :2], -1, 0))
    distance = distance / np.sqrt(np.maximum((area + other) / 2, 1e-9))
    overlap = shared / np.maximum(area + other - shared, 1e-9)
    growth = np.maximum(area, other) / np.maximum(np.minimum(area, other), 1e-9)
    possible = (distance < _REACH) & (growth < _GROWTH)
    return np.where(possible, 1 - overlap + distance, _NEVER)
