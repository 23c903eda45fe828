"""Exact search of the k nearest keys by computing all distances, and the interface of a search.

Arrays only: nothing here knows of spaCy or of what the vectors mean. Distances are Euclidean.
`BruteSearch` is scikit-learn's; it serves large k, and as the reference for `PrunedSearch`.
"""

from typing import Protocol

import numpy as np

from ..util.arrays import Float32s2d, Floats2d, Ints1d, Ints2d

LARGEST = 1e15
"""Largest coordinate: squares of larger ones overflow float32."""


class KeySearch(Protocol):
    """A search of the k nearest of its keys; if there are fewer than k, all are the neighbors."""

    def kneighbors(self, queries: Floats2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """Return distances, ascending, and indices of the nearest keys.

        Args:
            queries: (n_queries, width).
            k: Number of neighbors.

        Returns:
            Both (n_queries, min(k, n_keys)).

        Raises:
            ValueError: If k is below 1, the width is not that of the keys, or a coordinate is not
                finite or too large.
        """

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """Return how many of the k nearest keys have each label, (n_queries, n_labels).

        Raises:
            ValueError: In the same cases as `kneighbors`.
        """


class BruteSearch:
    """All distances by scikit-learn. Which keys it takes on a tie of distances is left open.

    Args:
        keys: (n_keys, width); kept as float32.
        labels: (n_keys,), indices below ``n_labels``.
        n_labels: Number of labels.

    Raises:
        ValueError: If there is no key, keys and labels do not fit each other, a coordinate is not
            finite or too large, or a label is out of range.
    """

    def __init__(self, keys: Floats2d, labels: Ints1d, n_labels: int) -> None:
        from sklearn.neighbors import NearestNeighbors

        self.keys, self.labels = check_keys(keys, labels, n_labels)
        self.n_labels = n_labels
        self._search = NearestNeighbors(algorithm="brute").fit(self.keys)

    def kneighbors(self, queries: Floats2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices of the nearest keys, as `KeySearch` describes."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if not len(queries):
            return np.zeros((0, k), dtype=np.float32), np.zeros((0, k), dtype=np.int64)
        distances, indices = self._search.kneighbors(queries, n_neighbors=k)
        return distances.astype(np.float32), indices.astype(np.int64)

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """Return the votes for each label, as `KeySearch` describes."""
        return votes_of(self.kneighbors(queries, k)[1], self.labels, self.n_labels)


def votes_of(nearest: Ints2d, labels: Ints1d, n_labels: int) -> Ints2d:
    """Return how often each label occurs among the keys in each row.

    Args:
        nearest: (n_queries, k), indices of keys.
        labels: (n_keys,).
        n_labels: Number of labels.

    Returns:
        (n_queries, n_labels).
    """
    cells = np.arange(len(nearest))[:, None] * n_labels + labels[nearest]
    votes = np.bincount(cells.ravel(), minlength=len(nearest) * n_labels)
    return votes.astype(np.int64).reshape(len(nearest), n_labels)


def check_keys(keys: Floats2d, labels: Ints1d, n_labels: int) -> tuple[Float32s2d, Ints1d]:
    """Return keys as float32 and labels as int64; raise ValueError as `BruteSearch` describes."""
    keys = np.ascontiguousarray(keys, dtype=np.float32)
    labels = np.asarray(labels, dtype=np.int64)
    if not len(labels):
        raise ValueError("there are no keys to search")
    if keys.ndim != 2 or not keys.shape[1] or labels.shape != keys.shape[:1]:
        raise ValueError(f"keys {keys.shape} and labels {labels.shape} do not match")
    if labels.min() < 0 or labels.max() >= n_labels:
        raise ValueError(f"labels must be between 0 and {n_labels - 1}")
    _check_size(keys, "keys")
    return keys, labels


def check_queries(queries: Floats2d, keys: Float32s2d, k: int) -> Float32s2d:
    """Return queries as float32; raise ValueError as `KeySearch.kneighbors` describes."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    with np.errstate(over="ignore"):
        queries = np.ascontiguousarray(queries, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(f"queries {queries.shape} do not match keys {keys.shape}")
    _check_size(queries, "queries")
    return queries


def _check_size(vectors: Float32s2d, name: str) -> None:
    """Raise ValueError if a coordinate is not finite or too large; makes no copy of them."""
    if vectors.size and not (vectors.min() >= -LARGEST and vectors.max() <= LARGEST):
        raise ValueError(f"{name} must be finite and not exceed {LARGEST:g}")
