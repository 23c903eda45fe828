"""Neighbors as evidence: the training examples behind an entity, as values, text and a page.

Nothing here depends on the model: the component gives the votes, a corpus gives the sentences.
"""

from .evidence import (
    EntityEvidence,
    Neighbor,
    TokenEvidence,
    TrainingExample,
    VoteSummary,
    summarize,
)
from .page import render_page
from .passages import Corpus, CorpusDocument, corpus_document
from .text import evidence_to_json, render_text

__all__ = [
    "Corpus",
    "CorpusDocument",
    "EntityEvidence",
    "Neighbor",
    "TokenEvidence",
    "TrainingExample",
    "VoteSummary",
    "corpus_document",
    "evidence_to_json",
    "render_page",
    "render_text",
    "summarize",
]
