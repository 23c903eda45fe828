"""Annotated documents in other formats than brat's, read into the same values as brat's own.

The room knows no spaCy: `conversion` makes documents of what is read here, with the same account.
"""

from .bioc import read_bioc
from .columns import (
    SENTENCES,
    Columns,
    Scheme,
    Tag,
    TagSpan,
    find_scheme,
    parse_tag,
    read_columns,
    spans_of,
)
from .files import DataFile, Format, Read, data_files
from .guess import TITLES, Guess, guess_format
from .json_documents import PREDICTED_ONLY, read_json
from .label_map import Mapped, apply_map, check_labels, parse_labels, read_label_map
from .pubtator import read_pubtator

__all__ = [
    "PREDICTED_ONLY",
    "SENTENCES",
    "TITLES",
    "Columns",
    "DataFile",
    "Format",
    "Guess",
    "Mapped",
    "Read",
    "Scheme",
    "Tag",
    "TagSpan",
    "apply_map",
    "check_labels",
    "data_files",
    "find_scheme",
    "guess_format",
    "parse_labels",
    "parse_tag",
    "read_bioc",
    "read_columns",
    "read_json",
    "read_label_map",
    "read_pubtator",
    "spans_of",
]
