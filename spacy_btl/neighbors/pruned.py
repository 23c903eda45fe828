"""Exact search of the k nearest keys that computes few distances.

Pure numpy, written by hand because no library has an exact search that is fast for thousands of
queries in 80 dimensions: trees degenerate, and fast indexes are approximate.
`benchmarks/neighbor_search.py` compares it with scikit-learn's brute force.

The work is done in four steps, each for the queries that the previous one leaves open:

1. An anchor near to the query and the list of keys around it (`Neighborhood`) bound the distance of
   the k-th neighbor from above. By the triangle inequality, every key that is not listed and has
   another label than the anchor lies at least ``reach - |q - anchor|`` away. If that and the
   nearest listed key of another label exceed the bound, all k neighbors have the anchor's label.
2. Blocks of keys (`neighbors.index`) that may contain a key within the bound, except those of the
   anchor's label: if no key of another label is found within it, the vote is unanimous, too.
3. The blocks of the anchor's label.
4. Exact distances of what is left (`neighbors.pairs`).

`PrunedSearch.kneighbors` takes steps 2 to 4 for every query.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..util.arrays import (
    Bools1d,
    Bools2d,
    Float32s1d,
    Float32s2d,
    Floats1d,
    Floats2d,
    Ints1d,
    Ints2d,
)
from .brute import BruteSearch, check_keys, check_queries, votes_of
from .index import (
    ROWS,
    Index,
    first_copies,
    nearest_anchors,
    one_blas_thread,
    run_all,
    slack,
    squared_lengths,
    usable_threads,
)
from .pairs import NearestPairs

# These constants affect time and memory, never the result.
# `benchmarks/neighbor_search.py --constants` measures each against a smaller and a larger value.
MOST_NEIGHBORS = 64
"""A larger k is left to `BruteSearch`."""
MOST_ANCHORS = 1024
"""The time to build the index grows with the keys times the anchors."""
ELECTORS = 17
"""Keys nearest to an anchor that choose its label."""
LISTED = 128
"""Keys of the anchor's label, and again of others, in the list around an anchor."""
PIECE = 4096
"""Keys that a step over blocks takes at most."""
PRODUCTS = 2**16
"""Products that a step over blocks should give at least, if the queries are few."""
HELD = 2**23
"""Values of an intermediate array at most, in each thread."""


@dataclass(frozen=True)
class Neighborhood:
    """The keys nearest to an anchor: first those of its label, then those of all others.

    Attributes:
        label: That of most keys near the anchor.
        n_same: Listed keys of this label; in both parts the nearest key goes first.
        origin: (width,), one of the keys.
        offsets: (n_listed, width), the listed keys minus the origin.
        squares: (n_listed,), squared lengths of the offsets.
        reach: Projected distance from the anchor within which every key of another label is listed.
    """

    label: int
    n_same: int
    origin: Float32s1d
    offsets: Float32s2d
    squares: Floats1d
    reach: float

    def distances(self, queries: Float32s2d) -> tuple[Floats2d, Floats1d]:
        """Return squared distances to the listed keys, and bounds of their errors.

        Args:
            queries: (n, width).

        Returns:
            (n, n_listed) and (n,).
        """
        offsets = queries - self.origin
        lengths = squared_lengths(offsets)
        distances: Floats2d = (-2 * offsets) @ self.offsets.T
        distances += self.squares
        distances += lengths[:, None]
        return distances, slack(queries.shape[1]) * (lengths + self.squares.max())


def smallest(values: Floats1d, count: int) -> tuple[Ints1d, float]:
    """Return the indices of the ``count`` smallest values, ascending by value, and the next value.

    Without a next value it is infinite.
    """
    if count >= len(values):
        return np.argsort(values, kind="stable"), np.inf
    candidates = None
    stride = 32
    rank = 2 * count // stride + 8
    if len(values) > 4 * stride * rank:  # a threshold guessed from a part saves much partitioning
        threshold = np.partition(values[::stride], rank)[rank]
        candidates = np.flatnonzero(values <= threshold)
    if candidates is None or len(candidates) <= count:
        candidates = np.arange(len(values))
    chosen = candidates[np.argpartition(values[candidates], count)[: count + 1]]
    chosen = chosen[np.argsort(values[chosen], kind="stable")]
    return chosen[:count], float(values[chosen[count]])


def list_neighborhoods(
    index: Index, keys: Float32s2d, labels: Ints1d, n_same: int, n_others: int, n_threads: int = 1
) -> list[Neighborhood]:
    """Return the neighborhood of each anchor.

    Args:
        index: Of the keys.
        keys: (n_keys, width).
        labels: (n_keys,).
        n_same: Keys of an anchor's label to list at most.
        n_others: Keys of other labels to list at most.
        n_threads: Threads to use.
    """
    labels = labels[index.order].astype(np.int32)
    counts = np.bincount(labels)

    def of_anchors(start: int) -> list[Neighborhood]:
        anchors = index.anchors[start : start + at_once]
        lifted = index.lift_queries(anchors, 0.0)
        distances = np.empty((len(anchors), len(labels)), dtype=np.float32)
        for first in range(0, len(labels), ROWS):
            distances[:, first : first + ROWS] = lifted @ index.lifted[first : first + ROWS].T
        return [of_anchor(row) for row in distances]

    def of_anchor(distances: Float32s1d) -> Neighborhood:
        electors, _ = smallest(distances, ELECTORS)
        label = int(np.bincount(labels[electors]).argmax())
        is_same, infinite = labels == label, np.float32(np.inf)
        n_with_label = int(counts[label])
        same, _ = smallest(np.where(is_same, distances, infinite), min(n_same, n_with_label))
        n_without = len(distances) - n_with_label
        others, reach = smallest(np.where(is_same, infinite, distances), min(n_others, n_without))
        listed = keys[index.order[np.concatenate([same, others])]]
        offsets = listed - listed[0]
        reach = max(reach, 0.0) ** 0.5
        return Neighborhood(label, len(same), listed[0], offsets, squared_lengths(offsets), reach)

    at_once = int(np.clip(2**26 // (len(labels) * n_threads), 1, 64))
    starts = range(0, len(index.anchors), at_once)
    chunks = run_all([partial(of_anchors, start) for start in starts], n_threads)
    return [neighborhood for chunk in chunks for neighborhood in chunk]


@dataclass
class _Queries:
    """Queries in the order of their anchors, with what is known about them.

    Attributes:
        vectors: (n, width).
        projected: (n, n_leading + 1).
        products: (n, n_anchors), of projected queries and anchors.
        anchors: (n,), index of each query's nearest anchor.
        bounds: (n,), squared distance that the k-th neighbor does not exceed.
    """

    vectors: Float32s2d
    projected: Float32s2d
    products: Float32s2d
    anchors: Ints1d
    bounds: Floats1d

    def __getitem__(self, rows: Ints1d | slice) -> "_Queries":
        return _Queries(
            self.vectors[rows],
            self.projected[rows],
            self.products[rows],
            self.anchors[rows],
            self.bounds[rows],
        )

    def __len__(self) -> int:
        return len(self.vectors)


_Search = Callable[[_Queries, Ints1d], None]
"""Searches for some of the queries and writes what it finds to these rows of a result."""


class PrunedSearch:
    """Exact search in few of the keys, for keys that lie in clusters, as logits do.

    On a tie of distances, which are compared in float64, the lowest index of a key goes first.

    The index is built at once and is not saved. In addition to the keys it takes memory for their
    leading coordinates (about half as much for logits) and for the lists around all anchors.

    Args:
        keys: (n_keys, width); kept as float32.
        labels: (n_keys,), indices below ``n_labels``.
        n_labels: Number of labels.
        n_anchors: Of the index; by default the square root of the number of keys, and at most
            ``MOST_ANCHORS``.
        n_same: Keys of its label that are listed around each anchor; by default ``LISTED``.
        n_others: Keys of other labels that are listed around each anchor; by default ``LISTED``.
        n_threads: By default `usable_threads`, asked at each call, but at most 8.

    Raises:
        ValueError: For keys and labels that `BruteSearch` refuses.
    """

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
    ) -> None:
        self.keys, self.labels = check_keys(keys, labels, n_labels)
        self.n_labels = n_labels
        self._n_threads = n_threads
        with one_blas_thread():
            kept = first_copies(self.keys, MOST_NEIGHBORS)
            n_anchors = n_anchors or min(MOST_ANCHORS, int(len(kept) ** 0.5) + 1)
            self.index = Index(self.keys, self.labels, kept, n_anchors, self.n_threads)
        n_same = max(LISTED if n_same is None else n_same, MOST_NEIGHBORS)
        n_others = LISTED if n_others is None else n_others
        self.neighborhoods = list_neighborhoods(
            self.index, self.keys, self.labels, n_same, n_others, self.n_threads
        )
        self.anchor_labels = np.array([each.label for each in self.neighborhoods])
        self._brute: BruteSearch | None = None

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
        distances = np.zeros((len(queries), k), dtype=np.float32)
        indices = np.zeros((len(queries), k), dtype=np.int64)

        def search(portion: _Queries, rows: Ints1d) -> None:
            self._bound(portion, k)
            distances[rows], indices[rows] = self._nearest(portion, k)

        self._in_portions(queries, search)
        return distances, indices

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """Return the votes for each label, as `KeySearch` describes."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if k > MOST_NEIGHBORS:
            return self._brute_search().count_votes(queries, k)
        votes = np.zeros((len(queries), self.n_labels), dtype=np.int64)

        def search(portion: _Queries, rows: Ints1d) -> None:
            is_unanimous = self._bound(portion, k)
            undecided = np.flatnonzero(~is_unanimous)
            has_others = self._has_others(portion[undecided])
            is_unanimous[undecided] = ~has_others
            mixed = undecided[has_others]
            _, nearest = self._nearest(portion[mixed], k)
            votes[rows[mixed]] = votes_of(nearest, self.labels, self.n_labels)
            unanimous = np.flatnonzero(is_unanimous)
            votes[rows[unanimous], self.anchor_labels[portion.anchors[unanimous]]] = k

        self._in_portions(queries, search)
        return votes

    def _in_portions(self, queries: Float32s2d, search: _Search) -> None:
        """Call the search on portions of the queries, with their rows."""
        size = int(np.clip(4 * HELD // len(self.index.anchors), 1024, 16_384))
        with one_blas_thread():
            for start in range(0, len(queries), size):
                vectors = queries[start : start + size]
                projected = self.index.projection(vectors)
                products = projected @ self.index.anchors.T
                anchors = nearest_anchors(products, self.index.anchors)
                order = np.argsort(anchors, kind="stable")
                bounds = np.full(len(anchors), np.inf, dtype=np.float32)
                portion = _Queries(vectors, projected, products, anchors, bounds)
                parts = np.array_split(order, max(1, min(self.n_threads, len(order) // 64)))
                tasks = [
                    partial(_search_quietly, search, portion[part], start + part) for part in parts
                ]
                run_all(tasks, self.n_threads)

    def _bound(self, queries: _Queries, k: int) -> Bools1d:
        """Set the bounds from the listed keys; return where all neighbors have the anchor's label.

        A query without k listed keys keeps its bound.
        """
        is_unanimous = np.zeros(len(queries), dtype=bool)
        to_anchor = squared_lengths(queries.projected - self.index.anchors[queries.anchors]) ** 0.5
        to_anchor *= 1 + self.index.slack
        starts = np.flatnonzero(np.diff(queries.anchors, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(queries)], strict=True):
            listed = self.neighborhoods[queries.anchors[start]]
            distances, error = listed.distances(queries.vectors[start:end])
            same, others = distances[:, : listed.n_same], distances[:, listed.n_same :]
            if listed.n_same >= k:
                same.partition(k - 1, axis=1)
                bounds = same[:, k - 1] + error
                nearest_other = others.min(axis=1, initial=np.inf) - error
                needed_reach = to_anchor[start:end] + np.sqrt(bounds)
                decided = (nearest_other > bounds) & (needed_reach < listed.reach)
                is_unanimous[start:end], queries.bounds[start:end] = decided, bounds
                rest = np.flatnonzero(~decided)
            else:
                rest = np.arange(end - start)
            both = np.hstack([same[rest, : max(k, MOST_NEIGHBORS)], others[rest, :MOST_NEIGHBORS]])
            if len(rest) and both.shape[1] >= k:
                both.partition(k - 1, axis=1)
                queries.bounds[start + rest] = both[:, k - 1] + error[rest]
        return is_unanimous

    def _has_others(self, queries: _Queries) -> Bools1d:
        """Return whether a key of another label than the anchor's lies within the bound."""
        anchor_labels = self.anchor_labels[queries.anchors]
        pairs = NearestPairs(queries.vectors, self.keys, 1, queries.bounds)
        for rows, indices, lower in self._pairs(queries, skipped=anchor_labels):
            is_other = self.labels[indices] != anchor_labels[rows]
            pairs.add(rows[is_other], indices[is_other], lower[is_other])
        return pairs.nearest().counts > 0

    def _nearest(self, queries: _Queries, k: int) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices of the k nearest keys, both (n, k)."""
        pairs = NearestPairs(queries.vectors, self.keys, k, queries.bounds)
        for rows, indices, lower in self._pairs(queries):
            pairs.add(rows, indices, lower)
        nearest = pairs.nearest()
        return nearest.distances.reshape(-1, k), nearest.indices.reshape(-1, k)

    def _pairs(
        self, queries: _Queries, skipped: Ints1d | None = None
    ) -> Iterator[tuple[Ints1d, Ints1d, Floats1d]]:
        """Yield the pairs that the index does not rule out.

        Args:
            queries: n queries with their bounds.
            skipped: (n,), a label whose blocks are left out.

        Yields:
            Rows of queries, indices of keys, and lower bounds of the squared distances.
        """
        index = self.index
        at_once = max(1, HELD // len(index.starts))
        for start in range(0, len(queries), at_once):
            part = queries[start : start + at_once]
            needed = index.needed_blocks(part.projected, part.products, part.anchors, part.bounds)
            if skipped is not None:
                needed &= skipped[start : start + at_once, None] != index.labels
            lifted = index.lift_queries(part.projected, part.bounds)
            for rows, first, last in _steps(needed, index):
                products = (lifted[rows] @ index.lifted[first:last].T).ravel()
                hits = np.flatnonzero(~(products > 0))
                row, key = np.divmod(hits, last - first)
                row = rows[row]
                yield start + row, index.order[first + key], products[hits] + part.bounds[row]

    def _brute_search(self) -> BruteSearch:
        if self._brute is None:
            self._brute = BruteSearch(self.keys, self.labels, self.n_labels)
        return self._brute


def _steps(needed: Bools2d, index: Index) -> Iterator[tuple[Ints1d, int, int]]:
    """Yield rows of queries, and the first and the last key (exclusive) of blocks they need.

    Small blocks are taken together if the queries are few, large ones in pieces.
    """
    size = min(PIECE, PRODUCTS // max(len(needed), 1))
    block = 0
    while block < len(index.starts):
        first, next_block = index.starts[block], block + 1
        while next_block < len(index.starts) and index.ends[next_block] - first <= size:
            next_block += 1
        last = index.ends[next_block - 1]
        rows = np.flatnonzero(needed[:, block:next_block].any(axis=1))
        for key in range(first, last if len(rows) else first, PIECE):
            for row in range(0, len(rows), HELD // PIECE):
                yield rows[row : row + HELD // PIECE], key, min(key + PIECE, last)
        block = next_block


def _search_quietly(search: _Search, queries: _Queries, rows: Ints1d) -> None:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of infinite bounds
        search(queries, rows)
