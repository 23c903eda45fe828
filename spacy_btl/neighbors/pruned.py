"""Exact search of the k nearest keys that looks at few of them.

Pure numpy. The work is done in four steps, each for the queries that the one before leaves open:

1. An anchor near to the query and the list of keys around it (`neighbors.pruned`) bound the
   distance of the k-th neighbour from above. By the triangle inequality, every key that is not
   listed lies at least ``reach - |q - anchor|`` away: where that and the nearest listed key of
   another label exceed the bound, all k neighbours have the label of the anchor.
2. Blocks of keys (`neighbors.index`) that may hold a key within the bound, but for those of
   the anchor's label: where no key of another label is found within, the vote is unanimous, too.
3. The blocks of the anchor's label.
4. Exact distances of what is left (`neighbors.pairs`).

`PrunedSearch.kneighbors` takes steps 2 to 4 for every query.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .brute import (
    BruteSearch,
    Ints2d,
    check_keys,
    check_queries,
    votes_of,
)
from .index import (
    ROWS,
    Float32s1d,
    Float32s2d,
    Floats1d,
    Floats2d,
    Index,
    Ints1d,
    first_copies,
    nearest_anchors,
    one_blas_thread,
    run_all,
    slack,
    squares,
    usable_threads,
)
from .pairs import NearestPairs

# --- from search_lists

ELECTORS = 17
"""Keys nearest to an anchor that choose its label."""


@dataclass(frozen=True)
class Surroundings:
    """The keys nearest to an anchor, those of one label and those of all others apart.

    label: that of most keys near the anchor.
    n_same: listed keys of this label; they go first, then the others, each by falling nearness.
    origin: (width,), one of the keys; offsets: (n_listed, width), the listed keys less the origin;
        squares: (n_listed,), of the offsets.
    reach: projected distance from the anchor that no key of another label is under, but those
        listed.
    """

    label: int
    n_same: int
    origin: Float32s1d
    offsets: Float32s2d
    squares: Floats1d
    reach: float

    def distances(self, queries: Float32s2d) -> tuple[Floats2d, Floats1d]:
        """Squared distances to the listed keys (n, n_listed), and how far they may be off (n,)."""
        offsets = queries - self.origin
        own = squares(offsets)
        distances: Floats2d = (-2 * offsets) @ self.offsets.T
        distances += self.squares
        distances += own[:, None]
        return distances, slack(queries.shape[1]) * (own + self.squares.max())


def smallest(values: Floats1d, count: int) -> tuple[Ints1d, float]:
    """Indices of the ``count`` smallest values, ascending by value, and the next value after."""
    if count >= len(values):
        return np.argsort(values, kind="stable"), np.inf
    some = None
    stride = 32
    rank = 2 * count // stride + 8
    if len(values) > 4 * stride * rank:  # a threshold guessed from a part saves much partitioning
        guess = np.partition(values[::stride], rank)[rank]
        some = np.flatnonzero(values <= guess)
    if some is None or len(some) <= count:
        some = np.arange(len(values))
    chosen = some[np.argpartition(values[some], count)[: count + 1]]
    chosen = chosen[np.argsort(values[chosen], kind="stable")]
    return chosen[:count], float(values[chosen[count]])


def list_surroundings(
    index: Index, keys: Float32s2d, labels: Ints1d, n_same: int, n_others: int, n_threads: int = 1
) -> list[Surroundings]:
    """Those of each anchor, with at most so many keys of its label and of the others."""
    labels = labels[index.order].astype(np.int32)
    counts = np.bincount(labels)

    def around(start: int) -> list[Surroundings]:
        anchors = index.anchors[start : start + at_once]
        lifted = index.lift_queries(anchors, 0.0)
        bounds = np.empty((len(anchors), len(labels)), dtype=np.float32)
        for first in range(0, len(labels), ROWS):
            bounds[:, first : first + ROWS] = lifted @ index.lifted[first : first + ROWS].T
        return [around_anchor(row) for row in bounds]

    def around_anchor(row: Float32s1d) -> Surroundings:
        electors, _ = smallest(row, ELECTORS)
        label = int(np.bincount(labels[electors]).argmax())
        is_same, infinite = labels == label, np.float32(np.inf)
        n_all = int(counts[label])
        same, _ = smallest(np.where(is_same, row, infinite), min(n_same, n_all))
        n_all = len(row) - n_all
        others, reach = smallest(np.where(is_same, infinite, row), min(n_others, n_all))
        listed = keys[index.order[np.concatenate([same, others])]]
        offsets = listed - listed[0]
        reach = max(reach, 0.0) ** 0.5
        return Surroundings(label, len(same), listed[0], offsets, squares(offsets), reach)

    at_once = int(np.clip(2**26 // (len(labels) * n_threads), 1, 64))
    starts = range(0, len(index.anchors), at_once)
    found = run_all([partial(around, start) for start in starts], n_threads)
    return [each for some in found for each in some]


# --- from search_pruned

MOST_NEIGHBORS = 64
"""A larger k is left to `BruteSearch`."""
MOST_ANCHORS = 1024
"""The time to build the index grows with the keys times the anchors."""
PIECE = 4096
"""Keys that a step over blocks takes at most."""
PRODUCTS = 2**16
"""Products that a step over blocks should give at least, where the queries are few."""
HELD = 2**23
"""Values of an array in between at most, in each thread."""


@dataclass
class _Queries:
    """Queries in the order of their anchors, with what is known about them."""

    vectors: Float32s2d
    projected: Float32s2d
    products: Float32s2d  # with the anchors
    own: Ints1d  # anchor of each
    bounds: Floats1d  # squared distance that the k-th neighbour does not exceed

    def __getitem__(self, rows: Any) -> "_Queries":
        return _Queries(
            self.vectors[rows],
            self.projected[rows],
            self.products[rows],
            self.own[rows],
            self.bounds[rows],
        )

    def __len__(self) -> int:
        return len(self.vectors)


_Search = Callable[[_Queries, Ints1d], None]


class PrunedSearch:
    """Exact search in few of the keys, for keys that lie in clusters, as logits do.

    On a tie of distances, which are compared in float64, the lowest index of a key goes first.

    n_anchors: of the index; default: the square root of the number of keys, or ``MOST_ANCHORS``.
    n_same, n_others: keys listed around each anchor, of its label and of others.
    n_threads: default: `search_threads.usable_threads`, asked at each call, at most 8.

    The index is built here, at once, and is not saved. Beside the keys it holds their leading
    coordinates (about half as much for logits) and the lists of all anchors.

    Raises what `BruteSearch` does.
    """

    def __init__(
        self,
        keys: Floats2d,
        labels: Ints1d,
        n_labels: int,
        *,
        n_anchors: int | None = None,
        n_same: int = 128,
        n_others: int = 128,
        n_threads: int | None = None,
    ) -> None:
        self.keys, self.labels = check_keys(keys, labels, n_labels)
        self.n_labels = n_labels
        self._n_threads = n_threads
        with one_blas_thread():
            kept = first_copies(self.keys, MOST_NEIGHBORS)
            n_anchors = n_anchors or min(MOST_ANCHORS, int(len(kept) ** 0.5) + 1)
            self.index = Index(self.keys, self.labels, kept, n_anchors, self.n_threads)
        n_same = max(n_same, MOST_NEIGHBORS)
        self.surroundings = list_surroundings(
            self.index, self.keys, self.labels, n_same, n_others, self.n_threads
        )
        self.anchor_labels = np.array([around.label for around in self.surroundings])
        self._plain: BruteSearch | None = None

    @property
    def n_threads(self) -> int:
        """Threads of a search in this process, which may be a fork of the one with the index."""
        return self._n_threads or min(8, usable_threads())

    def kneighbors(self, queries: Floats2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """As `KeySearch` has it."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if k > MOST_NEIGHBORS:
            return self._brute().kneighbors(queries, k)
        distances = np.zeros((len(queries), k), dtype=np.float32)
        indices = np.zeros((len(queries), k), dtype=np.int64)

        def search(some: _Queries, rows: Ints1d) -> None:
            self._bound(some, k)
            distances[rows], indices[rows] = self._nearest(some, k)

        self._in_portions(queries, search)
        return distances, indices

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """As `KeySearch` has it."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if k > MOST_NEIGHBORS:
            return self._brute().count_votes(queries, k)
        votes = np.zeros((len(queries), self.n_labels), dtype=np.int64)

        def search(some: _Queries, rows: Ints1d) -> None:
            is_open = ~self._bound(some, k)
            is_open[is_open] = self._has_others(some[is_open])
            mixed = np.flatnonzero(is_open)
            _, nearest = self._nearest(some[mixed], k)
            votes[rows[mixed]] = votes_of(nearest, self.labels, self.n_labels)
            alike = np.flatnonzero(~is_open)
            votes[rows[alike], self.anchor_labels[some.own[alike]]] = k

        self._in_portions(queries, search)
        return votes

    def _in_portions(self, queries: Float32s2d, search: _Search) -> None:
        """Call the search on the queries, some at a time, with their rows."""
        portion = int(np.clip(4 * HELD // len(self.index.anchors), 1024, 16_384))
        with one_blas_thread():
            for start in range(0, len(queries), portion):
                vectors = queries[start : start + portion]
                projected = self.index.projection(vectors)
                products = projected @ self.index.anchors.T
                own = nearest_anchors(products, self.index.anchors)
                order = np.argsort(own, kind="stable")
                bounds = np.full(len(own), np.inf, dtype=np.float32)
                some = _Queries(vectors, projected, products, own, bounds)
                parts = np.array_split(order, max(1, min(self.n_threads, len(order) // 64)))
                tasks = [
                    partial(_search_quietly, search, some[part], start + part) for part in parts
                ]
                run_all(tasks, self.n_threads)

    def _bound(self, queries: _Queries, k: int) -> npt.NDArray[np.bool_]:
        """Set the bounds from the listed keys; whether all k neighbours have the anchor's label."""
        is_alike = np.zeros(len(queries), dtype=bool)
        to_anchor = squares(queries.projected - self.index.anchors[queries.own]) ** 0.5
        to_anchor *= 1 + self.index.slack
        starts = np.flatnonzero(np.diff(queries.own, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(queries)], strict=True):
            around = self.surroundings[queries.own[start]]
            distances, room = around.distances(queries.vectors[start:end])
            same, others = distances[:, : around.n_same], distances[:, around.n_same :]
            if around.n_same >= k:
                same.partition(k - 1, axis=1)
                bounds = same[:, k - 1] + room
                nearest_other = others.min(axis=1, initial=np.inf) - room
                within = to_anchor[start:end] + np.sqrt(bounds)
                alike = (nearest_other > bounds) & (within < around.reach)
                is_alike[start:end], queries.bounds[start:end] = alike, bounds
                some = np.flatnonzero(~alike)
            else:
                some = np.arange(end - start)
            near = np.hstack([same[some, : max(k, MOST_NEIGHBORS)], others[some, :MOST_NEIGHBORS]])
            if len(some) and near.shape[1] >= k:
                near.partition(k - 1, axis=1)
                queries.bounds[start + some] = near[:, k - 1] + room[some]
        return is_alike

    def _has_others(self, queries: _Queries) -> npt.NDArray[np.bool_]:
        """Whether a key of another label than the anchor's lies within the bound."""
        own_labels = self.anchor_labels[queries.own]
        found = NearestPairs(queries.vectors, self.keys, 1, queries.bounds)
        for rows, indices, lower in self._pairs(queries, skipped=own_labels):
            is_other = self.labels[indices] != own_labels[rows]
            found.add(rows[is_other], indices[is_other], lower[is_other])
        return found.found()[2] > 0

    def _nearest(self, queries: _Queries, k: int) -> tuple[Float32s2d, Ints2d]:
        """Distances and indices of the k nearest keys, both (n, k)."""
        found = NearestPairs(queries.vectors, self.keys, k, queries.bounds)
        for pairs in self._pairs(queries):
            found.add(*pairs)
        distances, indices, _ = found.found()
        return distances.reshape(-1, k), indices.reshape(-1, k)

    def _pairs(
        self, queries: _Queries, skipped: Ints1d | None = None
    ) -> Iterator[tuple[Ints1d, Ints1d, Floats1d]]:
        """What the index does not rule out: rows, indices of keys, lower bounds of the squares.

        skipped: (n,), a label whose blocks are left out.
        """
        index = self.index
        at_once = max(1, HELD // len(index.starts))
        for start in range(0, len(queries), at_once):
            part = queries[start : start + at_once]
            needed = index.needed_blocks(part.projected, part.products, part.own, part.bounds)
            if skipped is not None:
                needed &= skipped[start : start + at_once, None] != index.labels
            lifted = index.lift_queries(part.projected, part.bounds)
            for rows, first, last in _steps(needed, index):
                products = (lifted[rows] @ index.lifted[first:last].T).ravel()
                hits = np.flatnonzero(~(products > 0))
                row, key = np.divmod(hits, last - first)
                row = rows[row]
                yield start + row, index.order[first + key], products[hits] + part.bounds[row]

    def _brute(self) -> BruteSearch:
        if self._plain is None:
            self._plain = BruteSearch(self.keys, self.labels, self.n_labels)
        return self._plain


def _steps(needed: npt.NDArray[np.bool_], index: Index) -> Iterator[tuple[Ints1d, int, int]]:
    """Rows of queries, and the first and the last key (exclusive) of the blocks they need.

    Small blocks are taken together where the queries are few, large ones in pieces.
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
