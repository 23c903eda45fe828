"""Documents with annotation: their gold form, tokens, DocBins, split, and where they come from."""

from .docbin import read_docbin, write_parts
from .gold import (
    GOLD_KEY,
    EntityJson,
    GoldJson,
    RecordJson,
    document_id,
    document_ids,
    document_name,
    fragments_from_json,
    gold_of,
    heading_of,
)
from .maccrobat import CorpusError, CorpusInfo, prepare_corpus, read_info
from .split import parse_shares, split_documents
from .tokenizer import clinical_tokenizer

__all__ = [
    "GOLD_KEY",
    "CorpusError",
    "CorpusInfo",
    "EntityJson",
    "GoldJson",
    "RecordJson",
    "clinical_tokenizer",
    "document_id",
    "document_ids",
    "document_name",
    "fragments_from_json",
    "gold_of",
    "heading_of",
    "parse_shares",
    "prepare_corpus",
    "read_docbin",
    "read_info",
    "split_documents",
    "write_parts",
]
