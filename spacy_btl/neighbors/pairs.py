"""The nearest keys among chosen pairs of queries and keys, by exact distances."""

from typing import NamedTuple

import numpy as np

from ..util.arrays import Float32s1d, Float32s2d, Floats1d, Ints1d, Ints2d
from .index import slack, squared_lengths

PAIRS = 8192
"""Pairs in a chunk: so many differences of vectors are held at once, in the cache."""


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

    def of_each(self, k: int) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices (n_queries, k), where each query has k."""
        return self.distances.reshape(-1, k), self.indices.reshape(-1, k)


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

    Attributes:
        bounds: (n_queries,), the bounds, tightened by each comparison.
    """

    def __init__(
        self, queries: Float32s2d, keys: Float32s2d, k: int, bounds: Floats1d, most: int = 2**19
    ) -> None:
        self.queries, self.keys, self.k, self.most = queries, keys, k, most
        self.slack = slack(queries.shape[1])
        self.bounds = bounds.astype(np.float64)
        self._waiting: list[tuple[Ints1d, Ints1d]] = []
        self._n_waiting = 0
        self._rows = np.zeros(0, dtype=np.int64)
        self._indices = np.zeros(0, dtype=np.int64)
        self._squares: Floats1d = np.zeros(0)

    def add(self, rows: Ints1d, indices: Ints1d) -> None:
        """Take pairs; none may come twice.

        Args:
            rows: (n,), of queries.
            indices: (n,), of keys.
        """
        self._waiting.append((rows, indices))
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
        rows, indices = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        self._waiting, self._n_waiting = [], 0
        # numpy sorts 16-bit integers in linear time.
        small = np.uint16 if len(self.queries) <= 2**16 else np.int64
        order = np.argsort(rows.astype(small), kind="stable")
        rows, indices = rows[order], indices[order]
        squares = self._squared_distances(rows, indices, np.float32)
        # Any k pairs of a query bound its k-th neighbor.
        rank = _rank_in_row(rows, len(self.queries))
        n_columns = min(max(int(rank.max(initial=0)) + 1, self.k), 8 * self.k)
        some = np.full((len(self.queries), n_columns), np.inf, dtype=np.float32)
        is_early = rank < n_columns
        some[rows[is_early], rank[is_early]] = squares[is_early]
        some.partition(self.k - 1, axis=1)
        np.fmin(self.bounds, some[:, self.k - 1] * (1 + self.slack), out=self.bounds)
        is_close = ~(squares > self.bounds[rows] * (1 + self.slack))
        rows, indices = rows[is_close], indices[is_close]
        # Exact distances, merged with those found before.
        rows = np.concatenate([self._rows, rows])
        exact = self._squared_distances(rows[len(self._rows) :], indices, np.float64)
        indices = np.concatenate([self._indices, indices])
        exact = np.concatenate([self._squares, exact])
        order = np.lexsort((indices, exact, rows))
        order = order[_rank_in_row(rows[order], len(self.queries)) < self.k]
        self._rows, self._indices, self._squares = rows[order], indices[order], exact[order]

    def _squared_distances(
        self, rows: Ints1d, indices: Ints1d, precision: type[np.floating]
    ) -> Floats1d:
        """Return squared distances of pairs, computed in this precision."""
        squares = np.empty(len(rows), dtype=precision)
        for start in range(0, len(rows), PAIRS):
            chunk = slice(start, start + PAIRS)
            offsets = self.keys.take(indices[chunk], axis=0).astype(precision, copy=False)
            offsets -= self.queries.take(rows[chunk], axis=0)
            squares[chunk] = squared_lengths(offsets)
        return squares


def _rank_in_row(rows: Ints1d, n_rows: int) -> Ints1d:
    """Return the place of each pair among those of its row; rows (n_pairs,) ascending."""
    counts = np.bincount(rows, minlength=n_rows)
    rank: Ints1d = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
