"""Stored vectors of training tokens, exact search for the nearest of them, and their votes.

Arrays only: this room knows nothing of spaCy.
"""

from .brute import BruteSearch, KeySearch
from .classifier import (
    KNearestNeighbors,
    Metric,
    NeighborSearch,
    SearchKind,
    Votes,
    label_shares,
    make_search,
    scaled,
    vote_weights,
)
from .datastore import Datastore, Source
from .pruned import PrunedSearch

__all__ = [
    "BruteSearch",
    "Datastore",
    "KNearestNeighbors",
    "KeySearch",
    "Metric",
    "NeighborSearch",
    "PrunedSearch",
    "SearchKind",
    "Source",
    "Votes",
    "label_shares",
    "make_search",
    "scaled",
    "vote_weights",
]
