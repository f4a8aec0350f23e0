"""What all tests share: the real data's folder, and Hypothesis without a clock."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("suite")

# Read once, here: tests of the command line take the variable out of their surroundings.
NAMED = os.environ.get("DUCHENNE_DATA", "")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so the processes they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the published data sets; the test is skipped, by name, where it is not given."""
    if not NAMED or not Path(NAMED).is_dir():
        pytest.skip("real data: set DUCHENNE_DATA to a folder with the publishers' layouts")
    return Path(NAMED)


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `predict` asks of malloc holds for its whole process, in which other tests measure memory."""
    monkeypatch.setattr("duchenne.cli.predicting._keep_memory", lambda: None)
