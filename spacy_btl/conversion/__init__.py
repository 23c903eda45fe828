"""From annotated files to spaCy documents and back, with an account of every entity."""

from ..data.tokenizer import blank
from .account import Account, CorrectionJson, MappedJson, ProblemJson, Reason, Row, Status
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
from .reading import FormatName, Reading, Source, read_source

__all__ = [
    "Account",
    "Alignment",
    "Conversion",
    "CorrectionJson",
    "Discontinuous",
    "ExportReport",
    "Exported",
    "FormatName",
    "LossError",
    "MappedJson",
    "Overlap",
    "Policies",
    "ProblemJson",
    "Reading",
    "Reason",
    "Row",
    "Source",
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
    "read_source",
    "to_standoff",
]
