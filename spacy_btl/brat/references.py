"""Find which records refer to which, and leave out what cannot stay when some are gone."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from .records import Attribute, Equivalence, Event, Normalization, Note, Record, Relation


class LostReference(NamedTuple):
    """A record that referred to one that is gone.

    Attributes:
        id: Its id.
        kind: The name of its class.
        what: "left out", or "shortened" by the reference.
    """

    id: str
    kind: str
    what: Literal["left out", "shortened"]


def references(record: Record) -> tuple[str, ...]:
    """Return the ids that a record refers to, in the order written."""
    match record:
        case Event():
            trigger = (record.trigger,) if record.trigger else ()
            return (*trigger, *(ref for _, ref in record.args))
        case Relation():
            return tuple(ref for _, ref in record.args)
        case Equivalence():
            return record.members
        case Attribute() | Normalization() | Note():
            return (record.target,)
    return ()


def without_references(
    records: Iterable[Record], gone: Iterable[str]
) -> tuple[list[Record], list[LostReference]]:
    """Return records without references to others that are gone, and what was lost.

    An event without its trigger, a relation, an attribute, a normalization or a note without one of
    its ends, and an equivalence of fewer than two members are left out, and are then gone as well.
    An event otherwise loses only the argument, a larger equivalence the member. An event that never
    had a trigger is as a relation.

    Args:
        records: Records of one document.
        gone: The ids of the records that are gone.
    """
    missing = set(gone)
    records = list(records)
    fall_with: dict[str, list[str]] = {}  # ids of records that cannot stay without this one
    for record in records:
        for ref in _needed(record) if record.id else ():
            fall_with.setdefault(ref, []).append(record.id)
    todo = list(missing)
    while todo:  # each id once, however long the chain
        fallen = set(fall_with.get(todo.pop(), ())) - missing
        missing |= fallen
        todo += fallen
    kept = [(record, _without(record, missing)) for record in records]
    lost = [
        LostReference(record.id, type(record).__name__, "left out" if rest is None else "shortened")
        for record, rest in kept
        if rest != record
    ]
    return [rest for _, rest in kept if rest is not None], lost


def _needed(record: Record) -> tuple[str, ...]:
    """Return the ids without which a record that has an id is left out."""
    if isinstance(record, Event) and record.trigger:
        return (record.trigger,)
    return references(record)


def _without(record: Record, gone: set[str]) -> Record | None:
    if not gone.intersection(references(record)):
        return record
    if isinstance(record, Event) and record.trigger and record.trigger not in gone:
        return record._replace(args=tuple(arg for arg in record.args if arg[1] not in gone))
    if isinstance(record, Equivalence):
        members = tuple(member for member in record.members if member not in gone)
        return record._replace(members=members) if len(members) > 1 else None
    return None
