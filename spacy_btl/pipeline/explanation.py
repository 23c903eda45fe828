"""Explain the entities of a component: the neighbors of each of their tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spacy.tokens import Doc

from ..explain.evidence import EntityEvidence, Neighbor, TokenEvidence
from ..labels.layers import ROW_SEPARATOR
from ..labels.open_votes import ABSTAINS
from ..util.arrays import Floats2d
from .entities import ScoredSpans, read_scores

if TYPE_CHECKING:
    from .component import BtlKnnNer


def explain(pipe: "BtlKnnNer", doc: Doc) -> list[EntityEvidence]:
    """Return the entities of the component in a document, each with the neighbors of its tokens.

    They are those under ``doc.spans[scores_key]``. A document that the component has not annotated
    yet is annotated as a copy and stays as it is.

    Args:
        pipe: The component, with fitted neighbors.
        doc: A document.

    Raises:
        ValueError: If the component has no neighbors, or those of other weights.
    """
    if not pipe.has_neighbors:
        raise ValueError(
            f'"{pipe.name}" has no neighbors to explain its entities by; fit them with '
            "python -m spacy btl fit-knn MODEL TRAIN OUT"
        )
    pipe.check_neighbors()
    found = read_scores(doc.spans.get(pipe.scores_key)) if pipe.scores_key else None
    found = _annotated_copy(pipe, doc) if found is None else found
    if not found.spans:
        return []
    tokens = sorted({token.i for span in found.spans for token in span})
    _, keys = pipe.token_vectors([doc])
    neighbors = dict(zip(tokens, _neighbors(pipe, keys[tokens]), strict=True))
    known_to_model = set(pipe.label_data)
    return [
        EntityEvidence(
            span.label_,
            span.start_char,
            span.end_char,
            float(score),
            bool(calibrated),
            tuple(
                TokenEvidence(
                    token.idx,
                    token.idx + len(token),
                    f"{'B' if token.i == span.start else 'I'}-{span.label_}",
                    _votes_on(span.label_, neighbors[token.i]),
                )
                for token in span
            ),
            pipe.neighbor_weight if span.label_ in known_to_model else 1.0,
        )
        for span, score, calibrated in zip(*found, strict=True)
    ]


def _annotated_copy(pipe: "BtlKnnNer", doc: Doc) -> ScoredSpans:
    copy = doc.copy()
    return pipe.find([copy], pipe.predict([copy]))[0]


def _neighbors(pipe: "BtlKnnNer", keys: Floats2d) -> list[list[Neighbor]]:
    """Return the neighbors of each key (n_keys, width), the nearest first."""
    store = pipe.neighbors.datastore
    assert store is not None
    distances, nearest = pipe.neighbors.kneighbors(keys)
    shares = pipe.neighbors.weigh(distances)
    result = []
    for row in zip(nearest.tolist(), distances.tolist(), shares.tolist(), strict=True):
        votes = []
        for key, distance, share in zip(*row, strict=True):
            source = store.source(key)
            votes.append(Neighbor(source.label, distance, source.document, source.offset, share))
        result.append(votes)
    return result


def _votes_on(label: str, neighbors: Sequence[Neighbor]) -> tuple[Neighbor, ...]:
    """Return the neighbors that vote on a type, with their shares of this vote."""
    votes = [_in_layer(neighbor, label) for neighbor in neighbors]
    voting = [vote for vote in votes if not vote.label.startswith(ABSTAINS)]
    if len(voting) == len(votes):
        return tuple(votes)
    total = sum(vote.share for vote in voting) or 1.0
    return tuple(vote._replace(share=vote.share / total) for vote in voting)


def _in_layer(neighbor: Neighbor, label: str) -> Neighbor:
    """Return a neighbor with its label in the layer of this type, or the first that it has."""
    labels: Sequence[str] = neighbor.label.split(ROW_SEPARATOR)
    own = [each for each in labels if each[2:] == label]
    return neighbor._replace(label=(own or labels)[0])
