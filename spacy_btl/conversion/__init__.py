"""From annotated files to spaCy documents and back, with an account of every entity."""

from ..data.tokenizer import blank
from .account import Account, CorrectionJson, ProblemJson, Reason, Row, Status
from .convert import (
    Conversion,
    LossError,
    convert_folder,
    count_misaligned,
    make_doc,
    make_docs,
    read_brat,
)
from .export import Exported, ExportReport, export_docs, to_standoff
from .placement import Alignment, Discontinuous, Overlap, Policies, align_to_tokens, choose_flat

__all__ = [
    "Account",
    "Alignment",
    "Conversion",
    "CorrectionJson",
    "Discontinuous",
    "ExportReport",
    "Exported",
    "LossError",
    "Overlap",
    "Policies",
    "ProblemJson",
    "Reason",
    "Row",
    "Status",
    "align_to_tokens",
    "blank",
    "choose_flat",
    "convert_folder",
    "count_misaligned",
    "export_docs",
    "make_doc",
    "make_docs",
    "read_brat",
    "to_standoff",
]
