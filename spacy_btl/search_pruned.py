"""Exact search of the k nearest keys that looks at few of them.

Pure numpy. The work is done in four steps, each for the queries that the one before leaves open:

1. An anchor near to the query and the list of keys around it (`spacy_btl.search_lists`) bound the
   distance of the k-th neighbour from above. By the triangle inequality, every key that is not
   listed lies at least ``reach - |q - anchor|`` away: where that and the nearest listed key of
   another label exceed the bound, all k neighbours have the label of the anchor.
2. Blocks of keys (`spacy_btl.search_index`) that may hold a key within the bound, but for those of
   the anchor's label: where no key of another label is found within, the vote is unanimous, too.
3. The blocks of the anchor's label.
4. Exact distances of what is left (`spacy_btl.search_pairs`).

`PrunedSearch.kneighbors` takes steps 2 to 4 for every query.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spacy_btl.search import (
    BruteSearch,
    Float32s2d,
    Floats2d,
    Ints1d,
    Ints2d,
    check_keys,
    check_queries,
    votes_of,
)
from spacy_btl.search_index import Floats1d, Index, first_copies, nearest_anchors, squares
from spacy_btl.search_lists import list_surroundings
from spacy_btl.search_pairs import NearestPairs

MOST_NEIGHBORS = 64
"""A larger k is left to `BruteSearch`."""
QUERIES = 16_384
"""Queries in a portion."""
PRODUCTS = 2**17
"""Products that a step over blocks should give at least, for few queries."""
PIECE = 4096
"""Keys that a step over blocks takes at most."""


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


class PrunedSearch:
    """Exact search in few of the keys, for keys that lie in clusters, as logits do.

    On a tie of distances, which are compared in float64, the lowest index of a key goes first.

    n_anchors: of the index; default: the square root of the number of keys.
    n_same, n_others: keys listed around each anchor, of its label and of others.
    n_threads: default: one for each CPU that the process may use, at most 8.

    Raises what `BruteSearch` does. The index is built here, at once; it takes half as much memory
    as the keys.
    """

    def __init__(
        self,
        keys: Floats2d,
        labels: Ints1d,
        n_labels: int,
        *,
        n_anchors: int | None = None,
        n_same: int = 128,
        n_others: int = 512,
        n_threads: int | None = None,
    ) -> None:
        self.keys, self.labels = check_keys(keys, labels, n_labels)
        self.n_labels = n_labels
        self.n_threads = n_threads or min(8, _n_cpus())
        with _one_blas_thread():
            kept = first_copies(self.keys, MOST_NEIGHBORS)
            n_anchors = n_anchors or int(1.5 * len(kept) ** 0.5) + 1
            self.index = Index(self.keys, self.labels, kept, n_anchors)
            n_same = max(n_same, MOST_NEIGHBORS)
            self.surroundings = list_surroundings(
                self.index, self.keys, self.labels, n_same, n_others
            )
        self.anchor_labels = np.array([around.label for around in self.surroundings])
        self._plain: BruteSearch | None = None

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

    def _in_portions(self, queries: Float32s2d, search: Callable[[_Queries, Ints1d], None]) -> None:
        """Call the search on the queries, some at a time, with their rows."""
        with _one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(queries), QUERIES):
                vectors = queries[start : start + QUERIES]
                projected = self.index.projection(vectors)
                products = projected @ self.index.anchors.T
                own = nearest_anchors(products, self.index.anchors)
                order = np.argsort(own, kind="stable")
                bounds = np.full(len(own), np.inf, dtype=np.float32)
                some = _Queries(vectors, projected, products, own, bounds)
                parts = np.array_split(order, max(1, min(self.n_threads, len(order) // 64)))
                if len(parts) == 1:
                    search(some[order], start + order)
                    continue
                with ThreadPoolExecutor(len(parts)) as pool:
                    list(pool.map(lambda part: search(some[part], start + part), parts))

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
                is_alike[start:end] = alike
                queries.bounds[start:end] = bounds
                o = np.flatnonzero(~alike)
                if len(o) and others.shape[1]:
                    few = np.concatenate([same[o, :k], others[o, :64]], axis=1)
                    few.partition(k - 1, axis=1)
                    queries.bounds[start + o] = few[:, k - 1] + room[o]
            elif distances.shape[1] >= k:
                queries.bounds[start:end] = np.partition(distances, k - 1, axis=1)[:, k - 1] + room
        return is_alike

    def _has_others(self, queries: _Queries) -> npt.NDArray[np.bool_]:
        """Whether a key of another label than the anchor's may lie within the bound."""
        own_labels = self.anchor_labels[queries.own]
        needed = self._needed(queries) & (own_labels[:, None] != self.index.labels)
        found = NearestPairs(queries.vectors, self.keys, 1, queries.bounds)
        for rows, indices, lower in self._pairs(queries, needed):
            is_other = self.labels[indices] != own_labels[rows]
            found.add(rows[is_other], indices[is_other], lower[is_other])
        return found.found()[2] > 0

    def _nearest(self, queries: _Queries, k: int) -> tuple[Float32s2d, Ints2d]:
        found = NearestPairs(queries.vectors, self.keys, k, queries.bounds)
        for pairs in self._pairs(queries, self._needed(queries)):
            found.add(*pairs)
        distances, indices, _ = found.found()
        return distances.reshape(-1, k), indices.reshape(-1, k)

    def _needed(self, queries: _Queries) -> npt.NDArray[np.bool_]:
        return self.index.needed_blocks(
            queries.projected, queries.products, queries.own, queries.bounds
        )

    def _pairs(self, queries: _Queries, needed: npt.NDArray[np.bool_]):
        """Pairs of a query and a key, rows and indices, that the projection does not rule out."""
        index = self.index
        lifted = index.lift_queries(queries.projected, queries.bounds)
        size = min(PIECE, PRODUCTS // max(len(queries), 1))
        first = 0
        while first < len(index.starts):
            last = first + 1
            while last < len(index.starts) and index.ends[last] - index.starts[first] <= size:
                last += 1
            rows = np.flatnonzero(needed[:, first:last].any(axis=1))
            if len(rows):
                for start in range(index.starts[first], index.ends[last - 1], PIECE):
                    end = min(start + PIECE, index.ends[last - 1])
                    products = lifted[rows] @ index.lifted[start:end].T
                    products = products.ravel()
                    hits = np.flatnonzero(~(products > 0))
                    r, c = np.divmod(hits, end - start)
                    r = rows[r]
                    yield r, index.order[start + c], products[hits] + queries.bounds[r]
            first = last

    def _brute(self) -> BruteSearch:
        if self._plain is None:
            self._plain = BruteSearch(self.keys, self.labels, self.n_labels)
        return self._plain


def _n_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_CONTROLLER: Any = None


def _one_blas_thread() -> Any:
    """Context in which a matrix product runs in the thread that asks for it.

    The products are small: threads of BLAS would wait for each other longer than they compute.
    """
    global _CONTROLLER
    if _CONTROLLER is None:
        from threadpoolctl import ThreadpoolController

        _CONTROLLER = ThreadpoolController()
    return _CONTROLLER.limit(limits=1, user_api="blas")
