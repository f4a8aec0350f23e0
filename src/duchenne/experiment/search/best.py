"""The winner of a search as a recipe's file."""

from __future__ import annotations

from ...recipe import Recipe
from ...recipe.text import toml_text, toml_value
from ..run import write_text
from .result import Search, SearchState, Trial
from .space import overridden


def write_best(search: Search, recipe: Recipe, state: SearchState, best: Trial, trials: int) -> None:
    """Write best.toml: the recipe with the winner's values and its own number of epochs, for `train`."""
    table = overridden(recipe, best.params).to_dict()
    for section in ("tune", "expect"):
        table.pop(section, None)
    table["id"] = f"{recipe.id}-best"
    table["title"] = f"{recipe.title}: best of the search {state.name}"
    values = ", ".join(f"{name} = {toml_value(value)}" for name, value in best.params.items())
    head = [
        f"The best of {trials} trials of the search '{state.name}' over the recipe {recipe.id}.",
        f"Trial {best.number}, {state.monitor} {best.value:.4f} at epoch {best.best_epoch} of "
        f"{best.epochs_planned}: {values}.",
        "Validation alone decided; test has not been read.",
        f"Run: duchenne train {search.best_recipe}",
    ]
    comment = "".join(f"# {' '.join(line.split())}\n" for line in head)
    write_text(search.best_recipe, comment + toml_text(table))
