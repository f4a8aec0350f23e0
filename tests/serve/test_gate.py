"""How many are let in, and when the others are told to come back."""

from __future__ import annotations

import pytest

from duchenne.serve import Limits
from duchenne.serve.gate import Gate
from duchenne.serve.refusal import Refused


def test_requests_and_bytes_are_counted_and_given_back() -> None:
    gate = Gate(Limits(requests=2, request_bytes=10, held_bytes=10), workers=1)
    gate.enter(1)
    gate.enter(1)
    with pytest.raises(Refused) as refused:
        gate.enter(1)
    assert refused.value.status == 429
    gate.leave(1)
    gate.enter(1)
    gate.hold(10)
    with pytest.raises(Refused):
        gate.hold(1)
    gate.drop(10)
    gate.hold(10)


def test_the_wait_follows_what_images_take() -> None:
    gate = Gate(Limits(predict_seconds=20), workers=2)
    for _ in range(200):
        gate.took(1.0)
    assert gate.wait == 1
    gate.enter(10)
    assert gate.wait == 5 or gate.wait == 6  # 10 images of 1 s by two threads
    gate.enter(36)
    with pytest.raises(Refused) as refused:  # 23 s: later than a prediction may take
        gate.check()
    assert refused.value.headers["Retry-After"] in ("23", "24")
    gate.leave(36)
    gate.check()
    for _ in range(200):
        gate.took(0.01)
    assert gate.wait == 1
