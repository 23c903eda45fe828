"""Classification of vectors by their nearest neighbours in a datastore of labelled keys.

Pure arrays: knows nothing of spaCy or of what the vectors mean.
"""

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .brute import BruteSearch, Ints1d, KeySearch, SearchKind
from .datastore import Datastore

# --- from voting

Floats2d = npt.NDArray[np.floating]
AnyInts2d = npt.NDArray[np.integer[Any]]

Votes = Literal["uniform", "distance", "softmax"]


def vote_weights(distances: Floats2d, votes: Votes, temperature: float = 1.0) -> Floats2d:
    """What each neighbour's vote counts for; rows sum to 1, shape as ``distances``.

    "uniform": all the same. "distance": ``1 / d``, and where a neighbour is at no distance at all
    such neighbours alone count (both as scikit-learn's ``KNeighborsClassifier`` has them).
    "softmax": proportional to ``exp(-d / temperature)`` (Khandelwal et al. 2020, arXiv 1911.00172,
    with the distance for its square).
    """
    if votes == "uniform":
        return np.full(distances.shape, 1 / max(distances.shape[1], 1), dtype=np.float32)
    if votes == "softmax":
        weights = np.exp((distances[:, :1] - distances) / temperature)
    else:
        same = distances == 0
        with np.errstate(divide="ignore"):
            weights = np.where(same.any(axis=1, keepdims=True), same, 1 / distances)
    scaled: Floats2d = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def label_shares(labels: AnyInts2d, weights: Floats2d, n_labels: int) -> Floats2d:
    """Share of the vote for each label; shape (n_queries, n_labels).

    labels, weights: of the neighbours.
    """
    shape = (len(labels), n_labels)
    cells = np.arange(shape[0])[:, None] * n_labels + labels
    shares = np.bincount(cells.ravel(), weights.ravel(), minlength=shape[0] * shape[1])
    return shares.reshape(shape).astype(np.float32)


# --- from search_kinds


def make_search(
    kind: SearchKind,
    keys: Floats2d,
    labels: Ints1d,
    n_labels: int,
    device: str = "cpu",
) -> KeySearch:
    """The search of that kind; "auto" is "pruned", without a GPU the fastest for few keys and many.

    device: of torch, for "torch" alone.

    Raises ValueError where the kind is unknown, and what `BruteSearch` does.
    """
    if kind == "brute":
        return BruteSearch(keys, labels, n_labels)
    if kind in ("auto", "pruned"):
        from .pruned import PrunedSearch

        return PrunedSearch(keys, labels, n_labels)
    if kind == "torch":
        from .gpu import TorchSearch

        return TorchSearch(keys, labels, n_labels, device=device)
    raise ValueError(f"no search {kind!r}; choose auto, brute, pruned or torch")


# --- from neighbors

Ints2d = npt.NDArray[np.int64]
Metric = Literal["euclidean", "cosine"]


@runtime_checkable  # spaCy 3.7 looks at the types of a factory's arguments
class NeighborSearch(Protocol):
    """What the component asks of a neighbour search."""

    datastore: Datastore | None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that a vote depends on, by name."""

    def kneighbors(
        self, queries: Floats2d, n_neighbors: int | None = None
    ) -> tuple[Floats2d, Ints2d]:
        """Distances and indices of the nearest keys, (n_queries, n_neighbors) each."""

    def weigh(self, distances: Floats2d) -> Floats2d:
        """What the vote of each neighbour counts for; rows sum to 1."""

    def predict_proba(self, queries: Floats2d) -> Floats2d:
        """Share of the vote for each label; (n_queries, width) to (n_queries, n_labels)."""


class KNearestNeighbors:
    """Vote of the ``n_neighbors`` nearest keys; without a datastore it has none to ask.

    metric: "euclidean", or "cosine": the distance between vectors scaled to length 1.
    votes, temperature: what each vote counts for, see `neighbors.classifier.vote_weights`.
    search: "auto", or one of `neighbors.classifier`; all are exact. "auto" searches on the GPU
        where the pipeline computes on one.

    With the defaults, the label with most votes is that of scikit-learn's
    ``KNeighborsClassifier(n_neighbors=17)``, but where distances tie within float32; on a tie of
    votes the lowest label wins, as there. A datastore with fewer keys than ``n_neighbors`` lets
    all vote.
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
        if n_neighbors < 1:
            raise ValueError(f"n_neighbors must be at least 1, not {n_neighbors}")
        if not temperature > 0:
            raise ValueError(f"temperature must be more than 0, not {temperature}")
        for name, value, choices in (
            ("metric", metric, ("euclidean", "cosine")),
            ("votes", votes, ("uniform", "distance", "softmax")),
        ):
            if value not in choices:
                raise ValueError(f'{name} is "{value}", but must be one of {", ".join(choices)}')
        self.n_neighbors, self.metric = n_neighbors, metric
        self.votes, self.temperature, self.search = votes, temperature, search
        self.datastore = None

    @property
    def datastore(self) -> Datastore | None:
        """The keys with their labels and where they come from; None where nothing is fitted."""
        return self._datastore

    @datastore.setter
    def datastore(self, datastore: Datastore | None) -> None:
        self._datastore = datastore
        self._index: KeySearch | None = None  # made by the first search, for the settings of then
        self._index_of: tuple[str, str] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that a vote depends on, by name."""
        names = ("n_neighbors", "metric", "votes", "temperature")
        return {name: getattr(self, name) for name in names}

    def kneighbors(
        self, queries: Floats2d, n_neighbors: int | None = None
    ) -> tuple[Floats2d, Ints2d]:
        """Distances (n_queries, k) and indices of the nearest keys, nearest first.

        k is ``n_neighbors`` (that of the settings where None), or the number of keys if there are
        fewer. Raises ValueError where nothing is fitted or the width is not that of the keys.
        """
        index, k, queries = self._prepare(queries, n_neighbors)
        if not len(queries):
            return np.zeros((0, k), dtype=np.float32), np.zeros((0, k), dtype=np.int64)
        return index.kneighbors(queries, k)

    def weigh(self, distances: Floats2d) -> Floats2d:
        """What the vote of each neighbour counts for; rows sum to 1."""
        return vote_weights(distances, self.votes, self.temperature)

    def predict_proba(self, queries: Floats2d) -> Floats2d:
        """Share of the vote for each label; (n_queries, width) to (n_queries, n_labels).

        Raises ValueError as `kneighbors`.
        """
        index, k, queries = self._prepare(queries, None)
        n_labels, labels = len(self._store.label_names), self._store.labels
        if not len(queries):
            return np.zeros((0, n_labels), dtype=np.float32)
        if self.votes == "uniform":  # who has voted is not asked, and need not be found
            return np.divide(index.count_votes(queries, k), k, dtype=np.float32)
        distances, nearest = index.kneighbors(queries, k)
        return label_shares(labels[nearest], self.weigh(distances), n_labels)

    @property
    def _store(self) -> Datastore:
        if self.datastore is None or not len(self.datastore.labels):
            raise ValueError("the neighbours are not fitted, or the datastore holds no key")
        return self.datastore

    def _prepare(
        self, queries: Floats2d, n_neighbors: int | None
    ) -> tuple[KeySearch, int, Floats2d]:
        """The index, the number of neighbours there are to find, the queries as it takes them."""
        store = self._store
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != store.keys.shape[1]:
            raise ValueError(f"queries {queries.shape} do not fit keys {store.keys.shape}")
        if self._index is None or self._index_of != (self.metric, self.search):
            device = _torch_device()
            kind = "torch" if self.search == "auto" and device != "cpu" else self.search
            keys, n_labels = scaled(store.keys, self.metric), len(store.label_names)
            self._index = make_search(kind, keys, store.labels, n_labels, device)
            self._index_of = (self.metric, self.search)
        k = min(self.n_neighbors if n_neighbors is None else n_neighbors, len(store.labels))
        return self._index, k, scaled(queries, self.metric)


def scaled(vectors: Floats2d, metric: Metric) -> Floats2d:
    """Vectors whose Euclidean distances are those of the metric."""
    if metric == "euclidean":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))


def _torch_device() -> str:
    """Where torch computes in this process: "cpu", or the GPU that was chosen for the pipeline."""
    from thinc.api import get_torch_default_device

    return str(get_torch_default_device())
