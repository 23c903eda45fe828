"""Why an entity was labelled: the training tokens that voted for it, gathered into examples.

Pure Python: knows nothing of spaCy, of the model or of how neighbours are found. A model holds of
a neighbour only the id of its document and its offset; text comes from a corpus, where one is
given. `explain.text` shows it in the terminal, `explain.page` in a browser.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any, NamedTuple

from .passages import Corpus, Passage, entity_at, find_passage, token_at

NEARBY = 10
"""Where no annotated entity tells, neighbours of one document and type are one example if they lie
at most the length of the explained entity and this many characters apart."""


class Neighbor(NamedTuple):
    """One vote for one token: the training token ``offset`` characters into its document.

    label: as in "B-Dosage" or "O". share: of the vote for the token, in [0, 1].
    """

    label: str
    distance: float
    document: str
    offset: int
    share: float


class TokenEvidence(NamedTuple):
    """A token of the explained text, in characters; the label chosen for it and its neighbours."""

    start: int
    end: int
    label: str
    neighbors: tuple[Neighbor, ...]


class EntityEvidence(NamedTuple):
    """An entity of the explained text, in characters, with the evidence for its tokens.

    neighbor_weight: what the vote of the neighbours counts for beside the model, 0 for nothing.
    """

    label: str
    start: int
    end: int
    score: float
    calibrated: bool
    tokens: tuple[TokenEvidence, ...]
    neighbor_weight: float = 1.0


class TrainingExample(NamedTuple):
    """Neighbours that stand in one place of the training data and vote for one type.

    label: that type, or "O". offsets: of the tokens, ascending. share: of the vote for the entity.
    distance: the smallest of its votes. votes: their number; a training token votes once for each
    token of the entity that has it as neighbour. passage: None where no corpus shows it.
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
        """Whether the corpus has no entity of this type there: the model learned from another."""
        if self.passage is None or self.label == "O":
            return False
        return self.passage.entity is None or self.passage.entity[2] != self.label


class Vote(NamedTuple):
    """What one type, or "O", got of the vote for an entity; ``votes`` counts its neighbours."""

    label: str
    share: float
    votes: int


class Summary(NamedTuple):
    """The vote for an entity, largest share first, and the examples for and against its label.

    n_supporting: how many examples for the label there are, with those that are left out.
    """

    votes: tuple[Vote, ...]
    supporting: tuple[TrainingExample, ...]
    opposing: tuple[TrainingExample, ...]
    n_supporting: int


class Missing(NamedTuple):
    """How many of ``neighbors`` a corpus cannot show: no such document, no token at the offset."""

    neighbors: int
    without_document: int
    without_token: int


def type_of(label: str) -> str:
    """The entity type of a BIO label; "O" stays "O"."""
    return label[2:] if label[:2] in ("B-", "I-") else label


def summarize(
    entity: EntityEvidence,
    corpus: Corpus | None = None,
    *,
    n_examples: int = 5,
    n_opposing: int = 2,
) -> Summary:
    """The vote for an entity by type, and its examples, by share, then by distance.

    A share is the mean over the tokens of the entity. Neighbours of one type inside the same
    annotated entity of the corpus are one example. Where none of their type holds them (no corpus,
    or ``O``), those of one document are that lie near each other (`NEARBY`), except that a ``B-``
    begins a new one. At most ``n_examples`` have the entity's label, ``n_opposing`` another.
    """
    neighbors = [neighbor for token in entity.tokens for neighbor in token.neighbors]
    weight = 1 / max(len(entity.tokens), 1)
    shares: dict[str, list[float]] = defaultdict(list)
    for neighbor in neighbors:
        shares[type_of(neighbor.label)].append(float(neighbor.share))
    votes = [Vote(label, fsum(parts) * weight, len(parts)) for label, parts in shares.items()]
    votes.sort(key=lambda vote: (-round(vote.share, 9), -vote.votes, vote.label))
    reach = entity.end - entity.start + NEARBY
    examples = [_example(place, weight) for place in _places(neighbors, reach, corpus)]
    examples.sort(key=lambda e: (-round(e.share, 9), e.distance, e.document, e.offsets, e.label))
    supporting = [example for example in examples if example.label == entity.label]
    opposing = [example for example in examples if example.label != entity.label]
    return Summary(
        tuple(votes),
        tuple(_with_passage(example, corpus) for example in supporting[:n_examples]),
        tuple(_with_passage(example, corpus) for example in opposing[:n_opposing]),
        len(supporting),
    )


def _places(
    neighbors: Iterable[Neighbor], reach: int, corpus: Corpus | None
) -> list[list[Neighbor]]:
    """Neighbours of one type in one place, by offset."""
    inside: dict[tuple[Any, ...], list[Neighbor]] = defaultdict(list)
    near: list[list[Neighbor]] = []
    place: tuple[str, str] | None = None
    for neighbor in sorted(neighbors, key=lambda n: (n.document, type_of(n.label), n.offset, n)):
        kind = type_of(neighbor.label)
        document = (corpus or {}).get(neighbor.document)
        held = entity_at(document, neighbor.offset, kind) if document else None
        if held is not None and held[2] == kind:
            inside[neighbor.document, held].append(neighbor)
            continue
        if place != (neighbor.document, kind) or _is_elsewhere(neighbor, near[-1], reach):
            near.append([])
            place = (neighbor.document, kind)
        near[-1].append(neighbor)
    return [*inside.values(), *near]


def _is_elsewhere(neighbor: Neighbor, place: Sequence[Neighbor], reach: int) -> bool:
    begins = neighbor.label.startswith("B-") and neighbor.offset > place[-1].offset
    return begins or neighbor.offset - place[0].offset > reach


def _example(place: Sequence[Neighbor], weight: float) -> TrainingExample:
    return TrainingExample(
        type_of(place[0].label),
        place[0].document,
        tuple(sorted({int(neighbor.offset) for neighbor in place})),
        fsum(float(neighbor.share) for neighbor in place) * weight,
        float(min(neighbor.distance for neighbor in place)),
        len(place),
    )


def _with_passage(example: TrainingExample, corpus: Corpus | None) -> TrainingExample:
    document = (corpus or {}).get(example.document)
    if document is None:
        return example
    return example._replace(passage=find_passage(document, example.offsets, example.label))


def count_missing(evidence: Iterable[EntityEvidence], corpus: Corpus) -> Missing:
    """How many neighbours of all tokens of all entities the corpus cannot show."""
    total = without_document = without_token = 0
    for neighbor in (n for entity in evidence for token in entity.tokens for n in token.neighbors):
        document = corpus.get(neighbor.document)
        total += 1
        if document is None:
            without_document += 1
        elif token_at(document, neighbor.offset) is None:
            without_token += 1
    return Missing(total, without_document, without_token)
