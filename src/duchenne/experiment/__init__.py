"""What a verb does: recipe in, run folder out."""

from .run import Run, RunState

__all__ = ["Run", "RunState"]
