"""Write the two files that brat wants beside its documents: annotation.conf and visual.conf."""

import colorsys
import re
from collections.abc import Iterable

from .records import Attribute, Equivalence, Event, Relation, Standoff


def annotation_conf(standoffs: Iterable[Standoff]) -> str:
    """Return an annotation.conf with all types in use.

    These are entities, relations, events with their roles, and attributes with their values. A type
    whose entities are all triggers is listed among the events only. Any type may be the argument of
    any other, so that no correction is refused.
    """
    standoffs = list(standoffs)
    records = [record for standoff in standoffs for record in standoff.records]
    relations: dict[str, str] = {}
    for record in records:
        if isinstance(record, Relation):
            roles = ", ".join(f"{role}:<ANY>" for role, _ in record.args)
            relations.setdefault(record.type, roles)
        elif isinstance(record, Equivalence):
            relations.setdefault(
                record.type, "Arg1:<ANY>, Arg2:<ANY>, <REL-TYPE>:symmetric-transitive"
            )
    # Without this brat refuses entities that overlap.
    relations["<OVERLAP>"] = "Arg1:<ANY>, Arg2:<ANY>, <OVL-TYPE>:<ANY>"
    attributes: dict[str, set[str]] = {}
    for record in records:
        if isinstance(record, Attribute):
            values = {record.value} if record.value is not None else set()
            attributes.setdefault(record.name, set()).update(values)
    sections = {
        "entities": sorted(_entity_types(standoffs)),
        "relations": [f"{name}\t{roles}" for name, roles in sorted(relations.items())],
        "events": [
            "\t".join([name, ", ".join(f"{role}*:<ANY>" for role in sorted(roles))]).rstrip()
            for name, roles in sorted(_events(standoffs).items())
        ],
        "attributes": [
            f"{name}\tArg:<ANY>" + (f", Value:{'|'.join(sorted(values))}" if values else "")
            for name, values in sorted(attributes.items())
        ],
    }
    return _sections(sections)


def visual_conf(standoffs: Iterable[Standoff]) -> str:
    """Return a visual.conf with a color for each type of entities and events."""
    standoffs = list(standoffs)
    names = sorted(_entity_types(standoffs) | set(_events(standoffs)))
    drawing = ["SPAN_DEFAULT\tfgColor:black, bgColor:lightgray, borderColor:darken"]
    drawing += ["ARC_DEFAULT\tcolor:black, arrowHead:triangle-5"]
    for i, name in enumerate(names):
        red, green, blue = colorsys.hls_to_rgb(i / len(names), 0.8, 0.7)
        color = "".join(f"{round(255 * part):02x}" for part in (red, green, blue))
        drawing.append(f"{name}\tbgColor:#{color}")
    return _sections({"labels": [], "drawing": drawing})


def _entity_types(standoffs: Iterable[Standoff]) -> set[str]:
    """Return the labels of all entities that are no trigger."""
    labels: set[str] = set()
    for standoff in standoffs:
        triggers = {r.trigger for r in standoff.records if isinstance(r, Event)}
        labels |= {entity.label for entity in standoff.entities if entity.id not in triggers}
    return labels


def _events(standoffs: Iterable[Standoff]) -> dict[str, set[str]]:
    """Return the roles of each type of events, without the numbers of repeated ones (Theme2)."""
    events: dict[str, set[str]] = {}
    for standoff in standoffs:
        for record in standoff.records:
            if isinstance(record, Event):
                roles = {re.sub(r"(?<=[^0-9])[0-9]+$", "", role) for role, _ in record.args}
                events.setdefault(record.type, set()).update(roles)
    return events


def _sections(sections: dict[str, list[str]]) -> str:
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in sections.items())
