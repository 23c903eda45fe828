"""The spaCy scorer: entities of ``doc.ents`` against the annotation as it was before conversion."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..data.gold import GOLD_KEY
from ..data.placement import Offsets, align_to_tokens
from .counts import DocumentCounts, document_counts
from .scores import Entity
from .summary import score_documents


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
    return [entity_of(span) for span in spans]


def entity_of(span: Span) -> Entity:
    """A span by its type and its characters."""
    return span.label_, ((span.start_char, span.end_char),)


def unannotated(example: Example, spans_key: str | None = None) -> list[Offsets]:
    """Characters of the tokens of the reference whose label is not known (`Token.ent_iob` 0).

    Empty where the gold entities are spans or the original annotation, which are complete.
    """
    if GOLD_KEY in example.reference.user_data or spans_key is not None:
        return []
    return _offsets(example.reference, "ENT_IOB", is_value=0)


def judged_entities(example: Example, spans_key: str | None = None) -> list[Entity]:
    """Predicted entities without those that touch what is `unannotated`.

    Whether these are right is not known: they count neither way, as in spaCy's own scorer.
    """
    unknown = unannotated(example, spans_key)
    every = predicted_entities(example.predicted, spans_key)
    are_lost = touching(every, unknown)
    return [entity for entity, is_lost in zip(every, are_lost, strict=True) if not is_lost]


def touching(entities: Iterable[Entity], tokens: Sequence[Offsets]) -> list[bool]:
    """Which of the entities share a character with one of these tokens, which are in order."""
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    return [
        any(align_to_tokens(*at, starts, ends, "expand") for at in fragments)
        for _, fragments in entities
    ]


def scored_tokens(example: Example, spans_key: str | None = None) -> list[Offsets]:
    """Characters of the tokens that token scores look at: those of the prediction.

    White space is left out, and what is `unannotated`.
    """
    unknown = unannotated(example, spans_key)
    tokens = _offsets(example.predicted, "IS_SPACE", is_value=0)
    are_lost = touching([("", (token,)) for token in tokens], unknown)
    return [token for token, is_lost in zip(tokens, are_lost, strict=True) if not is_lost]


def example_counts(example: Example, spans_key: str | None = None) -> DocumentCounts:
    """What a document contributes to every score, as `scoring.counts.document_counts`."""
    gold = gold_entities(example.reference, spans_key)
    tokens = scored_tokens(example, spans_key)
    every = predicted_entities(example.predicted, spans_key)
    counts = document_counts(gold, every, tokens)
    if len(judged := judged_entities(example, spans_key)) < len(every):
        # Of an entity that is not judged, the tokens that are annotated still count.
        counts = {**document_counts(gold, judged, tokens), "tokens": counts["tokens"]}
    return counts


def score_ner(
    examples: Iterable[Example], *, spans_key: str | None = None, **kwargs: Any
) -> dict[str, Any]:
    """All scores of `scoring.scores`, at span (``ents_...``) and at token level (``token_...``).

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
