"""Search of the k nearest keys, exact and by Euclidean distance: what is asked, and a plain way.

Pure arrays: knows nothing of spaCy or of what the vectors mean.

Every search takes keys (n_keys, width), which it holds as float32, and their labels (n_keys,).
Where k exceeds the number of keys, all of them are the neighbours.
"""

from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Floats2d = npt.NDArray[np.floating[Any]]
Float32s2d = npt.NDArray[np.float32]
Ints1d = npt.NDArray[np.int64]
Ints2d = npt.NDArray[np.int64]

SearchKind = Literal["auto", "brute", "pruned", "torch"]

LARGEST = 1e15
"""Of a coordinate: squares of larger ones overflow float32."""


class KeySearch(Protocol):
    """The k nearest keys of queries."""

    def kneighbors(self, queries: Floats2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """Distances, ascending, and indices of the keys, both (n_queries, min(k, n_keys)).

        Raises ValueError where k is below 1 or the queries do not fit the keys.
        """

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """How many of the k nearest keys have each label; (n_queries, n_labels).

        Raises what `kneighbors` does.
        """


class BruteSearch:
    """All distances by scikit-learn. Which keys it takes on a tie of distances is left open.

    Raises ValueError where there is no key, where keys and labels do not fit each other, where a
    coordinate is not finite or too large, or where a label is not below ``n_labels``.
    """

    def __init__(self, keys: Floats2d, labels: Ints1d, n_labels: int) -> None:
        from sklearn.neighbors import NearestNeighbors

        self.keys, self.labels = check_keys(keys, labels, n_labels)
        self.n_labels = n_labels
        self._search: Any = NearestNeighbors(algorithm="brute").fit(self.keys)

    def kneighbors(self, queries: Floats2d, k: int) -> tuple[Float32s2d, Ints2d]:
        """As `KeySearch` has it."""
        queries = check_queries(queries, self.keys, k)
        k = min(k, len(self.keys))
        if not len(queries):
            return np.zeros((0, k), dtype=np.float32), np.zeros((0, k), dtype=np.int64)
        distances, indices = self._search.kneighbors(queries, n_neighbors=k)
        return distances.astype(np.float32), indices.astype(np.int64)

    def count_votes(self, queries: Floats2d, k: int) -> Ints2d:
        """As `KeySearch` has it."""
        return votes_of(self.kneighbors(queries, k)[1], self.labels, self.n_labels)


def votes_of(nearest: Ints2d, labels: Ints1d, n_labels: int) -> Ints2d:
    """Counts of the labels of the keys in each row; (n, k) to (n, n_labels)."""
    cells = np.arange(len(nearest))[:, None] * n_labels + labels[nearest]
    votes = np.bincount(cells.ravel(), minlength=len(nearest) * n_labels)
    return votes.astype(np.int64).reshape(len(nearest), n_labels)


def check_keys(keys: Floats2d, labels: Ints1d, n_labels: int) -> tuple[Float32s2d, Ints1d]:
    """Keys as float32 and labels as int64. Raises what `BruteSearch` does."""
    keys = np.ascontiguousarray(keys, dtype=np.float32)
    labels = np.asarray(labels, dtype=np.int64)
    if not len(labels):
        raise ValueError("there is no key to search")
    if keys.ndim != 2 or not keys.shape[1] or labels.shape != keys.shape[:1]:
        raise ValueError(f"keys {keys.shape} and labels {labels.shape} do not fit")
    if labels.min() < 0 or labels.max() >= n_labels:
        raise ValueError(f"labels must lie between 0 and {n_labels - 1}")
    _check_size(keys, "keys")
    return keys, labels


def check_queries(queries: Floats2d, keys: Float32s2d, k: int) -> Float32s2d:
    """Queries as float32. Raises what `KeySearch.kneighbors` does."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    with np.errstate(over="ignore"):
        queries = np.ascontiguousarray(queries, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != keys.shape[1]:
        raise ValueError(f"queries {queries.shape} do not fit keys {keys.shape}")
    _check_size(queries, "queries")
    return queries


def _check_size(vectors: Float32s2d, name: str) -> None:
    """Raise ValueError where a coordinate is not finite or too large; holds no copy of them."""
    if vectors.size and not (vectors.min() >= -LARGEST and vectors.max() <= LARGEST):
        raise ValueError(f"{name} must be finite and not exceed {LARGEST:g}")
