"""Evaluation: run a pipeline on gold documents, compare two of them, and write the report.

Also cross-fitting, and statistics of a corpus and a trained pipeline. The scores are in `scoring`.
"""

from .compare import compare_evaluations
from .corpus_stats import corpus_stats, pipeline_stats
from .cross_fitting import cross_predict
from .documents import MatchedDocument
from .evaluate import (
    Evaluation,
    Metrics,
    SystemComparison,
    evaluate,
    label_counts,
    matched_documents,
    read_examples,
)
from .report import render_choice, render_html, render_report, write_choice, write_report

__all__ = [
    "Evaluation",
    "MatchedDocument",
    "Metrics",
    "SystemComparison",
    "compare_evaluations",
    "corpus_stats",
    "cross_predict",
    "evaluate",
    "label_counts",
    "matched_documents",
    "pipeline_stats",
    "read_examples",
    "render_choice",
    "render_html",
    "render_report",
    "write_choice",
    "write_report",
]
