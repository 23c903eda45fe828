"""Counts of a document from which every score can be computed, as JSON values and as arrays.

A run stores them once. Any score, its interval and its comparison with another run can be computed
later without the documents (`scoring.scores`, `scoring.statistics`). The counts contain labels and
numbers, no text and no offset.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import TypedDict

import numpy as np

from ..brat import Offsets
from ..conversion.placement import align_to_tokens
from ..util.arrays import Float64s2d
from .matching import count_matches
from .scores import LEVELS, NO_LABEL, LabeledFragments


class DocumentCounts(TypedDict):
    """Counts of a document, as JSON values.

    Attributes:
        spans: For each label the gold, the predicted and the strictly correct entities.
        pairs: For each of `scoring.scores.LEVELS` the pairs, as `scoring.matching.count_matches`.
        tokens: For each label the gold, the predicted and the correct tokens; `NO_LABEL` ("") is
            the label of tokens in no entity.
    """

    spans: dict[str, list[int]]
    pairs: dict[str, int]
    tokens: dict[str, list[int]]


NO_COUNTS = (0, 0, 0)
"""The counts of a label that does not occur in a document."""


def document_counts(
    gold: Iterable[LabeledFragments],
    predicted: Iterable[LabeledFragments],
    tokens: Sequence[Offsets],
) -> DocumentCounts:
    """Return the counts of one document.

    A token has the labels of all entities with which it shares a character, so that it may have
    several: it counts once for each, and is correct for those that it has both in gold and in the
    prediction. If nothing overlaps, this is the usual count of tokens. An entity that touches no
    token counts in no token score.

    Args:
        gold: Gold entities; one that is given twice counts once.
        predicted: Predicted entities, likewise.
        tokens: Characters (start, end) of the tokens that are scored, ascending and disjoint.

    >>> document_counts([("Drug", ((0, 8),))], [("Drug", ((0, 5),))], [(0, 5), (6, 8), (9, 12)])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'spans': {'Drug': [1, 1, 0]},
     'pairs': {'exact': 0, 'partial': 1, 'type': 1},
     'tokens': {'': [1, 2, 1], 'Drug': [2, 1, 1]}}
    """
    theirs, ours = set(gold), set(predicted)
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    on_gold, on_predicted = (
        labels_on_tokens(entities, starts, ends) for entities in (theirs, ours)
    )
    in_gold, in_predicted = {i for i, _ in on_gold}, {i for i, _ in on_predicted}
    n_without = [len(tokens) - len(i) for i in (in_gold, in_predicted, in_gold | in_predicted)]
    pairs = count_matches(theirs, ours)
    return {
        "spans": _by_label(
            [label for label, _ in entities] for entities in (theirs, ours, theirs & ours)
        ),
        "pairs": {level: getattr(pairs, level) for level in LEVELS},
        "tokens": {
            NO_LABEL: n_without,
            **_by_label(
                [label for _, label in on] for on in (on_gold, on_predicted, on_gold & on_predicted)
            ),
        },
    }


def count_tables(*systems: Sequence[DocumentCounts]) -> tuple[list[str], list[Float64s2d]]:
    """Return count vectors of documents, for one system or for several to be compared.

    Args:
        *systems: Counts of the same documents, in the same order, by each system.

    Returns:
        The labels that occur, sorted, and for each system a table (n_documents, width), with the
        columns that `scoring.scores.split_counts` separates.

    Raises:
        ValueError: If the documents of two systems differ in number or in their gold entities.
    """
    every = [document for documents in systems for document in documents]
    labels = sorted({label for document in every for label in document["spans"]})
    for documents in systems[1:]:
        if len(documents) != len(systems[0]):
            raise ValueError(
                f"{len(systems[0])} and {len(documents)} documents cannot be compared; "
                "score both systems on the same documents"
            )
        for i, (a, b) in enumerate(zip(systems[0], documents, strict=True)):
            if _gold(a) != _gold(b):
                raise ValueError(
                    f"document {i + 1} has different gold entities in the two systems: "
                    "score both on the same documents, in the same order"
                )
    return labels, [_table(documents, labels) for documents in systems]


def _table(documents: Sequence[DocumentCounts], labels: Sequence[str]) -> Float64s2d:
    classes = (NO_LABEL, *labels)
    table = np.zeros((len(documents), 6 * len(labels) + 6))
    for row, document in zip(table, documents, strict=True):
        spans, tokens = document["spans"], document["tokens"]
        row[:] = np.concatenate(
            [
                np.array([spans.get(label, NO_COUNTS) for label in labels])
                .reshape(-1, 3)
                .T.ravel(),
                [document["pairs"][level] for level in LEVELS],
                np.array([tokens.get(label, NO_COUNTS) for label in classes]).T.ravel(),
            ]
        )
    return table


def _gold(document: DocumentCounts) -> dict[str, int]:
    return {label: gold for label, (gold, _, _) in document["spans"].items() if gold}


def labels_on_tokens(
    entities: Iterable[LabeledFragments], starts: Sequence[int], ends: Sequence[int]
) -> set[tuple[int, str]]:
    """Return token index and label of every token that shares a character with an entity.

    Args:
        entities: The entities.
        starts: The characters at which the tokens start, ascending.
        ends: Those at which they end, exclusive.
    """
    found: set[tuple[int, str]] = set()
    for label, fragments in entities:
        for start, end in fragments:
            if at := align_to_tokens(start, end, starts, ends, "expand"):
                found.update(zip(range(*at), repeat(label)))
    return found


def _by_label(kinds: Iterable[Sequence[str]]) -> dict[str, list[int]]:
    """Return how often each label is in each sequence: gold, predicted, correct."""
    counts = [Counter(kind) for kind in kinds]
    return {label: [n[label] for n in counts] for label in sorted(set().union(*counts))}
