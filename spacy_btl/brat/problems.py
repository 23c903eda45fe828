"""What is wrong with the records of a text: offsets, surface texts, ids, references, lines.

No problem quotes a document: details give offsets, lengths and ids.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .records import surface_agreement
from .references import references
from .standoff import Attribute, Entity, Record, Standoff, Unknown

# The values of `Problem.reason`: first those that `check` finds, then those of files.
OUTSIDE = "outside"  # an offset beyond the end of the text
EMPTY = "empty"  # a fragment that ends where it starts, or before
SURFACE = "surface"  # the surface text is not the text at the offsets
DUPLICATE_ID = "duplicate-id"  # an id that an earlier record has
UNREADABLE = "unreadable"  # a line that fits no form of record
MISSING_REFERENCE = "missing-reference"  # an id that no record has
BOM = "bom"  # a byte order mark at the start of a file
ENCODING = "encoding"  # bytes that are not UTF-8
NO_TEXT = "no-text"  # annotation without a .txt
NO_ANNOTATION = "no-annotation"  # a .txt without an .ann, .a1 or .a2

_WARNINGS = frozenset({BOM, ENCODING})
_ID = re.compile(r"[A-Z#]\d{1,9}|\*", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a record (`line` from 1), or with a file as a whole (`line` 0).

    `reason` is one of the constants at the top of this module, `label` the label or type of the
    record, `file` the path relative to the folder, with "/", where a folder was read.
    """

    record_id: str
    line: int
    label: str
    reason: str
    detail: str
    file: str = ""

    @property
    def level(self) -> str:
        """``warning`` for BOM and ENCODING, after which all records are there; else ``error``."""
        return "warning" if self.reason in _WARNINGS else "error"


def find_fault(entity: Entity, text: str | None) -> tuple[str, str] | None:
    """Return the reason and the detail of what is wrong with an entity's place in the text."""
    for start, end in entity.fragments:
        if start >= end:
            return EMPTY, f"from {start} to {end}"
        if text is not None and end > len(text):
            return OUTSIDE, f"from {start} to {end}, in a text of {len(text)} characters"
    if text is not None:
        alike, same = surface_agreement(entity, text)
        if not same:
            places = ";".join(f"{start}-{end}" for start, end in entity.fragments)
            expected = sum(1 + end - start for start, end in entity.fragments) - 1
            sizes = f"{len(entity.text)} characters, the text at {places} has {expected}"
            return SURFACE, f"{sizes}, equal in the first {alike}"
    return None


def _ids(names: Iterable[str]) -> str:
    """Return names that look like ids as they are; others may be words of a document."""
    return ", ".join(name if _ID(name) else "something that is no id" for name in names)


def _label(record: Record) -> str:
    if isinstance(record, Entity):
        return record.label
    return record.name if isinstance(record, Attribute) else getattr(record, "type", "")


def check_parts(parts: Iterable[tuple[str, Standoff]], text: str | None) -> Iterator[Problem]:
    """Yield the problems of files that share their ids; a None text leaves offsets unchecked."""
    placed = [(file, record) for file, standoff in parts for record in standoff.records]
    known = {record.id for _, record in placed}
    seen: set[str] = set()
    for file, record in placed:
        found: list[tuple[str, str]] = []
        if isinstance(record, Unknown) and record.reason:
            found.append((UNREADABLE, f"{record.reason}, {len(record.text)} characters"))
        if isinstance(record, Entity) and (fault := find_fault(record, text)):
            found.append(fault)
        if record.id in seen:
            found.append((DUPLICATE_ID, "an earlier record has this id"))
        if record.id:
            seen.add(record.id)
        missing = [ref for ref in references(record) if ref not in known]
        if missing:
            found.append((MISSING_REFERENCE, f"no record {_ids(missing)}"))
        # An unreadable line may start with any word.
        name = record.id if not isinstance(record, Unknown) or _ID(record.id) else ""
        for reason, detail in found:
            yield Problem(name, record.line, _label(record), reason, detail, file)


def check(standoff: Standoff, text: str | None) -> list[Problem]:
    """Return what is wrong with the records of a text, in their order; [] where all is well.

    Surface texts may have spaces for newlines and one space between fragments, as brat writes them.
    A text of None leaves out what needs the text.
    """
    return list(check_parts([("", standoff)], text))
