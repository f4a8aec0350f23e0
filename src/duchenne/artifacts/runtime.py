"""onnxruntime, imported where a net is opened, and silent."""

from __future__ import annotations

import os
from typing import Any


def runtime() -> Any:
    """The package onnxruntime, with its telemetry off."""
    silence()
    import onnxruntime

    return onnxruntime


def silence() -> None:
    """Turn the telemetry of an onnxruntime that is yet to be imported off.

    Builds from 1.29 on write an identifier of the device and a data base of events into the user's cache when
    they are imported, and send them to their maker. Only this variable, set before the import, keeps all of
    it from happening (onnxruntime's pull request 27379); what the user has set stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
