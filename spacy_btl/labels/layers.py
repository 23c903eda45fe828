"""Overlapping entities as labels: a BIO layer for each entity type.

Entities of different types may overlap. A layer label is 0 for ``O``, 1 for the first token of an
entity, 2 for a further one and `MISSING` where nothing is known; the labels of a document have
shape (n_tokens, n_types). Arrays only.
"""

from collections.abc import Sequence

import numpy as np

from ..util.arrays import Floats2d, Floats3d, Ints1d, Ints2d
from .bio import MISSING, OUTSIDE, LabelSpan, span_bounds
from .open_votes import SEPARATOR, open_name
from .viterbi import log_probabilities, make_well_formed, most_probable_labels

BEGIN, INSIDE = 1, 2

OPEN = 3
"""In a label row: the document of the token does not annotate this type, so that the token abstains
from it."""

ROW_SEPARATOR = SEPARATOR
"""Between the labels of a token that is in several entities, in the name of its label row."""


def spans_to_layers(
    spans: Sequence[LabelSpan], n_tokens: int, n_types: int
) -> tuple[Ints2d, list[LabelSpan]]:
    """Return layer labels (n_tokens, n_types), and the spans for which there was no room.

    Two entities of one type that share a token do not fit into one layer: the longer one stays (of
    equal ones the first).

    Args:
        spans: They may overlap.
        n_tokens: Number of tokens of the document.
        n_types: Number of entity types.
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
    """Return the most probable well-formed layer labels of a document (n_tokens, n_types).

    Args:
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


def layers_to_spans(layers: Ints2d) -> list[LabelSpan]:
    """Return the entities in layer labels (n_tokens, n_types), by start, then longest first."""
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


def distinct_rows(layers: Ints2d, known: Ints2d | None = None) -> tuple[Ints2d, Ints1d]:
    """Return the distinct label rows (n_rows, n_types), and the row of each token (n_tokens,).

    Args:
        layers: Layer labels (n_tokens, n_types). A row with a `MISSING` label is not among the
            distinct ones, and its tokens get the index -1.
        known: (n_known, n_known_types) rows that come first, in this order, whether they occur or
            not. The last types may be missing: a row with an `OPEN` label is open there, others are
            ``O``.
    """
    n_types = layers.shape[1]
    before = np.zeros((0, n_types), dtype=np.int64)
    if known is not None and known.size:
        before = np.pad(known, ((0, 0), (0, n_types - known.shape[1])))
        before[(known == OPEN).any(axis=1), known.shape[1] :] = OPEN
    is_known = (layers != MISSING).all(axis=1)
    rows, inverse = np.unique(layers[is_known], axis=0, return_inverse=True)
    index = {tuple(row): i for i, row in enumerate(before.tolist())}
    places = np.array([index.setdefault(tuple(row), len(index)) for row in rows.tolist()], int)
    indices = np.full(len(layers), -1, dtype=np.int64)
    indices[is_known] = places[inverse.reshape(-1)]
    return np.array(list(index), dtype=np.int64).reshape(len(index), n_types), indices


def row_names(rows: Ints2d, types: Sequence[str]) -> list[str]:
    """Return the names of label rows (n_rows, n_types), such as "B-History + I-Disease" or "O".

    Types that a row is open for come last, as in "B-History + ?-Age".
    """
    names = []
    for row in rows:
        own = np.flatnonzero((row == BEGIN) | (row == INSIDE)).tolist()
        name = ROW_SEPARATOR.join(f"{'BI'[row[k] - 1]}-{types[k]}" for k in own) or "O"
        names.append(open_name(name, types, row == OPEN))
    return names


def row_votes_to_layers(votes: Floats2d, rows: Ints2d) -> Floats3d:
    """Return layer probabilities (n_tokens, n_types, 3).

    Each layer counts the votes of those rows that are not open there; without any, it is ``O``.

    Args:
        votes: (n_tokens, n_rows) votes for label rows.
        rows: (n_rows, n_types)
    """
    layers = np.stack([votes @ (rows == label).astype(votes.dtype) for label in range(3)], axis=2)
    if (rows == OPEN).any():
        at = np.nonzero(votes @ (rows == OPEN).astype(votes.dtype))
        total = layers[at].sum(axis=1, keepdims=True)
        layers[at] = np.where(total > 0, layers[at] / np.where(total > 0, total, 1), [1, 0, 0])
    return layers
