"""What a training is given, where it stands, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..labels import Output
from ..recipe import Denoise, Loss, Optimizer, Schedule, Stop, Teacher, Train
from ..transforms import Preprocess
from ..transforms.augment import Augment
from .contract import Row


@dataclass(frozen=True)
class Plan:
    """All settings of one training.

    Attributes:
        monitor: History key that decides the best epoch; "" keeps the last one (no validation).
        folder: Where checkpoints go; None: none are written.
        tag: What the checkpoints belong to; resuming from another tag is refused.
        resume: Go on from ``folder/last.safetensors`` where it exists.
        deadline: Seconds after which training stops at the end of an epoch; None: never.
        only_heads: The heads alone are trained (the body's parameters require no gradients); the body's batch
            norms stay in evaluation mode.
        denoise: Which samples are left out by their losses; None: all stay.
        teacher: How much a teacher's answers count, where the training faces carry them (`Source.taught`).
    """

    outputs: tuple[Output, ...]
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    stop: Stop
    train: Train
    preprocess: Preprocess
    augment: Augment
    monitor: str
    folder: Path | None = None
    tag: str = ""
    resume: bool = False
    deadline: float | None = None
    only_heads: bool = False
    denoise: Denoise | None = None
    teacher: Teacher = field(default_factory=Teacher)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Progress:
    """Where a training stands; what a checkpoint's facts hold."""

    epoch: int = 0
    history: list[Row] = field(default_factory=list)
    best: Row = field(default_factory=dict)
    seconds: float = 0.0
    denoised: list[Row] = field(default_factory=list)


@dataclass
class Outcome:
    """What training leaves: weights of the best epoch (CPU), history, why it ended."""

    weights: dict[str, torch.Tensor]
    progress: Progress
    finished: bool
    reason: str
