"""Index of keys for `PrunedSearch`: a projection, anchors, and blocks of keys around them.

Arrays only. The index compares bounds of distances, and every bound leaves room for the rounding of
float32, so that no key is lost that belongs to the nearest. Below the index are the threads that
build it and search in it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from threading import Lock
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from ..util import process
from ..util.arrays import Bools2d, Float32s2d, Floats1d, Floats2d, Ints1d

Result = TypeVar("Result")

# These constants affect time and memory, never the result.
# `benchmarks/neighbor_search.py --constants` measures each against a smaller and a larger value.
KEPT_VARIANCE = 0.98
"""Share of the variance that the leading axes of a projection keep."""
SAMPLE = 50_000
"""Keys that the projection and the anchors are fitted on."""
ROWS = 16_384
"""Keys in a chunk."""


def slack(width: int) -> float:
    """Bound the rounding of ``|a|^2 + |b|^2 - 2 ab`` in float32, relative to ``|a|^2 + |b|^2``.

    A sum of ``width`` products errs by at most ``width * eps / 2`` times the sum of their absolute
    values (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), which is at
    most ``2 (|a|^2 + |b|^2)`` here. The rest is for coordinates and squares rounded before.
    """
    return (width + 8) * float(np.finfo(np.float32).eps)


def squared_lengths(vectors: Floats2d) -> Floats1d:
    """Return the squared length of each row, (n, width) to (n,)."""
    result: Floats1d = np.einsum("ij,ij->i", vectors, vectors)
    return result


def first_copies(keys: Float32s2d, most: int) -> Ints1d:
    """Return the indices of all keys except the copies of a key after its first ``most``.

    Among keys at equal distance the lowest index goes first, so that no copy after the first k is
    among k neighbors. Keys that are equal bit by bit are copies.

    Args:
        keys: (n_keys, width).
        most: Copies of a key to keep.

    Returns:
        (n_kept,), ascending.
    """
    hashes = np.empty(len(keys), dtype=np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, keys.shape[1], dtype=np.uint64)
    for start in range(0, len(keys), ROWS):
        bits = np.ascontiguousarray(keys[start : start + ROWS]).view(np.uint32)
        hashes[start : start + ROWS] = bits.astype(np.uint64) @ factors
    order = np.argsort(hashes, kind="stable")
    is_first = np.ones(len(keys), dtype=bool)
    repeats = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]]) + 1
    for start in range(0, len(repeats), ROWS):
        places = repeats[start : start + ROWS]
        is_first[places] = (keys[order[places]] != keys[order[places - 1]]).any(axis=1)
    places = np.arange(len(keys))
    rank = places - np.maximum.accumulate(np.where(is_first, places, 0))
    kept: Ints1d = np.sort(order[rank < most])
    return kept


@dataclass(frozen=True)
class Projection:
    """A map of vectors to their leading principal coordinates and the length of the remainder.

    It is a contraction: projected vectors are never farther from each other than the vectors,
    ``|x - y|^2 >= |x_m - y_m|^2 + (|x_r| - |y_r|)^2`` with m the leading and r the other axes.

    Attributes:
        center: (width,).
        axes: (width, width), orthonormal columns, by falling variance.
        n_leading: Axes that are kept.
    """

    center: Floats1d
    axes: Floats2d
    n_leading: int

    @classmethod
    def fit(cls, vectors: Floats2d) -> "Projection":
        """Return the projection on principal axes of vectors (n, width)."""
        sample = vectors.astype(np.float64)
        center = sample.mean(axis=0)
        sample -= center
        variances, axes = np.linalg.eigh(sample.T @ sample / len(sample))
        shares = np.cumsum(variances[::-1].clip(0))
        n_leading = int((shares < KEPT_VARIANCE * shares[-1]).sum()) + 1
        return cls(center, np.ascontiguousarray(axes[:, ::-1]), min(n_leading, len(center)))

    def __call__(self, vectors: Floats2d, rows: Ints1d | None = None) -> Float32s2d:
        """Return projected vectors (n, n_leading + 1) of all rows or of these; works in float64."""
        n = len(vectors) if rows is None else len(rows)
        projected = np.empty((n, self.n_leading + 1), dtype=np.float32)
        for start in range(0, n, ROWS):
            chunk = slice(start, start + ROWS)
            rotated = (vectors[chunk if rows is None else rows[chunk]] - self.center) @ self.axes
            projected[chunk, :-1] = rotated[:, : self.n_leading]
            projected[chunk, -1] = squared_lengths(rotated[:, self.n_leading :]) ** 0.5
        return projected


def nearest_anchors(products: Float32s2d, anchors: Float32s2d) -> Ints1d:
    """Return the index of each vector's nearest anchor, in the precision of float32.

    Args:
        products: (n, n_anchors), of vectors and anchors.
        anchors: (n_anchors, width).

    Returns:
        (n,).
    """
    nearest: Ints1d = (squared_lengths(anchors) / 2 - products).argmin(axis=1)
    return nearest


def assign(vectors: Float32s2d, anchors: Float32s2d, n_threads: int) -> Ints1d:
    """Return the index of each vector's nearest anchor, (n, width) to (n,), in chunks."""

    def of_chunk(start: int) -> Ints1d:
        return nearest_anchors(vectors[start : start + rows] @ anchors.T, anchors)

    rows = max(64, 2**20 // len(anchors))  # the products stay in the cache
    starts = range(0, len(vectors), rows)
    return np.concatenate(run_all([partial(of_chunk, start) for start in starts], n_threads))


def fit_anchors(
    vectors: Float32s2d, n_anchors: int, rng: np.random.Generator, n_threads: int
) -> Float32s2d:
    """Return centroids by a few rounds of k-means (Lloyd), in an order of neighborhood.

    An anchor that is nearest to no vector stays where it is.
    """
    anchors = vectors[rng.choice(len(vectors), n_anchors, replace=False)].copy()
    for _ in range(4):
        nearest = assign(vectors, anchors, n_threads)
        counts = np.bincount(nearest, minlength=n_anchors)
        used = counts > 0
        starts = (np.cumsum(counts) - counts)[used]
        sums = np.add.reduceat(vectors[np.argsort(nearest, kind="stable")], starts, axis=0)
        anchors[used] = sums / counts[used, None]
    return np.ascontiguousarray(anchors[nearby_order(anchors)])


def nearby_order(vectors: Float32s2d) -> Ints1d:
    """Return an order in which vectors near to each other mostly follow each other.

    It halves them at the median of the coordinate that varies most, again and again.
    """
    if len(vectors) < 3:
        return np.arange(len(vectors))
    order = np.argsort(vectors[:, vectors.var(axis=0).argmax()], kind="stable")
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    return np.concatenate([half[nearby_order(vectors[half])] for half in halves])


class Index:
    """Keys in blocks, and the bounds by which a query skips blocks.

    A block contains the keys that are nearest to one anchor and have the label that most of these
    keys have, or those of them that have another label.

    Args:
        keys: (n_keys, width).
        labels: (n_keys,).
        kept: (n_kept,), indices of the keys to index.
        n_anchors: At most; there are never more than keys.
        n_threads: Threads that build the index.

    Attributes:
        order: (n_kept,), indices of the indexed keys, block by block.
        starts, ends: (n_blocks,), where in the order a block starts and ends.
        labels: (n_blocks,), ascending, the label of all keys of the block, or -1.
        anchors: (n_anchors, n_leading + 1), projected.
        lifted: (n_kept, n_leading + 3), projected keys, to be multiplied with `lift_queries`.
    """

    def __init__(
        self,
        keys: Float32s2d,
        labels: Ints1d,
        kept: Ints1d,
        n_anchors: int,
        n_threads: int = 1,
    ) -> None:
        rng = np.random.default_rng(0)
        sample = np.arange(len(keys))  # with all copies: where many are, an anchor should be
        if len(keys) > SAMPLE:
            sample = np.sort(rng.choice(len(keys), SAMPLE, replace=False))
        self.projection = Projection.fit(keys[sample])
        projected = self.projection(keys, kept)
        n_anchors = min(n_anchors, len(sample))
        self.anchors = fit_anchors(self.projection(keys, sample), n_anchors, rng, n_threads)
        nearest = assign(projected, self.anchors, n_threads)
        votes = np.zeros((n_anchors, labels.max() + 1), dtype=np.int64)
        np.add.at(votes, (nearest, labels[kept]), 1)
        majority = votes.argmax(axis=1)
        blocks = 2 * nearest + (labels[kept] != majority[nearest])
        counts = np.bincount(blocks, minlength=2 * n_anchors)
        block_labels = np.stack([majority, np.full(n_anchors, -1)], axis=1).ravel()
        # Blocks of one label follow each other: often those of all others are searched.
        used = np.argsort(block_labels, kind="stable")
        used = used[counts[used] > 0]
        place = np.empty(2 * n_anchors, dtype=np.int64)
        place[used] = np.arange(len(used))
        by_block = np.argsort(place[blocks], kind="stable")
        self.order = kept[by_block]
        self.labels = block_labels[used]
        self.ends = np.cumsum(counts[used])
        self.starts = self.ends - counts[used]
        self.slack = slack(projected.shape[1] + 2)
        self._groups: dict[int, list[Group]] = {}
        self._lift(projected, by_block)
        self._measure_margins(used // 2, n_threads)

    def _lift(self, projected: Float32s2d, by_block: Ints1d) -> None:
        """Keep keys as ``(z, (1 - slack) |z|^2, 1)``, to be multiplied with `lift_queries`."""
        width = projected.shape[1]
        self.lifted = np.ones((len(projected), width + 2), dtype=np.float32)
        for start in range(0, len(projected), ROWS):
            chunk = projected[by_block[start : start + ROWS]]
            self.lifted[start : start + ROWS, :width] = chunk
            self.lifted[start : start + ROWS, width] = (1 - self.slack) * squared_lengths(chunk)

    def lift_queries(self, projected: Float32s2d, bounds: Floats1d | float) -> Float32s2d:
        """Return rows whose product with a lifted key is positive only beyond the bound.

        The product is ``(1 - slack) (|q|^2 + |z|^2) - 2 qz - bound``.

        Args:
            projected: (n, n_leading + 1), queries.
            bounds: (n,) or one for all, squared distances.

        Returns:
            (n, n_leading + 3).
        """
        width = projected.shape[1]
        lifted = np.ones((len(projected), width + 2), dtype=np.float32)
        lifted[:, :width] = -2 * projected
        lifted[:, -1] = (1 - self.slack) * squared_lengths(projected) - (1 + self.slack) * bounds
        return lifted

    def _measure_margins(self, anchor_of_block: Ints1d, n_threads: int) -> None:
        """Set ``margins[i, b]``: the least ``z (c_b - c_i)`` of the keys z of block b, minus slack.

        c_b is the anchor of the block. A key of it lies at least
        ``(margins[i, b] - q (c_b - c_i)) / gaps[i, b]`` from q, for every anchor i.
        """
        shape = (len(self.anchors), len(anchor_of_block))
        self.margins, self.gaps = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.anchor_of_block = anchor_of_block
        lengths = squared_lengths(self.anchors) ** 0.5
        self.longest = float(lengths.max())

        def measure(block: int) -> None:
            anchor = anchor_of_block[block]
            members = self.lifted[self.starts[block] : self.ends[block], : self.anchors.shape[1]]
            least, longest = np.full(shape[0], np.inf), 0.0
            for start in range(0, len(members), ROWS):
                chunk = members[start : start + ROWS]
                products = chunk @ self.anchors.T
                np.subtract(products[:, anchor, None], products, out=products)
                np.minimum(least, products.min(axis=0), out=least)
                longest = max(longest, float(squared_lengths(chunk).max()) ** 0.5)
            self.margins[:, block] = least - self.slack * longest * (lengths + lengths[anchor])
            apart = squared_lengths(self.anchors - self.anchors[anchor]) ** 0.5
            self.gaps[:, block] = apart * (1 + self.slack)

        run_all([partial(measure, block) for block in range(shape[1])], n_threads)

    def needed_blocks(self, projected: Float32s2d, anchors: Ints1d, bounds: Floats1d) -> Bools2d:
        """Return which blocks may contain a key within the bound of a query.

        Args:
            projected: (n, n_leading + 1), queries.
            anchors: (n,), index of an anchor near to each query.
            bounds: (n,), squared distances.

        Returns:
            (n, n_blocks).
        """
        lengths = squared_lengths(projected) ** 0.5
        room = 2 * self.slack * self.longest * lengths
        room -= np.einsum("ij,ij->i", projected, self.anchors[anchors])
        margins = self.margins[anchors]
        margins -= projected @ self.anchors[self.anchor_of_block].T
        gaps = self.gaps[anchors]
        gaps *= np.sqrt(bounds)[:, None]
        margins -= gaps
        farther = margins > room[:, None]
        return ~farther

    def grouped(self, size: int) -> list["Group"]:
        """Return all blocks in groups of about so many keys; a larger block is one by itself."""
        if size not in self._groups:
            groups: list[Group] = []
            for block, (first, last) in enumerate(zip(self.starts, self.ends, strict=True)):
                if groups and last - groups[-1].first <= size:
                    groups[-1] = groups[-1]._replace(last=int(last))
                else:
                    groups.append(Group(block, int(first), int(last)))
            self._groups[size] = groups
        return self._groups[size]


class Group(NamedTuple):
    """Blocks that follow each other: the first block, and the range of their keys."""

    block: int
    first: int
    last: int


def run_all(tasks: Iterable[Callable[[], Result]], n_threads: int) -> list[Result]:
    """Return what each task returns, in order; each task runs in one thread, with BLAS."""
    with one_blas_thread():
        return process.run_all(tasks, n_threads)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run each matrix product of numpy in the thread that asks for it, in the whole process.

    On a busy machine, threads of BLAS wait for each other longer than a small product takes. The
    previous setting returns when the last of all threads has left. Some versions of OpenBLAS take
    this setting from the main thread only; elsewhere products are as right but slower.
    """
    global _n_inside, _limit
    with _lock:
        if not _n_inside:
            _limit = _controller().limit(limits=1, user_api="blas")
        _n_inside += 1
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if not _n_inside and _limit is not None:
                _limit.restore_original_limits()


class _Limit(Protocol):
    def restore_original_limits(self) -> None: ...


class _Controller(Protocol):
    def limit(self, *, limits: int, user_api: str) -> _Limit: ...


_lock = Lock()
_n_inside = 0
_limit: _Limit | None = None


@cache
def _controller() -> _Controller:
    from threadpoolctl import ThreadpoolController

    controller: _Controller = ThreadpoolController()
    return controller


def _reset_after_fork() -> None:
    """Forget the threads that were inside or held the lock: a forked process does not have them."""
    global _lock, _n_inside
    _lock, _n_inside = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
