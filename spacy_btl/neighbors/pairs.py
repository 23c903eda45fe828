"""The nearest keys among chosen pairs of queries and keys, by exact distances."""

from typing import NamedTuple

import numpy as np

from ..util.arrays import Float32s1d, Float32s2d, Float64s1d, Floats1d, Ints1d
from .index import slack, squared_lengths

PAIRS = 8192
"""Pairs in a chunk: so many differences of vectors are held at once. It affects time and memory,
never the result (`benchmarks/neighbor_search.py --constants`)."""


class Nearest(NamedTuple):
    """The nearest keys of all queries, query after query, each from its nearest key on.

    Attributes:
        distances: (n_found,).
        indices: (n_found,), of keys.
        counts: (n_queries,), how many each query has, at most k.
    """

    distances: Float32s1d
    indices: Ints1d
    counts: Ints1d


class NearestPairs:
    """The k nearest keys of each query, from pairs that come in portions, in bounded memory.

    Distances are those of the float32 vectors, computed in float64. On a tie the lowest index of a
    key goes first.

    Args:
        queries: (n_queries, width).
        keys: (n_keys, width).
        k: Keys of each query to keep.
        bounds: (n_queries,), squared distances that the k-th neighbors do not exceed; farther pairs
            are dropped.
        most: Pairs that wait at most, before they are compared.
    """

    def __init__(
        self, queries: Float32s2d, keys: Float32s2d, k: int, bounds: Floats1d, most: int = 2**20
    ) -> None:
        self.queries, self.keys, self.k, self.most = queries, keys, k, most
        self.slack = slack(queries.shape[1])
        self.bounds = bounds.astype(np.float64)
        self._waiting: list[tuple[Ints1d, Ints1d, Floats1d]] = []
        self._n_waiting = 0
        self._rows = np.zeros(0, dtype=np.int64)
        self._indices = np.zeros(0, dtype=np.int64)
        self._squares = np.zeros(0)

    def add(self, rows: Ints1d, indices: Ints1d, lower: Floats1d) -> None:
        """Take pairs; none may come twice.

        Args:
            rows: (n,), of queries.
            indices: (n,), of keys.
            lower: (n,), lower bounds of the squared distances.
        """
        self._waiting.append((rows, indices, lower))
        self._n_waiting += len(rows)
        if self._n_waiting > self.most:
            self._rank()

    def nearest(self) -> Nearest:
        """Return the nearest keys among all pairs taken so far."""
        self._rank()
        counts = np.bincount(self._rows, minlength=len(self.queries))
        return Nearest(np.sqrt(self._squares).astype(np.float32), self._indices, counts)

    def _rank(self) -> None:
        """Merge the waiting pairs into the nearest found so far."""
        if not self._waiting:
            return
        rows, indices, lower = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        self._waiting, self._n_waiting = [], 0
        # One sort by query and lower bound: the bound as a fraction beside the whole row.
        with np.errstate(divide="ignore", invalid="ignore"):  # bounds of 0 or infinity
            fractions = np.nan_to_num(lower / self.bounds[rows], nan=0.0).clip(0, 0.999)
        order = np.argsort(rows + fractions)
        rows, indices, lower = rows[order], indices[order], lower[order]
        rank = _rank_in_row(rows, len(self.queries))
        # The most promising pairs first: they tighten the bounds, which spares most of the others.
        head = np.flatnonzero(rank < 2 * self.k)
        head_squares = self._approximate(rows[head], indices[head])
        first = np.full((len(self.queries), max(2 * self.k, 1)), np.inf, dtype=np.float32)
        first[rows[head], rank[head]] = head_squares
        first.partition(self.k - 1, axis=1)
        np.fmin(self.bounds, first[:, self.k - 1] * (1 + self.slack), out=self.bounds)
        tail = np.flatnonzero((rank >= 2 * self.k) & ~(lower > self.bounds[rows]))
        pairs = np.concatenate([head, tail])
        squares = np.concatenate([head_squares, self._approximate(rows[tail], indices[tail])])
        close = pairs[~(squares > self.bounds[rows[pairs]] * (1 + self.slack))]
        # Exact distances, merged with those found before.
        parts = (
            (self._rows, rows[close]),
            (self._indices, indices[close]),
            (self._squares, self._exact(rows[close], indices[close])),
        )
        rows, indices, exact = (np.concatenate(part) for part in parts)
        order = np.lexsort((indices, exact, rows))
        order = order[_rank_in_row(rows[order], len(self.queries)) < self.k]
        self._rows, self._indices, self._squares = rows[order], indices[order], exact[order]

    def _approximate(self, rows: Ints1d, indices: Ints1d) -> Float32s1d:
        """Return squared distances of pairs, computed in float32."""
        squares = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), PAIRS):
            chunk = slice(start, start + PAIRS)
            offsets = self.keys.take(indices[chunk], axis=0)
            offsets -= self.queries.take(rows[chunk], axis=0)
            squares[chunk] = squared_lengths(offsets)
        return squares

    def _exact(self, rows: Ints1d, indices: Ints1d) -> Float64s1d:
        """Return squared distances of pairs, computed in float64."""
        squares = np.empty(len(rows))
        for start in range(0, len(rows), PAIRS):
            chunk = slice(start, start + PAIRS)
            offsets = self.keys.take(indices[chunk], axis=0).astype(np.float64)
            offsets -= self.queries.take(rows[chunk], axis=0)
            squares[chunk] = squared_lengths(offsets)
        return squares


def _rank_in_row(rows: Ints1d, n_rows: int) -> Ints1d:
    """Return the place of each pair among those of its row; rows (n_pairs,) ascending."""
    counts = np.bincount(rows, minlength=n_rows)
    rank: Ints1d = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
