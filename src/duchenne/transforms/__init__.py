"""Preprocess (one for training, evaluation and prediction), batched augmentation, class balance.

`Preprocess` needs NumPy and OpenCV alone; `Augment` (in `duchenne.transforms.augment`) needs torch and kornia
and is therefore not imported here.
"""

from .balance import class_weights, oversample
from .preprocess import Preprocess

__all__ = ["Preprocess", "class_weights", "oversample"]
