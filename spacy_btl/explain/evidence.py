"""The votes behind an entity, gathered into training examples.

This module knows nothing of spaCy, of the model or of the neighbor search. A pipeline stores of a
neighbor only the id of its document and its offset; text comes from a corpus, where one is given.
`explain.text` shows the evidence in a terminal, `explain.page` in a browser.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import fsum
from typing import NamedTuple

from .passages import Corpus, LabeledBounds, Passage, entity_at, find_passage, token_at

NEARBY = 10
"""Neighbors of one document and type that lie in no annotated entity are one example if they are
at most the length of the explained entity and this many characters apart."""


class Neighbor(NamedTuple):
    """One vote for one token: the training token ``offset`` characters into its document.

    Attributes:
        label: Its label, such as "B-Dosage" or "O".
        distance: Its distance from the token.
        document: The id of its document.
        offset: The first character of the training token.
        share: Its share of the vote for the token, in [0, 1].
    """

    label: str
    distance: float
    document: str
    offset: int
    share: float


class TokenEvidence(NamedTuple):
    """A token of the explained text, in characters, the label chosen for it, and its neighbors."""

    start: int
    end: int
    label: str
    neighbors: tuple[Neighbor, ...]


class EntityEvidence(NamedTuple):
    """An entity of the explained text, in characters, with the evidence for its tokens.

    Attributes:
        label: The entity type.
        start: The first character.
        end: The character after the last one.
        score: The score of the entity, in [0, 1].
        calibrated: Whether the score is calibrated.
        tokens: The tokens of the entity.
        neighbor_weight: The weight of the neighbors' vote against the model, in [0, 1].
    """

    label: str
    start: int
    end: int
    score: float
    calibrated: bool
    tokens: tuple[TokenEvidence, ...]
    neighbor_weight: float = 1.0


class TrainingExample(NamedTuple):
    """Neighbors from one place of the training data that vote for one type.

    Attributes:
        label: The type, or "O".
        document: The id of the document.
        offsets: The offsets of the training tokens, ascending.
        share: Their share of the vote for the entity.
        distance: The smallest distance among their votes.
        votes: The number of votes. A training token votes once for each token of the entity that
            has it as a neighbor.
        passage: The sentence around them; None where no corpus contains it.
    """

    label: str
    document: str
    offsets: tuple[int, ...]
    share: float
    distance: float
    votes: int
    passage: Passage | None = None

    @property
    def contradicted(self) -> bool:
        """True if the corpus has no entity of this type there: its neighbors are from elsewhere."""
        if self.passage is None or self.label == "O":
            return False
        return self.passage.entity is None or self.passage.entity[2] != self.label


class Vote(NamedTuple):
    """The share of one type, or of "O", in the vote for an entity, and its number of votes."""

    label: str
    share: float
    votes: int


class VoteSummary(NamedTuple):
    """The vote for an entity, and the training examples for and against its label.

    Attributes:
        votes: The votes by type, largest share first.
        supporting: Examples for the label of the entity, largest share first.
        opposing: Examples for other labels, largest share first.
        n_supporting: The number of examples for the label, including those that are left out.
    """

    votes: tuple[Vote, ...]
    supporting: tuple[TrainingExample, ...]
    opposing: tuple[TrainingExample, ...]
    n_supporting: int


class Missing(NamedTuple):
    """Number of ``neighbors``, and of those without a document or a token in a corpus."""

    neighbors: int
    without_document: int
    without_token: int


def type_of(label: str) -> str:
    """Return the entity type of a BIO label; "O" stays "O"."""
    return label[2:] if label[:2] in ("B-", "I-") else label


def summarize(
    entity: EntityEvidence,
    corpus: Corpus | None = None,
    *,
    n_examples: int = 5,
    n_opposing: int = 2,
) -> VoteSummary:
    """Return the vote for an entity by type, and its training examples.

    A share is the mean over the tokens of the entity. Neighbors of one type inside the same
    annotated entity of the corpus are one example. Where no entity of their type contains them
    (without a corpus, or for ``O``), neighbors of one document that lie near each other (`NEARBY`)
    are one example, except that a ``B-`` begins a new one. Examples are sorted by share, then by
    distance.

    Args:
        entity: The entity and its neighbors.
        corpus: The training documents, for the passages of the examples.
        n_examples: The largest number of examples for the label of the entity.
        n_opposing: The largest number of examples for other labels.
    """
    neighbors = [neighbor for token in entity.tokens for neighbor in token.neighbors]
    weight = 1 / max(len(entity.tokens), 1)
    shares: dict[str, list[float]] = defaultdict(list)
    for neighbor in neighbors:
        shares[type_of(neighbor.label)].append(float(neighbor.share))
    votes = [Vote(label, _share(parts, weight), len(parts)) for label, parts in shares.items()]
    votes.sort(key=lambda vote: (-round(vote.share, 9), -vote.votes, vote.label))
    reach = entity.end - entity.start + NEARBY
    examples = [_example(place, weight) for place in _places(neighbors, reach, corpus)]
    examples.sort(key=lambda e: (-round(e.share, 9), e.distance, e.document, e.offsets, e.label))
    supporting = [example for example in examples if example.label == entity.label]
    opposing = [example for example in examples if example.label != entity.label]
    return VoteSummary(
        tuple(votes),
        tuple(_with_passage(example, corpus) for example in supporting[:n_examples]),
        tuple(_with_passage(example, corpus) for example in opposing[:n_opposing]),
        len(supporting),
    )


def _share(parts: Iterable[float], weight: float) -> float:
    """Return the sum of shares, each of this weight; rounding may not take all of them above 1."""
    total = fsum(parts) * weight
    return 1.0 if 1 < total < 1 + 1e-6 else total


def _places(
    neighbors: Iterable[Neighbor], reach: int, corpus: Corpus | None
) -> list[list[Neighbor]]:
    """Return groups of neighbors of one type from one place, each sorted by offset."""
    inside: dict[tuple[str, LabeledBounds], list[Neighbor]] = defaultdict(list)
    near: list[list[Neighbor]] = []
    place: tuple[str, str] | None = None
    for neighbor in sorted(neighbors, key=lambda n: (n.document, type_of(n.label), n.offset, n)):
        kind = type_of(neighbor.label)
        document = (corpus or {}).get(neighbor.document)
        entity = entity_at(document, neighbor.offset, kind) if document else None
        if entity is not None and entity[2] == kind:
            inside[neighbor.document, entity].append(neighbor)
            continue
        if place != (neighbor.document, kind) or _begins_place(neighbor, near[-1], reach):
            near.append([])
            place = (neighbor.document, kind)
        near[-1].append(neighbor)
    return [*inside.values(), *near]


def _begins_place(neighbor: Neighbor, place: Sequence[Neighbor], reach: int) -> bool:
    """Return whether a neighbor begins a new place instead of belonging to the one before it."""
    begins = neighbor.label.startswith("B-") and neighbor.offset > place[-1].offset
    return begins or neighbor.offset - place[0].offset > reach


def _example(place: Sequence[Neighbor], weight: float) -> TrainingExample:
    return TrainingExample(
        type_of(place[0].label),
        place[0].document,
        tuple(sorted({int(neighbor.offset) for neighbor in place})),
        _share((float(neighbor.share) for neighbor in place), weight),
        float(min(neighbor.distance for neighbor in place)),
        len(place),
    )


def _with_passage(example: TrainingExample, corpus: Corpus | None) -> TrainingExample:
    document = (corpus or {}).get(example.document)
    if document is None:
        return example
    return example._replace(passage=find_passage(document, example.offsets, example.label))


def count_missing(evidence: Iterable[EntityEvidence], corpus: Corpus) -> Missing:
    """Count the neighbors of all tokens of all entities, and those that the corpus lacks."""
    total = without_document = without_token = 0
    for neighbor in (n for entity in evidence for token in entity.tokens for n in token.neighbors):
        document = corpus.get(neighbor.document)
        total += 1
        if document is None:
            without_document += 1
        elif token_at(document, neighbor.offset) is None:
            without_token += 1
    return Missing(total, without_document, without_token)
