"""Lists of the keys around each anchor of an index, which decide a unanimous vote at once."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from .search_index import (
    ROWS,
    Float32s1d,
    Float32s2d,
    Floats1d,
    Floats2d,
    Index,
    Ints1d,
    slack,
    squares,
)
from .search_threads import run_all

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
