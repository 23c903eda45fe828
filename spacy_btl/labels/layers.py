"""Nested entities: a BIO layer for each entity type, so that entities of unlike types may overlap.

Pure arrays. A layer label is 0 for ``O``, 1 for the first token of an entity, 2 for a further one
and `MISSING` where nothing is known; the labels of a document have shape (n_tokens, n_types).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .bio import MISSING, OUTSIDE, Span, span_bounds
from .viterbi import log_probabilities, make_well_formed, most_probable_labels

Floats3d = npt.NDArray[np.floating]
Ints2d = npt.NDArray[np.int64]

BEGIN, INSIDE = 1, 2

ROW_SEPARATOR = " + "
"""Between the labels of a token that is in several entities, in the name of its label row."""


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
    n_tokens, n_types, n_labels = probabilities.shape
    paths = np.full((n_tokens, n_types), OUTSIDE, dtype=np.int64)
    # Where O has at least half of every token's probability, no other path can beat O throughout.
    busy = np.flatnonzero((probabilities[:, :, 0] < 0.5).any(axis=0))
    # The layers one after the other, like documents with one type.
    layers = probabilities[:, busy].transpose(1, 0, 2).reshape(-1, n_labels)
    labels = most_probable_labels(layers)
    make_well_formed(
        labels, np.arange(len(busy)) * n_tokens, lambda tokens: log_probabilities(layers[tokens])
    )
    paths[:, busy] = labels.reshape(len(busy), n_tokens).T
    return paths


def layers_to_spans(layers: Ints2d) -> list[Span]:
    """Entities of all layers, by start, then by end, longest first."""
    n_tokens = len(layers)
    busy = np.flatnonzero((layers > OUTSIDE).any(axis=0))
    # The layers one after the other, each with the columns of its own type.
    labels = layers[:, busy]
    columns = np.where(labels > OUTSIDE, labels + 2 * busy, OUTSIDE)
    starts, ends, kinds = span_bounds(columns.T.reshape(-1))
    firsts = starts // n_tokens * n_tokens
    starts, ends = starts - firsts, ends - firsts
    order = np.lexsort((kinds, -ends, starts))
    return list(zip(*(array[order].tolist() for array in (starts, ends, kinds)), strict=True))


def distinct_rows(
    layers: Ints2d, known: Ints2d | None = None
) -> tuple[Ints2d, npt.NDArray[np.int64]]:
    """The distinct label rows (n_rows, n_types) and the row of each token (n_tokens,).

    known: rows that come first whether they occur or not; they may lack types at their end. Rows
    with a `MISSING` label get the index -1 and are none of the distinct ones.
    """
    n_types = layers.shape[1]
    before = np.zeros((0, n_types), dtype=np.int64)
    if known is not None and known.size:
        before = np.pad(known, ((0, 0), (0, n_types - known.shape[1])))
    is_known = (layers != MISSING).all(axis=1)
    rows, inverse = np.unique(layers[is_known], axis=0, return_inverse=True)
    index = {tuple(row): i for i, row in enumerate(before.tolist())}
    places = np.array([index.setdefault(tuple(row), len(index)) for row in rows.tolist()], int)
    indices = np.full(len(layers), -1, dtype=np.int64)
    indices[is_known] = places[inverse.reshape(-1)]
    return np.array(list(index), dtype=np.int64).reshape(len(index), n_types), indices


def row_names(rows: Ints2d, types: Sequence[str]) -> list[str]:
    """Name of each label row, as in "B-History + I-Disease_disorder"; "O" outside of all."""
    return [
        ROW_SEPARATOR.join(f"{'BI'[row[k] - 1]}-{types[k]}" for k in np.flatnonzero(row).tolist())
        or "O"
        for row in rows
    ]


def row_votes_to_layers(votes: npt.NDArray[np.floating], rows: Ints2d) -> Floats3d:
    """Votes for label rows (n_tokens, n_rows) to layer probabilities (n_tokens, n_types, 3)."""
    return np.stack([votes @ (rows == label).astype(votes.dtype) for label in range(3)], axis=2)
