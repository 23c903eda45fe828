"""The spaCy scorer: entities of ``doc.ents`` against the annotation as it was before conversion."""

from collections.abc import Callable, Iterable
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example

from .scores import OUTSIDE, Entity, strict_span_scores, token_scores

GOLD_KEY = "brat"
"""Key of ``doc.user_data`` under which the conversion leaves the original annotation."""


def gold_entities(reference: Doc) -> list[Entity]:
    """Gold entities of a reference document, from the offsets of the original annotation.

    What the conversion lost or moved is still here, so that it counts as missed. A document that
    does not come from our conversion is scored by its ``ents``.
    """
    if GOLD_KEY in reference.user_data:
        return [
            (entity["label"], tuple((start, end) for start, end in entity["fragments"]))
            for entity in reference.user_data[GOLD_KEY]["entities"]
        ]
    return predicted_entities(reference)


def predicted_entities(doc: Doc) -> list[Entity]:
    """Entities of ``doc.ents`` with their characters."""
    return [(ent.label_, ((ent.start_char, ent.end_char),)) for ent in doc.ents]


def score_ner(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Strict span scores (``ents_...``) and token scores (``token_...``) of `spacy_btl.scores`.

    Span scores are against the original character offsets (`gold_entities`); token scores against
    the ``ents`` of the reference, on the tokens of the prediction, tokens without a gold label
    left out.
    """
    gold, predicted = [], []
    gold_tokens: list[str] = []
    predicted_tokens: list[str] = []
    for example in examples:
        gold.append(gold_entities(example.reference))
        predicted.append(predicted_entities(example.predicted))
        for token, label in zip(example.predicted, example.get_aligned_ner(), strict=True):
            if label is not None and not token.is_space:
                gold_tokens.append(label[2:] or OUTSIDE)
                predicted_tokens.append(token.ent_type_ or OUTSIDE)
    return {**strict_span_scores(gold, predicted), **token_scores(gold_tokens, predicted_tokens)}


def make_ner_scorer() -> Callable[..., dict[str, Any]]:
    """The registered form of `score_ner`."""
    return score_ner
