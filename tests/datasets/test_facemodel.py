from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duchenne.datasets.facemodel import FaceParams, landmarks, render, rest
from duchenne.datasets.faceparams import FIELDS
from duchenne.datasets.prototypes import SYNTHETIC_AUS
from duchenne.errors import DataError, RecipeError

Array = npt.NDArray[Any]
SIZE = 200


def anyone(n: int, seed: int, **fixed: float) -> FaceParams:
    """Faces drawn over the whole range of every field and of many action units at once."""
    rng = np.random.default_rng(seed)
    draws = {name: low + (high - low) * rng.random(n) for name, (_, low, high) in FIELDS.items()}
    p = rest(n, **{**draws, **fixed})
    au = rng.random(p.au.shape) * (rng.random(p.au.shape) < 0.5)
    return FaceParams(p.values, au, rng.integers(0, 2**32, n, dtype=np.uint32))


def box(image: Array, u0: float, u1: float, v0: float, v1: float) -> Array:
    """Cut a box of face coordinates out of an upright face of the default scale."""
    unit, middle = FIELDS["scale"][0] * SIZE / 2, SIZE / 2
    x0, x1, y0, y1 = (round(middle + unit * w) for w in (u0, u1, v0, v1))
    return image[y0:y1, x0:x1].astype(np.float64)


def height_of_dark(image: Array, *where: float) -> float:
    """Height (up is more) of the darkness in a box of the image."""
    cut = box(image, *where).mean(axis=2)
    weight = np.maximum(np.median(cut) - 25 - cut, 0)
    return float(-(weight.sum(axis=1) * np.arange(len(cut))).sum() / weight.sum())


def reddish(image: Array, *where: float) -> Array:
    cut = box(image, *where)
    return cut[..., 0] > 1.45 * cut[..., 1]


def height_of_red(image: Array, *where: float) -> float:
    return float(-np.nonzero(reddish(image, *where))[0].mean())


def white(image: Array) -> float:
    """Eye white on brown skin: pixels with as much blue as nearly red."""
    cut = box(image, 0.15, 0.55, -0.33, 0.02)
    return float((cut[..., 2] > 0.85 * cut[..., 0])[cut[..., 0] > 120].sum())


def hollow(image: Array) -> float:
    return float((box(image, -0.5, 0.5, 0.3, 1.1).max(axis=2) < 50).sum())


MOUTH = (-0.6, 0.6, 0.3, 0.9)
EFFECTS: dict[str, tuple[Callable[[Array], float], int]] = {
    "AU1": (lambda i: height_of_dark(i, 0.12, 0.25, -0.66, -0.24), +1),
    "AU2": (lambda i: height_of_dark(i, 0.4, 0.55, -0.66, -0.24), +1),
    "AU4": (lambda i: height_of_dark(i, 0.12, 0.25, -0.66, -0.24), -1),
    "AU5": (white, +1),
    "AU6": (white, -1),
    "AU7": (white, -1),
    "AU9": (lambda i: float(np.abs(np.diff(box(i, -0.1, 0.1, -0.14, 0.06), axis=0)).mean()), +1),
    "AU12": (lambda i: height_of_red(i, 0.18, 0.4, 0.3, 0.8), +1),
    "AU15": (lambda i: height_of_red(i, 0.18, 0.4, 0.3, 0.8), -1),
    "AU16": (hollow, +1),
    "AU17": (lambda i: float(box(i, -0.15, 0.15, 0.7, 0.95).std()), +1),
    "AU20": (lambda i: float(reddish(i, *MOUTH).any(axis=0).sum()), +1),
    "AU23": (lambda i: float(reddish(i, *MOUTH).sum()), -1),
    "AU24": (lambda i: float(reddish(i, *MOUTH).sum()), -1),
    "AU25": (hollow, +1),
    "AU26": (hollow, +1),
    "AU27": (hollow, +1),
}


@pytest.mark.parametrize("au", SYNTHETIC_AUS)
def test_each_action_unit_moves_its_part_of_the_picture_steadily(au: str) -> None:
    measure, sign = EFFECTS[au]
    faces = rest(5, skin=5.5, light=0.2).act(**{au: np.linspace(0, 1, 5)})
    steps = np.diff([measure(image) for image in render(faces, SIZE, "rgb")])
    assert (sign * steps >= -0.6).all(), steps  # a pixel may flicker
    assert sign * steps.sum() > 0.5, steps


@given(st.floats(0, 1), st.floats(0, 1))
def test_landmarks_rise_with_a_smile_and_sink_with_a_pout(a: float, b: float) -> None:
    low, high = sorted((a, b))
    for au, sign in (("AU12", -1), ("AU15", +1)):
        corners = landmarks(rest(2, roll=0.0).act(**{au: np.array([low, high])}))[:, 3:, 1]
        assert (sign * (corners[1] - corners[0]) >= -1e-9).all()
        assert low == high or high - low < 1e-6 or (sign * (corners[1] - corners[0]) > 0).all()


def test_landmarks_lie_on_the_drawn_eyes_mouth_and_nose() -> None:
    n = 60
    faces = anyone(
        n, 5, skin=3.0, gaze=0.0, noise=0.0, blur=0.0, exposure=1.0, light=0.2, scale=0.8, asymmetry=0
    )
    faces = FaceParams(faces.values, np.zeros_like(faces.au), faces.noise_seed)
    images, points = render(faces, SIZE), landmarks(faces, SIZE)
    assert points.shape == (n, 5, 2)
    for image, (*eyes, nose, left, right) in zip(images, points, strict=True):
        for x, y in eyes:
            if 2 < x < SIZE - 2 and 2 < y < SIZE - 2:
                assert image[int(y), int(x)] < 60  # the pupil
        across = (right - left) / np.linalg.norm(right - left)
        for corner, out in ((left, -across), (right, across)):
            x, y = corner - 4 * out
            skin_x, skin_y = corner + 8 * out
            if min(x, y, skin_x, skin_y) > 2 and max(x, y, skin_x, skin_y) < SIZE - 2:
                assert image[int(y), int(x)] < image[int(skin_y), int(skin_x)] - 15  # lips against skin
        between = np.stack([*eyes, left, right])
        assert (nose > between.min(axis=0)).all()
        assert (nose < between.max(axis=0)).all()


def test_landmarks_turn_shift_and_scale_with_the_pose() -> None:
    still = landmarks(rest(), 100)[0]
    moved = landmarks(rest(shift_x=0.1, shift_y=-0.05), 100)[0]
    np.testing.assert_allclose(moved - still, np.tile([10, -5], (5, 1)), atol=1e-9)
    np.testing.assert_allclose(landmarks(rest(), 200)[0], 2 * still, atol=1e-9)
    turned = landmarks(rest(roll=np.pi / 18), 100)[0]
    np.testing.assert_allclose(turned[1, 1] - turned[0, 1], (still[1, 0] - still[0, 0]) * np.sin(np.pi / 18))
    assert (landmarks(rest(yaw=0.4), 100)[0, :, 0] > still[:, 0]).all()


@pytest.mark.parametrize("size", [33, 48])
def test_a_face_does_not_depend_on_its_neighbours(size: int) -> None:
    faces = anyone(150, 2)
    together = render(faces, size)
    alone = np.concatenate([render(faces.take(slice(i, i + 1)), size) for i in range(len(faces))])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[::-1], render(faces.take(slice(None, None, -1)), size))


def test_the_mirrored_parameters_draw_the_mirrored_face() -> None:
    # Sharp edges: where blurred parts of both sides overlap, the one painted last wins a little.
    faces = anyone(60, 3, noise=0.0, blur=1.0, scale=0.9)
    turn = [list(FIELDS).index(f) for f in ("roll", "yaw", "shift_x", "light_x", "asymmetry", "gaze")]
    values = faces.values.copy()
    values[:, turn] *= -1
    mirrored = render(FaceParams(values, faces.au, faces.noise_seed)).astype(int)
    assert np.abs(mirrored[:, :, ::-1] - render(faces)).max() <= 1


def test_grey_is_the_luma_of_rgb() -> None:
    faces = anyone(40, 4, noise=0.0, exposure=0.7)
    luma = render(faces, 48, "rgb") @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - render(faces, 48, "grey")).max() <= 2  # rounding, and clipping of single channels


def test_a_large_picture_made_small_is_the_small_picture() -> None:
    faces = rest(6, blur=1.0).act(AU12=np.linspace(0, 1, 6), AU25=1.0)
    small, large = render(faces, 48), render(faces, 192)
    means = large.reshape(6, 48, 4, 48, 4).mean(axis=(2, 4))
    assert np.abs(means - small).mean() < 2.5


def test_noise_has_the_asked_for_strength_and_differs_between_faces() -> None:
    clean, noisy = rest(2, noise=0.0, light=0.0), rest(2, noise=0.05, light=0.0)
    difference = render(noisy, 120).astype(float) - render(clean, 120)
    inner = difference[:, (render(clean, 120)[0] > 60) & (render(clean, 120)[0] < 195)]
    assert abs(inner.std() - 0.05 * 255) < 0.5
    assert abs(inner.mean()) < 0.5
    assert abs(np.corrcoef(inner)[0, 1]) < 0.05
    row, column = difference[0, :, 1:], difference[0, :, :-1]
    assert abs(np.corrcoef(row.ravel(), column.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(("size", "color", "shape"), [(8, "grey", (2, 8, 8)), (131, "rgb", (2, 131, 131, 3))])
def test_any_size(size: int, color: Any, shape: tuple[int, ...]) -> None:
    images = render(rest(2), size, color)
    assert images.shape == shape
    assert images.dtype == np.uint8
    assert images.std() > 20


def test_a_golden_face_within_tolerance() -> None:
    """Means over 8x8 blocks of a smiling face, as drawn when this was written."""
    face = rest(blur=1.0).act(AU6=1.0, AU12=1.0, AU25=1.0)
    means = render(face, 48)[0].reshape(6, 8, 6, 8).mean(axis=(1, 3))
    np.testing.assert_allclose(means, GOLDEN, atol=1.0)


GOLDEN = [
    [120.6, 65.8, 36.8, 35.7, 64.2, 118.5],
    [92.3, 108.2, 210.5, 201.8, 95.1, 90.5],
    [101.0, 183.3, 197.7, 189.7, 155.3, 96.1],
    [128.3, 206.2, 215.6, 199.6, 175.9, 124.0],
    [121.0, 154.7, 152.9, 144.1, 139.1, 118.9],
    [121.0, 132.2, 152.0, 148.3, 130.3, 118.9],
]


def test_bad_parameters_are_named() -> None:
    for size in (7, 4096, 48.0, True, "48"):
        with pytest.raises(RecipeError, match="size"):
            render(rest(), size)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="color"):
        render(rest(), 48, "blue")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"skin must lie in \[1.0, 10.0\]"):
        rest(skin=11)
    with pytest.raises(DataError, match="roll"):
        rest(roll=float("nan"))
    with pytest.raises(DataError, match="au intensities"):
        rest().act(AU1=1.5)
    with pytest.raises(DataError, match="'AU3'"):
        rest().act(AU3=1)
    with pytest.raises(DataError, match=r"'eye_sise'(.|\n)*did you mean 'eye_size'"):
        rest(eye_sise=1)
    with pytest.raises(DataError, match="'smile'"):
        rest()["smile"]
    with pytest.raises(DataError, match="noise_seed"):
        FaceParams(rest().values, rest().au, np.arange(2))
    with pytest.raises(DataError, match="shapes"):
        FaceParams(rest().values, rest().au[:, 1:], np.arange(1))
