"""What a finished run leaves for use: one ONNX file and a JSON card."""

from .artifact import PRECISIONS, Artifact, Precision, save_artifact, to_probs
from .card import Card, parse_card
from .packaged import FLAGSHIP, packaged_model, packaged_weights
from .views import VIEWS, average_views

__all__ = [
    "FLAGSHIP",
    "PRECISIONS",
    "VIEWS",
    "Artifact",
    "Card",
    "Precision",
    "average_views",
    "packaged_model",
    "packaged_weights",
    "parse_card",
    "save_artifact",
    "to_probs",
]
