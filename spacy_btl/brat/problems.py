"""Find what is wrong with the records of a text: offsets, surface texts, ids, references, lines.

No problem quotes a document: the details are offsets, lengths and ids.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias
from unicodedata import normalize

from .records import (
    Attribute,
    Entity,
    Record,
    Standoff,
    Unknown,
    flat_text,
    surface_agreement,
    surface_text,
)
from .references import references

Fault: TypeAlias = Literal[
    # of records
    "outside",  # an offset beyond the end of the text
    "empty",  # a fragment that ends where it starts, or before
    "surface",  # the surface text is not the text at the offsets
    "edited",  # the text was changed after the annotation
    "duplicate-id",  # an id that an earlier record has
    "unreadable",  # a line that has the form of no record
    "missing-reference",  # an id that no record has
    "tag",  # of a token: one that does not follow the tag before it
    # of files
    "offsets",  # offsets that do not count the characters of the text
    "bom",  # a byte order mark at the start of a file
    "encoding",  # bytes that are not UTF-8
    "no-text",  # annotation without a .txt
    "no-annotation",  # a .txt without an .ann, .a1 or .a2
]

Level: TypeAlias = Literal["error", "warning"]

_WARNINGS = ("bom", "encoding", "offsets", "tag")
_ID = re.compile(r"[A-Z#]\d{1,9}|\*", re.ASCII).fullmatch


def is_plain_id(name: str) -> bool:
    """Return whether a name is an id for sure; another one may be a word of a document."""
    return bool(_ID(name))


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of a record, or of a file as a whole.

    Attributes:
        record_id: The id of the record, or "".
        line: Its line from 1, or 0 for a whole file.
        label: Its label or type, or "".
        reason: What is wrong.
        detail: More on it, without words of the document.
        file: The path relative to the folder, with "/", where a folder was read, else "".
    """

    record_id: str
    line: int
    label: str
    reason: Fault
    detail: str
    file: str = ""

    @property
    def level(self) -> Level:
        """A "warning" for what costs no record: "bom", "encoding", "offsets", "tag"; or "error"."""
        return "warning" if self.reason in _WARNINGS else "error"


def find_fault(entity: Entity, text: str | None) -> tuple[Fault, str] | None:
    """Return what is wrong with the place of an entity in its text and a detail, or None."""
    for start, end in entity.fragments:
        if start >= end:
            return "empty", f"from {start} to {end}"
        if text is not None and end > len(text):
            return "outside", f"from {start} to {end}, in a text of {len(text)} characters"
    if text is not None and entity.text.strip():  # without a surface text, only the offsets count
        alike, same = surface_agreement(entity, text)
        if not same and not _same_but_for_spaces(entity, text):
            places = ";".join(f"{start}-{end}" for start, end in entity.fragments)
            expected = sum(1 + end - start for start, end in entity.fragments) - 1
            sizes = f"{expected} characters there, {len(entity.text)} annotated"
            return (
                "surface",
                f"the text at {places} is not the annotated one: {sizes}, the first {alike} equal",
            )
    return None


def _same_but_for_spaces(entity: Entity, text: str) -> bool:
    """Return whether a surface text differs from the text only as nobody can see, or by encoding.

    That is by white space at its ends, by Unicode normalization, or by a character that could not
    be decoded.
    """
    size = sum(1 + end - start for start, end in entity.fragments)
    # Fragments may cover the whole text many times: look at no more than a surface text is long.
    if size > 2 * len(entity.text) + 100:
        return False
    pair = (surface_text(entity.fragments, text), flat_text(entity.text))
    here, surface = (normalize("NFC", each.strip()) for each in pair)
    return len(here) == len(surface) and all(
        a == b or (max(a, b) == "\ufffd" and min(a, b) > "\x7f")
        for a, b in zip(here, surface, strict=True)
    )


def check_parts(parts: Iterable[tuple[str, Standoff]], text: str | None) -> Iterator[Problem]:
    """Yield the problems of files that share their ids, in the order of the records.

    Args:
        parts: The name of each file and its records.
        text: The text that they annotate; None leaves out what needs the text.
    """
    placed = [(file, record) for file, standoff in parts for record in standoff.records]
    known = {record.id for _, record in placed}
    seen: set[str] = set()
    for file, record in placed:
        found: list[tuple[Fault, str]] = []
        if isinstance(record, Unknown) and record.reason:
            found.append(("unreadable", f"{record.reason}, {len(record.text)} characters"))
        if isinstance(record, Entity) and (fault := find_fault(record, text)):
            found.append(fault)
        if record.id in seen:
            found.append(("duplicate-id", "an earlier record has this id"))
        if record.id:
            seen.add(record.id)
        missing = [ref for ref in references(record) if ref not in known]
        if missing:
            found.append(("missing-reference", f"no record {_ids(missing)}"))
        # An unreadable line may start with any word.
        name = record.id if not isinstance(record, Unknown) or is_plain_id(record.id) else ""
        for reason, detail in found:
            yield Problem(name, record.line, _label(record), reason, detail, file)


def check(standoff: Standoff, text: str | None) -> list[Problem]:
    """Return what is wrong with the records of a text, in their order.

    Surface texts may have spaces for newlines and one space between fragments, as brat writes them.

    Args:
        standoff: The records.
        text: The text that they annotate; None leaves out what needs the text.
    """
    return list(check_parts([("", standoff)], text))


def _ids(names: Iterable[str]) -> str:
    """Return names that look like ids as they are; others may be words of a document."""
    return ", ".join(name if is_plain_id(name) else "(not an id)" for name in names)


def _label(record: Record) -> str:
    if isinstance(record, Entity):
        return record.label
    return record.name if isinstance(record, Attribute) else getattr(record, "type", "")
