"""The BIO label scheme: columns of the logits, and the spans in a sequence of columns.

Column 0 is ``O``. The entity type with index ``k`` has column ``1 + 2k`` (``B-``, the first token
of an entity) and column ``2 + 2k`` (``I-``, its further tokens), so that a head over ``K`` types
has ``1 + 2K`` columns. A token without a gold label has the label `MISSING`.

The logits of several models with the same columns can be averaged (`average_logits`). The kind of
average depends on how a loss reads them as probabilities:

- "softmax": one softmax over all columns. The logs of the mean probabilities are logits again.
- "layers": for each entity type, a softmax over ``O`` and its two columns. Within each type the
  mean probabilities have logits again, and ``O`` is 0 in all of them.
- "pairs": as "layers", but a token has one label. ``O`` gets what the types leave, and where these
  have more than 1 together, all are divided by their sum.
- "scores": the logits are scores of label sequences (a CRF, one or one for each type). Their mean,
  with the mean of the transitions, gives each sequence the geometric mean of its probabilities, up
  to a factor.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..util.arrays import Ints1d, XpArray
from ..util.checks import one_of

OUTSIDE = 0
"""Label of a token outside of all entities, and the column of ``O``."""

MISSING = -1
"""Label of a token whose gold label is not known."""

LabelSpan: TypeAlias = tuple[int, int, int]
"""Start token, end token (exclusive), index of the entity type."""

Averaging: TypeAlias = Literal["softmax", "pairs", "layers", "scores"]
"""How logits are read, and so averaged."""

AVERAGINGS: tuple[str, ...] = get_args(Averaging)


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


def average_logits(logits: XpArray, averaging: Averaging) -> XpArray:
    """Return logits (n_tokens, n_columns) that are read as the mean of the probabilities.

    Args:
        logits: (n_models, n_tokens, n_columns), of numpy or of cupy.
        averaging: How the loss reads logits.

    Raises:
        ValueError: If there is no model, or no such way.
    """
    one_of("averaging", averaging, AVERAGINGS)
    if not len(logits):
        raise ValueError("there are no logits to average")
    if averaging == "scores":
        return logits.mean(axis=0)
    if averaging == "softmax":
        shifted = logits - logits.max(axis=2, keepdims=True)
        return _log_mean(shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True)))
    begin, inside = logits[..., 1::2] - logits[..., :1], logits[..., 2::2] - logits[..., :1]
    top = np.maximum(np.maximum(begin, inside), 0.0)
    log_total = top + np.log(np.exp(-top) + np.exp(begin - top) + np.exp(inside - top))
    log_begin, log_inside, log_outside = begin - log_total, inside - log_total, -log_total
    if averaging == "pairs":
        own = np.exp(log_begin) + np.exp(log_inside)
        total = own.sum(axis=2, keepdims=True)
        log_divisor = np.log(np.maximum(total, 1.0))
        log_begin, log_inside = log_begin - log_divisor, log_inside - log_divisor
        # 1 minus the share of the type: what O has or, beside too much of them, other types.
        log_others = np.log(np.maximum(total - own, np.finfo(own.dtype).tiny)) - log_divisor
        log_outside = np.where(total > 1.0, log_others, log_outside)
    average = np.zeros_like(logits[0])
    average[:, 1::2] = _log_mean(log_begin) - _log_mean(log_outside)
    average[:, 2::2] = _log_mean(log_inside) - _log_mean(log_outside)
    return average


def _log_mean(logs: XpArray) -> XpArray:
    """Return the logs of the means over the first axis, without an overflow."""
    top = logs.max(axis=0)
    return top + np.log(np.exp(logs - top).mean(axis=0))
