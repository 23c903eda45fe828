"""Losses over token labels, class weights, the optimizer, rehearsal, and the start of a training.

The losses work on arrays; spaCy appears only in the batcher of `paper`, in `rehearsal` and `start`.
"""

from .binary_token_labels import BinaryTokenLabels
from .class_weights import ClassWeights
from .crf import CrfLoss
from .losses import AllTokenLabels, LogitAdjustment, Reduction, SoftmaxLoss, TokenLoss, UpdateRule
from .optimizer import AdamByLayer
from .paper import PaperBinaryTokenLabels, make_one_class_batches
from .rehearsal import rehearse
from .start import StartFrom

__all__ = [
    "AdamByLayer",
    "AllTokenLabels",
    "BinaryTokenLabels",
    "ClassWeights",
    "CrfLoss",
    "LogitAdjustment",
    "PaperBinaryTokenLabels",
    "Reduction",
    "SoftmaxLoss",
    "StartFrom",
    "TokenLoss",
    "UpdateRule",
    "make_one_class_batches",
    "rehearse",
]
