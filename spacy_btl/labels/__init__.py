"""Label columns, their best sequence, and the scores of the spans in it.

Arrays only: probabilities in, spans and scores out.
"""

from .bio import (
    MISSING,
    OUTSIDE,
    LabelSpan,
    average_logits,
    column_names,
    column_types,
    labels_to_spans,
    n_columns,
)
from .calibration import ScoreCalibration, cross_validated, fit_calibration
from .confidence import CONTEXT, layer_span_context, layer_span_scores, span_context, span_scores
from .config_keys import from_config_key, from_config_keys, to_config_key, to_config_keys
from .layers import (
    ROW_SEPARATOR,
    best_layer_paths,
    distinct_rows,
    layers_to_spans,
    row_names,
    row_votes_to_layers,
    spans_to_layers,
)
from .viterbi import best_paths

__all__ = [
    "CONTEXT",
    "MISSING",
    "OUTSIDE",
    "ROW_SEPARATOR",
    "LabelSpan",
    "ScoreCalibration",
    "average_logits",
    "best_layer_paths",
    "best_paths",
    "column_names",
    "column_types",
    "cross_validated",
    "distinct_rows",
    "fit_calibration",
    "from_config_key",
    "from_config_keys",
    "labels_to_spans",
    "layer_span_context",
    "layer_span_scores",
    "layers_to_spans",
    "n_columns",
    "row_names",
    "row_votes_to_layers",
    "span_context",
    "span_scores",
    "spans_to_layers",
    "to_config_key",
    "to_config_keys",
]
