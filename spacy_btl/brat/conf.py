"""Write the two files that brat wants beside its documents: annotation.conf and visual.conf.

brat shows any type in an .ann, but its configuration has only types of the characters A-Z, a-z,
0-9, "_" and "-", and fails as a whole on a few others. Those types are named in comments instead;
brat shows their entities and lets none be added.
"""

import colorsys
import re
from collections.abc import Iterable, Mapping

from .records import Attribute, Equivalence, Event, Relation, Standoff

_is_type = re.compile(r"[A-Za-z0-9_-]*[A-Za-z0-9_][A-Za-z0-9_-]*").fullmatch
_is_value = re.compile(r"[^\s,|<>]+").fullmatch


def annotation_conf(standoffs: Iterable[Standoff]) -> str:
    """Return an annotation.conf with all types in use.

    These are entities, relations, events with their roles, and attributes with their values. A type
    whose entities are all triggers is listed among the events only. Any type may be the argument of
    any other, so that no correction is refused. The `unlisted_types` are in comments.
    """
    standoffs = list(standoffs)
    records = [record for standoff in standoffs for record in standoff.records]
    relations: dict[str, str] = {}
    for record in records:
        if isinstance(record, Relation):
            roles = ", ".join(f"{role}:<ANY>" for role, _ in record.args if _is_type(role))
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
            values = {record.value} if record.value and _is_value(record.value) else set()
            attributes.setdefault(record.name, set()).update(values)
    lines = {
        "entities": dict.fromkeys(_entity_types(standoffs), ""),
        "relations": relations,
        "events": {
            name: ", ".join(f"{role}*:<ANY>" for role in sorted(filter(_is_type, roles)))
            for name, roles in _events(standoffs).items()
        },
        "attributes": {
            name: "Arg:<ANY>" + (f", Value:{'|'.join(sorted(values))}" if values else "")
            for name, values in attributes.items()
        },
    }
    return _sections({name: _type_lines(types) for name, types in lines.items()})


def unlisted_types(standoffs: Iterable[Standoff]) -> list[str]:
    """Return the types of entities and events that annotation.conf cannot list."""
    standoffs = list(standoffs)
    names = _entity_types(standoffs) | set(_events(standoffs))
    return sorted(name for name in names if not _is_type(name))


def without_spaces(labels: Iterable[str]) -> dict[str, str]:
    """Return each label with "_" for its white space, as brat needs it in an .ann.

    Raises:
        ValueError: If two labels would become the same.
    """
    written: dict[str, str] = {}
    taken: dict[str, str] = {}
    for label in sorted(set(labels)):
        new = re.sub(r"\s+", "_", label.strip()) or label
        if taken.setdefault(new, label) != label:
            raise ValueError(
                f'the labels "{taken[new]}" and "{label}" would both be "{new}" in brat, which '
                "reads no white space in a label: rename one of the two"
            )
        written[label] = new
    return written


def visual_conf(standoffs: Iterable[Standoff]) -> str:
    """Return a visual.conf with a color for each type of entities and events."""
    standoffs = list(standoffs)
    names = sorted(filter(_is_type, _entity_types(standoffs) | set(_events(standoffs))))
    drawing = ["SPAN_DEFAULT\tfgColor:black, bgColor:lightgray, borderColor:darken"]
    drawing += ["ARC_DEFAULT\tcolor:black, arrowHead:triangle-5"]
    for i, name in enumerate(names):
        red, green, blue = colorsys.hls_to_rgb(i / len(names), 0.8, 0.7)
        color = "".join(f"{round(255 * part):02x}" for part in (red, green, blue))
        drawing.append(f"{name}\tbgColor:#{color}")
    return _sections({"labels": [], "drawing": drawing})


def _type_lines(types: Mapping[str, str]) -> list[str]:
    """Return a line for each type with its arguments; those that brat cannot read as comments."""
    listed = sorted(name for name in types if _is_type(name) or name == "<OVERLAP>")
    lines = [f"{name}\t{types[name]}".rstrip() for name in listed]
    others = sorted(types.keys() - set(listed))
    return lines + [f"# not for brat's configuration: {' '.join(name.split())}" for name in others]


def _entity_types(standoffs: Iterable[Standoff]) -> set[str]:
    """Return the labels of all entities that are not triggers."""
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
