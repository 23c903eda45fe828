"""Nested entities: a BIO layer for each entity type, so that entities of unlike types may overlap.

Pure arrays. A layer label is 0 for ``O``, 1 for the first token of an entity, 2 for a further one
and `MISSING` where nothing is known; the labels of a document have shape (n_tokens, n_types).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .decoding import best_paths
from .labels import MISSING, Span, labels_to_spans

Floats3d = npt.NDArray[np.floating]
Ints2d = npt.NDArray[np.int64]

BEGIN, INSIDE = 1, 2


def spans_to_layers(
    spans: Sequence[Span], n_tokens: int, n_types: int
) -> tuple[Ints2d, list[Span]]:
    """Layer labels of spans that may overlap, and the spans for which their layer had no room.

    Two entities of one type that share a token do not fit one layer: the longer one stays (of equal
    ones the first given).
    """
    layers = np.zeros((n_tokens, n_types), dtype=np.int64)
    lost = []
    for span in sorted(spans, key=lambda span: span[0] - span[1]):
        start, end, kind = span
        if layers[start:end, kind].any():
            lost.append(span)
        else:
            layers[start:end, kind] = INSIDE
            layers[start, kind] = BEGIN
    return layers, lost


def best_layer_paths(probabilities: Floats3d) -> Ints2d:
    """Most probable well-formed layer labels of a document; shape (n_tokens, n_types).

    probabilities: (n_tokens, n_types, 3), of ``O``, begin and inside in each layer.
    """
    paths = np.zeros(probabilities.shape[:2], dtype=np.int64)
    # Where O has at least half of every token's probability, no other path can beat O throughout.
    busy = np.flatnonzero((probabilities[:, :, 0] < 0.5).any(axis=0))
    decoded = best_paths([probabilities[:, kind] for kind in busy])
    for kind, path in zip(busy, decoded, strict=True):
        paths[:, kind] = path
    return paths


def layers_to_spans(layers: Ints2d, probabilities: Floats3d) -> list[tuple[Span, float]]:
    """Entities of all layers with their scores, by start, then by end, longest first.

    A score is the mean over the tokens of the entity of the probability of their labels.
    """
    found = []
    for kind in np.flatnonzero((layers > 0).any(axis=0)).tolist():
        labels = layers[:, kind]
        chosen = np.take_along_axis(probabilities[:, kind], labels.clip(0)[:, None], axis=1)[:, 0]
        for start, end, _ in labels_to_spans(labels):
            found.append(((start, end, kind), float(chosen[start:end].mean())))
    return sorted(found, key=lambda item: (item[0][0], -item[0][1], item[0][2]))


def distinct_rows(layers: Ints2d) -> tuple[Ints2d, npt.NDArray[np.int64]]:
    """The distinct label rows (n_rows, n_types) and the row of each token (n_tokens,).

    Rows with a `MISSING` label get the index -1 and are none of the distinct ones.
    """
    known = (layers != MISSING).all(axis=1)
    rows, inverse = np.unique(layers[known], axis=0, return_inverse=True)
    indices = np.full(len(layers), -1, dtype=np.int64)
    indices[known] = inverse.reshape(-1)
    return rows, indices


def row_votes_to_layers(votes: npt.NDArray[np.floating], rows: Ints2d) -> Floats3d:
    """Votes for label rows (n_tokens, n_rows) to layer probabilities (n_tokens, n_types, 3)."""
    return np.stack([votes @ (rows == label).astype(votes.dtype) for label in range(3)], axis=2)
