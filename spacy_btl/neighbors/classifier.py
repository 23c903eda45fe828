"""Classification of vectors by the votes of their nearest neighbors in a datastore of labeled keys.

Arrays only: nothing here knows of spaCy or of what the vectors mean.

The votes are counted here, not by scikit-learn's ``KNeighborsClassifier``, because the search may
stop where all neighbors must have one label, because keys are added and removed, and because the
neighbors themselves explain a prediction. The tests compare both.
"""

from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..util.arrays import Float32s2d, Floats2d, Ints1d, Ints2d
from ..util.checks import above_0, one_of, whole_number
from .brute import BruteSearch, KeySearch
from .datastore import Datastore
from .pruned import FIRST, PrunedSearch

Votes = Literal["uniform", "distance", "softmax"]
Metric = Literal["euclidean", "cosine"]
SearchKind = Literal["auto", "brute", "pruned"]


def vote_weights(distances: Floats2d, votes: Votes, temperature: float = 1.0) -> Float32s2d:
    """Return the weight of each neighbor's vote; rows sum to 1.

    "uniform" weighs all equally. "distance" is ``1 / d``; if some neighbors are at distance 0, they
    alone count (both as in scikit-learn's ``KNeighborsClassifier``). "softmax" is proportional to
    ``exp(-d / temperature)`` (Khandelwal et al. 2020, arXiv 1911.00172, who take the squared
    distance).

    Args:
        distances: (n_queries, k), ascending in each row.
        votes: "uniform", "distance" or "softmax".
        temperature: Temperature of "softmax", above 0.

    Returns:
        (n_queries, k).

    Raises:
        ValueError: If ``votes`` is not one of these.
    """
    one_of("votes", votes, get_args(Votes))
    if votes == "uniform":
        return np.full(distances.shape, 1 / max(distances.shape[1], 1), dtype=np.float32)
    weights: Floats2d
    if votes == "softmax":
        weights = np.exp((distances[:, :1] - distances) / temperature)
    else:
        same = distances == 0
        with np.errstate(divide="ignore"):
            weights = np.where(same.any(axis=1, keepdims=True), same, 1 / distances)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def label_shares(labels: npt.NDArray[np.integer], weights: Floats2d, n_labels: int) -> Float32s2d:
    """Return the share of the vote that each label gets.

    Args:
        labels: (n_queries, k), of the neighbors.
        weights: (n_queries, k), of their votes.
        n_labels: Number of labels.

    Returns:
        (n_queries, n_labels).
    """
    shape = (len(labels), n_labels)
    cells = np.arange(shape[0])[:, None] * n_labels + labels
    shares = np.bincount(cells.ravel(), weights.ravel(), minlength=shape[0] * shape[1])
    return shares.reshape(shape).astype(np.float32)


def make_search(kind: SearchKind, keys: Floats2d, labels: Ints1d, n_labels: int) -> KeySearch:
    """Return a search in these keys.

    Args:
        kind: "brute", "pruned", or "auto": "pruned", the fastest for few keys and for many
            (``benchmarks/neighbor_search.py``), which builds its index after the first queries.
        keys: (n_keys, width).
        labels: (n_keys,), indices below ``n_labels``.
        n_labels: Number of labels.

    Raises:
        ValueError: If the kind is unknown, or for keys and labels that `BruteSearch` refuses.
    """
    one_of("search", kind, get_args(SearchKind))
    if kind == "brute":
        return BruteSearch(keys, labels, n_labels)
    return PrunedSearch(keys, labels, n_labels, n_first=FIRST if kind == "auto" else 0)


@runtime_checkable  # spaCy 3.7 looks at the types of a factory's arguments
class NeighborSearch(Protocol):
    """The interface of a neighbor search, as far as the component needs it."""

    datastore: Datastore | None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that a vote depends on, by name."""

    def kneighbors(
        self, queries: Floats2d, n_neighbors: int | None = None
    ) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices of the nearest keys, (n_queries, n_neighbors) each."""

    def weigh(self, distances: Floats2d) -> Float32s2d:
        """Return the weight of each neighbor's vote; rows sum to 1."""

    def predict_proba(self, queries: Floats2d) -> Float32s2d:
        """Return each label's share of the vote; (n_queries, width) to (n_queries, n_labels)."""


class KNearestNeighbors:
    """A classifier by the vote of the nearest stored tokens; all searches are exact.

    With the defaults, the label with most votes is that of scikit-learn's
    ``KNeighborsClassifier(n_neighbors=17)``, except where distances tie within float32. On a tie of
    votes the lowest label wins, as there. ``fit-knn --dev`` chooses ``n_neighbors``, ``votes``, and
    ``temperature``.

    Args:
        n_neighbors: Number of tokens that vote, 1 or more; all if there are fewer.
        metric: Distance between vectors; for "cosine", they are scaled to length 1.
        votes: Weight of a vote at distance ``d``: 1 ("uniform"), ``1 / d`` ("distance"), or
            ``exp(-d / temperature)`` ("softmax").
        temperature: Temperature of "softmax", above 0.
        search: Both ways are exact: "brute" compares all; "pruned" has an index; "auto" chooses.

    Attributes:
        datastore: The keys with their labels; None if nothing is fitted.

    Raises:
        ValueError: If a setting has none of these values.
    """

    def __init__(
        self,
        n_neighbors: int = 17,
        *,
        metric: Metric = "euclidean",
        votes: Votes = "uniform",
        temperature: float = 1.0,
        search: SearchKind = "auto",
    ) -> None:
        self.n_neighbors = whole_number("n_neighbors", n_neighbors, 1)
        self.metric: Metric = one_of("metric", metric, get_args(Metric))
        self.votes: Votes = one_of("votes", votes, get_args(Votes))
        self.temperature = above_0("temperature", temperature)
        self.search: SearchKind = one_of("search", search, get_args(SearchKind))
        self.datastore = None

    @property
    def datastore(self) -> Datastore | None:
        """The keys with their labels and where they come from; None if nothing is fitted."""
        return self._datastore

    @datastore.setter
    def datastore(self, datastore: Datastore | None) -> None:
        self._datastore = datastore
        # Made by the first call, for the settings at the time.
        self._search: KeySearch | None = None
        self._search_of: tuple[Metric, SearchKind] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that a vote depends on, by name."""
        names = ("n_neighbors", "metric", "votes", "temperature")
        return {name: getattr(self, name) for name in names}

    def kneighbors(
        self, queries: Floats2d, n_neighbors: int | None = None
    ) -> tuple[Float32s2d, Ints2d]:
        """Return distances and indices of the nearest keys, the nearest first.

        Args:
            queries: (n_queries, width).
            n_neighbors: Keys to return; by default that of the settings.

        Returns:
            Both (n_queries, k); k is ``n_neighbors``, or the number of keys if there are fewer.

        Raises:
            ValueError: If nothing is fitted, the width is not that of the keys, or ``n_neighbors``
                is below 1.
        """
        search, k, queries = self._prepare(queries, n_neighbors)
        return search.kneighbors(queries, k)

    def weigh(self, distances: Floats2d) -> Float32s2d:
        """Return the weight of each neighbor's vote, as `vote_weights` by the settings."""
        return vote_weights(distances, self.votes, self.temperature)

    def predict_proba(self, queries: Floats2d) -> Float32s2d:
        """Return each label's share of the vote.

        Args:
            queries: (n_queries, width).

        Returns:
            (n_queries, n_labels); rows sum to 1.

        Raises:
            ValueError: If nothing is fitted, or the width is not that of the keys.
        """
        search, k, queries = self._prepare(queries, None)
        store = self._fitted()
        if self.votes == "uniform":  # the counts are enough: the neighbors need not be found
            return np.divide(search.count_votes(queries, k), k, dtype=np.float32)
        distances, nearest = search.kneighbors(queries, k)
        return label_shares(store.labels[nearest], self.weigh(distances), len(store.label_names))

    def _fitted(self) -> Datastore:
        if self.datastore is None or not len(self.datastore):
            raise ValueError("the neighbors are not fitted, or the datastore is empty")
        return self.datastore

    def _prepare(
        self, queries: Floats2d, n_neighbors: int | None
    ) -> tuple[KeySearch, int, Floats2d]:
        """Return the search, the number of neighbors to find, and the queries by the metric."""
        store = self._fitted()
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != store.width:
            raise ValueError(f"queries {queries.shape} do not match keys {store.keys.shape}")
        if self._search is None or self._search_of != (self.metric, self.search):
            keys = scaled(store.keys, self.metric)
            self._search = make_search(self.search, keys, store.labels, len(store.label_names))
            self._search_of = (self.metric, self.search)
        k = min(self.n_neighbors if n_neighbors is None else n_neighbors, len(store))
        return self._search, k, scaled(queries, self.metric)


def scaled(vectors: Floats2d, metric: Metric) -> Floats2d:
    """Return vectors (n, width) whose Euclidean distances are those of the metric."""
    if metric == "euclidean":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))
