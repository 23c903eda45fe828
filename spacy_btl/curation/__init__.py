"""From the model back to the annotators: how far they agree, and what they should look at."""

from .adjudication import Adjudication, write_adjudication
from .agreement import Agreement, Figures, agreement_of, compare_annotators
from .agreement_page import render_page, render_text
from .annotators import Annotations, Pair, Version, read_annotators
from .retraining import MergedDocuments, merge_documents, retrain

__all__ = [
    "Adjudication",
    "Agreement",
    "Annotations",
    "Figures",
    "MergedDocuments",
    "Pair",
    "Version",
    "agreement_of",
    "compare_annotators",
    "merge_documents",
    "read_annotators",
    "render_page",
    "render_text",
    "retrain",
    "write_adjudication",
]
