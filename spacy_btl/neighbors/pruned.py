"""Exact search of the k nearest keys that computes few distances.

Pure numpy, written by hand because no library has an exact search that is fast for thousands of
queries in 80 dimensions: trees degenerate, and fast indexes are approximate.
`benchmarks/neighbor_search.py` compares it with scikit-learn's brute force.

The work is done in four steps, each for the queries that the previous one leaves open:

1. An anchor near to the query and the keys listed around it (`neighbors.lists`) bound the distance
   of the k-th neighbor from above. By the triangle inequality, every key that is not listed and has
   another label than the anchor lies at least ``reach - |q - anchor|`` away. If that and the
   nearest listed key of another label exceed the bound, all k neighbors have the anchor's label.
2. Blocks of keys (`neighbors.index`) that may contain a key within the bound, except those of the
   anchor's label: if no key of another label is found within it, the vote is unanimous, too.
3. All blocks that may contain a key within the bound.
4. Exact distances of what is left (`neighbors.pairs`).

`PrunedSearch.kneighbors` takes steps 1, 3 and 4 for every query. While there is no index, queries
are compared with every key, and only step 4 is the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..util.arrays import Bools1d, Bools2d, Float32s2d, Floats1d, Floats2d, Ints1d, Ints2d
from ..util.process import usable_threads
from .brute import BruteSearch, check_keys, check_queries, votes_of
from .index import (
    Index,
    assign,
    first_copies,
    one_blas_thread,
    run_all,
    slack,
    squared_lengths,
)
from .lists import Lists, list_keys, smallest
from .pairs import NearestPairs

# These constants affect time and memory, never the result.
# `benchmarks/neighbor_search.py --constants` measures each against a smaller and a larger value.
MOST_NEIGHBORS = 64
"""A larger k is left to `BruteSearch`."""
MOST_ANCHORS = 1024
"""The time to build the index grows with the keys times the anchors."""
LISTED = 128
"""Keys of the anchor's label, and again of others, in the list around an anchor."""
QUERIES = 4096
"""Queries that one thread takes at once, at most."""
PARALLEL = 2**28
"""Queries times keys from which on several threads search: for less, they wait for each other."""
FEW = 64
"""So many undecided votes are counted in one pass over the blocks instead of two."""
PRODUCTS = 2**16
"""Products of queries and keys that a step over blocks gives, if the queries are few."""
KEYS = 512
"""Keys of a step at least, if the queries are many."""
FIRST = 2_048
"""Comparing so many queries with every key takes about as long as building the index."""
AT_ONCE = 32
"""Queries that are compared with every key at once."""


class PrunedSearch:
    """Exact search in few of the keys, for keys that lie in clusters, as logits do.

    On a tie of distances, which are compared in float64, the lowest index of a key goes first.

    The index is not saved. In addition to the keys it takes memory for their
    leading coordinates (about half as much for logits) and for the lists around all anchors.

    Args:
        keys: (n_keys, width); kept as float32.
        labels: (n_keys,), indices below ``n_labels``.
        n_labels: Number of labels.
        n_anchors: Number of anchors of the index; by default twice the square root of the number of
            keys, and at most ``MOST_ANCHORS``.
        n_same: Keys of its label that are listed around each anchor; by default ``LISTED``.
        n_others: Keys of other labels that are listed around each anchor; by default ``LISTED``.
        n_threads: By default `usable_threads`, asked at each call, but at most 8.
        n_first: Queries that are compared with every key before the index is built, which a call
            that makes them more than so many does; 0 builds it now. The results are the same.

    Attributes:
        index: The index, once it is built.
        lists: Its lists of keys.

    Raises:
        ValueError: For keys and labels that `BruteSearch` refuses.
    """

    index: Index
    lists: Lists

    def __init__(
        self,
        keys: Floats2d,
        labels: Ints1d,
        n_labels: int,
        *,
        n_anchors: int | None = None,
        n_same: int | None = None,
        n_others: int | None = None,
        n_threads: int | None = None,
        n_first: int = 0,
    ) -> None:
        self.keys, self.labels = check_keys(keys, labels, n_labels)
        self.n_labels = n_labels
        self._n_anchors, self._n_threads = n_anchors, n_threads
        self._n_same = max(LISTED if n_same is None else n_same, MOST_NEIGHBORS)
        self._n_others = LISTED if n_others is None else n_others
        self._n_first, self._lengths = n_first, squared_lengths(self.keys)
        self._brute: BruteSearch | None = None
        self.has_index = False
        if not n_first:
            self._build()

    def _build(self) -> None:
        with one_blas_thread():
            kept = first_copies(self.keys, MOST_NEIGHBORS)
            n_anchors = self._n_anchors or min(MOST_ANCHORS, int(2 * len(kept) ** 0.5) + 1)
            self.index = Index(self.keys, self.labels, kept, n_anchors, self.n_threads)
            self.lists = list_keys(
                self.index, self.keys, self.labels, self._n_same, self._n_others, self.n_threads
            )
        self.has_index = True

    @property
    def n_threads(self) -> int:
        """Threads of a search in this process, which may be a fork of the one with the index."""
        return self._n_threads or min(8, usable_threads())

    def kneighbors(self, queries: Floats2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices of the nearest keys, as `KeySearch` describes."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if k > MOST_NEIGHBORS:
            return self._brute_search().kneighbors(queries, k)
        if self._is_first(len(queries)):
            return self._among_all(queries, k)
        distances = np.zeros((len(queries), k), dtype=np.float32)
        indices = np.zeros((len(queries), k), dtype=np.int64)

        def search(portion: _Queries, rows: Ints1d) -> None:
            self._bound(portion, k)
            needed = self.index.needed_blocks(portion.projected, portion.anchors, portion.bounds)
            distances[rows], indices[rows] = self._nearest(portion, needed, k)

        self._in_portions(queries, search)
        return distances, indices

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """Return the votes for each label, as `KeySearch` describes."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if k > MOST_NEIGHBORS:
            return self._brute_search().count_votes(queries, k)
        if self._is_first(len(queries)):
            return votes_of(self._among_all(queries, k)[1], self.labels, self.n_labels)
        votes = np.zeros((len(queries), self.n_labels), dtype=np.int64)

        def search(portion: _Queries, rows: Ints1d) -> None:
            votes[rows, self.lists.labels[portion.anchors]] = k
            is_unanimous, is_mixed = self._bound(portion, k)
            left = np.flatnonzero(~is_unanimous)
            portion, rows, is_mixed = portion[left], rows[left], is_mixed[left]
            needed = self.index.needed_blocks(portion.projected, portion.anchors, portion.bounds)
            if len(rows) > FEW:
                unclear = np.flatnonzero(~is_mixed)
                is_mixed[unclear] = self._has_others(portion[unclear], needed[unclear])
                mixed = np.flatnonzero(is_mixed)
                portion, rows, needed = portion[mixed], rows[mixed], needed[mixed]
            _, nearest = self._nearest(portion, needed, k)
            votes[rows] = votes_of(nearest, self.labels, self.n_labels)

        self._in_portions(queries, search)
        return votes

    def _is_first(self, n_queries: int) -> bool:
        """Return whether so many queries need no index yet; if they do, build it."""
        self._n_first -= n_queries
        if not self.has_index and self._n_first < 0:
            self._build()
        return not self.has_index

    def _among_all(self, queries: Float32s2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices of the k nearest of all keys, both (n, k)."""
        error = slack(queries.shape[1]) * (squared_lengths(queries) + self._lengths.max())
        pairs = NearestPairs(queries, self.keys, k, np.full(len(queries), np.inf))
        for start in range(0, len(queries), AT_ONCE):
            some = queries[start : start + AT_ONCE]
            with one_blas_thread():
                products = np.ascontiguousarray((self.keys @ (-2 * some).T).T)
            products += self._lengths  # squared distances, except for the query's own length
            for row, values in enumerate(products, start):
                chosen, _ = smallest(values, k)
                hits = np.flatnonzero(~(values > values[chosen[-1]] + 2 * error[row]))
                pairs.add(np.full(len(hits), row), hits)
        return pairs.nearest().of_each(k)

    def _in_portions(self, queries: Float32s2d, search: "_Search") -> None:
        """Call the search on portions of queries that lie near each other, with their rows."""
        if not len(queries):
            return
        with one_blas_thread():
            projected = self.index.projection(queries)
            anchors = assign(projected, self.index.anchors, self.n_threads)

            def search_some(rows: Ints1d) -> None:
                bounds = np.full(len(rows), np.inf, dtype=np.float32)
                portion = _Queries(queries[rows], projected[rows], anchors[rows], bounds)
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of infinity
                    search(portion, rows)

            n_portions = -(-len(queries) // QUERIES)
            if len(queries) * len(self.index.order) >= PARALLEL:
                n_portions = -(-n_portions // self.n_threads) * self.n_threads
            portions = np.array_split(np.argsort(anchors, kind="stable"), n_portions)
            run_all([partial(search_some, rows) for rows in portions], self.n_threads)

    def _bound(self, queries: "_Queries", k: int) -> tuple[Bools1d, Bools1d]:
        """Set the bounds by the lists; a query without k listed keys keeps its bound.

        Returns:
            Where all neighbors surely have the anchor's label, and where probably not.
        """
        lists = self.lists
        distances, error = lists.distances(queries.vectors, queries.anchors)
        if distances.shape[1] < k:
            return np.zeros(len(queries), dtype=bool), np.ones(len(queries), dtype=bool)
        same, others = distances[:, : lists.n_same], distances[:, lists.n_same :]
        if lists.n_same >= k:
            same.partition(k - 1, axis=1)
            queries.bounds[:] = same[:, k - 1] + error
        to_anchor = squared_lengths(queries.projected - self.index.anchors[queries.anchors]) ** 0.5
        to_anchor *= 1 + self.index.slack
        is_near = to_anchor + np.sqrt(queries.bounds) < lists.reach[queries.anchors]
        nearest_other = others.min(axis=1, initial=np.inf) - error
        is_mixed = ~(nearest_other > queries.bounds)
        # Nearer keys of other labels tighten the bound.
        mixed = np.flatnonzero(is_mixed)
        both = np.hstack([same[mixed, : max(k, MOST_NEIGHBORS)], others[mixed]])
        both.partition(k - 1, axis=1)
        queries.bounds[mixed] = both[:, k - 1] + error[mixed]
        return is_near & ~is_mixed, is_mixed

    def _has_others(self, queries: "_Queries", needed: Bools2d) -> Bools1d:
        """Return whether a key of another label than the anchor's lies within the bound."""
        labels = self.lists.labels[queries.anchors]
        pairs = NearestPairs(queries.vectors, self.keys, 1, queries.bounds)
        for rows, indices in self._pairs(queries, needed & (self.index.labels != labels[:, None])):
            is_other = self.labels[indices] != labels[rows]
            pairs.add(rows[is_other], indices[is_other])
        return pairs.nearest().counts > 0

    def _nearest(self, queries: "_Queries", needed: Bools2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices of the k nearest keys of these blocks, both (n, k)."""
        pairs = NearestPairs(queries.vectors, self.keys, k, queries.bounds)
        for rows, indices in self._pairs(queries, needed):
            pairs.add(rows, indices)
        return pairs.nearest().of_each(k)

    def _pairs(self, queries: "_Queries", needed: Bools2d) -> Iterator[tuple[Ints1d, Ints1d]]:
        """Yield rows of queries and indices of keys of these blocks that may lie in the bound."""
        index = self.index
        lifted = np.ascontiguousarray(index.lift_queries(queries.projected, queries.bounds).T)
        for rows, first, last in self._steps(needed):
            # This order of factors is the fastest in OpenBLAS, most of all for few queries.
            products = index.lifted[first:last] @ lifted.take(rows, axis=1)
            hits = np.flatnonzero(~(products.ravel() > 0))
            places = hits // len(rows)
            yield rows[hits - places * len(rows)], index.order[first + places]

    def _steps(self, needed: Bools2d) -> Iterator[tuple[Ints1d, int, int]]:
        """Yield rows of queries, and the first and the last key (exclusive) of blocks they need.

        Small blocks are taken together if the queries are few, large ones in pieces.
        """
        if not needed.size:
            return
        size = max(1 << (PRODUCTS // len(needed)).bit_length() - 1, KEYS)
        groups = self.index.grouped(size)
        of_blocks = np.ascontiguousarray(needed.T)
        of_groups = np.logical_or.reduceat(of_blocks, [group.block for group in groups], axis=0)
        for group, is_needed in zip(groups, of_groups, strict=True):
            rows = np.flatnonzero(is_needed)
            for first in range(group.first, group.last if len(rows) else group.first, size):
                yield rows, first, min(first + size, group.last)

    def _brute_search(self) -> BruteSearch:
        if self._brute is None:
            self._brute = BruteSearch(self.keys, self.labels, self.n_labels)
        return self._brute


@dataclass
class _Queries:
    """Queries in the order of their anchors, with what is known about them.

    Attributes:
        vectors: (n, width).
        projected: (n, n_leading + 1).
        anchors: (n,), index of each query's nearest anchor.
        bounds: (n,), squared distance that the k-th neighbor does not exceed.
    """

    vectors: Float32s2d
    projected: Float32s2d
    anchors: Ints1d
    bounds: Floats1d

    def __getitem__(self, rows: Ints1d) -> "_Queries":
        return _Queries(
            self.vectors[rows], self.projected[rows], self.anchors[rows], self.bounds[rows]
        )

    def __len__(self) -> int:
        return len(self.vectors)


_Search = Callable[[_Queries, Ints1d], None]
"""Searches for some of the queries and writes what it finds to these rows of a result."""
