"""Votes of the nearest neighbours of a query: how much each counts, and for which label.

Pure arrays. Distances and labels of neighbours have shape (n_queries, n_neighbors), nearest first.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats2d = npt.NDArray[np.floating]
Ints2d = npt.NDArray[np.integer[Any]]

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


def label_shares(labels: Ints2d, weights: Floats2d, n_labels: int) -> Floats2d:
    """Share of the vote for each label; shape (n_queries, n_labels).

    labels, weights: of the neighbours.
    """
    shape = (len(labels), n_labels)
    cells = np.arange(shape[0])[:, None] * n_labels + labels
    shares = np.bincount(cells.ravel(), weights.ravel(), minlength=shape[0] * shape[1])
    return shares.reshape(shape).astype(np.float32)
