"""The spaCy scorer: entities of ``doc.ents`` against the annotation as it was before conversion."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example

from .scores import OUTSIDE, Entity, strict_span_scores, token_scores

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


def score_ner(
    examples: Iterable[Example], *, spans_key: str | None = None, **kwargs: Any
) -> dict[str, Any]:
    """Strict span scores (``ents_...``) and token scores (``token_...``) of `spacy_btl.scores`.

    Span scores are those of ``doc.ents``, or of ``doc.spans[spans_key]``, against the original
    character offsets (`gold_entities`). Token scores compare the ``ents`` of prediction and
    reference on the tokens of the prediction, tokens without a gold label left out.
    """
    gold, predicted = [], []
    gold_tokens: list[str] = []
    predicted_tokens: list[str] = []
    for example in examples:
        gold.append(gold_entities(example.reference, spans_key))
        predicted.append(predicted_entities(example.predicted, spans_key))
        for token, label in zip(example.predicted, example.get_aligned_ner(), strict=True):
            if label is not None and not token.is_space:
                gold_tokens.append(label[2:] or OUTSIDE)
                predicted_tokens.append(token.ent_type_ or OUTSIDE)
    return {**strict_span_scores(gold, predicted), **token_scores(gold_tokens, predicted_tokens)}


def make_ner_scorer(spans_key: str | None = None) -> Callable[..., dict[str, Any]]:
    """The registered form of `score_ner`; ``spans_key`` for entities that may overlap."""
    return partial(score_ner, spans_key=spans_key)
