"""Metrics, intervals, comparisons: predictions in, numbers out. NumPy, and SciPy to fit a scaling.

`METRICS` names every figure that a recipe may watch or a search may aim at; a new one is a function and a
line here.
`evaluate_predictions` gives them all, with intervals, as plain JSON.
"""

from math import inf

from .calibration import (
    expected_calibration_error,
    fit_scaling,
    fit_temperature,
    label_calibration_error,
    temper,
)
from .classification import log_loss
from .compare import McNemar, compare_predictions, mcnemar
from .metric import Metric, of_confusion, of_counts, of_top
from .multilabel import mean_average_precision
from .predictions import Predictions
from .summary import evaluate_predictions

METRICS = {
    "accuracy": Metric("max", single=of_confusion("accuracy")),
    "balanced_accuracy": Metric("max", single=of_confusion("balanced_accuracy")),
    "binary_accuracy": Metric("max", multi=of_counts("binary_accuracy")),
    "macro_f1": Metric("max", single=of_confusion("macro_f1"), multi=of_counts("macro_f1")),
    "weighted_f1": Metric("max", single=of_confusion("weighted_f1"), multi=of_counts("weighted_f1")),
    "map": Metric("max", multi=mean_average_precision),
    "top_2": Metric("max", single=of_top(2)),
    "top_3": Metric("max", single=of_top(3)),
    "log_loss": Metric("min", single=log_loss, top=inf),
    "ece": Metric("min", single=expected_calibration_error, multi=label_calibration_error),
}

__all__ = [
    "METRICS",
    "McNemar",
    "Metric",
    "Predictions",
    "compare_predictions",
    "evaluate_predictions",
    "expected_calibration_error",
    "fit_scaling",
    "fit_temperature",
    "label_calibration_error",
    "log_loss",
    "mcnemar",
    "mean_average_precision",
    "temper",
]
