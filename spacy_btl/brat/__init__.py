"""Annotation files in BRAT's standoff format, read and written with every byte kept.

The room knows no spaCy: `data` makes documents of what is read here.
"""

from .conf import annotation_conf, visual_conf
from .folder import Document, other_files, read_folder
from .problems import Fault, Level, Problem, check
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
from .standoff import dumps, iter_records, loads

__all__ = [
    "Arguments",
    "Attribute",
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
    "dumps",
    "flat_text",
    "iter_records",
    "join_fragments",
    "loads",
    "other_files",
    "read_folder",
    "references",
    "surface_agreement",
    "surface_text",
    "visual_conf",
    "without_references",
]
