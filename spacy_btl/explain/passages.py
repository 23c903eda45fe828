"""Passages: the sentence around a place in an annotated document.

All bounds are (start, end) in characters. Only `corpus_document` knows spaCy.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..util.text import printable

if TYPE_CHECKING:
    from spacy.tokens import Doc

Bounds = tuple[int, int]
LabeledBounds = tuple[int, int, str]


class CorpusDocument(NamedTuple):
    """A training document; all bounds are ascending by start.

    Attributes:
        text: The text of the document.
        tokens: Its tokens, which must not overlap.
        entities: Its entities, which may overlap.
        sentences: Its sentences, which must not overlap. Text outside of all sentences is shown by
            line.
    """

    text: str
    tokens: Sequence[Bounds]
    entities: Sequence[LabeledBounds]
    sentences: Sequence[Bounds] = ()


Corpus = Mapping[str, CorpusDocument]
"""Training documents by the ids that a model has of them."""


def corpus_document(doc: "Doc", spans_key: str | None = None) -> CorpusDocument:
    """Return a spaCy document as plain values, with its sentences where it has any.

    Args:
        doc: The document.
        spans_key: Take the entities of ``doc.spans[spans_key]`` instead of ``doc.ents``.
    """
    spans = doc.ents if spans_key is None else doc.spans.get(spans_key, [])
    sentences = doc.sents if doc.has_annotation("SENT_START") else ()
    return CorpusDocument(
        doc.text,
        [(token.idx, token.idx + len(token)) for token in doc],
        sorted((span.start_char, span.end_char, span.label_) for span in spans),
        [(sentence.start_char, sentence.end_char) for sentence in sentences],
    )


class Passage(NamedTuple):
    """The sentence around tokens of a document; bounds count from the start of ``text``.

    Attributes:
        text: The sentence, or a part of it, without control characters.
        tokens: The requested tokens, as far as they are in the passage.
        entity: The annotated entity around the first of them, as far as it is in the passage.
        cut_before: Whether the sentence begins before the passage.
        cut_after: Whether the sentence continues after the passage.
    """

    text: str
    tokens: tuple[Bounds, ...]
    entity: LabeledBounds | None
    cut_before: bool
    cut_after: bool


def token_at(document: CorpusDocument, offset: int) -> Bounds | None:
    """Return the token that contains a character; None where there is none."""
    i = bisect_right(document.tokens, offset, key=lambda token: token[0]) - 1
    if i < 0:
        return None
    start, end = document.tokens[i]
    return (start, end) if offset < end <= len(document.text) else None


def entity_at(document: CorpusDocument, offset: int, label: str) -> LabeledBounds | None:
    """Return the annotated entity that contains a character; None where there is none.

    Of several entities this is the longest one with the label, or else the shortest of all.
    """
    found = [entity for entity in document.entities if entity[0] <= offset < entity[1]]
    if own := [entity for entity in found if entity[2] == label]:
        return max(own, key=lambda entity: (entity[1] - entity[0], -entity[0]))
    return min(found, key=lambda entity: (entity[1] - entity[0], entity), default=None)


def find_passage(
    document: CorpusDocument, offsets: Sequence[int], label: str, *, width: int = 160
) -> Passage | None:
    """Return the sentence around the token at the first of some offsets.

    The sentence is clipped at word boundaries, around the entity there if it fits, else around the
    token.

    Args:
        document: The training document.
        offsets: Characters in tokens. Offsets without a token are left out.
        label: The preferred type of the entity (`entity_at`).
        width: The largest number of characters of the passage.

    Returns:
        The passage; None where no token contains the first offset.
    """
    first = token_at(document, offsets[0])
    if first is None:
        return None
    sentence = _sentence_at(document, first)
    focus = first
    annotated = entity_at(document, offsets[0], label)
    if annotated is not None:
        inside = _intersection(annotated[:2], sentence)
        focus = inside if inside[1] - inside[0] <= width else first
    shown = clip(document.text, sentence, focus, width)
    tokens = {token_at(document, offset) for offset in offsets} - {None}
    bounds = sorted(_intersection(token, shown) for token in tokens if token is not None)
    start = shown[0]
    entity = None
    if annotated is not None:
        inside = _intersection(annotated[:2], shown)
        entity = (inside[0] - start, inside[1] - start, annotated[2])
    return Passage(
        printable(document.text[slice(*shown)]),
        tuple((left - start, right - start) for left, right in bounds if left < right),
        entity,
        shown[0] > sentence[0],
        shown[1] < sentence[1],
    )


def clip(text: str, sentence: Bounds, focus: Bounds, width: int) -> Bounds:
    """Return bounds of at most ``width`` characters of a sentence, with a focus in the middle.

    The cuts fall on white space, except in a word that fills all the room beside the focus.

    Args:
        text: The text of the document.
        sentence: The bounds to clip.
        focus: Bounds inside the sentence. They are cut only where they are longer than ``width``.
        width: The largest number of characters.
    """
    start, end = sentence
    if end - start <= width:
        return sentence
    first, last = focus[0], min(focus[1], focus[0] + width)
    left = max(start, first - (width - (last - first)) // 2)
    right = min(end, left + width)
    left = max(start, right - width)
    if left > start:
        left = next((i + 1 for i in range(left - 1, first) if text[i].isspace()), left)
    if right < end:
        right = next((i for i in range(right, last - 1, -1) if text[i].isspace()), right)
    return _stripped(text, (left, right), focus)


def _stripped(text: str, bounds: Bounds, focus: Bounds) -> Bounds:
    """Return the bounds without white space at either end, as far as the focus allows."""
    start, end = bounds
    while start < focus[0] and text[start].isspace():
        start += 1
    while end > focus[1] and text[end - 1].isspace():
        end -= 1
    return start, end


def _sentence_at(document: CorpusDocument, token: Bounds) -> Bounds:
    """Return the sentence, or else the line, around a token, without outer white space."""
    text = document.text
    i = bisect_right(document.sentences, token[0], key=lambda sentence: sentence[0]) - 1
    if i >= 0 and token[1] <= document.sentences[i][1] <= len(text):
        start, end = document.sentences[i]
    else:
        start, end = text.rfind("\n", 0, token[0]) + 1, text.find("\n", token[1])
        end = end if end >= 0 else len(text)
    return _stripped(text, (start, end), token)


def _intersection(bounds: Bounds, within: Bounds) -> Bounds:
    return max(bounds[0], within[0]), min(bounds[1], within[1])
