"""Evidence for an entity and a small corpus, for the tests of explanations."""

import re

from spacy_btl.explain.evidence import EntityEvidence, Neighbor, TokenEvidence
from spacy_btl.explain.passages import CorpusDocument

EXPLAINED = "She took 5 mg of warfarin."


def document(text, *entities, sentences=()):
    """Return a corpus document whose tokens are words, entities given as (surface, label)."""
    tokens = [match.span() for match in re.finditer(r"\S+", text)]
    found = [(text.index(s), text.index(s) + len(s), label) for s, label in entities]
    return CorpusDocument(text, tokens, sorted(found), sentences)


CORPUS = {
    "case-1": document(
        "He was given 300 mg of aspirin daily.", ("300 mg", "Dosage"), ("aspirin", "Medication")
    ),
    "case-2": document("No fever.\nMethotrexate 15 mg weekly was begun.", ("15 mg", "Dosage")),
}


def vote(label, document, offset, distance=1.0, share=0.25):
    return Neighbor(label, distance, document, offset, share)


def entity(*tokens, label="Dosage", start=9, end=13):
    """Return evidence for "5 mg", each token with these neighbors."""
    bounds = [(start, start + 1), (start + 2, end)]
    evidence = [
        TokenEvidence(*bounds[min(i, 1)], f"{'BI'[i > 0]}-{label}", tuple(neighbors))
        for i, neighbors in enumerate(tokens)
    ]
    return EntityEvidence(label, start, end, 0.75, True, tuple(evidence))


LONG = CorpusDocument(
    "a" * 99 + " " + "b" * 99 + " c d e",
    [(0, 99), (100, 199), (200, 201), (202, 203), (204, 205)],
    [(0, 199, "Dosage"), (200, 201, "Dosage"), (202, 205, "Date"), (202, 203, "Time")],
)
