"""Annotation files in BRAT's standoff format, read and written with every byte kept.

The room knows no spaCy: `data` makes documents of what is read here.
"""

from .conf import annotation_conf, unlisted_types, visual_conf, without_spaces
from .folder import Decoded, Document, decode_file, other_files, read_folder, scan_folder
from .lines import is_entity_like, label_in_line
from .problems import Fault, Level, Problem, check, check_parts, find_fault, is_plain_id
from .records import (
    Arguments,
    Attribute,
    Entity,
    Equivalence,
    Event,
    Fragments,
    Normalization,
    Note,
    Offsets,
    Record,
    Relation,
    Standoff,
    Unknown,
    flat_text,
    join_fragments,
    surface_agreement,
    surface_text,
)
from .references import LostReference, references, without_references
from .standoff import dumps, iter_records, loads, own_line

__all__ = [
    "Arguments",
    "Attribute",
    "Decoded",
    "Document",
    "Entity",
    "Equivalence",
    "Event",
    "Fault",
    "Fragments",
    "Level",
    "LostReference",
    "Normalization",
    "Note",
    "Offsets",
    "Problem",
    "Record",
    "Relation",
    "Standoff",
    "Unknown",
    "annotation_conf",
    "check",
    "check_parts",
    "decode_file",
    "dumps",
    "find_fault",
    "flat_text",
    "is_entity_like",
    "is_plain_id",
    "iter_records",
    "join_fragments",
    "label_in_line",
    "loads",
    "other_files",
    "own_line",
    "read_folder",
    "references",
    "scan_folder",
    "surface_agreement",
    "surface_text",
    "unlisted_types",
    "visual_conf",
    "without_references",
    "without_spaces",
]
