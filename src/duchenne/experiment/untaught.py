"""Labels that no face of the training part has: named before training, and where a run is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def untaught_notes(data: Mapping[str, Any]) -> list[str]:
    """One sentence an output that has such labels: which, and how they are scored.

    Args:
        data: What `FaceSet.describe` gives, as a run's data.json keeps it.
    """
    notes = []
    for name, about in data.get("outputs", {}).items():
        counts = about.get("train", {})
        lacking = [label for label in about.get("labels", []) if label in counts and not counts[label]]
        if not lacking:
            continue
        what = f"{name}: no face of the training part has {', '.join(lacking)}"
        if about.get("kind") == "multi":
            notes.append(
                f"{what}: nothing teaches the net to answer yes. Scored as all others: where they occur, "
                "what is not answered yes counts as missed; where not, they are left out of macro figures"
            )
        else:
            notes.append(
                f"{what}: nothing teaches the net that answer. Scored as all others: an answer beside the "
                "truth is wrong"
            )
    return notes
