"""Metrics, intervals, comparisons: predictions in, numbers out. NumPy alone.

`METRICS` names every figure a recipe may watch or a search may aim at; a new one is a function and a line here.
`evaluate_predictions` gives them all, with intervals, as plain JSON.
"""

from math import inf

from .calibration import expected_calibration_error, fit_temperature, label_calibration_error, temper
from .classification import log_loss
from .compare import McNemar, compare_predictions, mcnemar
from .metric import Metric, of_confusion, of_counts, of_top
from .multilabel import mean_average_precision
from .predictions import Predictions
from .summary import evaluate_predictions

METRICS = {
    # of a single-label output
    "accuracy": Metric("single", "max", of_confusion("accuracy")),
    "balanced_accuracy": Metric("single", "max", of_confusion("balanced_accuracy")),
    "macro_f1": Metric("single", "max", of_confusion("macro_f1")),
    "weighted_f1": Metric("single", "max", of_confusion("weighted_f1")),
    "top_2": Metric("single", "max", of_top(2)),
    "top_3": Metric("single", "max", of_top(3)),
    "log_loss": Metric("single", "min", log_loss, top=inf),
    "ece": Metric("single", "min", expected_calibration_error),
    # of a multi-label output
    "binary_accuracy": Metric("multi", "max", of_counts("binary_accuracy")),
    "label_macro_f1": Metric("multi", "max", of_counts("macro_f1")),
    "label_weighted_f1": Metric("multi", "max", of_counts("weighted_f1")),
    "map": Metric("multi", "max", mean_average_precision),
    "label_ece": Metric("multi", "min", label_calibration_error),
}

__all__ = [
    "METRICS",
    "McNemar",
    "Metric",
    "Predictions",
    "compare_predictions",
    "evaluate_predictions",
    "expected_calibration_error",
    "fit_temperature",
    "label_calibration_error",
    "log_loss",
    "mcnemar",
    "mean_average_precision",
    "temper",
]
