"""Hand-made features of grey images, by name: LPQ and PHOG. NumPy and OpenCV only."""

from .features import FEATURES, Feature, Features
from .lpq import LPQ
from .phog import PHOG

__all__ = ["FEATURES", "LPQ", "PHOG", "Feature", "Features"]
