"""The section [teacher]: learning from another run's answers."""

from __future__ import annotations

from pydantic import model_validator

from .sections import Positive, Section, Share


class Teacher(Section):
    """Learn from a trained net's answers for the training faces beside their labels (distillation).

    Of a single-label output that both have, the loss is (1 - share) times the label's plus share times the
    cross-entropy with the teacher's probabilities for the face as it stands, without augmentation.

    Attributes:
        run: As in [start]: a folder, a name in the runs folder, or "flagship"; "": labels alone.
        share, temperature: See above; what the teacher's logits are divided by, and not the learning net's.
    """

    run: str = ""
    share: Share = 0.5
    temperature: Positive = 1.0

    @model_validator(mode="after")
    def _needs_a_run(self) -> Teacher:
        # Who names the run as "" has left the teacher out on purpose, to compare.
        if (given := sorted(self.model_fields_set)) and "run" not in given:
            raise ValueError(f"{', '.join(given)} without a teacher: name its run")
        return self
