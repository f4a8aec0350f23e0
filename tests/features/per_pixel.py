"""LPQ and PHOG pixel by pixel, in float64, written from the papers: twins of the fast ones."""

from __future__ import annotations

import cmath
import math
from typing import Any

import cv2
import numpy as np

Array = Any


def lpq_directions(window: int, rho: float) -> Array:
    """``(8, 8)``: eigenvectors of the covariance, by rows, largest first; from sums over pairs of pixels."""
    r = window // 2
    offsets = [(x, y) for y in range(-r, r + 1) for x in range(-r, r + 1)]
    frequencies = [(1, 0), (0, 1), (1, 1), (1, -1)]
    waves = [[cmath.exp(2j * math.pi * (u * x + v * y) / window) for x, y in offsets] for u, v in frequencies]
    basis = [[w.real for w in wave] for wave in waves] + [[w.imag for w in wave] for wave in waves]
    pairs = np.array([[rho ** math.dist(p, q) for q in offsets] for p in offsets])
    covariance = np.array([[np.dot(a, pairs @ np.array(b)) for b in basis] for a in basis])
    untie = np.array([1 + 1e-6 * (7 - i) for i in range(8)])
    values, vectors = np.linalg.eigh(covariance * np.outer(untie, untie))
    rows = []
    for i in np.argsort(-values):
        vector = vectors[:, i]
        first = next(v for v in vector if abs(v) > 1e-3)
        rows.append(vector if first > 0 else -vector)
    return np.array(rows)


def lpq_responses(image: Array, window: int, rho: float) -> Array:
    """``(8, H - M + 1, W - M + 1)`` float64: the decorrelated numbers whose signs are the code."""
    r = window // 2
    height, width = image.shape
    directions = lpq_directions(window, rho)
    out = np.zeros((8, height - 2 * r, width - 2 * r))
    waves = {
        (u, v, dx, dy): cmath.exp(2j * math.pi * (u * dx + v * dy) / window)
        for u, v in ((1, 0), (0, 1), (1, 1), (1, -1))
        for dx in range(-r, r + 1)
        for dy in range(-r, r + 1)
    }
    pixels = image.tolist()
    for y in range(r, height - r):
        for x in range(r, width - r):
            parts = []
            for u, v in ((1, 0), (0, 1), (1, 1), (1, -1)):
                total = 0j
                for dy in range(-r, r + 1):
                    for dx in range(-r, r + 1):
                        total += pixels[y + dy][x + dx] * waves[u, v, dx, dy]
                parts.append(total)
            out[:, y - r, x - r] = directions @ ([p.real for p in parts] + [p.imag for p in parts])
    return out


def lpq(image: Array, window: int = 7, rho: float = 0.9, grid: tuple[int, int] = (4, 4)) -> list[float]:
    """LPQ features of one image."""
    responses = lpq_responses(image, window, rho)
    _, height, width = responses.shape
    blocks = [[0.0] * 256 for _ in range(grid[0] * grid[1])]
    for y in range(height):
        for x in range(width):
            code = sum(2**i for i in range(8) if responses[i, y, x] > 1e-4 * window**2)
            row = max(i for i in range(grid[0]) if i * height // grid[0] <= y)
            column = max(i for i in range(grid[1]) if i * width // grid[1] <= x)
            blocks[row * grid[1] + column][code] += 1.0
    return [count / sum(block) / len(blocks) for block in blocks for count in block]


def phog(image: Array, bins: int = 8, levels: int = 3, angle: int = 360, soft: bool = True) -> list[float]:
    """PHOG features of one image; only the edges themselves are OpenCV's."""
    height, width = image.shape
    pixels = image.tolist()

    def at(y: int, x: int) -> int:
        """Mirrored at the borders, without the border pixel twice."""
        y = -y if y < 0 else 2 * height - 2 - y if y >= height else y
        x = -x if x < 0 else 2 * width - 2 - x if x >= width else x
        return int(pixels[y][x])

    dx, dy = np.zeros((height, width), np.int16), np.zeros((height, width), np.int16)
    for y in range(height):
        for x in range(width):
            for k, weight in ((-1, 1), (0, 2), (1, 1)):
                dx[y, x] += weight * (at(y + k, x + 1) - at(y + k, x - 1))
                dy[y, x] += weight * (at(y + 1, x + k) - at(y - 1, x + k))
    magnitudes = sorted(math.hypot(*g) for g in zip(dx.ravel().tolist(), dy.ravel().tolist(), strict=True))
    high = magnitudes[min(int(0.7 * len(magnitudes)), len(magnitudes) - 1)]
    found = cv2.Canny(dx, dy, 0.4 * high, high, L2gradient=True)
    out = []
    for level in range(levels + 1):
        side = 2**level
        cells = [[0.0] * bins for _ in range(side * side)]
        for y in range(height):
            for x in range(width):
                if not found[y, x]:
                    continue
                row = max(i for i in range(side) if i * height // side <= y)
                column = max(i for i in range(side) if i * width // side <= x)
                cell = cells[row * side + column]
                magnitude = math.hypot(dx[y, x], dy[y, x])
                degrees = math.degrees(math.atan2(dy[y, x], dx[y, x])) % angle
                place = degrees / angle * bins
                if not soft:
                    cell[min(int(place), bins - 1)] += magnitude
                    continue
                lower = math.floor(place - 0.5)
                right = place - 0.5 - lower
                cell[lower % bins] += magnitude * (1 - right)
                cell[(lower + 1) % bins] += magnitude * right
        out += [value for cell in cells for value in cell]
    total = sum(out)
    return [value / total for value in out] if total > 0 else out
