"""The annotation of a document as it was, in JSON values: the form of ``doc.user_data["brat"]``.

    {"name": "case-01", "heading": "",
     "entities": [{"id": "T1", "label": "Age", "fragments": [[8, 19]]}, ...],
     "records": [{"kind": "Relation", "id": "R1", "type": "MODIFY", "args": [["Arg1", "T2"], ...]},
                 ...]}

A DocBin gives the lists back as tuples. ``name`` is the path in the folder without suffix; a report
on the document must carry ``heading``. ``entities`` are all T records in the order of the files.
Offsets count characters of ``doc.text``; ``fragments`` are in ascending order, those that brat cuts
at the end of a line joined. An entity may also have ``written`` (its fragments as the file has
them, where that differs), ``text`` (its surface text, where it is not the text at the offsets),
``placed`` (the characters of its spans, where those are not its fragments) and ``dropped`` (why it
has no span). ``records`` are all other records in the order of the files; ``kind`` names a class of
`brat.standoff`, the other keys are its fields.
"""

from collections.abc import Iterable
from typing import Any

from spacy.tokens import Doc

from ..brat import records as brat_surface
from ..brat import standoff as brat
from ..util.files import sha256_of
from .account import Fragments

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


def sorted_fragments(entity: brat.Entity, text: str) -> Fragments:
    """Fragments in ascending order; those that brat cuts at the end of a line are one again."""
    return list(brat_surface.join_newline_fragments(entity.fragments, text))


def entity_to_json(
    entity: brat.Entity, text: str, placed: Fragments, dropped: str = ""
) -> dict[str, Any]:
    """An entity of ``entities``.

    placed: the characters of its spans. dropped: the reason why it has none, "" if it has.
    """
    fragments = sorted_fragments(entity, text)
    value: dict[str, Any] = {"id": entity.id, "label": entity.label, "fragments": _lists(fragments)}
    if fragments != list(entity.fragments):
        value["written"] = _lists(entity.fragments)
    if not brat_surface.surface_agreement(entity, text)[1]:
        value["text"] = entity.text
    if dropped:
        value["dropped"] = dropped
    elif placed != fragments:
        value["placed"] = _lists(placed)
    return value


def spans_from_json(value: dict[str, Any]) -> Fragments:
    """The characters of the spans that the conversion made of an entity of ``entities``."""
    if "dropped" in value:
        return []
    return [(start, end) for start, end in value.get("placed", value["fragments"])]


def entity_from_json(value: dict[str, Any], text: str) -> brat.Entity:
    """The record of an entity of ``entities``."""
    fragments = tuple((start, end) for start, end in value.get("written", value["fragments"]))
    surface = value["text"] if "text" in value else surface_text(fragments, text)
    return brat.Entity(value["id"], value["label"], fragments, surface)


def surface_text(fragments: brat.Fragments, text: str) -> str:
    """What brat writes as the text of these fragments."""
    return brat_surface.flat_text(" ".join(text[start:end] for start, end in fragments))


def record_to_json(record: brat.Record) -> dict[str, Any]:
    """A record of ``records``, without its place in the file."""
    fields = {k: _lists(v) for k, v in record._asdict().items() if k not in ("raw", "line")}
    return {"kind": type(record).__name__, **fields}


def record_from_json(value: dict[str, Any]) -> brat.Record:
    """The record of a value of ``records``; ValueError for an unknown kind."""
    if value["kind"] not in _KINDS:
        raise ValueError(f'"{value["kind"]}" is no kind of record: {", ".join(_KINDS)}')
    return _KINDS[value["kind"]](**{k: _tuples(v) for k, v in value.items() if k != "kind"})


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple | list) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, tuple | list) else value


GOLD_KEY = "brat"
"""Key of ``doc.user_data`` under which the conversion leaves the original annotation."""


INFO_NAME = "corpus.json"


def heading_of(docs: Iterable[Doc]) -> str:
    """What a report on these documents must carry, "" for nothing."""
    headings = {doc.user_data.get(GOLD_KEY, {}).get("heading", "") for doc in docs} - {""}
    return "; ".join(sorted(headings))


def document_id(doc: Doc) -> str:
    """The name that the conversion gave a document; else a digest of its text."""
    name = doc.user_data.get(GOLD_KEY, {}).get("name") or doc.user_data.get("name")
    return str(name or sha256_of(doc.text.encode("utf8", "surrogatepass"))[:16])
