"""Evaluation: run a pipeline on gold documents, compare two of them, and write the report.

Also statistics of a corpus and of a trained pipeline. The scores themselves are in `scoring`.
"""

from .compare import compare_evaluations
from .corpus_stats import corpus_stats, pipeline_stats
from .documents import MatchedDocument
from .evaluate import evaluate, label_counts, matched_documents, read_examples
from .metrics import Evaluation, Metrics, SystemComparison
from .report import render_html, render_report, write_report

__all__ = [
    "Evaluation",
    "MatchedDocument",
    "Metrics",
    "SystemComparison",
    "compare_evaluations",
    "corpus_stats",
    "evaluate",
    "label_counts",
    "matched_documents",
    "pipeline_stats",
    "read_examples",
    "render_html",
    "render_report",
    "write_report",
]
