"""A pipeline to be shipped: save and load it without training texts, describe it, measure it.

The commands ``card``, ``ensemble`` and ``seal`` call it, and every command that saves a pipeline.
"""

from .card import make_card, render_card
from .card_facts import CardFacts
from .ensembles import make_ensemble
from .final_training import train_final
from .saving import check_target, load_pipeline, save_pipeline, without_training_texts
from .size import files_of, sizes

__all__ = [
    "CardFacts",
    "check_target",
    "files_of",
    "load_pipeline",
    "make_card",
    "make_ensemble",
    "render_card",
    "save_pipeline",
    "sizes",
    "train_final",
    "without_training_texts",
]
