"""Removal of samples that are likely mislabelled; on losses and probabilities alone, so for any learner."""

from .bdr import Round, bdr_round, drop_largest, settled
from .confident import confident_joint, joint, label_issues, thresholds
from .denoiser import METHODS as DENOISERS
from .denoiser import VARIANCE, Denoiser, make_denoiser

__all__ = [
    "DENOISERS",
    "VARIANCE",
    "Denoiser",
    "Round",
    "bdr_round",
    "confident_joint",
    "drop_largest",
    "joint",
    "label_issues",
    "make_denoiser",
    "settled",
    "thresholds",
]
