"""duchenne: train, tune, evaluate, explain and serve classifiers of facial expression.

The same from Python as from the command line::

    from pathlib import Path
    from duchenne import Predictor, evaluate, load_dataset, load_recipe, train

    faces = load_dataset("synthetic", n=1000)           # or ("fer2013", Path("/folder/of/data"))
    run = train(load_recipe("demo", ["train.epochs=3"]), name="tiny")
    for done in evaluate(run):                          # writes predictions and metrics into the run
        print(done.name, done.metrics["outputs"]["emotion"]["accuracy"])
    predictor = Predictor.from_run(run.path)            # needs no torch

Names are imported on first use, so that ``import duchenne`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets import FaceSet
    from .datasets import load as load_dataset
    from .errors import DuchenneError
    from .experiment import Run
    from .experiment.evaluate import evaluate
    from .experiment.train import train
    from .inference import Predictor
    from .recipe import Recipe, load_recipe

__version__ = "0.1.0"

__all__ = [
    "DuchenneError",
    "FaceSet",
    "Predictor",
    "Recipe",
    "Run",
    "evaluate",
    "load_dataset",
    "load_recipe",
    "train",
]

# Public name -> module and name there.
_PUBLIC = {
    "DuchenneError": ("duchenne.errors", "DuchenneError"),
    "FaceSet": ("duchenne.datasets", "FaceSet"),
    "Predictor": ("duchenne.inference", "Predictor"),
    "Recipe": ("duchenne.recipe", "Recipe"),
    "Run": ("duchenne.experiment", "Run"),
    "evaluate": ("duchenne.experiment.evaluate", "evaluate"),
    "load_dataset": ("duchenne.datasets", "load"),
    "load_recipe": ("duchenne.recipe", "load_recipe"),
    "train": ("duchenne.experiment.train", "train"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'duchenne' has no attribute '{name}'")
    module, attribute = _PUBLIC[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
