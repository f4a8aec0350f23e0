"""What a finished run leaves for use: one ONNX file and a JSON card."""

from .artifact import Artifact, save_artifact, to_probs
from .card import Card, parse_card
from .views import VIEWS, average_views

__all__ = ["VIEWS", "Artifact", "Card", "average_views", "parse_card", "save_artifact", "to_probs"]
