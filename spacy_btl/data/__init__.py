"""From annotated files to spaCy documents and back, with an account of every entity.

Corpora are found or fetched, converted, split by document, and exported.
"""

from .account import Account, ProblemJson, Reason, Row, Status
from .convert import (
    Conversion,
    LossError,
    blank,
    convert_folder,
    count_misaligned,
    make_doc,
    make_docs,
    read_brat,
)
from .docbin import parse_shares, read_docbin, split_documents, write_parts
from .export import Exported, ExportReport, export_docs, to_standoff
from .gold import (
    GOLD_KEY,
    EntityJson,
    GoldJson,
    RecordJson,
    document_id,
    document_name,
    fragments_from_json,
    gold_of,
    heading_of,
)
from .maccrobat import CorpusError, CorpusInfo, prepare_corpus, read_info
from .placement import Alignment, Discontinuous, Overlap, Policies, align_to_tokens, choose_flat
from .tokenizer import clinical_tokenizer

__all__ = [
    "GOLD_KEY",
    "Account",
    "Alignment",
    "Conversion",
    "CorpusError",
    "CorpusInfo",
    "Discontinuous",
    "EntityJson",
    "ExportReport",
    "Exported",
    "GoldJson",
    "LossError",
    "Overlap",
    "Policies",
    "ProblemJson",
    "Reason",
    "RecordJson",
    "Row",
    "Status",
    "align_to_tokens",
    "blank",
    "choose_flat",
    "clinical_tokenizer",
    "convert_folder",
    "count_misaligned",
    "document_id",
    "document_name",
    "export_docs",
    "fragments_from_json",
    "gold_of",
    "heading_of",
    "make_doc",
    "make_docs",
    "parse_shares",
    "prepare_corpus",
    "read_brat",
    "read_docbin",
    "read_info",
    "split_documents",
    "to_standoff",
    "write_parts",
]
