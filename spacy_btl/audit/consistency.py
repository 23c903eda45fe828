"""Annotation of the same words in other documents, counted for an entity and by type.

Words are the same where they differ in case, Unicode form and white space only. An
occurrence of the words of an entity counts as its label where exactly these tokens are an entity,
as `NONE` where they touch none, and not at all inside of another entity, or across one: "pain" in
"chest pain" says nothing on "pain" alone.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from ..labels.bio import LabelSpan

NONE = ""
"""The label of words that are in no entity."""

MOST_TOKENS = 12
"""Longer spans are hardly ever the same elsewhere, and are not looked up."""

Words: TypeAlias = tuple[str, ...]
Place: TypeAlias = tuple[int, int, int]
"""Index of the document, first token, token after the last."""


def normalized(token: str) -> str:
    """Return a token in the form in which tokens are compared; "" for white space.

    >>> normalized("MG")
    'mg'
    """
    return unicodedata.normalize("NFKC", token).casefold().strip()


class AnnotatedTokens(NamedTuple):
    """A document as this module reads it.

    Attributes:
        words: Its tokens, `normalized`.
        entities: Its entities: tokens, and the index of the type.
        types: The indices of the types that it annotates; None for all.
    """

    words: Sequence[str]
    entities: Sequence[LabelSpan]
    types: frozenset[int] | None = None

    def key(self, start: int, end: int) -> Words:
        """Return the words of some tokens, white space left out."""
        return tuple(word for word in self.words[start:end] if word)


class Elsewhere(NamedTuple):
    """Number of occurrences of words in other documents.

    Attributes:
        same: As an entity of the type in question.
        other: As an entity of other types.
        none: In no entity, in documents that annotate the type.
    """

    same: int
    other: int
    none: int

    @property
    def total(self) -> int:
        """All occurrences."""
        return self.same + self.other + self.none


class TypeUse(NamedTuple):
    """Consistency of a type; shares are means over its mentions, None without any.

    Attributes:
        mentions: Number of mentions.
        elsewhere: Mentions whose words occur in other documents too, as an entity or in none.
        same: Share of these occurrences with the same type.
        other: Share with another type.
        none: Share in no entity.
        rival: The other type that the words have most often, as an index; None without any.
    """

    mentions: int
    elsewhere: int
    same: float | None
    other: float | None
    none: float | None
    rival: int | None


@dataclass(slots=True)
class Lexicon:
    """Occurrences of words in annotated documents, with their types; made by `make_lexicon`.

    Attributes:
        documents: The documents.
        labels: For words, the number of occurrences by document and type, -1 for `NONE`.
        places: For words and type, where they occur with it.
    """

    documents: Sequence[AnnotatedTokens]
    labels: dict[Words, dict[int, Counter[int]]]
    places: dict[tuple[Words, int], list[Place]]
    _totals: dict[tuple[Words, int], Elsewhere] = field(default_factory=dict)

    def elsewhere(self, words: Words, kind: int, document: int) -> Elsewhere:
        """Return how often words occur in other documents than one, seen from a type."""
        by_document = self.labels.get(words)
        if by_document is None:
            return Elsewhere(0, 0, 0)
        key = (words, kind)
        if key not in self._totals:
            parts = [self._in_document(own, kind, i) for i, own in by_document.items()]
            self._totals[key] = Elsewhere(*(sum(each) for each in zip(*parts, strict=True)))
        own = self._in_document(by_document.get(document, Counter()), kind, document)
        return Elsewhere(*(a - b for a, b in zip(self._totals[key], own, strict=True)))

    def _in_document(self, own: Mapping[int, int], kind: int, document: int) -> Elsewhere:
        types = self.documents[document].types
        other = sum(n for label, n in own.items() if label not in (-1, kind))
        none = own.get(-1, 0) if types is None or kind in types else 0
        return Elsewhere(own.get(kind, 0), other, none)

    def labels_elsewhere(self, words: Words, document: int) -> Counter[int]:
        """Return the types, -1 for `NONE`, of words in other documents than one."""
        found: Counter[int] = Counter()
        for i, own in self.labels.get(words, {}).items():
            if i != document:
                found.update(own)
        return found

    def example(self, words: Words, kind: int, document: int) -> Place | None:
        """Return the first place in another document where words have a type, -1 for `NONE`."""
        places = self.places.get((words, kind), ())
        return next((place for place in places if place[0] != document), None)


def make_lexicon(documents: Sequence[AnnotatedTokens], further: Iterable[Words] = ()) -> Lexicon:
    """Return all occurrences of the words of all entities.

    Args:
        documents: Annotated documents.
        further: Other words to look up.
    """
    keys = {document.key(*span[:2]) for document in documents for span in document.entities}
    keys.update(further)
    keys = {key for key in keys if 0 < len(key) <= MOST_TOKENS}
    lengths: dict[str, set[int]] = defaultdict(set)
    for key in keys:
        lengths[key[0]].add(len(key))
    labels: dict[Words, dict[int, Counter[int]]] = {}
    places: dict[tuple[Words, int], list[Place]] = defaultdict(list)
    for i, document in enumerate(documents):
        for start, end, key in _occurrences(document, keys, lengths):
            for kind in _labels_at(document, start, end):
                labels.setdefault(key, {}).setdefault(i, Counter())[kind] += 1
                places[key, kind].append((i, start, end))
    return Lexicon(documents, labels, dict(places))


def _occurrences(
    document: AnnotatedTokens, keys: Collection[Words], lengths: Mapping[str, Collection[int]]
) -> Iterable[tuple[int, int, Words]]:
    """Yield where one of the keys occurs: first token, token after the last, key."""
    solid = [i for i, word in enumerate(document.words) if word]
    for position, first in enumerate(solid):
        for length in lengths.get(document.words[first], ()):
            tokens = solid[position : position + length]
            key = tuple(document.words[i] for i in tokens)
            if key in keys:
                yield first, tokens[-1] + 1, key


def _labels_at(document: AnnotatedTokens, start: int, end: int) -> list[int]:
    """Return the types of some tokens: -1 for no entity, none where they touch another one."""
    near = [each for each in document.entities if each[0] < end and start < each[1]]
    exact = [kind for first, last, kind in near if (first, last) == (start, end)]
    return exact or ([] if near else [-1])


def type_use(lexicon: Lexicon, n_types: int) -> list[TypeUse]:
    """Return how consistently each type is used.

    A mention counts the same however often its words occur elsewhere.
    """
    shares: list[list[tuple[float, float, float]]] = [[] for _ in range(n_types)]
    mentions: Counter[int] = Counter()
    rivals: list[dict[int, float]] = [defaultdict(float) for _ in range(n_types)]
    for i, document in enumerate(lexicon.documents):
        for start, end, kind in document.entities:
            mentions[kind] += 1
            words = document.key(start, end)
            found = lexicon.elsewhere(words, kind, i)
            if found.total:
                shares[kind].append(
                    (found.same / found.total, found.other / found.total, found.none / found.total)
                )
                for other, n in lexicon.labels_elsewhere(words, i).items():
                    if other not in (-1, kind):
                        rivals[kind][other] += n / found.total
    every = []
    for kind in range(n_types):
        own = shares[kind]
        most = min(rivals[kind].items(), key=lambda item: (-item[1], item[0]), default=None)
        same, elsewhere, none = (_mean([share[part] for share in own]) for part in range(3))
        every.append(TypeUse(mentions[kind], len(own), same, elsewhere, none, most and most[0]))
    return every


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
