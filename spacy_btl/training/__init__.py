"""Losses over token labels, class weights, the optimizer, and rehearsal.

The losses work on arrays; spaCy appears only in the batcher of `paper` and in `rehearsal`.
"""

from .binary_token_labels import BinaryTokenLabels
from .class_weights import ClassWeights
from .crf import CrfLoss
from .losses import AllTokenLabels, LogitAdjustment, Reduction, SoftmaxLoss, TokenLoss, UpdateRule
from .optimizer import AdamByLayer
from .paper import PaperBinaryTokenLabels, make_one_class_batches
from .rehearsal import rehearse
from .type_crf import TypeCrfLoss

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
    "TokenLoss",
    "TypeCrfLoss",
    "UpdateRule",
    "make_one_class_batches",
    "rehearse",
]
