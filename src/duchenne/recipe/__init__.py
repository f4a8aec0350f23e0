"""Recipes: what a system is, as data."""

from .recipe import SCHEMA, Recipe, load_recipe, parse_recipe, recipe_folder, recipe_ids
from .sections import (
    AugmentSection,
    Balance,
    ClaimedTrial,
    Data,
    Denoise,
    Evaluate,
    Expect,
    LearnerSection,
    Loss,
    Optimizer,
    PreprocessSection,
    Schedule,
    Section,
    Start,
    Stop,
    Train,
)
from .teacher import Teacher
from .tune import Range, Tune

__all__ = [
    "SCHEMA",
    "AugmentSection",
    "Balance",
    "ClaimedTrial",
    "Data",
    "Denoise",
    "Evaluate",
    "Expect",
    "LearnerSection",
    "Loss",
    "Optimizer",
    "PreprocessSection",
    "Range",
    "Recipe",
    "Schedule",
    "Section",
    "Start",
    "Stop",
    "Teacher",
    "Train",
    "Tune",
    "load_recipe",
    "parse_recipe",
    "recipe_folder",
    "recipe_ids",
]
