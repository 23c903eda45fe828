"""Lists of the keys around each anchor of an index, which decide a unanimous vote at once."""

from dataclasses import dataclass

import numpy as np

from .search_index import Float32s1d, Float32s2d, Floats1d, Floats2d, Index, Ints1d, slack, squares

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
    stride = 32
    rank = 2 * count // stride + 8
    some = np.arange(len(values))
    if len(values) > 4 * stride * rank:  # a threshold guessed from a part saves much partitioning
        guess = np.partition(values[::stride], rank)[rank]
        few = np.flatnonzero(values <= guess)
        some = few if len(few) > count else some
    chosen = some[np.argpartition(values[some], count)[: count + 1]]
    chosen = chosen[np.argsort(values[chosen], kind="stable")]
    return chosen[:count], float(values[chosen[count]])


def list_surroundings(
    index: Index, keys: Float32s2d, labels: Ints1d, n_same: int, n_others: int
) -> list[Surroundings]:
    """Those of each anchor, with at most so many keys of its label and of the others."""
    found: list[Surroundings] = []
    labels = labels[index.order]
    at_once = max(1, 2**23 // len(labels))
    for start in range(0, len(index.anchors), at_once):
        anchors = index.anchors[start : start + at_once]
        for row in index.lift_queries(anchors, 0.0) @ index.lifted.T:
            electors, _ = smallest(row, ELECTORS)
            label = int(np.bincount(labels[electors]).argmax())
            is_same = labels == label
            n_all_same = int(is_same.sum())
            same, _ = smallest(np.where(is_same, row, np.inf), min(n_same, n_all_same))
            n_all_others = len(row) - n_all_same
            others, reach = smallest(np.where(is_same, np.inf, row), min(n_others, n_all_others))
            listed = keys[index.order[np.concatenate([same, others])]]
            offsets = listed - listed[0]
            reach = max(reach, 0.0) ** 0.5
            found.append(
                Surroundings(label, len(same), listed[0], offsets, squares(offsets), reach)
            )
    return found
