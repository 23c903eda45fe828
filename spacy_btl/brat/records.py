"""Surface texts: how brat writes the text of an entity's fragments into its record."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

# --- from brat_records

Fragments: TypeAlias = tuple[tuple[int, int], ...]
Arguments: TypeAlias = tuple[tuple[str, str], ...]


# Every record ends in `line`, its first line in the file from 1, and `raw`, its exact text with the
# line ending; those made in code have 0 and "". Both count when records are compared.


class Entity(NamedTuple):
    """A T record; `fragments` holds (start, end) pairs of characters in the order written."""

    id: str
    label: str
    fragments: Fragments
    text: str
    line: int = 0
    raw: str = ""


class Event(NamedTuple):
    """An E record: `trigger` is the id of a T record, `args` holds (role, id) pairs."""

    id: str
    type: str
    trigger: str
    args: Arguments = ()
    line: int = 0
    raw: str = ""


class Relation(NamedTuple):
    """An R record; `args` holds (role, id) pairs, as a rule two."""

    id: str
    type: str
    args: Arguments
    line: int = 0
    raw: str = ""


class Attribute(NamedTuple):
    """An A or M record; `value` is None where the attribute is binary."""

    id: str
    name: str
    target: str
    value: str | None = None
    line: int = 0
    raw: str = ""


class Normalization(NamedTuple):
    """An N record; `reference` is an entry of a database, such as ``UMLS:C0011849``."""

    id: str
    type: str
    target: str
    reference: str
    text: str = ""
    line: int = 0
    raw: str = ""


class Equivalence(NamedTuple):
    """A ``*`` record, which has no id; `members` are ids."""

    type: str
    members: tuple[str, ...]
    line: int = 0
    raw: str = ""

    @property
    def id(self) -> str:
        """Always ""."""
        return ""


class Note(NamedTuple):
    """A # record: free text on the record `target`."""

    id: str
    type: str
    target: str
    text: str = ""
    line: int = 0
    raw: str = ""


class Unknown(NamedTuple):
    """A line that fits no form: `text` is without the ending, `id` and `reason` may be "".

    A blank line has no reason.
    """

    text: str
    id: str = ""
    reason: str = ""
    line: int = 0
    raw: str = ""


Record: TypeAlias = (
    Entity | Event | Relation | Attribute | Normalization | Equivalence | Note | Unknown
)


@dataclass(frozen=True)
class Standoff:
    """The records of one document, in the order of the file."""

    records: tuple[Record, ...] = ()

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """The T records, triggers of events among them."""
        return tuple(record for record in self.records if isinstance(record, Entity))

    @cached_property
    def _by_id(self) -> dict[str, Record]:
        # Backwards, so that the first of several records with one id stays.
        return {record.id: record for record in reversed(self.records) if record.id}

    def get(self, record_id: str) -> Record | None:
        """Return the first record with this id, or None."""
        return self._by_id.get(record_id)


# --- from brat_surface


def flat_text(text: str) -> str:
    """Return a text as surface texts show it: newlines as spaces, carriage returns left out."""
    return text.replace("\r", "").replace("\n", " ")


def surface_agreement(entity: Entity, text: str) -> tuple[int, bool]:
    """How many characters of an entity's surface text are those at its offsets, and if all are.

    Both as `flat_text` has them, with one space between fragments. Looks at little more of the text
    than the surface text is long: fragments may name the whole text many times.
    """
    surface, at = flat_text(entity.text), 0
    for piece in _pieces(entity.fragments, text):
        if not surface.startswith(piece, at):
            rest = zip(surface[at:], piece, strict=False)
            alike = next((n for n, (a, b) in enumerate(rest) if a != b), len(surface) - at)
            return at + min(alike, len(piece)), False
        at += len(piece)
    return at, at == len(surface)


def _pieces(fragments: Fragments, text: str, step: int = 1024) -> Iterator[str]:
    """The text of fragments as a surface text shows it, a few characters at a time."""
    for i, (start, end) in enumerate(fragments):
        if i:
            yield " "
        for begin in range(start, end, step):
            yield flat_text(text[begin : min(begin + step, end)])


def join_newline_fragments(fragments: Iterable[tuple[int, int]], text: str) -> Fragments:
    """Sort fragments and join those with only white space, a newline in it, between them.

    An annotation across a line break is written as one fragment a line.
    """
    joined: list[tuple[int, int]] = []
    for start, end in sorted(fragments):
        gap = text[joined[-1][1] : start] if joined else ""
        if "\n" in gap and gap.isspace():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
