"""The spaCy scorer: entities of ``doc.ents`` against the annotation as it was before conversion."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example

from .alignment import Offsets, align_to_tokens
from .counts import DocumentCounts, document_counts
from .scores import Entity
from .summary import score_documents

GOLD_KEY = "brat"
"""Key of ``doc.user_data`` under which the conversion leaves the original annotation."""


def gold_entities(reference: Doc, spans_key: str | None = None) -> list[Entity]:
    """Gold entities of a reference document, from the offsets of the original annotation.

    What the conversion lost or moved is still here, so that it counts as missed. A document that
    does not come from our conversion is scored by its ``ents``, or by ``spans[spans_key]``.
    """
    if GOLD_KEY in reference.user_data:
        return [
            (entity["label"], tuple((start, end) for start, end in entity["fragments"]))
            for entity in reference.user_data[GOLD_KEY]["entities"]
        ]
    return predicted_entities(reference, spans_key)


def predicted_entities(doc: Doc, spans_key: str | None = None) -> list[Entity]:
    """Entities of ``doc.ents``, or of ``doc.spans[spans_key]``, with their characters."""
    spans = doc.ents if spans_key is None else doc.spans.get(spans_key, [])
    return [(span.label_, ((span.start_char, span.end_char),)) for span in spans]


def scored_tokens(example: Example, spans_key: str | None = None) -> list[Offsets]:
    """Characters of the tokens that token scores look at: those of the prediction.

    White space is left out, and, where the gold entities are those of ``ents``, what the reference
    leaves unannotated there (`Token.ent_iob` 0).
    """
    tokens = _offsets(example.predicted, "IS_SPACE", is_value=0)
    reference = example.reference
    if GOLD_KEY in reference.user_data or spans_key is not None:
        return tokens
    unknown: set[int] = set()
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    for start, end in _offsets(reference, "ENT_IOB", is_value=0):
        unknown.update(range(*align_to_tokens(start, end, starts, ends, "expand") or (0, 0)))
    return [offsets for i, offsets in enumerate(tokens) if i not in unknown]


def example_counts(example: Example, spans_key: str | None = None) -> DocumentCounts:
    """What a document contributes to every score, as `spacy_btl.counts.document_counts`."""
    return document_counts(
        gold_entities(example.reference, spans_key),
        predicted_entities(example.predicted, spans_key),
        scored_tokens(example, spans_key),
    )


def score_ner(
    examples: Iterable[Example], *, spans_key: str | None = None, **kwargs: Any
) -> dict[str, Any]:
    """All scores of `spacy_btl.scores`, at span (``ents_...``) and at token level (``token_...``).

    All compare the entities of ``doc.ents``, or of ``doc.spans[spans_key]``, with those of the
    original annotation by their characters (`gold_entities`), so prediction and reference may have
    other tokens. Token scores are on those of the prediction (`scored_tokens`).
    """
    return score_documents([example_counts(example, spans_key) for example in examples])


def make_ner_scorer(spans_key: str | None = None) -> Callable[..., dict[str, Any]]:
    """The registered form of `score_ner`; ``spans_key`` for entities that may overlap."""
    return partial(score_ner, spans_key=spans_key)


def _offsets(doc: Doc, attribute: str, *, is_value: int) -> list[Offsets]:
    """Characters of the tokens that have this value of an attribute."""
    values = doc.to_array(["IDX", "LENGTH", attribute]).astype("int64")
    return [(start, start + length) for start, length, v in values.tolist() if v == is_value]
