"""The spaCy scorer: predicted entities against the annotation as it was before conversion."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import compress
from typing import NamedTuple

from spacy.tokens import Doc, Span
from spacy.training import Example

from ..brat import Offsets
from ..conversion.placement import align_to_tokens
from ..data.gold import check_annotated, fragments_from_json, gold_of
from ..data.label_sets import label_set_of
from .counts import DocumentCounts, document_counts
from .scores import NO_LABEL, LabeledFragments, Scores
from .summary import score_documents

SCORE_WEIGHTS = {
    "ents_f": 0.5,
    "ents_macro_f": 0.5,
    "ents_p": 0.0,
    "ents_r": 0.0,
    "ents_per_type": None,
    "token_macro_r": 0.0,
    # Kept in the meta of a trained pipeline, without a column in the log.
    "ents_exact_f": None,
    "ents_partial_f": None,
    "ents_type_f": None,
    "token_micro_f": None,
    "token_macro_f": None,
}
"""The weight of each score in the mean that chooses the best checkpoint of a training."""


class ExampleEntities(NamedTuple):
    """The entities and tokens by which a document is scored.

    Attributes:
        gold: Entities of the original annotation, see `gold_entities`.
        predicted: Those of the prediction whose types the document annotates.
        judged: Predicted entities that touch no token that is `unannotated`. Whether the others are
            right is not known: they count neither way, as in spaCy's own scorer.
        tokens: Characters of the tokens of the prediction, except white space and tokens that touch
            an `unannotated` one.
        n_passed_over: Predicted entities of other types, which count neither way.
    """

    gold: list[LabeledFragments]
    predicted: list[LabeledFragments]
    judged: list[LabeledFragments]
    tokens: list[Offsets]
    n_passed_over: int = 0

    def counts(self) -> DocumentCounts:
        """Return the document's contribution to every score."""
        counts = document_counts(self.gold, self.predicted, self.tokens)
        if len(self.judged) < len(self.predicted):
            # Of an entity that is not judged, the tokens that are annotated still count.
            judged = document_counts(self.gold, self.judged, self.tokens)
            counts = {**judged, "tokens": counts["tokens"]}
        return counts


def example_entities(example: Example, spans_key: str | None = None) -> ExampleEntities:
    """Return the entities and tokens by which a document is scored.

    Args:
        example: Prediction and reference.
        spans_key: Key of the ``doc.spans`` with the entities; None for ``doc.ents``.
    """
    unknown = unannotated(example, spans_key)
    everything = predicted_entities(example.predicted, spans_key)
    types = label_set_of(example.reference)
    predicted = [entity for entity in everything if types is None or entity[0] in types]
    tokens = _offsets(example.predicted, "IS_SPACE", value=0)
    as_entities = [(NO_LABEL, (token,)) for token in tokens]
    return ExampleEntities(
        gold_entities(example.reference, spans_key),
        predicted,
        list(compress(predicted, (not lost for lost in touching(predicted, unknown)))),
        list(compress(tokens, (not lost for lost in touching(as_entities, unknown)))),
        len(everything) - len(predicted),
    )


def gold_entities(reference: Doc, spans_key: str | None = None) -> list[LabeledFragments]:
    """Return the gold entities of a reference document, from the original annotation.

    Entities that the conversion lost or moved are included, so that they count as missed. An entity
    whose line cannot be read is at the end of the text, without extent. A document that does not
    come from our conversion is scored by its ``ents``, or by ``spans[spans_key]``.

    Raises:
        ValueError: If there are entities of types that the document does not annotate.
    """
    if (gold := gold_of(reference)) is not None:
        nowhere = ((len(reference.text),) * 2,)
        entities = [
            *((entity["label"], fragments_from_json(entity)) for entity in gold["entities"]),
            *((label, nowhere) for label in gold.get("lost", ())),
        ]
    else:
        entities = predicted_entities(reference, spans_key)
    check_annotated(reference, (label for label, _ in entities))
    return entities


def predicted_entities(doc: Doc, spans_key: str | None = None) -> list[LabeledFragments]:
    """Return the entities of ``doc.ents``, or of ``doc.spans[spans_key]``."""
    spans = doc.ents if spans_key is None else doc.spans.get(spans_key, [])
    return [entity_of(span) for span in spans]


def entity_of(span: Span) -> LabeledFragments:
    """Return a span as its type and its characters."""
    return span.label_, ((span.start_char, span.end_char),)


def unannotated(example: Example, spans_key: str | None = None) -> list[Offsets]:
    """Return the characters of reference tokens whose label is not known (`Token.ent_iob` 0).

    There are none if the gold entities are spans or the original annotation, which are complete.
    """
    if gold_of(example.reference) is not None or spans_key is not None:
        return []
    return _offsets(example.reference, "ENT_IOB", value=0)


def touching(entities: Iterable[LabeledFragments], tokens: Sequence[Offsets]) -> list[bool]:
    """Return which entities share a character with one of these tokens, which are in order."""
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    return [
        any(align_to_tokens(*at, starts, ends, "expand") for at in fragments)
        for _, fragments in entities
    ]


def unjudged(
    entities: Sequence[LabeledFragments],
    tokens: Sequence[Offsets],
    types: Collection[str] | None,
) -> list[bool]:
    """Return which predicted entities the annotation says nothing about.

    Args:
        entities: The entities.
        tokens: Those of the document that are `unannotated`, in order.
        types: Types that the document annotates; None for all.
    """
    touches = touching(entities, tokens)
    return [
        lost or not (types is None or label in types)
        for (label, _), lost in zip(entities, touches, strict=True)
    ]


def score_ner(
    examples: Iterable[Example], *, spans_key: str | None = None, **kwargs: object
) -> Scores:
    """Return all scores of `scoring.scores`, at span level and at token level.

    Predicted entities are compared with those of the original annotation (`gold_entities`) by their
    characters, so that prediction and reference may have different tokens. Token scores are on the
    tokens of the prediction. Of types that a document does not annotate, predictions count neither
    way.

    Args:
        examples: Predictions and references.
        spans_key: Key of the ``doc.spans`` with the entities; None for ``doc.ents``.
        **kwargs: Other arguments of spaCy; not used.
    """
    return score_documents([example_entities(example, spans_key).counts() for example in examples])


def make_ner_scorer(spans_key: str | None = None) -> Callable[..., Scores]:
    """Return a scorer of entities against the original annotation.

    ``[training.score_weights]`` may weigh any of its scores.

    Args:
        spans_key: Key of ``doc.spans`` whose entities are scored; None for those of ``doc.ents``.
    """
    return partial(score_ner, spans_key=spans_key)


def _offsets(doc: Doc, attribute: str, *, value: int) -> list[Offsets]:
    """Return the characters of the tokens that have this value of an attribute."""
    values = doc.to_array(["IDX", "LENGTH", attribute]).astype("int64")
    return [(start, start + length) for start, length, v in values.tolist() if v == value]
