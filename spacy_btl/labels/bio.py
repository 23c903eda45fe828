"""The BIO label scheme: columns of the logits, and spans to labels and back.

Column 0 is ``O``. The entity type with index ``k`` owns column ``1 + 2k`` (``B-``, the first token
of an entity) and column ``2 + 2k`` (``I-``, its further tokens), so a head over ``K`` types has
``1 + 2K`` columns. A token without a gold label carries ``MISSING``.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

OUTSIDE = 0
MISSING = -1

Ints1d = npt.NDArray[np.int64]
Span = tuple[int, int, int]
"""Start token, end token (exclusive), index of the entity type."""


def n_columns(n_types: int) -> int:
    """Number of columns that a head over ``n_types`` entity types has."""
    return 1 + 2 * n_types


def column_names(types: Sequence[str]) -> list[str]:
    """Names of the columns, in order: ``O``, ``B-<first type>``, ``I-<first type>``, ..."""
    return ["O"] + [f"{prefix}-{name}" for name in types for prefix in "BI"]


def column_types(columns: int) -> Ints1d:
    """Index of the entity type that owns each column, -1 for ``O``; shape (columns,).

    Raises ValueError where ``columns`` is no number of columns of this scheme.
    """
    if columns < 1 or columns % 2 == 0:
        raise ValueError(f"a BIO head has 1 + 2 * n_types columns, not {columns}")
    return (np.arange(columns) + 1) // 2 - 1


def spans_to_labels(spans: Iterable[Span], n_tokens: int) -> Ints1d:
    """Columns of non-overlapping spans; shape (n_tokens,).

    Raises ValueError where two spans overlap, a span lies outside of the tokens or a type is
    negative.
    """
    labels = np.full(n_tokens, OUTSIDE, dtype=np.int64)
    for start, end, kind in spans:
        if not 0 <= start < end <= n_tokens:
            raise ValueError(f"span ({start}, {end}) does not fit {n_tokens} tokens")
        if kind < 0:
            raise ValueError(f"span ({start}, {end}) has the type {kind}")
        if (labels[start:end] != OUTSIDE).any():
            raise ValueError(f"span ({start}, {end}) overlaps another span")
        labels[start:end] = 2 + 2 * kind
        labels[start] = 1 + 2 * kind
    return labels


def labels_to_spans(labels: npt.ArrayLike) -> list[Span]:
    """Spans of any sequence of columns, well-formed or not.

    An ``I-`` that continues nothing of its type starts an entity of its own, so that an odd label
    never costs more than itself. ``MISSING`` counts as ``O``.
    """
    starts, ends, kinds = span_bounds(np.asarray(labels, dtype=np.int64))
    return list(zip(starts.tolist(), ends.tolist(), kinds.tolist(), strict=True))


def span_bounds(labels: Ints1d) -> tuple[Ints1d, Ints1d, Ints1d]:
    """What `labels_to_spans` finds, as arrays: starts, ends (exclusive), indices of the types."""
    kinds = (labels + 1) // 2  # 0 for O and MISSING, types from 1 on
    before = np.concatenate(([0], kinds[:-1]))
    is_start = (kinds > 0) & ((labels % 2 == 1) | (kinds != before))
    # An entity ends where another starts or where O follows, and with the last token.
    is_end = np.append((before > 0) & (is_start | (kinds == 0)), kinds[-1:] > 0)
    starts = np.flatnonzero(is_start)
    return starts, np.flatnonzero(is_end), kinds[starts] - 1
