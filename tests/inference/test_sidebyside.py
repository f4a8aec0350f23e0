"""OpenCV's threads while images are looked at side by side, and after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from duchenne.inference.ahead import ahead
from duchenne.inference.sidebyside import side_by_side
from duchenne.inference.sources import Source


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_one_thread_until_the_last_one_leaves() -> None:
    first, second = side_by_side(), side_by_side()
    first.__enter__()
    second.__enter__()
    assert cv2.getNumThreads() == 1
    first.__exit__(None, None, None)  # in the order they came, not nested
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 3


def test_an_error_inside_leaves_no_trace() -> None:
    with pytest.raises(ValueError, match="inside"), side_by_side():
        raise ValueError("inside")
    assert cv2.getNumThreads() == 3


def test_many_threads_come_and_go() -> None:
    def visit() -> None:
        for _ in range(50):
            with side_by_side():
                assert cv2.getNumThreads() == 1

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.getNumThreads() == 3


@pytest.mark.parametrize(("count", "workers", "inside"), [(5, 2, 1), (5, 1, 3), (1, 2, 3)])
def test_only_where_there_are_several_workers_and_images(count: int, workers: int, inside: int) -> None:
    sources = (Source(str(n), np.zeros((8, 8), np.uint8)) for n in range(count))
    assert list(ahead(lambda _: cv2.getNumThreads(), sources, workers)) == [inside] * count
    assert cv2.getNumThreads() == 3


def test_a_stream_that_is_left_early_gives_the_threads_back() -> None:
    stream = ahead(lambda s: s.path, (Source(str(n), np.zeros((8, 8), np.uint8)) for n in range(9)), 2)
    assert next(stream) == "0"
    assert cv2.getNumThreads() == 1
    stream.close()  # type: ignore[attr-defined]
    assert cv2.getNumThreads() == 3
