"""The BIO label scheme: columns of the logits, and the spans in a sequence of columns.

Column 0 is ``O``. The entity type with index ``k`` has column ``1 + 2k`` (``B-``, the first token
of an entity) and column ``2 + 2k`` (``I-``, its further tokens), so that a head over ``K`` types
has ``1 + 2K`` columns. A token without a gold label has the label `MISSING`.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..util.arrays import Ints1d

OUTSIDE = 0
"""Label of a token outside of all entities, and the column of ``O``."""

MISSING = -1
"""Label of a token whose gold label is not known."""

LabelSpan: TypeAlias = tuple[int, int, int]
"""Start token, end token (exclusive), index of the entity type."""


def n_columns(n_types: int) -> int:
    """Return the number of columns of a head over ``n_types`` entity types."""
    return 1 + 2 * n_types


def column_names(types: Sequence[str]) -> list[str]:
    """Return the names of the columns, in order: ``O``, ``B-<type>``, ``I-<type>``, ..."""
    return ["O"] + [f"{prefix}-{name}" for name in types for prefix in "BI"]


def column_types(columns: int) -> Ints1d:
    """Return the index of the entity type of each column, -1 for ``O``; shape (columns,).

    Raises:
        ValueError: If a BIO head cannot have this number of columns.
    """
    if columns < 1 or columns % 2 == 0:
        raise ValueError(f"a BIO head has 1 + 2 * n_types columns, not {columns}")
    return (np.arange(columns) + 1) // 2 - 1


def labels_to_spans(labels: npt.ArrayLike) -> list[LabelSpan]:
    """Return the spans in a sequence of columns (n_tokens,), well-formed or not.

    An ``I-`` that continues nothing of its type starts an entity of its own, so that an odd label
    never costs more than itself. `MISSING` counts as ``O``.
    """
    starts, ends, kinds = span_bounds(np.asarray(labels, dtype=np.int64))
    return list(zip(starts.tolist(), ends.tolist(), kinds.tolist(), strict=True))


def span_bounds(labels: Ints1d) -> tuple[Ints1d, Ints1d, Ints1d]:
    """Return the spans of `labels_to_spans` as arrays: starts, ends (exclusive), types."""
    kinds = (labels + 1) // 2  # 0 for O and MISSING, types from 1 on
    before = np.concatenate(([0], kinds[:-1]))
    is_start = (kinds > 0) & ((labels % 2 == 1) | (kinds != before))
    # An entity ends where another starts or where O follows, and with the last token.
    is_end = np.append((before > 0) & (is_start | (kinds == 0)), kinds[-1:] > 0)
    starts = np.flatnonzero(is_start)
    return starts, np.flatnonzero(is_end), kinds[starts] - 1
