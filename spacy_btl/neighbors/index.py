"""Index of keys for `neighbors.pruned`: projection, anchors, and lists of near keys.

Pure arrays. What is compared here are bounds of distances, and every bound leaves room for the
rounding of float32, so that no key is lost that belongs to the nearest.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

# --- from search_threads


def usable_threads() -> int:
    """Threads that the search should take in this process: as many as torch does.

    torch knows ``OMP_NUM_THREADS`` (which Ray and joblib set in their workers), what the program
    has set with ``torch.set_num_threads``, and that a forked process has one
    (`ml.forking`). Never more than the CPUs that the process may use, and one in a process
    that `multiprocessing` has started: others work beside it.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    import torch

    has_affinity = hasattr(os, "sched_getaffinity")
    n_cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(n_cpus, torch.get_num_threads())


def run_all(tasks: Iterable[Callable[[], Any]], n_threads: int) -> list[Any]:
    """What each task returns, in order; each runs to its end in one thread.

    The threads are those of this call alone: kept ones would not survive a fork.
    """
    tasks = list(tasks)
    with one_blas_thread():
        if n_threads == 1 or len(tasks) == 1:
            return [task() for task in tasks]
        with ThreadPoolExecutor(min(n_threads, len(tasks))) as pool:
            return [done.result() for done in [pool.submit(task) for task in tasks]]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A matrix product of numpy runs in the thread that asks for it, in all of the process.

    On a busy machine, threads of BLAS wait for each other longer than a small product takes. What
    was set before is set again when the last of all threads has left. Some versions of OpenBLAS
    take this setting from the main thread alone; from another, products are as right but slower.
    """
    global _inside, _limit
    with _lock:
        if not _inside:
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.restore_original_limits()


_lock = Lock()
_inside = 0
_limit: Any = None


def _begin_anew() -> None:
    """In a forked process: the threads that were inside, or held the lock, are not in it."""
    global _lock, _inside
    _lock, _inside = Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


# --- from search_index

Floats1d = npt.NDArray[np.floating[Any]]
Floats2d = npt.NDArray[np.floating[Any]]
Float32s1d = npt.NDArray[np.float32]
Float32s2d = npt.NDArray[np.float32]
Ints1d = npt.NDArray[np.int64]

KEPT_VARIANCE = 0.98
"""Share of the variance that the leading axes of a projection keep."""
SAMPLE = 50_000
"""Keys that the projection and the anchors are fitted on."""
ROWS = 16_384
"""Keys in a chunk."""


def slack(width: int) -> float:
    """Bound of the rounding of ``|a|^2 + |b|^2 - 2 ab`` in float32, relative to ``|a|^2 + |b|^2``.

    A sum of ``width`` products errs by at most ``width * eps / 2`` times the sum of their absolute
    values (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), which is at
    most ``2 (|a|^2 + |b|^2)`` here. The rest is for coordinates and squares rounded before.
    """
    return (width + 8) * float(np.finfo(np.float32).eps)


def squares(vectors: Floats2d) -> Floats1d:
    """Squared length of each row."""
    result: Floats1d = np.einsum("ij,ij->i", vectors, vectors)
    return result


def first_copies(keys: Float32s2d, most: int) -> Ints1d:
    """Indices, ascending, of the keys without the copies of a key after its first ``most``.

    The lowest index goes first among keys at equal distance, so that no copy after the first k is
    among k neighbours. Keys equal bit by bit count as copies.
    """
    codes = np.empty(len(keys), dtype=np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, keys.shape[1], dtype=np.uint64)
    for start in range(0, len(keys), ROWS):
        bits = np.ascontiguousarray(keys[start : start + ROWS]).view(np.uint32)
        codes[start : start + ROWS] = bits.astype(np.uint64) @ factors
    order = np.argsort(codes, kind="stable")
    is_first = np.ones(len(keys), dtype=bool)
    repeats = np.flatnonzero(codes[order[1:]] == codes[order[:-1]]) + 1
    for start in range(0, len(repeats), ROWS):
        some = repeats[start : start + ROWS]
        is_first[some] = (keys[order[some]] != keys[order[some - 1]]).any(axis=1)
    places = np.arange(len(keys))
    rank = places - np.maximum.accumulate(np.where(is_first, places, 0))
    kept: Ints1d = np.sort(order[rank < most])
    return kept


@dataclass(frozen=True)
class Projection:
    """Vectors to their leading principal coordinates and the length of what these leave.

    It is a contraction: projected vectors are never farther from each other than the vectors,
    ``|x - y|^2 >= |x_m - y_m|^2 + (|x_r| - |y_r|)^2`` with m the leading and r the other axes.
    """

    centre: Floats1d
    axes: Floats2d  # (width, width), orthonormal columns, by falling variance
    n_leading: int

    @classmethod
    def fit(cls, vectors: Floats2d) -> "Projection":
        """Principal axes of vectors (n, width); as many lead as keep most of the variance."""
        sample = vectors.astype(np.float64)
        centre = sample.mean(axis=0)
        sample -= centre
        variances, axes = np.linalg.eigh(sample.T @ sample / len(sample))
        shares = np.cumsum(variances[::-1].clip(0))
        n_leading = int((shares < KEPT_VARIANCE * shares[-1]).sum()) + 1
        return cls(centre, np.ascontiguousarray(axes[:, ::-1]), min(n_leading, len(centre)))

    def __call__(self, vectors: Floats2d, rows: Ints1d | None = None) -> Float32s2d:
        """(n, width) to (n, n_leading + 1), of all rows or of those; in float64, in chunks."""
        n = len(vectors) if rows is None else len(rows)
        projected = np.empty((n, self.n_leading + 1), dtype=np.float32)
        for start in range(0, n, ROWS):
            some = slice(start, start + ROWS)
            rotated = (vectors[some if rows is None else rows[some]] - self.centre) @ self.axes
            projected[start : start + ROWS, :-1] = rotated[:, : self.n_leading]
            projected[start : start + ROWS, -1] = squares(rotated[:, self.n_leading :]) ** 0.5
        return projected


def nearest_anchors(products: Float32s2d, anchors: Float32s2d) -> Ints1d:
    """Index of the nearest anchor, as float32 has it; from the products (n, n_anchors)."""
    nearest: Ints1d = (squares(anchors) / 2 - products).argmin(axis=1)
    return nearest


def assign(vectors: Float32s2d, anchors: Float32s2d, n_threads: int) -> Ints1d:
    """`nearest_anchors` of many vectors, in chunks."""

    def of_chunk(start: int) -> Ints1d:
        return nearest_anchors(vectors[start : start + rows] @ anchors.T, anchors)

    rows = max(64, 2**20 // len(anchors))  # the products stay in the cache
    starts = range(0, len(vectors), rows)
    return np.concatenate(run_all([partial(of_chunk, start) for start in starts], n_threads))


def fit_anchors(
    vectors: Float32s2d, n_anchors: int, rng: np.random.Generator, n_threads: int
) -> Float32s2d:
    """Centroids by a few rounds of k-means (Lloyd), in the order of their first coordinate.

    An anchor that no vector is nearest to stays where it is.
    """
    anchors = vectors[rng.choice(len(vectors), n_anchors, replace=False)].copy()
    for _ in range(4):
        nearest = assign(vectors, anchors, n_threads)
        counts = np.bincount(nearest, minlength=n_anchors)
        used = counts > 0
        starts = (np.cumsum(counts) - counts)[used]
        sums = np.add.reduceat(vectors[np.argsort(nearest, kind="stable")], starts, axis=0)
        anchors[used] = sums / counts[used, None]
    return np.ascontiguousarray(anchors[np.argsort(anchors[:, 0], kind="stable")])


class Index:
    """Keys in blocks, and the bounds that tell which blocks a query need not look at.

    A block holds the keys that are nearest to one anchor and, of these, either those of the label
    that most of them have or the others.

    order: (n_kept,) index of each key that stands here, block by block.
    starts, ends: (n_blocks,) where in the order a block starts and ends.
    labels: (n_blocks,) the label of all keys of the block, or -1.
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
        by_block = np.argsort(blocks, kind="stable")
        self.order = kept[by_block]
        counts = np.bincount(blocks, minlength=2 * n_anchors)
        used = counts > 0
        self.ends = np.cumsum(counts[used])
        self.starts = self.ends - counts[used]
        self.labels = np.stack([majority, np.full(n_anchors, -1)], axis=1).ravel()[used]
        self.slack = slack(projected.shape[1] + 2)
        self._lift(projected, by_block)
        self._measure_margins(np.flatnonzero(used) // 2, n_threads)

    def _lift(self, projected: Float32s2d, by_block: Ints1d) -> None:
        """Keys as ``(z, (1 - slack) |z|^2, 1)``, to be multiplied with those of `lift_queries`."""
        width = projected.shape[1]
        self.lifted = np.ones((len(projected), width + 2), dtype=np.float32)
        for start in range(0, len(projected), ROWS):
            chunk = projected[by_block[start : start + ROWS]]
            self.lifted[start : start + ROWS, :width] = chunk
            self.lifted[start : start + ROWS, width] = (1 - self.slack) * squares(chunk)

    def lift_queries(self, projected: Float32s2d, bounds: Floats1d | float) -> Float32s2d:
        """Rows whose product with a lifted key is positive only if it is farther than the bound.

        bounds: squared distances. The product is ``(1 - slack) (|q|^2 + |z|^2) - 2 qz - bound``.
        """
        width = projected.shape[1]
        lifted = np.ones((len(projected), width + 2), dtype=np.float32)
        lifted[:, :width] = -2 * projected
        lifted[:, -1] = (1 - self.slack) * squares(projected) - (1 + self.slack) * bounds
        return lifted

    def _measure_margins(self, anchor_of_block: Ints1d, n_threads: int) -> None:
        """``margins[i, b]``: the least ``z (c_b - c_i)`` of the keys z of block b, less the slack.

        c_b is the anchor of the block. A key of it lies at least
        ``(margins[i, b] - q (c_b - c_i)) / gaps[i, b]`` from q, for every anchor i.
        """
        shape = (len(self.anchors), len(anchor_of_block))
        self.margins, self.gaps = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.anchor_of_block = anchor_of_block
        lengths = squares(self.anchors) ** 0.5
        self.longest = float(lengths.max())

        def measure(b: int) -> None:
            anchor = anchor_of_block[b]
            members = self.lifted[self.starts[b] : self.ends[b], : self.anchors.shape[1]]
            least, longest = np.full(shape[0], np.inf), 0.0
            for start in range(0, len(members), ROWS):
                chunk = members[start : start + ROWS]
                products = chunk @ self.anchors.T
                np.subtract(products[:, anchor, None], products, out=products)
                np.minimum(least, products.min(axis=0), out=least)
                longest = max(longest, float(squares(chunk).max()) ** 0.5)
            self.margins[:, b] = least - self.slack * longest * (lengths + lengths[anchor])
            apart = squares(self.anchors - self.anchors[anchor]) ** 0.5
            self.gaps[:, b] = apart * (1 + self.slack)

        run_all([partial(measure, b) for b in range(shape[1])], n_threads)

    def needed_blocks(
        self, projected: Float32s2d, products: Float32s2d, own: Ints1d, bounds: Floats1d
    ) -> npt.NDArray[np.bool_]:
        """Whether a block may hold a key within the bound; (n, n_blocks).

        products: (n, n_anchors), of projected queries and anchors; own: (n,), an anchor near to
        each; bounds: (n,), squared.
        """
        room = 2 * self.slack * self.longest * squares(projected) ** 0.5
        room -= products[np.arange(len(own)), own]
        margins = self.margins[own]
        margins -= products[:, self.anchor_of_block]
        gaps = self.gaps[own]
        gaps *= np.sqrt(bounds)[:, None]
        margins -= gaps
        farther = margins > room[:, None]
        return ~farther
