"""Ask a component why it labelled an entity: the neighbours of each of its tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from spacy.tokens import Doc

from ..explain.evidence import EntityEvidence, Neighbor, TokenEvidence
from ..labels.layers import ROW_SEPARATOR
from .entities import ScoredSpans, read_scores

if TYPE_CHECKING:
    from .component import BtlKnnNer


def explain(pipe: "BtlKnnNer", doc: Doc) -> list[EntityEvidence]:
    """The entities of the component in a document, each with the neighbours of its tokens.

    They are those under ``doc.spans[scores_key]``; a document that the component has not read yet
    is read as a copy and stays as it is. Raises ValueError where the component has no neighbours,
    or those of other weights.
    """
    if not pipe.has_neighbors:
        raise ValueError(
            f'"{pipe.name}" has no neighbours to explain its entities by; fit them with '
            "python -m spacy btl fit-knn MODEL TRAIN OUT"
        )
    pipe.check_neighbors()
    found = read_scores(doc.spans.get(pipe.scores_key)) if pipe.scores_key else None
    found = _read_anew(pipe, doc) if found is None else found
    if not found.spans:
        return []
    tokens = sorted({token.i for span in found.spans for token in span})
    _, keys = pipe.token_vectors([doc])
    neighbors = dict(zip(tokens, _neighbors(pipe, keys[tokens]), strict=True))
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
                    tuple(_seen_from(n, span.label_) for n in neighbors[token.i]),
                )
                for token in span
            ),
            1.0 if span.label_ in pipe.state.added_labels else pipe.neighbor_weight,
        )
        for span, score, calibrated in zip(*found, strict=True)
    ]


def _read_anew(pipe: "BtlKnnNer", doc: Doc) -> ScoredSpans:
    copy = doc.copy()
    return pipe.find([copy], pipe.predict([copy]))[0]


def _neighbors(pipe: "BtlKnnNer", keys: np.ndarray) -> list[list[Neighbor]]:
    """The neighbours of each key, nearest first."""
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


def _seen_from(neighbor: Neighbor, kind: str) -> Neighbor:
    """Of a neighbour in several layers, its label in that of this type, else the first."""
    labels: Sequence[str] = neighbor.label.split(ROW_SEPARATOR)
    own = [label for label in labels if label[2:] == kind]
    return neighbor._replace(label=(own or labels)[0])
