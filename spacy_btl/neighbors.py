"""Classification of vectors by their nearest neighbours in a datastore of labelled keys.

Pure arrays: knows nothing of spaCy or of what the vectors mean. scikit-learn does the search.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats2d = npt.NDArray[np.floating]
Ints1d = npt.NDArray[np.int64]
Ints2d = npt.NDArray[np.int64]


class NeighborSearch(Protocol):
    """What the component asks of a neighbour search."""

    @property
    def is_fitted(self) -> bool:
        """Whether there are keys to search."""

    def fit(self, keys: Floats2d, labels: Ints1d, n_labels: int) -> None:
        """Take keys (n_keys, width) with their labels (n_keys,) in place of those held."""

    def predict_proba(self, queries: Floats2d) -> Floats2d:
        """Share of the vote for each label; (n_queries, width) to (n_queries, n_labels)."""

    def reset(self) -> None:
        """Forget all keys."""

    def get_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The datastore, as named arrays; empty where nothing is fitted."""

    def set_arrays(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take over what `get_arrays` gave."""


class KNearestNeighbors:
    """Uniform vote of the ``n_neighbors`` nearest keys, by Euclidean distance, brute force.

    The label with most votes equals that of scikit-learn's ``KNeighborsClassifier``; on a tie of
    votes the lowest label wins. A datastore with fewer keys than ``n_neighbors`` lets all vote.
    """

    _search: Any

    def __init__(self, n_neighbors: int = 17) -> None:
        if n_neighbors < 1:
            raise ValueError(f"n_neighbors must be at least 1, not {n_neighbors}")
        self.n_neighbors = n_neighbors
        self.reset()

    @property
    def is_fitted(self) -> bool:
        """Whether there are keys to search."""
        return len(self.labels_) > 0

    def fit(self, keys: Floats2d, labels: Ints1d, n_labels: int) -> None:
        """Take keys (n_keys, width) with their labels (n_keys,) in place of those held.

        Raises ValueError where there is no key, where keys and labels do not fit each other, where
        a key is not finite, or where a label is not below ``n_labels``.
        """
        from sklearn.neighbors import NearestNeighbors

        keys, labels = np.asarray(keys, dtype=np.float32), np.asarray(labels, dtype=np.int64)
        if not len(labels):
            raise ValueError("no labelled token to fit the neighbours on")
        if keys.ndim != 2 or len(keys) != len(labels):
            raise ValueError(f"keys {keys.shape} and labels {labels.shape} do not fit")
        if labels.min() < 0 or labels.max() >= n_labels:
            raise ValueError(f"labels must lie between 0 and {n_labels - 1}")
        k = min(self.n_neighbors, len(labels))
        self._search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(keys)
        self.keys_, self.labels_, self.n_labels_ = keys, labels, n_labels

    def predict_proba(self, queries: Floats2d) -> Floats2d:
        """Share of the vote for each label; (n_queries, width) to (n_queries, n_labels).

        Raises ValueError where nothing is fitted or the width is not that of the keys.
        """
        if not self.is_fitted:
            raise ValueError("the neighbours are not fitted")
        shape = (len(queries), self.n_labels_)
        if not len(queries):
            return np.zeros(shape, dtype=np.float32)
        queries = np.asarray(queries, dtype=np.float32)
        nearest: Ints2d = self._search.kneighbors(queries, return_distance=False)
        cells = np.arange(len(queries))[:, None] * self.n_labels_ + self.labels_[nearest]
        votes = np.bincount(cells.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        return np.divide(votes, nearest.shape[1], dtype=np.float32)

    def reset(self) -> None:
        """Forget all keys."""
        self.keys_ = np.zeros((0, 0), dtype=np.float32)
        self.labels_ = np.zeros(0, dtype=np.int64)
        self.n_labels_ = 0
        self._search = None

    def get_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The datastore, as named arrays; empty where nothing is fitted."""
        if not self.is_fitted:
            return {}
        return {"keys": self.keys_, "labels": self.labels_, "n_labels": np.array([self.n_labels_])}

    def set_arrays(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take over what `get_arrays` gave. Raises ValueError where an array is missing."""
        if not arrays:
            self.reset()
            return
        if missing := {"keys", "labels", "n_labels"} - set(arrays):
            raise ValueError(f"the datastore lacks {', '.join(sorted(missing))}")
        self.fit(arrays["keys"], arrays["labels"], int(arrays["n_labels"][0]))
