"""Near pairs against all pairs computed one by one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from duchenne.datasets import near
from duchenne.datasets.near import describe, near_pairs


@pytest.fixture
def images() -> np.ndarray:
    """60 smooth images, of which 10 return lit and shifted a little."""
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 60, (60, 48, 48)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(n, (0, 0), 4) for n in noise])
    smooth = (smooth - smooth.mean()) / smooth.std() * 40 + 128
    smooth[50:] = 0.8 * np.roll(smooth[:10], 1, axis=2) + 20
    return np.clip(smooth, 0, 255).astype(np.uint8)


def _brute(images: np.ndarray, method: str, threshold: float) -> set[tuple[int, int]]:
    pairs = set()
    for i in range(len(images)):
        for j in range(i + 1, len(images)):
            if method == "thumbnail":
                a, b = (cv2.resize(x, (16, 16), interpolation=cv2.INTER_AREA) for x in (images[i], images[j]))
                close = np.corrcoef(a.ravel(), b.ravel())[0, 1] >= threshold
            else:
                a, b = (
                    cv2.resize(x.astype(np.float32), (9, 8), interpolation=cv2.INTER_AREA)
                    for x in (images[i], images[j])
                )
                close = ((a[:, 1:] > a[:, :-1]) != (b[:, 1:] > b[:, :-1])).sum() <= threshold
            if close:
                pairs.add((i, j))
    return pairs


@pytest.mark.parametrize(("method", "threshold"), [("thumbnail", 0.9), ("thumbnail", 0.5), ("dhash", 14)])
def test_equals_all_pairs_one_by_one(
    images: np.ndarray, method: near.Method, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "_BLOCK", 17)
    seen: list[tuple[int, int]] = []
    vectors = describe(images, np.arange(60), method)
    pairs = near_pairs(vectors, method, threshold, lambda a, b: seen.append((a, b)))
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    expected = _brute(images, method, threshold)
    # Rounding of the thumbnails to 8 bits in the slow twin moves pairs that lie on the threshold.
    assert len(found ^ expected) <= 0.05 * len(expected)
    assert {(i, i + 50) for i in range(10)} <= (found if method == "thumbnail" else expected | found)
    assert pairs.total == len(found)
    assert seen[-1] == (60, 60)


def test_scores(images: np.ndarray) -> None:
    twice = np.concatenate([images[:5], images[:5]])
    by_correlation = near_pairs(describe(twice, np.arange(10), "thumbnail"), "thumbnail", 0.999)
    np.testing.assert_allclose(by_correlation.score, 1, atol=1e-5)
    by_bits = near_pairs(describe(twice, np.arange(10), "dhash"), "dhash", 0)
    assert by_bits.score.tolist() == [0] * 5


def test_flat_images_are_near_to_nothing() -> None:
    flat = np.stack([np.full((48, 48), v, dtype=np.uint8) for v in (0, 128, 255)])
    for method in ("thumbnail", "dhash"):
        assert (
            near_pairs(describe(flat, np.arange(3), method), method, near.default_threshold(method)).total
            == 0
        )


def test_colour_and_size_do_not_matter(images: np.ndarray) -> None:
    colour = np.repeat(images[0][..., None], 3, axis=2)
    large = cv2.resize(images[0], (96, 96), interpolation=cv2.INTER_CUBIC)
    mixed: list[np.ndarray] = [images[0], colour, large, images[1]]
    pairs = near_pairs(describe(mixed, np.arange(4), "thumbnail"), "thumbnail", 0.99)  # type: ignore[arg-type]
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {(0, 1), (0, 2), (1, 2)}


def test_too_many_pairs_are_counted_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_BLOCK", 8)
    monkeypatch.setattr(near, "_MAX_PAIRS", 20)
    same = np.full((32, 64), 0.125, dtype=np.float32)
    pairs = near_pairs(same, "dhash", 0)
    assert pairs.total == 32 * 31 // 2
    assert len(pairs.first) < 100
