"""Annotations of the same documents by two annotators, read and put side by side.

Entities are compared by the characters of the files: no DocBin is in between, so that entities that
overlap, discontinuous ones and those that cut a token are compared as they were annotated. Offsets
that were counted otherwise are corrected as in a conversion. White space at the ends of an entity
does not count, and neither does a line break between two of its fragments.

Nothing is left out silently: see `Annotations`.
"""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

from .. import brat
from ..conversion.correcting import correct_document
from ..conversion.export import file_key
from ..conversion.placement import trim
from ..conversion.reading import DEFAULT_READING, Reading, Source, read_source
from ..data.gold import heading_in
from ..offsets.editions import Editions
from ..scoring.scores import LabeledFragments

LEAST_ALIKE = 0.5
"""Share of two texts that must be the same, or they are not two editions of one document."""

Two: TypeAlias = tuple[Sequence[str], Sequence[str]]
"""Names, for the one annotator and the other."""


class Version(NamedTuple):
    """A document by one annotator.

    Attributes:
        entities: Its entities, with fragments in characters of the text that is compared.
        records: All its other records.
        types: The types that the annotator was asked for; None for all.
    """

    entities: tuple[brat.Entity, ...]
    records: tuple[brat.Record, ...] = ()
    types: frozenset[str] | None = None


class Pair(NamedTuple):
    """A document that both have annotated.

    Attributes:
        name: Its name, as the first has it.
        text: Its text, as the first has it.
        a: What the first has made of it.
        b: What the second has made of it, on the text of the first.
        edited: Whether the text of the second is another edition.
    """

    name: str
    text: str
    a: Version
    b: Version
    edited: bool = False

    def compared(self) -> tuple[list[LabeledFragments], list[LabeledFragments]]:
        """Return the entities of both, without those of types that the other was not asked for."""
        a, b = (
            [
                (entity.label, entity.fragments)
                for entity in own.entities
                if other.types is None or entity.label in other.types
            ]
            for own, other in ((self.a, self.b), (self.b, self.a))
        )
        return a, b


@dataclass(frozen=True, slots=True)
class Annotations:
    """The documents of two annotators, and what of them is not compared.

    Attributes:
        names: What the annotators are called.
        pairs: The documents that both have, by name.
        only: The names of documents that only the one has, and those that only the other has.
        refused: Why a document of both is not compared, by its name.
        unplaced: The entities of each that have no place in the text: file, line, id and reason.
        heading: What a report on the documents must carry, "" for nothing.
    """

    names: tuple[str, str]
    pairs: list[Pair]
    only: Two = ((), ())
    refused: Mapping[str, str] = field(default_factory=dict)
    unplaced: Two = ((), ())
    heading: str = ""

    def not_asked(self) -> tuple[Counter[str], Counter[str]]:
        """Return for each how many entities have types that the other was not asked for."""
        found = Counter[str](), Counter[str]()
        for pair in self.pairs:
            for count, own, kept in zip(found, (pair.a, pair.b), pair.compared(), strict=True):
                count.update(entity.label for entity in own.entities)
                count.subtract(label for label, _ in kept)
        return +found[0], +found[1]


def read_annotators(
    a: Path | str,
    b: Path | str,
    *,
    names: Sequence[str] = (),
    reading_a: Reading = DEFAULT_READING,
    reading_b: Reading = DEFAULT_READING,
) -> Annotations:
    """Return the documents of two annotators, paired by name.

    Names that differ in case or Unicode form only are paired as well. A text that one of them does
    not have is taken from the other.

    Args:
        a: The file or folder of the first, of any format that `conversion.reading` reads.
        b: The file or folder of the second annotator.
        names: What the two are called; by default after their files or folders.
        reading_a: How the documents of the first are read.
        reading_b: How those of the second are read.

    Raises:
        ValueError: If a file or folder has no document, none is common to both, or none of those
            that are can be compared.
        OSError: If a file or folder cannot be read.
    """
    a, b = Path(a), Path(b)
    called = _names(a, b, names)
    sources = read_source(a, reading_a), read_source(b, reading_b)
    documents = [{document.name: document for document in source.documents} for source in sources]
    for path, own in zip((a, b), documents, strict=True):
        if not own:
            raise ValueError(f"{path} contains no document")
    common, only = _common(*documents)
    if not common:
        some = " and ".join(
            f"{len(own)} (such as {min(own)}) in {path}"
            for path, own in zip((a, b), documents, strict=True)
        )
        raise ValueError(
            f"no document of the same name: {some}. Documents are paired by their path in the "
            "folder, without suffix, or by their id in the file"
        )
    pairs: list[Pair] = []
    refused: dict[str, str] = {}
    unplaced: tuple[list[str], list[str]] = ([], [])
    for name_a, name_b in common:
        two = documents[0][name_a], documents[1][name_b]
        found = _pair(two, called, unplaced)
        if isinstance(found, str):
            refused[name_a] = found
            continue
        of_a, of_b = (
            version._replace(types=_types(source, name))
            for version, source, name in zip(
                (found.a, found.b), sources, (name_a, name_b), strict=True
            )
        )
        pairs.append(found._replace(a=of_a, b=of_b))
    if not pairs:
        name, why = next(iter(refused.items()))
        raise ValueError(
            f"none of the {len(refused)} documents that {a} and {b} have in common can be "
            f"compared; the first is {name}: {why}"
        )
    headings = dict.fromkeys(heading for path in (a, b) if (heading := heading_in(path)))
    return Annotations(called, pairs, only, refused, unplaced, "; ".join(headings))


def _names(a: Path, b: Path, names: Sequence[str]) -> tuple[str, str]:
    if not names:
        own = [path.stem if path.is_file() else path.name for path in map(_absolute, (a, b))]
        return (own[0], own[1]) if own[0] != own[1] and all(own) else ("A", "B")
    one, other = names if len(names) == 2 else ("", "")
    if not one.strip() or not other.strip() or one == other:
        raise ValueError(f"names is {list(names)!r}, but must be two different names")
    return one, other


def _absolute(path: Path) -> Path:
    """Return a path without "..", links not followed: their names are those of the annotators."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _types(source: Source, name: str) -> frozenset[str] | None:
    return frozenset(source.label_sets[name]) if name in source.label_sets else None


def _common(a: Collection[str], b: Collection[str]) -> tuple[list[tuple[str, str]], Two]:
    """Return the names that mean the same document, and those that are on one side only."""
    common = [(name, name) for name in a if name in b]
    rest = [name for name in a if name not in b], [name for name in b if name not in a]
    keys = [Counter(map(file_key, names)) for names in rest]
    by_key = {file_key(name): name for name in rest[1]}
    for name in rest[0]:
        key = file_key(name)
        if keys[0][key] == keys[1][key] == 1:
            common.append((name, by_key[key]))
    paired = {one for one, _ in common}, {other for _, other in common}
    one, other = (
        sorted(name for name in names if name not in found)
        for names, found in zip((a, b), paired, strict=True)
    )
    return sorted(common), (one, other)


def _pair(
    documents: tuple[brat.Document, brat.Document],
    names: tuple[str, str],
    unplaced: tuple[list[str], list[str]],
) -> Pair | str:
    """Return a document of both, or why it cannot be compared.

    Args:
        documents: It, by each.
        names: The annotators.
        unplaced: Gets the entities that have no place.
    """
    texts = [document.text for document in documents]
    if texts[0] is None and texts[1] is None:
        return "there is no text of it"
    versions: list[tuple[str, Version]] = []
    lost: tuple[list[str], list[str]] = ([], [])
    for i, document in enumerate(documents):
        if any(problem.reason == "no-annotation" for problem in document.problems):
            return f"{names[i]} has no annotation of it that can be read"
        text = texts[i] if texts[i] is not None else texts[1 - i]
        versions.append(_version(replace(document, text=text), lost[i]))
    (text, a), (other, b) = versions
    edited = text != other
    if edited:
        to_text, from_text = Editions(other, text), Editions(text, other)
        at, line = from_text.first_difference()
        where = f"first at character {at} (line {line}) of the text that {names[0]} has"
        if to_text.likeness < LEAST_ALIKE:
            return f"the texts of {names[0]} and {names[1]} have too little in common; {where}"
        moved = [e._replace(fragments=to_text.place(e.fragments)) for e in b.entities]
        stuck = sum(not entity.fragments for entity in moved)
        stuck += sum(not from_text.place(entity.fragments) for entity in a.entities)
        if stuck:
            return (
                f"its text was edited between {names[0]} and {names[1]}, {where}; entities that "
                f"an edit touches: {stuck}"
            )
        b = b._replace(entities=tuple(moved))
    for every, own in zip(unplaced, lost, strict=True):
        every += own
    return Pair(documents[0].name, text, a, b, edited)


def _version(document: brat.Document, unplaced: list[str]) -> tuple[str, Version]:
    """Return the text and the records of a document, with its entities at their words.

    Args:
        document: A document with a text.
        unplaced: Gets the entities that have no place.
    """
    corrected = correct_document(document, "auto")
    text = corrected.document.text or ""
    refused = corrected.correction.refused
    entities, others = [], []
    number = 0
    for file, part in corrected.document.parts:
        for record in part.records:
            if isinstance(record, brat.Entity):
                fragments, why = _fragments(record, text)
                if why := refused.get(number) or why:
                    unplaced.append(_place(file, record, why))
                else:
                    entities.append(record._replace(fragments=fragments))
                number += 1
            elif isinstance(record, brat.Unknown) and brat.is_entity_like(record.text):
                unplaced.append(_place(file, record, "its line cannot be read"))
            else:
                others.append(record)
    return text, Version(tuple(entities), tuple(others))


def _fragments(entity: brat.Entity, text: str) -> tuple[brat.Fragments, str]:
    """Return the fragments of an entity as they are compared, or why there are none."""
    fault = brat.find_fault(entity, text)
    if fault and fault[0] in ("outside", "empty"):
        return (), f"its offsets go {fault[1]}"
    trimmed = tuple(trim(text, *own) for own in brat.join_fragments(entity.fragments, text))
    fragments = tuple((start, end) for start, end in trimmed if start < end)
    return fragments, "" if fragments else "it is white space only"


def _place(file: str, record: brat.Entity | brat.Unknown, why: str) -> str:
    name = f" {record.id}" if brat.is_plain_id(record.id) else ""
    return f"{file}:{record.line}{name}: {why}"
