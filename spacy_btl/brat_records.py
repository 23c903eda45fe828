"""Records of an annotation in brat's standoff format; `spacy_btl.brat` reads and writes them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

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
