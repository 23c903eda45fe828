"""The component ``btl_knn_ner``, and everything that is done with it.

Fitting, tuning and explaining are functions on the component, and methods of it. Those on
a whole pipeline are in `workflow`.
"""

from .component import BtlKnnNer, component_of
from .entities import ScoredSpans, read_scores
from .state import ComponentState
from .tuning import DevChoice, choose_on_dev
from .workflow import (
    Explanation,
    FittedNeighbors,
    current_config,
    drop_neighbors,
    explain_entities,
    fit_knn,
    round_weights,
    store_settings,
)

__all__ = [
    "BtlKnnNer",
    "ComponentState",
    "DevChoice",
    "Explanation",
    "FittedNeighbors",
    "ScoredSpans",
    "choose_on_dev",
    "component_of",
    "current_config",
    "drop_neighbors",
    "explain_entities",
    "fit_knn",
    "read_scores",
    "round_weights",
    "store_settings",
]
