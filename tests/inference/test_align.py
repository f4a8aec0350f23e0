"""Crops: eyes level and in their places, boxes widened, the same pixels as the slow way."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.inference.align import EYES, REACH, crop_by_box, crop_by_eyes


def dots(points: Any, size: int = 300) -> Any:
    """A soft white dot at each point on black."""
    y, x = np.mgrid[:size, :size] + 0.5
    image = np.zeros((size, size))
    for px, py in points:
        image += 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18)
    return np.clip(image, 0, 255).astype(np.uint8)


def peaks(image: Any, count: int) -> Any:
    """The middles of the brightest spots, from left to right, as shares of the side."""
    image = image.astype(float).copy()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    found = []
    for _ in range(count):
        top = np.unravel_index(image.argmax(), image.shape)
        near = np.hypot(y - top[0] - 0.5, x - top[1] - 0.5) < 0.08 * len(image)
        weight = image * near
        found.append([(x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()])
        image[near] = 0
    return np.array(sorted(found)) / image.shape[0]


def face(angle: float, scale: float = 80, centre: tuple[float, float] = (150, 130)) -> Any:
    """Landmarks of a frontal face, turned by an angle in degrees about the point between the eyes."""
    plain = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.4, 1], [0.4, 1]]) * scale
    a = np.radians(angle)
    return plain @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + centre


@pytest.mark.parametrize("angle", [-40, -10, 0, 15, 35])
@pytest.mark.parametrize("scale", [30, 50, 80])
def test_eyes_are_level_and_in_their_places(angle: float, scale: float) -> None:
    points = face(angle, scale)
    crop = crop_by_eyes(dots(points[:2]), points)
    assert crop is not None
    left, right = peaks(crop, 2)
    half = 1 / np.sqrt(2) * REACH / 2  # eye distance equals eye-mouth distance here
    np.testing.assert_allclose(left, (EYES[0] - half, EYES[1]), atol=0.015)
    np.testing.assert_allclose(right, (EYES[0] + half, EYES[1]), atol=0.015)


def test_large_faces_are_made_smaller_by_areas() -> None:
    points = face(20, 800, (1500, 1300))
    noise = np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), dtype=np.uint8)
    crop = crop_by_eyes(noise, points)
    assert crop is not None
    assert crop.shape == (224, 224, 3)
    assert crop.std() < 25  # averaged; single pixels would keep a deviation of 74
    assert abs(crop.mean() - 127.5) < 2


def test_a_box_without_turn_is_the_pixels_themselves() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    assert np.array_equal(crop_by_box(image, (50, 60, 64, 64), 1.0), image[60:124, 50:114])
    assert np.array_equal(crop_by_box(image, (60, 70, 50, 50), 1.6), image[55:135, 45:125])
    outside = crop_by_box(image, (-32, -32, 64, 64), 1.0)
    assert np.array_equal(outside[32:, 32:], image[:32, :32])
    assert (outside[:32, :32] == image[0, 0]).all()


def test_small_faces_are_enlarged_to_the_training_size() -> None:
    assert crop_by_box(np.zeros((40, 40, 3), np.uint8), (4, 4, 20, 20), 1.0).shape == (48, 48, 3)


def test_a_profile_is_not_turned_by_its_short_eye_line() -> None:
    points = face(0)
    points[:2] = [[148, 130], [151, 134]]  # three pixels apart: their line says nothing
    crop = crop_by_eyes(dots(points[3:5]), points)
    assert crop is not None
    left, right = peaks(crop, 2)
    assert abs(left[1] - right[1]) < 0.1


def test_no_face_has_such_landmarks() -> None:
    image = np.zeros((50, 50), np.uint8)
    assert crop_by_eyes(image, np.full((5, 2), 20.0)) is None
    assert crop_by_eyes(image, np.full((5, 2), np.nan)) is None
    assert crop_by_eyes(image, face(0, 30, (500, 500))) is None


@given(
    st.lists(st.floats(-500, 500), min_size=10, max_size=10), st.sampled_from([(60, 80), (9, 300, 3), (1, 1)])
)
def test_any_landmarks_give_a_crop_or_none(values: list[float], shape: tuple[int, ...]) -> None:
    crop = crop_by_eyes(np.zeros(shape, np.uint8), np.array(values).reshape(5, 2))
    assert crop is None or (crop.shape[0] == crop.shape[1] >= 48 and crop.dtype == np.uint8)


@given(
    st.tuples(st.integers(0, 99), st.integers(0, 79), st.integers(1, 100), st.integers(1, 80)),
    st.floats(0.5, 3),
)
def test_any_box_gives_a_square(box: tuple[int, int, int, int], margin: float) -> None:
    crop = crop_by_box(np.zeros((80, 100, 3), np.uint8), box, margin)
    assert crop.shape[0] == crop.shape[1] >= 48


def test_the_slow_way_gives_the_same_pixels() -> None:
    """Each pixel of the crop by hand: its place on the image, then bilinear."""
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (120, 160), dtype=np.uint8), (0, 0), 3)
    points = face(17, 30, (80, 50))
    crop = crop_by_eyes(image, points)
    assert crop is not None
    side = 30 * np.sqrt(2) / REACH
    a = np.radians(17)
    right, below = np.array([np.cos(a), np.sin(a)]), np.array([-np.sin(a), np.cos(a)])
    for row, column in ((0, 0), (10, 60), (40, 40), (len(crop) - 1, 5)):
        u, v = (column + 0.5) / len(crop), (row + 0.5) / len(crop)
        x, y = points[:2].mean(0) + side * ((u - EYES[0]) * right + (v - EYES[1]) * below) - 0.5
        x, y = np.clip(x, 0, 159), np.clip(y, 0, 119)
        i, j = min(int(y), 118), min(int(x), 158)
        f, g = y - i, x - j
        cell = image[i : i + 2, j : j + 2].astype(float)
        want = np.array([1 - f, f]) @ cell @ np.array([1 - g, g])
        assert abs(float(crop[row, column]) - want) < 3
