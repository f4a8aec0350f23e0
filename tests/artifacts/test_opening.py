"""A net is opened once, whoever asks first, and its errors reach each who asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread, current_thread, main_thread

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
    opening.begin()
    go.set()
    assert opening.result() is True


def test_unless_begun_it_is_opened_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Opening(current_thread).result() is current_thread()

    def none_left(self: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", none_left)
    opening = Opening(current_thread)
    opening.begin()
    assert opening.result() is current_thread()


def test_after_an_interrupt_the_next_one_opens_it() -> None:
    turns = iter([KeyboardInterrupt(), None])

    def interrupted_once() -> str:
        if (stop := next(turns)) is not None:
            raise stop
        return "open"

    opening = Opening(interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        opening.result()
    assert opening.result() == "open"


def test_what_is_raised_is_raised_each_time() -> None:
    def fails() -> None:
        raise ValueError("broken")

    opening = Opening(fails)
    opening.begin()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            opening.result()
