"""The annotation of a document as it was, as JSON values: the form of ``doc.user_data["brat"]``.

    {"name": "case-01", "heading": "",
     "entities": [{"id": "T1", "label": "Age", "fragments": [[8, 19]]}, ...],
     "records": [{"kind": "Relation", "id": "R1", "type": "MODIFY", "args": [["Arg1", "T2"], ...]},
                 ...]}

A DocBin gives the lists back as tuples. Offsets count characters of ``doc.text``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, cast

import srsly
from spacy.tokens import Doc

from .. import brat
from ..util.files import sha256_of
from .label_sets import label_set_of

GOLD_KEY = "brat"
"""Key of ``doc.user_data`` for the original annotation, and of ``doc.spans`` for its spans."""

INFO_NAME = "corpus.json"
"""The file of a folder of documents that describes where they come from."""

FragmentsJson: TypeAlias = Sequence[Sequence[int]]
"""`brat.Fragments` in JSON."""


class _RequiredOfEntity(TypedDict):
    id: str
    label: str
    fragments: FragmentsJson


class EntityJson(_RequiredOfEntity, total=False):
    """A T record.

    Attributes:
        id: Its id.
        label: Its type.
        fragments: As `brat.join_fragments` gives them.
        written: Its fragments as the file has them, where that differs.
        text: Its surface text, where it is not the text at the offsets; "" where it has none.
        raw: Its line, where brat would write another one.
        placed: The characters of its spans, where those are not its fragments.
        dropped: Why it has no span, where it has none.
    """

    written: FragmentsJson
    text: str
    raw: str
    placed: FragmentsJson
    dropped: str


class _RequiredOfRecord(TypedDict):
    kind: str


class RecordJson(_RequiredOfRecord, total=False):
    """A record of any other kind: the name of its class in `brat`, and the fields of that class.

    ``raw`` is its line, where brat would write another one.
    """

    id: str
    type: str
    name: str
    trigger: str
    args: Sequence[Sequence[str]]
    members: Sequence[str]
    target: str
    value: str | None
    reference: str
    text: str
    reason: str
    raw: str


class _RequiredOfGold(TypedDict):
    name: str
    heading: str
    entities: list[EntityJson]
    records: list[RecordJson]


class GoldJson(_RequiredOfGold, total=False):
    """The annotation of a document.

    Attributes:
        name: The path of the document in its folder, without suffix.
        heading: What a report on the document must carry, or "".
        entities: All T records, in the order of the files.
        records: All other records, in the order of the files.
        lost: The labels of entities whose lines cannot be read, where such are known: they count as
            missed.
    """

    lost: list[str]


_KINDS: dict[str, type[brat.Record]] = {
    kind.__name__: kind
    for kind in (
        brat.Event,
        brat.Relation,
        brat.Attribute,
        brat.Normalization,
        brat.Equivalence,
        brat.Note,
        brat.Unknown,
    )
}


def gold_of(doc: Doc) -> GoldJson | None:
    """Return the original annotation of a document; None if it does not come from BRAT."""
    return cast(GoldJson | None, doc.user_data.get(GOLD_KEY))


def document_name(doc: Doc) -> str:
    """Return the name of a document: from BRAT, or its ``doc.user_data["name"]``, or ""."""
    gold = gold_of(doc)
    return str((gold and gold.get("name")) or doc.user_data.get("name") or "")


def document_id(doc: Doc) -> str:
    """Return the name of a document, or 16 hexadecimal digits that depend on its text."""
    return document_name(doc) or sha256_of(doc.text.encode("utf8", "surrogatepass"))[:16]


def document_ids(docs: Iterable[Doc], spans_key: str | None = None) -> list[str]:
    """Return the id of each of some documents: `document_id`, with a number where that is needed.

    Documents without a name that have the same text, but other annotation, are numbered in their
    order: "5d41402abc4b2a76", "5d41402abc4b2a76-2", ... Where the annotation is the same too, so is
    the id.

    Args:
        docs: The documents.
        spans_key: Key of ``doc.spans`` whose spans are annotation as well.
    """
    annotations: dict[str, list[object]] = {}
    ids = []
    for doc in docs:
        name = document_id(doc)
        if not document_name(doc):
            known, own = annotations.setdefault(name, []), _annotation(doc, spans_key)
            if own not in known:
                known.append(own)
            number = known.index(own) + 1
            name = name if number == 1 else f"{name}-{number}"
        ids.append(name)
    return ids


def check_annotated(doc: Doc, labels: Iterable[str]) -> None:
    """Raise ValueError if a document has entities of types that it does not annotate.

    Args:
        doc: The document.
        labels: The types of its entities.
    """
    types = label_set_of(doc)
    if types is not None and (others := set(labels) - types):
        raise ValueError(
            f'the document "{document_id(doc)}" has entities of the types '
            f"{', '.join(sorted(others))}, which are not in its label set: "
            f"{', '.join(sorted(types))}. Add them (spacy_btl.data.label_sets.set_label_set), or "
            "leave the entities out"
        )


def _annotation(doc: Doc, spans_key: str | None) -> object:
    """Return the entities of a document, and what is not annotated, to compare them."""
    every = [*doc.ents, *([] if spans_key is None else doc.spans.get(spans_key, []))]
    unknown = [token.idx for token in doc if not token.ent_iob]
    return sorted((e.start_char, e.end_char, e.label_) for e in every), unknown, label_set_of(doc)


def heading_of(docs: Iterable[Doc]) -> str:
    """Return what a report on these documents must carry, "" for nothing."""
    headings = {gold.get("heading", "") for doc in docs if (gold := gold_of(doc))} - {""}
    return "; ".join(sorted(headings))


def heading_in(folder: Path) -> str:
    """Return what a report on the documents of a folder must carry, "" for nothing."""
    path = folder / INFO_NAME
    info = srsly.read_json(path) if path.is_file() else None
    return str(info.get("heading", "")) if isinstance(info, dict) else ""


def entity_to_json(
    entity: brat.Entity,
    text: str,
    fragments: brat.Fragments,
    placed: brat.Fragments,
    dropped: str = "",
) -> EntityJson:
    """Return an entity as JSON.

    Args:
        entity: Its record.
        text: The text of the document.
        fragments: Its fragments, as `brat.join_fragments` gives them.
        placed: The characters of its spans.
        dropped: Why it has no spans, "" if it has.
    """
    value: EntityJson = {
        "id": entity.id,
        "label": entity.label,
        "fragments": _to_lists(fragments),
    }
    if fragments != entity.fragments:
        value["written"] = _to_lists(entity.fragments)
    if not brat.surface_agreement(entity, text)[1]:
        value["text"] = entity.text
    if raw := brat.own_line(entity):
        value["raw"] = raw
    if dropped:
        value["dropped"] = dropped
    elif placed != fragments:
        value["placed"] = _to_lists(placed)
    return value


def entity_from_json(value: EntityJson, text: str) -> brat.Entity:
    """Return the record of an entity in a document with this text."""
    fragments = _to_fragments(value.get("written", value["fragments"]))
    surface = value["text"] if "text" in value else brat.surface_text(fragments, text)
    return brat.Entity(value["id"], value["label"], fragments, surface, raw=_line(value))


def fragments_from_json(value: EntityJson) -> brat.Fragments:
    """Return the fragments of an entity, as annotated."""
    return _to_fragments(value["fragments"])


def spans_from_json(value: EntityJson) -> brat.Fragments:
    """Return the characters of the spans that the conversion made of an entity."""
    return () if "dropped" in value else _to_fragments(value.get("placed", value["fragments"]))


def record_to_json(record: brat.Record) -> RecordJson:
    """Return a record of another kind than T as JSON, without its place in the file."""
    fields = {k: _to_lists(v) for k, v in record._asdict().items() if k not in ("raw", "line")}
    if raw := brat.own_line(record):
        fields["raw"] = raw
    return cast(RecordJson, {"kind": type(record).__name__, **fields})


def record_from_json(value: RecordJson) -> brat.Record:
    """Return the record of a value of `record_to_json`.

    Raises:
        ValueError: If there is no such kind of record.
    """
    if value["kind"] not in _KINDS:
        raise ValueError(f'"{value["kind"]}" is not a kind of record: {", ".join(_KINDS)}')
    fields = {k: _to_tuples(v) for k, v in value.items() if k != "kind"}
    return _KINDS[value["kind"]](**{**fields, "raw": _line(value)})


def _line(value: EntityJson | RecordJson) -> str:
    """Return the line of a record as it was read, "" where brat's own form says the same."""
    return f"{value['raw']}\n" if value.get("raw") else ""


def _to_fragments(value: FragmentsJson) -> brat.Fragments:
    return tuple((start, end) for start, end in value)


def _to_lists(value: Any) -> Any:
    return [_to_lists(v) for v in value] if isinstance(value, tuple | list) else value


def _to_tuples(value: Any) -> Any:
    return tuple(_to_tuples(v) for v in value) if isinstance(value, tuple | list) else value
