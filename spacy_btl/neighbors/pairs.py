"""The nearest keys among chosen pairs of queries and keys, by exact distances."""

import numpy as np
import numpy.typing as npt

from .index import Float32s1d, Float32s2d, Floats1d, Ints1d, slack, squares

PAIRS = 8192
"""Pairs in a chunk: so many differences of vectors are held at once."""


class NearestPairs:
    """The k nearest keys of each query, from pairs that come in portions, in bounded memory.

    bounds: (n_queries,) squared distances that the k-th neighbours do not exceed; farther pairs are
    dropped. Distances are those of the float32 vectors, computed in float64; on a tie the lowest
    index of a key goes first.
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
        """Take pairs of a query (its row) and a key (its index); no pair may come twice.

        lower: (n,), lower bound of each squared distance.
        """
        self._waiting.append((rows, indices, lower))
        self._n_waiting += len(rows)
        if self._n_waiting > self.most:
            self._rank()

    def found(self) -> tuple[npt.NDArray[np.float32], Ints1d, Ints1d]:
        """Distances and keys, both (n_found,), and how many each query has, (n_queries,).

        Query after query, each from its nearest key on, at most k of a query.
        """
        self._rank()
        counts = np.bincount(self._rows, minlength=len(self.queries))
        return np.sqrt(self._squares).astype(np.float32), self._indices, counts

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
        rough = self._rough(rows[head], indices[head])
        first = np.full((len(self.queries), max(2 * self.k, 1)), np.inf, dtype=np.float32)
        first[rows[head], rank[head]] = rough
        first.partition(self.k - 1, axis=1)
        np.fmin(self.bounds, first[:, self.k - 1] * (1 + self.slack), out=self.bounds)
        tail = np.flatnonzero((rank >= 2 * self.k) & ~(lower > self.bounds[rows]))
        chosen = np.concatenate([head, tail])
        rough = np.concatenate([rough, self._rough(rows[tail], indices[tail])])
        near = chosen[~(rough > self.bounds[rows[chosen]] * (1 + self.slack))]
        parts = (
            (self._rows, rows[near]),
            (self._indices, indices[near]),
            (self._squares, self._exact(rows[near], indices[near])),
        )
        rows, indices, exact = (np.concatenate(part) for part in parts)
        order = np.lexsort((indices, exact, rows))
        order = order[_rank_in_row(rows[order], len(self.queries)) < self.k]
        self._rows, self._indices, self._squares = rows[order], indices[order], exact[order]

    def _rough(self, rows: Ints1d, indices: Ints1d) -> Float32s1d:
        """Squared distances of pairs in float32."""
        distances = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), PAIRS):
            some = slice(start, start + PAIRS)
            offsets = self.keys.take(indices[some], axis=0)
            offsets -= self.queries.take(rows[some], axis=0)
            distances[some] = squares(offsets)
        return distances

    def _exact(self, rows: Ints1d, indices: Ints1d) -> Floats1d:
        """Squared distances of pairs in float64."""
        distances = np.empty(len(rows))
        for start in range(0, len(rows), PAIRS):
            some = slice(start, start + PAIRS)
            offsets = self.keys.take(indices[some], axis=0).astype(np.float64)
            offsets -= self.queries.take(rows[some], axis=0)
            distances[some] = squares(offsets)
        return distances


def _rank_in_row(rows: Ints1d, n_rows: int) -> Ints1d:
    """Place of each pair among those of its row; rows (n_pairs,) ascending."""
    counts = np.bincount(rows, minlength=n_rows)
    rank: Ints1d = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
