"""The component ``btl_knn_ner``, and everything that is done with it.

Fitting, editing, tuning and explaining are functions on the component, and methods of it.
"""

from .component import BtlKnnNer, component_of
from .entities import ScoredSpans, read_scores
from .state import ComponentState

__all__ = ["BtlKnnNer", "ComponentState", "ScoredSpans", "component_of", "read_scores"]
