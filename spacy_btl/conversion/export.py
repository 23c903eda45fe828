"""Write spaCy documents as BRAT files: predictions to correct, or gold annotation as it came in.

An entity that the conversion made keeps the id, the fragments and the surface text of its record;
any other gets an id of its own and, as in brat, one fragment a line. Events, relations and all
other records stay as far as the entities that they refer to are still there.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Literal, TypeAlias, TypedDict, get_args

import srsly
from spacy.tokens import Doc, Span
from tqdm import tqdm

from .. import brat
from ..data.gold import (
    GOLD_KEY,
    INFO_NAME,
    EntityJson,
    document_name,
    entity_from_json,
    fragments_from_json,
    gold_of,
    heading_of,
    record_from_json,
    spans_from_json,
)
from ..data.label_sets import label_set_of
from ..util.checks import one_of
from ..util.files import replacing_folder
from .placement import trim

REPORT_NAME = "export.json"
LabelSpaces: TypeAlias = Literal["underscore", "keep"]
"""How white space in a label is written: as "_", since brat reads none, or as it is."""

MAX_NAME = 250
"""Bytes of a file name, with room for its suffix."""

_NUMBER = re.compile(r"T([0-9]{1,18})").fullmatch
_LINE = re.compile(r"[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Exported:
    """The records of one document, and what became of those that referred to lost entities."""

    standoff: brat.Standoff
    lost: list[brat.LostReference] = field(default_factory=list)


class ExportReport(TypedDict):
    """The result of `export_docs`.

    Attributes:
        totals: Numbers of documents, entities, other records, and of those that lost a reference.
        rows: For each record that lost a reference, its document, id, kind and what became of it.
        renamed: The names of documents, by the names of their files, where those are others.
        labels: Labels with white space, and what is written for them.
        unlisted: Types that brat's configuration cannot list; brat only shows them.
        label_sets: The types that a document annotates, by the name of its files, where it has a
            label set: BRAT cannot say that.
    """

    totals: dict[str, int]
    rows: list[dict[str, str]]
    renamed: dict[str, str]
    labels: dict[str, str]
    unlisted: list[str]
    label_sets: dict[str, list[str]]


def to_standoff(doc: Doc, key: str | None = None) -> Exported:
    """Return the records of a document.

    Args:
        doc: A document, converted or not.
        key: Key of the ``doc.spans`` with its entities; None for ``doc.ents``. With the key "brat",
            those that the conversion could not place come back as well. A changed span of a group
            keeps its id, as a correction of its record; one of ``doc.ents`` gets a new id, as spaCy
            leaves the ids of earlier entities on the tokens.
    """
    gold = gold_of(doc)
    text = doc.text
    values = gold["entities"] if gold else []
    originals = [entity_from_json(value, text) for value in values]
    spans: Iterable[Span] = doc.ents if key is None else doc.spans.get(key, ())
    chosen, others = _match(values, spans)
    if key == GOLD_KEY:
        chosen |= {i for i, value in enumerate(values) if "dropped" in value}
    entities = [originals[i] for i in sorted(chosen)] + [
        _entity(span, text, span.id_ if key is not None else "") for span in others
    ]
    before = {entity.id for entity in originals}
    entities = _with_ids(entities, before)
    gone = before - {entity.id for entity in entities}
    records = [record_from_json(value) for value in gold["records"]] if gold else []
    kept, lost = brat.without_references(records, gone)
    return Exported(brat.Standoff((*entities, *kept)), lost)


def export_docs(
    docs: Sequence[Doc],
    out_dir: Path,
    key: str | None = None,
    *,
    label_spaces: LabelSpaces | None = None,
) -> ExportReport:
    """Write documents as .txt and .ann, with annotation.conf, visual.conf and a report.

    Args:
        docs: Documents, converted or not.
        out_dir: A new or empty folder; if anything fails, it stays as it is.
        key: Key of the ``doc.spans`` with the entities; None for ``doc.ents``.
        label_spaces: Replacement of white space in a label; by default "underscore", and
            "keep" for the key "brat", whose records are written as they came.

    Returns:
        The report, which is also written as ``export.json``.

    Raises:
        ValueError: If the folder is not empty, no document has the key, a document name leaves the
            folder or is there twice, two labels would become one, or a label cannot be written.
        OSError: If the files cannot be written.
    """
    check_empty(out_dir)
    if key is not None and not any(key in doc.spans for doc in docs):
        keys = sorted({found for doc in docs for found in doc.spans})
        raise ValueError(f'no document has doc.spans["{key}"], only {", ".join(keys) or "none"}')
    label_spaces = label_spaces or ("keep" if key == GOLD_KEY else "underscore")
    one_of("label_spaces", label_spaces, get_args(LabelSpaces))
    names = _names(docs)
    bar = tqdm(docs, desc="export", unit=" docs", disable=None)
    exported = [to_standoff(doc, key) for doc in bar]
    labels = {entity.label for each in exported for entity in each.standoff.entities}
    written = brat.without_spaces(labels) if label_spaces == "underscore" else {}
    standoffs = [relabeled(each.standoff, written) for each in exported]
    report = _report(names, exported)
    report["renamed"] = {
        own: name
        for own, doc in zip(names, docs, strict=True)
        if (name := document_name(doc)) not in ("", own)
    }
    report["labels"] = {label: new for label, new in sorted(written.items()) if label != new}
    report["unlisted"] = brat.unlisted_types(standoffs)
    report["label_sets"] = {
        name: sorted(types)
        for name, doc in zip(names, docs, strict=True)
        if (types := label_set_of(doc)) is not None
    }
    info: dict[str, object] = {REPORT_NAME: report}
    if heading := heading_of(docs):  # what reports must carry outlasts the way through brat
        info[INFO_NAME] = {"heading": heading}
    texts = [doc.text for doc in docs]
    write_folder(out_dir, zip(names, texts, standoffs, strict=True), info)
    return report


def check_empty(out_dir: Path) -> None:
    """Raise ValueError where a folder to be written has something in it already."""
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ValueError(f"{out_dir} is not empty: its files are not overwritten")


def write_folder(
    out_dir: Path,
    documents: Iterable[tuple[str, str, brat.Standoff]],
    info: Mapping[str, object],
) -> None:
    """Write documents as .txt and .ann, with annotation.conf and visual.conf.

    Args:
        out_dir: The folder; if anything fails, it stays as it is.
        documents: Name, text and records of each document.
        info: The values of JSON files beside them, by name.

    Raises:
        ValueError: If a record would not be read back.
        OSError: If the files cannot be written.
    """
    contents: dict[str, str] = {}
    standoffs = []
    for name, text, standoff in documents:
        try:
            annotation = brat.dumps(standoff)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; is its label one that brat can read?") from error
        # Not with_suffix: names have dots.
        contents |= {f"{name}.txt": text, f"{name}.ann": annotation}
        standoffs.append(standoff)
    contents["annotation.conf"] = brat.annotation_conf(standoffs)
    contents["visual.conf"] = brat.visual_conf(standoffs)
    with replacing_folder(out_dir, flush=False) as new:
        for name, content in contents.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8"))  # bytes: a line ending must stay as it is
        for name, value in info.items():
            srsly.write_json(new / name, value)


def relabeled(standoff: brat.Standoff, labels: Mapping[str, str]) -> brat.Standoff:
    """Return records whose entities have other labels, where such are given."""
    if not any(
        labels.get(entity.label, entity.label) != entity.label for entity in standoff.entities
    ):
        return standoff
    return brat.Standoff(
        tuple(
            r._replace(label=labels.get(r.label, r.label)) if isinstance(r, brat.Entity) else r
            for r in standoff.records
        )
    )


def _report(names: Sequence[str], exported: Sequence[Exported]) -> ExportReport:
    rows = [
        {"document": name, **lost._asdict()}
        for name, each in zip(names, exported, strict=True)
        for lost in each.lost
    ]
    totals = Counter(row["what"] for row in rows)
    n_entities = sum(len(each.standoff.entities) for each in exported)
    n_records = sum(len(each.standoff.records) for each in exported)
    return {
        "totals": {
            "documents": len(names),
            "entities": n_entities,
            "other records": n_records - n_entities,
            "other records left out": totals["left out"],
            "other records shortened": totals["shortened"],
        },
        "rows": rows,
        "renamed": {},
        "labels": {},
        "unlisted": [],
        "label_sets": {},
    }


def name_error(name: str) -> str:
    """Return why no files of a folder can have a document's name, "" if they can."""
    path = PureWindowsPath(name)  # which knows both slashes and drives
    if path.drive or path.root or "\0" in name or not path.parts:
        return "it cannot name a file"
    if any(not part.strip(". ") for part in path.parts):
        return "it cannot name a file: it leaves the folder"
    if any(part.startswith(".") for part in path.parts):
        return "it cannot name a file: hidden files are passed over where BRAT files are read"
    if any(len(part.encode("utf-8")) > MAX_NAME for part in path.parts):
        return "it cannot name a file: it is too long"
    if any(part.lower().endswith((".txt", ".ann")) for part in path.parts[:-1]):
        return "it cannot name a file: a folder in it is named like one"
    return ""


def file_key(name: str) -> str:
    """Return the same for names of the same files, also where case or Unicode form is ignored."""
    return unicodedata.normalize("NFC", str(PureWindowsPath(name))).casefold()


def _names(docs: Sequence[Doc]) -> list[str]:
    """Return a name for the files of each document: its own, or one from its number.

    Of names that differ only in case or Unicode form, which some file systems treat as equal,
    the later ones get a number.
    """
    names = [document_name(doc) or f"document-{i:05d}" for i, doc in enumerate(docs, 1)]
    for name in names:
        if why := name_error(name):
            raise ValueError(f'a document has the name "{name}": {why}')
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f'two documents have the name "{twice[0]}"')
    taken = Counter(map(file_key, names))
    seen: set[str] = set()
    result = []
    for name in names:
        own, number = name, 1
        while file_key(own) in seen or (own != name and file_key(own) in taken):
            number += 1
            own = f"{name}-{number}"
        seen.add(file_key(own))
        result.append(own)
    return result


def _match(values: Sequence[EntityJson], spans: Iterable[Span]) -> tuple[set[int], list[Span]]:
    """Return the indices of the original entities that the spans still are, and all other spans.

    A span is still its entity if it has the id, the label and the bounds of a span that the
    conversion made, or else the label and the very characters of an entity.
    """
    made: dict[tuple[str, str, int, int], list[int]] = {}
    by_place: dict[tuple[str, int, int], list[int]] = {}
    for i, value in enumerate(values):
        for start, end in spans_from_json(value):
            made.setdefault((value["id"], value["label"], start, end), []).append(i)
        fragments = fragments_from_json(value)
        # Where a dropped entity's surface text is not, there may be another entity.
        if len(fragments) == 1 and not ("dropped" in value and "text" in value):
            by_place.setdefault((value["label"], *fragments[0]), [i])
    chosen: set[int] = set()
    others: list[Span] = []
    for span in spans:
        place = (span.label_, span.start_char, span.end_char)
        found = made.get((span.id_, *place), by_place.get(place, []))
        if found:  # two records of one id may be alike, and several spans come from one record
            chosen.add(next((i for i in found if i not in chosen), found[0]))
        else:
            others.append(span)
    return chosen, others


def _entity(span: Span, text: str, name: str) -> brat.Entity:
    """Return a span as a record, in one fragment a line: brat shows no line break in a fragment."""
    fragments = fragments_by_line(((span.start_char, span.end_char),), text)
    return brat.Entity(name, span.label_, fragments, brat.surface_text(fragments, text))


def fragments_by_line(fragments: brat.Fragments, text: str) -> brat.Fragments:
    """Return fragments split at line breaks, without white space at their ends.

    Fragments that are white space only stay as they are.
    """
    lines = [
        trim(text, start + found.start(), start + found.end())
        for start, end in fragments
        for found in _LINE.finditer(text[start:end])
    ]
    return tuple((start, end) for start, end in lines if start < end) or fragments


def _with_ids(entities: Sequence[brat.Entity], taken: Iterable[str]) -> list[brat.Entity]:
    """Return entities with ids: their own, or a new one if that is missing or there twice.

    Args:
        entities: Records, some of them without an id.
        taken: Ids that no entity may get anew.
    """
    numbers = [_NUMBER(name) for name in {*taken, *(entity.id for entity in entities)}]
    last = max((int(number[1]) for number in numbers if number), default=0)
    written: set[str] = set()
    result = []
    for entity in entities:
        name = entity.id
        if name in written or not name.startswith("T"):
            last += 1
            name = f"T{last}"
        written.add(name)
        result.append(entity._replace(id=name))
    return result
