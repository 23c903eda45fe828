r"""Turn the marked-up reports of assets/sample-source into the BRAT corpus of assets/sample.

With --source and --target, those of assets/sample-adverse-source into assets/sample-adverse.

The mark-up of a source, in full:

    [fever|Sign_symptom]                    an entity: its text, a bar, its type
    [[chest|Biological_structure] pain|Sign_symptom]            one inside another
    [[asthma|Disease_disorder]|History]     two types on the same text
    [fever|Sign_symptom#f]                  with an id, for the lines of the last block
    [left|Biological_structure#l+] and right [lung|Biological_structure#l+]
                                            parts of one entity: the same id, each with a plus
    \[  \]  \|  \\  \u200a                  these characters themselves; any one by its number

An entity may begin or end inside a word, and may run over a line's end. After a line of three
hyphens come the lines that join entities, by id:

    MODIFY a b          a relation (see RELATIONS), from the first to the second
    POLARITY f NEG      an attribute of an event (see ATTRIBUTES)
    OVERLAP f g h       events of about the same time, two or more
    NOTE f any words    an annotator's note

The records follow MACCROBAT: the types of EVENTS get an E record of their own, Lab_value only where
an attribute or an OVERLAP names it; relations, overlaps and notes then point at the E record.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[1]


def vocabulary(text: str) -> frozenset[str]:
    return frozenset(text.split())


EVENTS = vocabulary(
    "Activity Clinical_event Coreference Date Diagnostic_procedure Disease_disorder Duration "
    "Medication Other_event Outcome Sign_symptom Therapeutic_procedure Time"
)
# Mostly plain text spans; MACCROBAT makes events of some, those with a trend among them.
SOMETIMES_EVENT = "Lab_value"
LABELS = EVENTS | vocabulary(
    "Administration Age Area Biological_attribute Biological_structure Color Detailed_description "
    "Distance Dosage Family_history Frequency Height History Lab_value Mass "
    "Nonbiological_location Occupation Other_entity Personal_background Qualitative_concept "
    "Quantitative_concept Severity Sex Shape Subject Texture Volume Weight"
)
# Those of the second sample, assets/sample-adverse, beside what it shares with the first.
LABELS |= vocabulary("Action_taken Adverse_event Causality Indication Onset Reporter Seriousness")
RELATIONS = vocabulary("AFTER BEFORE CAUSE CO-OCCURRENCE IDENTICAL MODIFY SUB_PROCEDURE")
ATTRIBUTES = {
    "POLARITY": vocabulary("NEG POS MAYBE_NEG MAYBE_POS UNCERTAIN"),
    "TREND": vocabulary("INC DEC STAY"),
}

TOKEN = re.compile(
    r"\\u(?P<code>[0-9A-Fa-f]{4})|\\(?P<escaped>[\[\]|\\])|(?P<open>\[)"
    r"|\|(?P<tag>[^\[\]|\n]*)\]|(?P<plain>[^\\\[\]|]+)"
)
TAG = re.compile(r"(?P<label>\w+)(?:#(?P<id>\w+)(?P<part>\+)?)?")


class MarkupError(ValueError):
    """A fault in a source, with the line it stands on."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


@dataclass
class Entity:
    """One entity: more than one span where it is discontinuous."""

    label: str
    line: int
    id: str | None
    in_parts: bool
    spans: list[tuple[int, int]]


@dataclass
class Report:
    """A parsed source; the directives are (line number, words) pairs."""

    text: str = ""
    entities: list[Entity] = field(default_factory=list)
    by_id: dict[str, Entity] = field(default_factory=dict)
    directives: list[tuple[int, list[str]]] = field(default_factory=list)


def parse(source: str) -> Report:
    """Read one source; raise MarkupError at its first fault."""
    report = Report()
    body, *rest = re.split(r"^---$\n?", source, maxsplit=1, flags=re.MULTILINE)
    first = body.count("\n") + 2  # the line after the divider
    body = body.rstrip("\n") + "\n"
    if body.isspace():
        raise MarkupError(1, "no text")
    opened: list[tuple[int, int]] = []  # (offset in the text, line) of each open bracket
    at = 0
    while at < len(body):
        line = body.count("\n", 0, at) + 1
        match = TOKEN.match(body, at)
        if match is None:
            raise MarkupError(line, explain(body[at], bool(opened)))
        if match["open"]:
            opened.append((len(report.text), line))
        elif match["tag"] is not None:
            if not opened:
                raise MarkupError(line, f"{match[0]!r} closes a bracket that is not open")
            add_entity(report, match["tag"], opened.pop()[0], line)
        elif match["code"]:
            report.text += chr(int(match["code"], 16))
        else:
            report.text += match["escaped"] or match["plain"]
        at = match.end()
    if opened:
        raise MarkupError(opened[-1][1], "'[' is never closed")
    for entity in report.entities:
        if entity.in_parts and len(entity.spans) == 1:
            raise MarkupError(entity.line, f"{entity.id!r} has one part only")
    numbered = enumerate("".join(rest).split("\n"), first)
    report.directives = [(number, line.split()) for number, line in numbered if line.strip()]
    return report


def explain(char: str, inside: bool) -> str:
    """Say what is wrong with a special character that fits no rule."""
    if char == "\\":
        return "unknown escape: a backslash stands before [ ] | \\ or u and four hex digits"
    if char == "|":
        return "'|' is not followed by a type and ']'"
    return "missing type: ']' without '|Type' before it" if inside else "']' without '['"


def add_entity(report: Report, tag: str, start: int, line: int) -> None:
    """Add the entity that ends here, or a further part of one that has begun."""
    match = TAG.fullmatch(tag)
    if match is None:
        raise MarkupError(line, f"{tag!r} is not Type, Type#id or Type#id+")
    label, name, end = match["label"], match["id"], len(report.text)
    if label not in LABELS:
        raise MarkupError(line, f"unknown type {label!r}")
    surface = report.text[start:end]
    if surface != surface.strip() or not surface:
        raise MarkupError(line, f"empty, or white space at an edge: {surface!r}")
    known = report.by_id.get(name) if name else None
    if known is None:
        entity = Entity(label, line, name, bool(match["part"]), [(start, end)])
        report.entities.append(entity)
        if name:
            report.by_id[name] = entity
    elif not (known.in_parts and match["part"]):
        raise MarkupError(line, f"id {name!r} is used twice (parts of one entity need a '+' each)")
    elif known.label != label:
        raise MarkupError(line, f"parts of {name!r} differ in type: {known.label}, {label}")
    elif known.spans[-1][1] > start:
        raise MarkupError(line, f"parts of {name!r} overlap")
    else:
        known.spans.append((start, end))


def lines_of(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Cut a span at its line ends, as brat does: its records cannot hold a newline."""
    pieces = []
    for piece in text[start:end].split("\n"):
        pieces.append((start, start + len(piece)))
        start += len(piece) + 1
    return pieces


def entity_records(report: Report, events: set[int]) -> tuple[list[str], dict[int, str]]:
    """Write the T and E records; map each entity (by identity) to the record to point at."""
    records: list[str] = []
    targets: dict[int, str] = {}
    event_count = 0
    for number, entity in enumerate(report.entities, 1):
        pieces = [piece for span in entity.spans for piece in lines_of(report.text, *span)]
        offsets = ";".join(f"{start} {end}" for start, end in pieces)
        surface = " ".join(report.text[start:end] for start, end in pieces)
        records.append(f"T{number}\t{entity.label} {offsets}\t{surface}")
        targets[id(entity)] = f"T{number}"
        if entity.label in EVENTS or id(entity) in events:
            event_count += 1
            # The trailing space is MACCROBAT's.
            records.append(f"E{event_count}\t{entity.label}:T{number} ")
            targets[id(entity)] = f"E{event_count}"
    return records, targets


def entities_of(report: Report, line: int, words: list[str]) -> list[Entity]:
    """Check one directive and return the entities it names."""
    kind, *rest = words
    if kind in RELATIONS:
        names, fits = rest, len(rest) == 2
    elif kind in ATTRIBUTES:
        names, fits = rest[:1], len(rest) == 2 and rest[1] in ATTRIBUTES[kind]
    elif kind == "OVERLAP":
        names, fits = rest, len(rest) >= 2
    elif kind == "NOTE":
        names, fits = rest[:1], len(rest) >= 2
    else:
        raise MarkupError(line, f"unknown directive {kind!r}")
    if not fits:
        raise MarkupError(line, f"{kind} with the wrong words: {' '.join(words)!r}")
    for name in names:
        if name not in report.by_id:
            raise MarkupError(line, f"unknown id {name!r}")
    entities = [report.by_id[name] for name in names]
    if kind in ATTRIBUTES or kind == "OVERLAP":
        for name, entity in zip(names, entities, strict=True):
            if entity.label not in EVENTS and entity.label != SOMETIMES_EVENT:
                raise MarkupError(line, f"{kind}: {name!r} is no event ({entity.label})")
    return entities


def to_brat(report: Report) -> str:
    """Write the .ann file of a report."""
    directives = [(words, entities_of(report, line, words)) for line, words in report.directives]
    events = {
        id(entity)
        for (kind, *_), entities in directives
        if kind in ATTRIBUTES or kind == "OVERLAP"
        for entity in entities
    }
    records, targets = entity_records(report, events)
    count: Counter[str] = Counter()
    for words, entities in directives:
        kind, refs = words[0], [targets[id(entity)] for entity in entities]
        if kind == "OVERLAP":
            records.append(f"*\tOVERLAP {' '.join(refs)}")
            continue
        letter = "R" if kind in RELATIONS else "A" if kind in ATTRIBUTES else "#"
        count[letter] += 1
        head = f"{letter}{count[letter]}\t"
        if letter == "R":
            records.append(f"{head}{kind} Arg1:{refs[0]} Arg2:{refs[1]}\t")
        elif letter == "A":
            records.append(f"{head}{kind} {refs[0]} {words[2]}")
        else:
            records.append(f"{head}AnnotatorNotes {refs[0]}\t{' '.join(words[2:])}")
    return "".join(record + "\n" for record in records)


def build(source: Path) -> dict[str, str]:
    """Convert every report of a folder; return the content of each file to be written."""
    files = {}
    for path in sorted(source.glob("*.txt")):
        try:
            report = parse(path.read_text(encoding="utf-8"))
            files[path.name] = report.text
            files[path.with_suffix(".ann").name] = to_brat(report)
        except ValueError as error:
            raise SystemExit(f"{path}: {error}") from None
    if not files:
        raise SystemExit(f"{source}: no reports (*.txt)")
    return files


def stale(files: dict[str, str], target: Path) -> list[str]:
    """Return the names of the files that are missing, differ or should not be there."""
    present = {path.name: path for path in target.glob("*") if path.suffix in {".txt", ".ann"}}
    changed = [
        name
        for name, content in files.items()
        if name not in present or present[name].read_bytes() != content.encode()
    ]
    return sorted([*changed, *(present.keys() - files.keys())])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Turn marked-up reports into BRAT standoff.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    parser.add_argument("--source", type=Path, default=ASSETS / "sample-source")
    parser.add_argument("--target", type=Path, default=ASSETS / "sample")
    options = parser.parse_args(arguments)
    files = build(options.source)
    names = stale(files, options.target)
    if options.check:
        for name in names:
            print(f"{options.target / name}: out of date", file=sys.stderr)
        return 1 if names else 0
    options.target.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = options.target / name
        if name in files:
            path.write_bytes(files[name].encode())
        else:
            path.unlink()
    print(f"{len(files) // 2} reports, {len(names)} files changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
