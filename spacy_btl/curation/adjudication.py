"""Two versions of each document as one in BRAT, for a person who decides between them.

Entities that both have are written once. Where they differ, both versions are written, each with a
note (``AnnotatorNotes``) that names the annotator and the kind of the disagreement: delete what is
wrong in brat, and convert the folder.

    T1	Drug 8 16	warfarin
    T2	Dose 0 4	5 mg
    #1	AnnotatorNotes T2	anna: other bounds, ben has T3
    T3	Dose 0 10	5 mg daily
    #2	AnnotatorNotes T3	ben: other bounds, anna has T2

Relations, events, attributes, normalizations and notes of both stay, with new ids; those that both
have are written once, and a note names the annotator of those that only one has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from .. import brat
from ..conversion.export import (
    check_empty,
    fragments_by_line,
    name_error,
    relabeled,
    write_folder,
)
from ..data.gold import INFO_NAME
from ..scoring.matching import Match
from ..scoring.scores import LabeledFragments
from ..util.text import printable
from .agreement import Agreement
from .annotators import Pair, Version

REPORT_NAME = "adjudication.json"

NOTE = "AnnotatorNotes"
"""The type of brat's notes of an annotator, which it shows beside the annotation."""


class Adjudication(TypedDict):
    """Counts of what `write_adjudication` has written.

    Attributes:
        annotators: What they are called.
        documents: Number of documents.
        agreed: Entities that both have, and those of types that only one was asked for.
        candidates: Entities in pairs with at most one right version.
        other_records: Relations, events, attributes, normalizations, equivalences and notes.
        left_out: For each record that could not be kept, its document, annotator, id and kind.
        labels: Labels with white space, and what is written for them.
        not_written: Documents that are not compared, and why.
    """

    annotators: list[str]
    documents: int
    agreed: int
    candidates: int
    other_records: int
    left_out: list[dict[str, str]]
    labels: dict[str, str]
    not_written: dict[str, str]


def write_adjudication(agreement: Agreement, out_dir: Path) -> Adjudication:
    """Write the documents of two annotators as one folder of BRAT files.

    Args:
        agreement: Their agreement.
        out_dir: A new or empty folder; if anything fails, it stays as it is.

    Returns:
        The report, which is also written as ``adjudication.json``.

    Raises:
        ValueError: If the folder is not empty, the name of a document is not a file name, two
            labels would become one, or a label cannot be written.
        OSError: If the files cannot be written.
    """
    check_empty(out_dir)
    read = agreement.annotations
    for pair in read.pairs:
        if why := name_error(pair.name):
            raise ValueError(f'a document has the name "{pair.name}": {why}')
    merged = [
        merge(pair, document.matches, agreement)
        for pair, document in zip(read.pairs, agreement.documents, strict=True)
    ]
    labels = {entity.label for each in merged for entity in each.standoff.entities}
    written = brat.without_spaces(labels)
    standoffs = [relabeled(each.standoff, written) for each in merged]
    n_entities = sum(len(each.standoff.entities) for each in merged)
    report: Adjudication = {
        "annotators": list(read.names),
        "documents": len(merged),
        "agreed": sum(each.agreed for each in merged),
        "candidates": sum(each.candidates for each in merged),
        "other_records": sum(len(each.standoff.records) for each in merged) - n_entities,
        "left_out": [row for each in merged for row in each.left_out],
        "labels": {label: new for label, new in sorted(written.items()) if label != new},
        "not_written": dict(read.refused),
    }
    for name, only in zip(read.names, read.only, strict=True):
        report["not_written"] |= dict.fromkeys(only, f"only {name} has it")
    info: dict[str, object] = {REPORT_NAME: report}
    if read.heading:
        info[INFO_NAME] = {"heading": read.heading}
    names = [pair.name for pair in read.pairs]
    texts = [pair.text for pair in read.pairs]
    write_folder(out_dir, zip(names, texts, standoffs, strict=True), info)
    return report


class Merged(NamedTuple):
    """A document with both versions.

    Attributes:
        standoff: Its records.
        agreed: As in `Adjudication`.
        candidates: As in `Adjudication`.
        left_out: As in `Adjudication`.
    """

    standoff: brat.Standoff
    agreed: int
    candidates: int
    left_out: list[dict[str, str]]


def merge(pair: Pair, matches: Iterable[Match], agreement: Agreement) -> Merged:
    """Return a document with what both annotators have, and with notes where they differ.

    Args:
        pair: The document.
        matches: The pairs of its entities.
        agreement: Where the document is from.
    """
    merger = _Merger(pair, agreement.names)
    for match in matches:
        a, b = match.gold, match.predicted
        kind = agreement.kind_names[match.kind]
        if a is not None and a == b:
            merger.add_entity(a, (0, 1))
        elif a is not None and b is not None:
            one, other = merger.add_entity(a, (0,)), merger.add_entity(b, (1,))
            merger.add_note(one, f"{merger.names[0]}: {kind}, {merger.names[1]} has {other}")
            merger.add_note(other, f"{merger.names[1]}: {kind}, {merger.names[0]} has {one}")
        elif only := a or b:
            merger.add_note(merger.add_entity(only, (int(a is None),)), kind)
    candidates = merger.n_entities - merger.n_shared
    merger.add_not_compared()
    for side in (0, 1):
        merger.add_others(side)
    merger.add_notes_on_others()
    standoff = brat.Standoff(tuple(merger.records))
    return Merged(standoff, merger.n_entities - candidates, candidates, merger.left_out)


_LETTERS: Mapping[type, str] = {
    brat.Event: "E",
    brat.Relation: "R",
    brat.Attribute: "A",
    brat.Normalization: "N",
    brat.Note: "#",
}
"""Start of the ids of records."""


class _Merger:
    """The records of a merged document, as they are added.

    Attributes:
        names: What the annotators are called, as notes have them.
        records: The records so far.
        n_entities: How many of them are entities.
        n_shared: How many of those both annotators have.
        left_out: As in `Adjudication`.
    """

    def __init__(self, pair: Pair, names: Sequence[str]) -> None:
        self.names = [" ".join(printable(name).split()) for name in names]
        self.records: list[brat.Record] = []
        self.n_entities = self.n_shared = 0
        self.left_out: list[dict[str, str]] = []
        self._pair = pair
        self._versions: tuple[Version, Version] = (pair.a, pair.b)
        self._last: Counter[str] = Counter()
        self._ids: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._shared: set[str] = set()
        self._others: dict[brat.Record, tuple[str, int | None]] = {}
        self._originals: tuple[dict[LabeledFragments, list[str]], ...] = ({}, {})
        for version, originals in zip(self._versions, self._originals, strict=True):
            for entity in version.entities:
                originals.setdefault((entity.label, entity.fragments), []).append(entity.id)

    def add_entity(self, entity: LabeledFragments, sides: Sequence[int]) -> str:
        """Add an entity that the annotators of these sides have, and return its id."""
        label, fragments = entity
        name = self._new_id("T")
        for side in sides:
            for old in self._originals[side].pop(entity):
                self._ids[side].setdefault(old, name)
        written = fragments_by_line(fragments, self._pair.text)
        surface = brat.surface_text(written, self._pair.text)
        self.records.append(brat.Entity(name, label, written, surface))
        self.n_entities += 1
        if len(sides) == 2:
            self._shared.add(name)
            self.n_shared += 1
        return name

    def add_note(self, target: str, words: str) -> None:
        """Add a note on a record."""
        self.records.append(brat.Note(self._new_id("#"), NOTE, target, words))

    def add_not_compared(self) -> None:
        """Add the entities of types that only one annotator was asked for."""
        for side, originals in enumerate(self._originals):
            for entity in sorted(originals, key=lambda each: (each[1], each[0])):
                self.add_entity(entity, (side,))

    def add_others(self, side: int) -> None:
        """Add the other records of an annotator, those that are there already once only."""
        own = self._versions[side].records
        records = [record for record in own if not isinstance(record, brat.Unknown)]
        for record in own:
            if isinstance(record, brat.Unknown) and record.reason:
                self._leave_out(side, record)
        ids = self._ids[side]
        there = {*ids, *(record.id for record in records)}
        gone = {name for record in records for name in brat.references(record)} - there
        waiting, lost = brat.without_references(records, gone)
        self.left_out += [self._row(side, each.id, each.kind) for each in lost]
        while waiting:
            later = []
            for record in waiting:
                if all(name in ids for name in brat.references(record)):
                    self._add_other(side, record)
                else:
                    later.append(record)
            if len(later) == len(waiting):  # events that are arguments of each other
                ids |= {record.id: self._new_id(_LETTERS[type(record)]) for record in later}
            waiting = later

    def add_notes_on_others(self) -> None:
        """Add a note on what only one annotator has said of entities that both have."""
        for record, (name, side) in self._others.items():
            on = [target for target in brat.references(record) if target.startswith("T")]
            if side is None or not on or not self._shared.issuperset(on):
                continue
            if isinstance(record, brat.Relation | brat.Event):
                self.add_note(name, f"only {self.names[side]}")
            elif isinstance(record, brat.Attribute | brat.Normalization):
                self.add_note(on[0], f"only {self.names[side]} has {name}")

    def _add_other(self, side: int, record: brat.Record) -> None:
        ids = self._ids[side]
        content = _renamed(record, ids)
        name, owner = self._others.get(content, ("", side))
        if name:
            self._others[content] = name, owner if owner == side else None
        else:
            letter = _LETTERS.get(type(record), "*")
            name = ids.get(record.id) or self._new_id(letter)
            named = _named(content, name)
            try:
                brat.dumps(brat.Standoff((named,)))
            except ValueError:
                self._leave_out(side, record)
            else:
                self.records.append(named)
                self._others[content] = name, side
        if record.id:
            ids.setdefault(record.id, name)

    def _new_id(self, letter: str) -> str:
        self._last[letter] += 1
        return f"{letter}{self._last[letter]}"

    def _leave_out(self, side: int, record: brat.Record) -> None:
        name = record.id if brat.is_plain_id(record.id) else ""
        self.left_out.append(self._row(side, name, type(record).__name__))

    def _row(self, side: int, name: str, kind: str) -> dict[str, str]:
        return {
            "document": self._pair.name,
            "annotator": self.names[side],
            "id": name,
            "kind": kind,
        }


def _named(record: brat.Record, name: str) -> brat.Record:
    return record._replace(id=name) if not isinstance(record, brat.Equivalence) else record


def _renamed(record: brat.Record, ids: Mapping[str, str]) -> brat.Record:
    """Return a record that refers to other ids, without an id, a line and a place of its own."""
    match record:
        case brat.Event():
            args = tuple((role, ids[name]) for role, name in record.args)
            trigger = ids[record.trigger] if record.trigger else ""
            return brat.Event("", record.type, trigger, args)
        case brat.Relation():
            args = tuple((role, ids[name]) for role, name in record.args)
            return brat.Relation("", record.type, args)
        case brat.Attribute() | brat.Normalization() | brat.Note():
            return record._replace(id="", target=ids[record.target], line=0, raw="")
        case brat.Equivalence():
            members = tuple(dict.fromkeys(ids[name] for name in record.members))
            return brat.Equivalence(record.type, members)
    raise TypeError(f"{type(record).__name__} refers to nothing")
