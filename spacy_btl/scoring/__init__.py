"""Scores of predicted against gold entities: pairs, counts, intervals, tests and reliability.

spaCy appears in `scorer` only; everything else takes labels, offsets and numbers.
"""

from .counts import DocumentCounts, count_tables, document_counts
from .matching import (
    KINDS,
    Kind,
    Match,
    MatchCounts,
    confusion,
    count_kinds,
    count_kinds_by_type,
    count_matches,
    match_entities,
)
from .reliability import (
    expected_calibration_error,
    reliability_by_type,
    reliability_figures,
    reliability_table,
    wilson_interval,
)
from .scorer import (
    ExampleEntities,
    entity_of,
    example_entities,
    gold_entities,
    make_ner_scorer,
    predicted_entities,
    score_ner,
)
from .scores import (
    FIGURES,
    NO_LABEL,
    LabeledFragments,
    Scores,
    precision_recall_f,
    strict_span_scores,
)
from .statistics import bootstrap_intervals, compare, holm, paired_permutation_test
from .summary import compare_systems, score_documents, score_intervals

__all__ = [
    "FIGURES",
    "KINDS",
    "NO_LABEL",
    "DocumentCounts",
    "ExampleEntities",
    "Kind",
    "LabeledFragments",
    "Match",
    "MatchCounts",
    "Scores",
    "bootstrap_intervals",
    "compare",
    "compare_systems",
    "confusion",
    "count_kinds",
    "count_kinds_by_type",
    "count_matches",
    "count_tables",
    "document_counts",
    "entity_of",
    "example_entities",
    "expected_calibration_error",
    "gold_entities",
    "holm",
    "make_ner_scorer",
    "match_entities",
    "paired_permutation_test",
    "precision_recall_f",
    "predicted_entities",
    "reliability_by_type",
    "reliability_figures",
    "reliability_table",
    "score_documents",
    "score_intervals",
    "score_ner",
    "strict_span_scores",
    "wilson_interval",
]
