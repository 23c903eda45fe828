"""The records of a standoff file, and the surface texts that brat writes into them.

Every record ends in ``line``, its first line in the file from 1, and ``raw``, its exact text with
the line ending; records made in code have 0 and "". Both count when records are compared.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

Offsets: TypeAlias = tuple[int, int]
"""Start and end (exclusive), in characters; in `conversion.placement` in tokens too."""

Fragments: TypeAlias = tuple[Offsets, ...]
"""The pieces of one entity: several where it is discontinuous or goes over a line break."""

Arguments: TypeAlias = tuple[tuple[str, str], ...]
"""(role, id) pairs."""


class Entity(NamedTuple):
    """A T record: an entity, or the trigger of an event.

    Attributes:
        id: "T" and a number.
        label: The entity type.
        fragments: Offsets in characters, in the order written.
        text: The surface text, see `flat_text`.
        line: See the module.
        raw: See the module.
    """

    id: str
    label: str
    fragments: Fragments
    text: str
    line: int = 0
    raw: str = ""


class Event(NamedTuple):
    """An E record; ``trigger`` is the id of a T record."""

    id: str
    type: str
    trigger: str
    args: Arguments = ()
    line: int = 0
    raw: str = ""


class Relation(NamedTuple):
    """An R record, as a rule with two arguments."""

    id: str
    type: str
    args: Arguments
    line: int = 0
    raw: str = ""


class Attribute(NamedTuple):
    """An A or M record on the record ``target``; ``value`` is None if the attribute is binary."""

    id: str
    name: str
    target: str
    value: str | None = None
    line: int = 0
    raw: str = ""


class Normalization(NamedTuple):
    """An N record; ``reference`` is an entry of a database, such as ``UMLS:C0011849``."""

    id: str
    type: str
    target: str
    reference: str
    text: str = ""
    line: int = 0
    raw: str = ""


class Equivalence(NamedTuple):
    """A ``*`` record, which has no id; ``members`` are ids."""

    type: str
    members: tuple[str, ...]
    line: int = 0
    raw: str = ""

    @property
    def id(self) -> str:
        """Return "", as for every record without an id."""
        return ""


class Note(NamedTuple):
    """A # record: free text on the record ``target``."""

    id: str
    type: str
    target: str
    text: str = ""
    line: int = 0
    raw: str = ""


class Unknown(NamedTuple):
    """A line that has the form of no record; its ``id`` and ``reason`` may be "".

    ``text`` has no line ending. A blank line has no reason.
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


def flat_text(text: str) -> str:
    """Return a text as surface texts show it: newlines as spaces, without carriage returns."""
    return text.replace("\r", "").replace("\n", " ")


def surface_text(fragments: Fragments, text: str) -> str:
    """Return what brat writes as the surface text of fragments of a text."""
    return flat_text(" ".join(text[start:end] for start, end in fragments))


def surface_agreement(entity: Entity, text: str) -> tuple[int, bool]:
    """Compare an entity's surface text with the text at its offsets, as `surface_text` has it.

    Looks at little more of the text than the surface text is long: fragments may cover the whole
    text many times.

    Returns:
        The number of characters that agree from the start on, and whether all do.
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
    """Yield the `surface_text` of fragments, a few characters at a time."""
    for i, (start, end) in enumerate(fragments):
        if i:
            yield " "
        for begin in range(start, end, step):
            yield flat_text(text[begin : min(begin + step, end)])


def join_fragments(fragments: Iterable[Offsets], text: str) -> Fragments:
    """Return fragments in ascending order, those joined that only a line break separates.

    brat writes an entity that goes over a line break as one fragment a line. Between two
    joined fragments there is only white space with a newline in it.
    """
    joined: list[Offsets] = []
    for start, end in sorted(fragments):
        gap = text[joined[-1][1] : start] if joined else ""
        if "\n" in gap and gap.isspace():
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
