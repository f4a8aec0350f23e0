"""Recipes: what a system is, as data."""

from .recipe import SCHEMA, Recipe, load_recipe, parse_recipe, recipe_folder, recipe_ids
from .sections import (
    AugmentSection,
    Balance,
    Data,
    Evaluate,
    Expect,
    LearnerSection,
    Loss,
    Optimizer,
    PreprocessSection,
    Schedule,
    Section,
    Stop,
    Train,
)

__all__ = [
    "SCHEMA",
    "AugmentSection",
    "Balance",
    "Data",
    "Evaluate",
    "Expect",
    "LearnerSection",
    "Loss",
    "Optimizer",
    "PreprocessSection",
    "Recipe",
    "Schedule",
    "Section",
    "Stop",
    "Train",
    "load_recipe",
    "parse_recipe",
    "recipe_folder",
    "recipe_ids",
]
