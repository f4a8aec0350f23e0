"""``duchenne recipes`` and ``duchenne recipes show ID``."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import AsJson, Overrides, print_json


def list_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List the packaged recipes.

    Example: duchenne recipes
    """
    if context.invoked_subcommand is not None:
        return
    from ..recipe import load_recipe, recipe_ids

    recipes = [load_recipe(name) for name in recipe_ids()]
    if as_json:
        print_json([{"id": r.id, "title": r.title, "data": r.data.name, "source": r.source} for r in recipes])
        return
    width = max(len(r.id) for r in recipes)
    for recipe in sorted(recipes, key=lambda r: r.cost):
        typer.echo(f"{recipe.id:<{width}}  {recipe.data.name:<10} {recipe.title}")


def show_command(
    recipe: Annotated[str, typer.Argument(metavar="ID|FILE.toml")],
    sets: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show a recipe as its file has it, or (--json, or with --set) with every field.

    Example: duchenne recipes show friv-model1 --set train.epochs=5
    """
    from pathlib import Path

    from ..recipe import load_recipe, recipe_folder

    resolved = load_recipe(recipe, sets or [])
    if as_json or sets:
        print_json(resolved.to_dict())
        return
    path = Path(recipe) if recipe.endswith(".toml") else recipe_folder() / f"{recipe}.toml"
    typer.echo(path.read_text(encoding="utf-8"), nl=False)


verbs = typer.Typer(help="List the packaged recipes, or show one.\n\nExample: duchenne recipes")
verbs.callback(invoke_without_command=True)(list_command)
verbs.command("show")(show_command)
