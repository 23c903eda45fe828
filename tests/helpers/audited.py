"""Made-up documents for audits: their tokens, and a model that believes in some entities."""

from collections.abc import Sequence

import numpy as np

from spacy_btl.audit.consistency import AnnotatedTokens, normalized
from spacy_btl.audit.findings import AuditedDocument, Evidence
from spacy_btl.labels.bio import LabelSpan

DRUG, PROBLEM = 0, 1
TYPES = ("Drug", "Problem")
WORDS = ("she", "takes", "aspirin", "daily", "for", "chest", "pain", "and", "fever", "today")
GOLD: tuple[LabelSpan, ...] = ((2, 3, DRUG), (5, 7, PROBLEM), (8, 9, PROBLEM))


def beliefs(n_tokens: int, spans: Sequence[LabelSpan], sure: float = 0.97) -> np.ndarray:
    """Return label probabilities (n_tokens, 1 + 2 * n_types) that say these spans."""
    labels = np.zeros(n_tokens, dtype=int)
    for start, end, kind in spans:
        labels[start] = 1 + 2 * kind
        labels[start + 1 : end] = 2 + 2 * kind
    columns = 1 + 2 * len(TYPES)
    found = np.full((n_tokens, columns), (1 - sure) / (columns - 1), dtype=np.float32)
    found[np.arange(n_tokens), labels] = sure
    return found


def document(
    entities: Sequence[LabelSpan] = GOLD,
    believed: Sequence[LabelSpan] = GOLD,
    words: Sequence[str] = WORDS,
    types: frozenset[int] | None = None,
    hidden: Sequence[LabelSpan] = (),
    known: Sequence[bool] | None = None,
) -> tuple[AuditedDocument, Evidence]:
    """Return an annotated document with evidence of a model; the neighbors think the same."""
    own = beliefs(len(words), believed)
    tokens = AnnotatedTokens([normalized(word) for word in words], sorted(entities), types)
    nowhere = np.full((len(words), 1, 2), -1, dtype=np.int32)
    mask = None if known is None else np.array(known, dtype=bool)
    return AuditedDocument(tokens, hidden, mask), Evidence(own, own, nowhere)
