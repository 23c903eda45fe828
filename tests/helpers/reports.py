"""Made-up reports of a drug and a problem each, and a configuration that is trained in no time."""

from functools import cache
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import load_config
from thinc.api import Config

ROOT = Path(__file__).parents[2]
HASH = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 16,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
DRUGS = ("aspirin", "warfarin", "insulin", "heparin")
PROBLEMS = ("chest pain", "fever", "cough", "severe headache")


def small_config() -> Config:
    """Return the shipped configuration with an encoder of a few thousand weights."""
    config = load_config(ROOT / "configs" / "btl.cfg", interpolate=False)
    config["components"]["btl_knn_ner"]["model"]["tok2vec"] = HASH
    rates = config["training"]["optimizer"]["learn_rate"]
    rates.update(initial_rate=0.02, warmup_steps=5)
    return config


@cache
def blank() -> Language:
    """Return one tokenizer for all reports: making it takes longer than reading them."""
    return spacy.blank("en")


def report(number: int) -> Doc:
    """Return a report with its own number, on one of the drugs and one of the problems."""
    drug, problem = DRUGS[number % 4], PROBLEMS[number // 4 % 4]
    text = f"Patient {number} took {drug} daily for {problem} and slept well afterwards today"
    doc = blank()(text)
    spans = [
        doc.char_span(text.index(words), text.index(words) + len(words), label)
        for words, label in ((drug, "Drug"), (problem, "Problem"))
    ]
    doc.set_ents([span for span in spans if isinstance(span, Span)])
    doc.user_data["name"] = f"case-{number:02}"
    return doc
