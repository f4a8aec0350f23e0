"""A net is opened once, whoever asks first, and its errors reach each who asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, current_thread, main_thread

import pytest

from duchenne.artifacts.opening import Opening


def test_begun_or_not_it_is_opened_once_and_given_to_all() -> None:
    for begun in (False, True):
        opened = []
        opening = Opening(lambda opened=opened: opened.append(1) or len(opened))
        assert not opened
        if begun:
            opening.begin()
            opening.begin()
        together = Barrier(8)

        def ask(opening: Opening = opening, together: Barrier = together) -> int:
            together.wait()
            return int(opening.result())

        with ThreadPoolExecutor(8) as pool:
            assert [f.result() for f in [pool.submit(ask) for _ in range(8)]] == [1] * 8
        assert opened == [1]


def test_begin_returns_while_it_is_being_opened() -> None:
    go = Event()
    opening = Opening(lambda: go.wait(30) and current_thread() is not main_thread())
    assert not opening.begin().done()
    go.set()
    assert opening.result() is True


def test_what_is_raised_is_raised_each_time() -> None:
    def fails() -> None:
        raise ValueError("broken")

    opening = Opening(fails)
    opening.begin()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            opening.result()
