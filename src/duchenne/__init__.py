"""duchenne: train, tune, evaluate, explain and serve classifiers of facial expression."""

__version__ = "0.1.0"
