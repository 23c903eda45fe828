"""Votes of tokens whose documents do not annotate all types.

A token in no entity of such a document votes ``O`` for the types that are annotated there, and
abstains from all others: its label is *open*. It is named after the types that it abstains from, as
in "O + ?-Age + ?-Sex". The share of a type is counted among the votes of those that do not abstain
from it, as in the copies of Binary Token Labels. Arrays only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..util.arrays import Bools2d, Floats2d, Ints1d
from .bio import MISSING, OUTSIDE, column_names, n_columns

SEPARATOR = " + "
"""Between the parts of a label's name."""

ABSTAINS = "?-"
"""Before a type in the name of a label that abstains from it."""


class VoteLabels(NamedTuple):
    """The labels that tokens vote for, where some of them are open.

    Attributes:
        columns: (n_labels,) the column of each label (see `labels.bio`), `OUTSIDE` for open ones.
        annotated: (n_labels, n_types) bool: False where a label abstains from a type.
    """

    columns: Ints1d
    annotated: Bools2d

    @property
    def is_open(self) -> bool:
        """True if any label is open."""
        return not bool(self.annotated.all())

    def with_types(self, n_types: int) -> "VoteLabels":
        """Return the labels for further types: open ones abstain from these."""
        further = n_types - self.annotated.shape[1]
        if further <= 0:
            return self
        knows_all = self.annotated.all(axis=1, keepdims=True)
        return VoteLabels(
            self.columns, np.hstack((self.annotated, np.repeat(knows_all, further, axis=1)))
        )

    def names(self, types: Sequence[str]) -> list[str]:
        """Return the names of the labels."""
        of_columns = column_names(types)
        return [
            open_name(of_columns[column], types, ~row)
            for column, row in zip(self.columns, self.annotated, strict=True)
        ]


def plain_labels(n_types: int) -> VoteLabels:
    """Return the labels where all types are annotated: one for each column."""
    columns = n_columns(n_types)
    return VoteLabels(np.arange(columns), np.ones((columns, n_types), dtype=bool))


def open_name(name: str, types: Sequence[str], abstains: Sequence[bool] | Bools2d) -> str:
    """Return the name of a label, with the types that it abstains from.

    >>> open_name("O", ["Age", "Drug", "Sex"], [True, False, True])
    'O + ?-Age + ?-Sex'
    """
    without = [ABSTAINS + kind for kind, abstain in zip(types, abstains, strict=True) if abstain]
    return SEPARATOR.join([name, *without])


def is_outside(name: str) -> bool:
    """Return whether a label's name is that of tokens in no entity."""
    return name.split(SEPARATOR)[0] == "O"


def label_tokens(gold: Ints1d, annotated: Bools2d, known: VoteLabels) -> tuple[VoteLabels, Ints1d]:
    """Return all labels, and the label (n_tokens,) that each token votes for.

    Args:
        gold: (n_tokens,) columns; `MISSING` stays as it is.
        annotated: (n_tokens, n_types) bool, the types that the token's document annotates. An
            entity is one of its type and of no other, whatever else is annotated.
        known: Labels that keep their number.
    """
    n_types = annotated.shape[1]
    known = known.with_types(n_types)
    index = {key: i for i, key in enumerate(_keys(known))}
    plain = [index.setdefault(key, len(index)) for key in _keys(plain_labels(n_types))]
    labels = np.where(gold == MISSING, MISSING, np.array(plain)[gold])
    is_open = (gold == OUTSIDE) & ~annotated.all(axis=1)
    # Rows as strings of bits, which are sorted faster than rows of numbers.
    bits = np.packbits(annotated[is_open], axis=1)
    rows = np.ascontiguousarray(bits).view(f"V{bits.shape[1]}").reshape(-1)
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    distinct = VoteLabels(np.zeros(len(first), dtype=np.int64), annotated[is_open][first])
    places = [index.setdefault(key, len(index)) for key in _keys(distinct)]
    labels[is_open] = np.array(places, dtype=np.int64)[inverse.reshape(-1)]
    every = np.array([[column, *row] for column, row in index], dtype=np.int64)
    return VoteLabels(every[:, 0], every[:, 1:].astype(bool)), labels


def _keys(labels: VoteLabels) -> list[tuple[int, tuple[bool, ...]]]:
    """Return column and annotated types of each label."""
    return [
        (column, tuple(row))
        for column, row in zip(labels.columns.tolist(), labels.annotated.tolist(), strict=True)
    ]


def votes_to_columns(votes: Floats2d, labels: VoteLabels, n_types: int) -> Floats2d:
    """Return the shares of the columns (n_tokens, n_columns) in votes for labels.

    A column gets its share among the votes that do not abstain from its type, and ``O`` gets the
    rest; where the types have more than 1 together, they are divided by their sum. A token without
    any open vote keeps its shares.

    Args:
        votes: (n_tokens, n_labels)
        labels: The labels.
        n_types: Number of types, at least those of the labels.
    """
    labels = labels.with_types(n_types)
    to_columns = np.equal.outer(labels.columns, np.arange(n_columns(n_types)))
    shares: Floats2d = votes @ to_columns.astype(votes.dtype)
    is_open = ~labels.annotated.all(axis=1)
    rows = np.flatnonzero(votes[:, is_open].any(axis=1))
    knowing = votes[rows] @ labels.annotated.astype(votes.dtype)
    own = shares[rows, 1:] / np.repeat(np.where(knowing > 0, knowing, 1), 2, axis=1)
    total = own.sum(axis=1, keepdims=True)
    shares[rows, 1:] = own / np.maximum(total, 1)
    shares[rows, 0] = np.maximum(1 - total[:, 0], 0)
    return shares
