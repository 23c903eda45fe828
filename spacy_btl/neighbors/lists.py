"""Lists of the keys around anchors, which bound distances and often decide a vote by themselves.

Arrays only.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from ..util.arrays import Float32s1d, Float32s2d, Floats1d, Ints1d
from .index import ROWS, Index, run_all, slack, squared_lengths

ELECTORS = 17
"""Keys nearest to an anchor that choose its label."""


@dataclass(frozen=True)
class Lists:
    """The keys nearest to each anchor: some of the anchor's label, and some of all others.

    Attributes:
        labels: (n_anchors,), that of most keys near the anchor.
        n_same: Places for keys of the anchor's label, before those for others. A place without a
            key is infinitely far away.
        origins: (n_anchors, width), one of the keys of each list; what is near to zero is exact.
        operands: (n_anchors, width + 1, n_places), keys minus the origin, and their squared
            lengths, to be multiplied with ``(-2 (q - origin), 1)``.
        longest: (n_anchors,), largest of the squared lengths.
        reach: (n_anchors,), projected distance from the anchor within which every key of another
            label is listed.
    """

    labels: Ints1d
    n_same: int
    origins: Float32s2d
    operands: np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
    longest: Floats1d
    reach: Floats1d

    def distances(self, queries: Float32s2d, anchors: Ints1d) -> tuple[Float32s2d, Floats1d]:
        """Return squared distances to the listed keys, and bounds of their errors.

        Args:
            queries: (n, width).
            anchors: (n,), index of an anchor near to each query, ascending.

        Returns:
            (n, n_places) and (n,).
        """
        n, width = queries.shape
        lifted = np.ones((n, width + 1), dtype=np.float32)
        np.subtract(queries, self.origins[anchors], out=lifted[:, :-1])
        lengths = squared_lengths(lifted[:, :-1])
        lifted[:, :-1] *= -2
        distances = np.empty((n, self.operands.shape[2]), dtype=np.float32)
        starts = np.flatnonzero(np.diff(anchors, prepend=-1)).tolist()
        for start, end in pairwise([*starts, n]):
            np.dot(lifted[start:end], self.operands[anchors[start]], out=distances[start:end])
        distances += lengths[:, None]
        return distances, slack(width) * (lengths + self.longest[anchors])


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


def list_keys(
    index: Index, keys: Float32s2d, labels: Ints1d, n_same: int, n_others: int, n_threads: int = 1
) -> Lists:
    """Return the lists of keys around all anchors of the index.

    Args:
        index: Index of the keys.
        keys: (n_keys, width).
        labels: (n_keys,).
        n_same: Keys of an anchor's label to list at most.
        n_others: Keys of other labels to list at most.
        n_threads: Threads to use.
    """
    labels = labels[index.order]
    counts = np.bincount(labels)
    n_same = min(n_same, int(counts.max()))
    n_others = min(n_others, len(labels) - int(counts[counts > 0].min()))
    with_label = {int(label): np.flatnonzero(labels == label) for label in np.flatnonzero(counts)}
    n_anchors, width = len(index.anchors), keys.shape[1]
    operands = np.zeros((n_anchors, width + 1, n_same + n_others), dtype=np.float32)
    operands[:, -1] = np.inf
    origins = np.empty((n_anchors, width), dtype=np.float32)
    lists = Lists(
        np.empty(n_anchors, dtype=np.int64),
        n_same,
        origins,
        operands,
        np.empty(n_anchors),
        np.empty(n_anchors),
    )

    def of_anchors(start: int) -> None:
        lifted = index.lift_queries(index.anchors[start : start + at_once], 0.0)
        distances = np.empty((len(lifted), len(labels)), dtype=np.float32)
        for first in range(0, len(labels), ROWS):
            distances[:, first : first + ROWS] = lifted @ index.lifted[first : first + ROWS].T
        for anchor, row in enumerate(distances, start):
            of_anchor(anchor, row)

    def of_anchor(anchor: int, distances: Float32s1d) -> None:
        electors, _ = smallest(distances, ELECTORS)
        label = int(np.bincount(labels[electors]).argmax())
        candidates = with_label[label]
        same = candidates[smallest(distances[candidates], n_same)[0]]
        distances[candidates] = np.inf
        n_without = len(labels) - len(candidates)
        others, reach = smallest(distances, min(n_others, n_without))
        places = np.concatenate([np.arange(len(same)), n_same + np.arange(len(others))])
        listed = keys[index.order[np.concatenate([same, others])]]
        origins[anchor] = listed[0]
        listed -= listed[0]
        squares = squared_lengths(listed)
        operands[anchor][:-1, places] = listed.T
        operands[anchor][-1, places] = squares
        lists.labels[anchor], lists.longest[anchor] = label, squares.max()
        lists.reach[anchor] = max(reach, 0.0) ** 0.5

    at_once = int(np.clip(2**26 // (len(labels) * n_threads), 1, 64))
    starts = range(0, n_anchors, at_once)
    run_all([partial(of_anchors, start) for start in starts], n_threads)
    return lists
