"""Places in annotated documents, shown as the sentence around them: plain values.

All bounds are (start, end) in characters. Only `corpus_document` meets a spaCy document.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..util.text import printable

if TYPE_CHECKING:
    from spacy.tokens import Doc

Bounds = tuple[int, int]
LabelledBounds = tuple[int, int, str]


class CorpusDocument(NamedTuple):
    """A training document; bounds are ascending by start.

    tokens: must not overlap. entities: may overlap. sentences: must not overlap, may be empty; text
    outside of all sentences is shown by line.
    """

    text: str
    tokens: Sequence[Bounds]
    entities: Sequence[LabelledBounds]
    sentences: Sequence[Bounds] = ()


Corpus = Mapping[str, CorpusDocument]
"""Training documents by the ids that a model has of them."""


def corpus_document(doc: "Doc", spans_key: str | None = None) -> CorpusDocument:
    """The values of a spaCy document, with the entities of ``doc.ents``.

    spans_key: the entities of ``doc.spans[spans_key]`` instead. Sentences only where some are set.
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

    tokens: those of the tokens asked for that are in it. entity: the annotated entity that holds
    the first of them, as far as it is in the passage, with its label. cut_before, cut_after:
    whether the sentence goes on there.
    """

    text: str
    tokens: tuple[Bounds, ...]
    entity: LabelledBounds | None
    cut_before: bool
    cut_after: bool


def token_at(document: CorpusDocument, offset: int) -> Bounds | None:
    """The token that holds this character; None where there is none."""
    i = bisect_right(document.tokens, offset, key=lambda token: token[0]) - 1
    if i < 0:
        return None
    start, end = document.tokens[i]
    return (start, end) if offset < end <= len(document.text) else None


def entity_at(document: CorpusDocument, offset: int, label: str) -> LabelledBounds | None:
    """The annotated entity that holds this character; None where there is none.

    Of several, the longest of this label; where none has it, the shortest of all.
    """
    found = [entity for entity in document.entities if entity[0] <= offset < entity[1]]
    if own := [entity for entity in found if entity[2] == label]:
        return max(own, key=lambda entity: (entity[1] - entity[0], -entity[0]))
    return min(found, key=lambda entity: (entity[1] - entity[0], entity), default=None)


def find_passage(
    document: CorpusDocument, offsets: Sequence[int], label: str, *, width: int = 160
) -> Passage | None:
    """The sentence around the token at the first of these offsets.

    label: type of the entity that is looked for there. The sentence is clipped at word borders to
    ``width`` characters, around that entity where it fits, else around the token. None where no
    token holds the first offset; others without one are left out.
    """
    first = token_at(document, offsets[0])
    if first is None:
        return None
    sentence = _sentence_at(document, first)
    focus = first
    held = entity_at(document, offsets[0], label)
    if held is not None:
        seen = _intersection(held[:2], sentence)
        focus = seen if seen[1] - seen[0] <= width else first
    shown = clip(document.text, sentence, focus, width)
    tokens = {token_at(document, offset) for offset in offsets} - {None}
    bounds = sorted(_intersection(token, shown) for token in tokens if token is not None)
    start = shown[0]
    entity = None
    if held is not None:
        seen = _intersection(held[:2], shown)
        entity = (seen[0] - start, seen[1] - start, held[2])
    return Passage(
        printable(document.text[slice(*shown)]),
        tuple((left - start, right - start) for left, right in bounds if left < right),
        entity,
        shown[0] > sentence[0],
        shown[1] < sentence[1],
    )


def clip(text: str, sentence: Bounds, focus: Bounds, width: int) -> Bounds:
    """Bounds of at most ``width`` characters of a sentence, with ``focus`` about in their middle.

    focus: inside the sentence; it is cut only where it is longer than ``width``. The cuts fall on
    white space, except in a word that fills all the room beside the focus.
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
    """The bounds without white space at either end, as far as the focus allows."""
    start, end = bounds
    while start < focus[0] and text[start].isspace():
        start += 1
    while end > focus[1] and text[end - 1].isspace():
        end -= 1
    return start, end


def _sentence_at(document: CorpusDocument, token: Bounds) -> Bounds:
    """The sentence, or else the line, that holds a token, without white space around it."""
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
