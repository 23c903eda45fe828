"""Read JSON Lines and JSON of annotation tools: a document is an object with a text and spans.

    {"text": "...", "spans": [{"start": 0, "end": 5, "label": "Age"}]}                  Prodigy
    {"text": "...", "ents": [{"start": 0, "end": 5, "label": "Age"}]}                   Doc.to_json
    {"text": "...", "label": [[0, 5, "Age"]]}                                           doccano
    {"text": "...", "entities": [{"start_offset": 0, "end_offset": 5, "label": "Age"}]} doccano
    ["...", {"entities": [[0, 5, "Age"]]}]                                              spaCy 2
    {"data": {"text": "..."}, "annotations": [{"result": [{"value": {"start": 0, "end": 5,
     "labels": ["Age"]}}]}]}                                                            Label Studio
    {"%FEATURE_STRUCTURES": [...]}                                                      INCEpTION

A task of Label Studio may have several strings; one of them was annotated: the one that its results
name (``to_name``), or else the one that has the words of all results.

The documents follow each other, or are the items of a list. An invalid document does not affect
the others: reading goes on at the next line that starts as a document. Documents that `annotate`
wrote for a tool are recognized: they keep their ids, and their offsets count UTF-16 code units.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from ..brat import Document
from ..offsets.counting import AS_WRITTEN, Counting
from ..util.text import printable
from .files import DataFile, Draft, Names, Read, no_document, read_lines
from .inception import is_cas, read_cas

Json: TypeAlias = Any
"""Any value of JSON."""

SPAN_KEYS = ("spans", "entities", "ents", "label", "labels")
"""Names under which a document may have its spans; the first that holds a list counts."""

OFFSETS_KEY = "offsets"
"""Field of a document that says how its offsets count, where that is `UTF16`."""

UTF16 = Counting("utf16")

_NAME_KEYS = ("name", "id")
_TEXT_KEYS = ("text", "data", "content")
_STARTS = ("start", "start_offset")
_ENDS = ("end", "end_offset")
_LABELS = ("label", "labels", "hypertextlabels", "type")
SHOWN = 8
"""Names that a message lists."""

FIRST_DOCUMENTS = 20
"""Documents that are looked at to find out whether a file is of this format."""

_ANNOTATED = frozenset(("answer", "annotation_id"))
"""Fields that only a document has that somebody has annotated."""

_UNANNOTATED = "documents that nobody has annotated, left out"
PREDICTED_ONLY = "tasks of Label Studio with predictions only, left out"
"""The setting of an account that counts tasks whose predictions nobody has submitted."""

_LEFT_OUT = {"reject": "rejected documents, left out", "ignore": "ignored documents, left out"}

_XPATH = (
    "its place is an XPath without globalOffsets, from which no offset in the text follows: export "
    "it with a newer Label Studio, or annotate the text as plain text"
)

_decoder = json.JSONDecoder()
_between = re.compile(r"[\s,]*").match


class _Item(NamedTuple):
    """A value of a file: its line, and itself or what is wrong."""

    line: int
    value: Json
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Parts:
    """The content of a document.

    Attributes:
        text: Its text; None if it has none, or several strings could be it.
        spans: Its spans; None without annotation.
        name: Its own name.
        keys: The strings that could be its text, if that is not plain.
        counting: What its offsets count.
        is_file: Whether it is a file of its own and has the name of that file.
        why: Why it has no spans, if that has a reason.
        layer: The layer of INCEpTION that its entities are from.
    """

    text: str | None
    spans: Sequence[Json] | None
    name: str = ""
    keys: Sequence[str] = ()
    counting: Counting = AS_WRITTEN
    is_file: bool = False
    why: str = ""
    layer: str = ""


def looks_like_json(text: str) -> bool:
    """Return whether one of the first documents of a JSON file has text and spans.

    A document that its tool has left out counts as one.
    """
    for item in islice((item for item in _items(text) if not item.error), FIRST_DOCUMENTS):
        parts = _parts_of(item.value, Counter())
        if parts is None or parts.is_file or parts.keys:
            return True
        if parts.text is not None and parts.spans is not None:
            return True
    return False


def read_json(files: Sequence[DataFile], text_key: str = "", layer: str = "") -> Read:
    """Return the documents of JSON and JSON Lines files.

    Documents that a tool marks as rejected or ignored are left out and counted, as are tasks that
    nobody has annotated.

    Args:
        files: The files.
        text_key: The name of the text in a document; "" finds it out.
        layer: The layer of the entities in documents of INCEpTION, and its feature with their
            label; "" finds it out.
    """
    names = Names()
    counts: Counter[str] = Counter()
    documents: list[Document] = []
    left_out: list[str] = []
    layers: set[str] = set()
    for file in files:
        text, problems = read_lines(file)
        before = len(documents) + counts.total()
        for number, item in enumerate(_items(text or ""), 1):
            parts = None if item.error else _parts_of(item.value, counts, text_key, layer)
            if parts is None and not item.error:
                left_out.append(_document_name(item.value) or f"{number:05}")
                continue
            if parts and parts.is_file:
                name = names.unique(file.stem.rstrip("/") or file.path.stem)
            else:
                name = names.new(file, (parts and parts.name) or f"{number:05}")
            layers |= {parts.layer} if parts and parts.layer else set()
            draft = Draft(file, name, problems)
            problems = []
            documents.append(_document(draft, item, parts))
        if before == len(documents) + counts.total():
            documents.append(no_document(file, names, problems))
    settings: dict[str, str | int] = dict(counts)
    if layers:
        settings["layer"] = printable(", ".join(sorted(layers)))
    if left_out:
        more = ", ..." if len(left_out) > SHOWN else ""
        settings["names of those left out"] = printable(", ".join(left_out[:SHOWN])) + more
    return Read(documents, settings)


def _document(draft: Draft, item: _Item, parts: _Parts | None) -> Document:
    """Return the document of an item."""
    if parts is None:
        draft.note(item.line, "no-text", item.error)
        return draft.finish(None)
    if parts.text is None:
        draft.note(item.line, "no-text", _without_text(parts.keys))
    if parts.spans is None:
        draft.note(item.line, "no-annotation", parts.why or f"none of {', '.join(SPAN_KEYS)}")
    place = _placer(parts)
    for span in parts.spans or ():
        _add_entities(draft, span, item.line, place)
    return draft.finish(parts.text)


def _without_text(keys: Sequence[str]) -> str:
    """Return why a document has no text."""
    if not keys:
        return "no text"
    names = printable(", ".join(keys[:SHOWN])) + (", ..." if len(keys) > SHOWN else "")
    return f"several strings could be the text ({names}): name one with --text-key"


def _items(text: str) -> Iterator[_Item]:
    """Yield the values of a file, those of a list one by one."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith(("{", "[")) and _is_json(first):
        value = json.loads(first)
        one_list = isinstance(value, list) and not _is_pair(value)
        if not one_list or text.strip() != first.strip():
            yield from _lines(text)
            return
    yield from _stream(text)


def _lines(text: str) -> Iterator[_Item]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _Item(number, json.loads(line))
            except (ValueError, RecursionError) as error:
                yield _Item(number, None, _why(error))


def _stream(text: str) -> Iterator[_Item]:
    """Yield the values of a list, or of values one after the other, over any number of lines."""
    at = _after(text, 0)
    if text[at : at + 1] == "[":
        at = _after(text, at + 1)
    indent = at - (text.rfind("\n", 0, at) + 1)
    begin = re.compile(rf"^[ \t]{{0,{indent}}}(?=[\[{{])", re.MULTILINE)
    line, counted = 1, 0
    while at < len(text):
        line, counted = line + text.count("\n", counted, at), at
        if text[at] == "]":
            end = at + 1
        else:
            try:
                value, end = _decoder.raw_decode(text, at)
                yield _Item(line, value)
            except (ValueError, RecursionError) as error:
                newline = text.find("\n", at)
                found = begin.search(text, newline + 1) if newline >= 0 else None
                end = found.end() if found else len(text)
                yield _Item(
                    line, None, _why(error) + ("" if found else "; nothing after it is read")
                )
        at = _after(text, end)


def _after(text: str, at: int) -> int:
    """Return the place of the next value."""
    found = _between(text, at)
    return found.end() if found else at


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _why(error: Exception) -> str:
    """Return what is wrong with JSON, without words of it."""
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON, from column {error.colno} on: {error.msg}"
    return "no JSON: too deeply nested, or a number that is too long"


def _is_pair(value: Json) -> bool:
    """Return whether a list is a text and its annotation, as spaCy 2 had them."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], dict)
    )


def _parts_of(
    value: Json, counts: Counter[str], text_key: str = "", layer: str = ""
) -> _Parts | None:
    """Return what a document says; None for one that is left out, which is counted."""
    if is_cas(value):
        cas = read_cas(value, layer)
        return _Parts(
            cas.text, cas.spans, counting=UTF16, is_file=True, why=cas.why, layer=cas.layer
        )
    if _is_pair(value):
        value = {"text": value[0], **value[1]}
    if not isinstance(value, dict):
        return _Parts(None, None)
    answer = value.get("answer")
    if isinstance(answer, str) and answer in _LEFT_OUT:
        counts[_LEFT_OUT[answer]] += 1
        return None
    name = _document_name(value)
    if isinstance(value.get("data"), dict):
        return _of_label_studio(value, name, counts, text_key)
    keys = (text_key,) if text_key else _TEXT_KEYS
    text = next((value[k] for k in keys if isinstance(value.get(k), str)), None)
    spans = next((value[k] for k in SPAN_KEYS if isinstance(value.get(k), list)), None)
    # Prodigy and Label Studio's JSON-MIN leave the key out where there is no span.
    if spans is None and not _ANNOTATED.isdisjoint(value):
        spans = []
    counting = UTF16 if value.get(OFFSETS_KEY) == str(UTF16) else AS_WRITTEN
    return _Parts(text, spans, name, counting=counting)


def _document_name(value: Json) -> str:
    """Return the name of a document, "" for none.

    Label Studio's own number of a task counts only if its data have no name.
    """
    fields = value if isinstance(value, dict) else {}
    # Prodigy shows what is in "meta".
    return next(filter(None, map(_name_of, (fields.get("data"), fields, fields.get("meta")))), "")


def _name_of(value: Json) -> str:
    """Return the name that an object has, "" for none."""
    fields = value if isinstance(value, dict) else {}
    return next((str(fields[k]) for k in _NAME_KEYS if isinstance(fields.get(k), str | int)), "")


def _placer(parts: _Parts) -> Callable[[int, int], tuple[int, int]]:
    """Return a function from start and end, as a document has them, to those in characters."""
    if parts.text is None or parts.counting == AS_WRITTEN:
        return lambda start, end: (start, end)
    positions = parts.counting.positions(parts.text)
    return lambda start, end: parts.counting.correct(((start, end),), positions)[0]


def _of_label_studio(
    task: Mapping[str, Json], name: str, counts: Counter[str], text_key: str
) -> _Parts | None:
    """Return what a task of Label Studio says; of several annotations the first counts."""
    every = task.get("annotations", task.get("completions"))
    every = every if isinstance(every, list) else []
    done = [each for each in every if isinstance(each, dict) and not each.get("was_cancelled")]
    if not done:
        counts[PREDICTED_ONLY if task.get("predictions") and not every else _UNANNOTATED] += 1
        return None
    if len(done) > 1:
        counts["documents with several annotations, the first taken"] += 1
    result = done[0].get("result")
    results = [
        each
        for each in (result if isinstance(result, list) else [])
        if not isinstance(each, dict) or "labels" in str(each.get("type", "labels"))
    ]
    fields = {key: each for key, each in task["data"].items() if isinstance(each, str)}
    key = text_key or _annotated_field(fields, results)
    own = [each for each in results if _field_of(each, fields) in (None, key)]
    if key and len(own) < len(results):
        counts["entities in other texts of a document, left out"] += len(results) - len(own)
    spans = [_span_of(each) for each in own]
    return _Parts(fields.get(key), spans, name, () if key in fields else tuple(fields))


def _annotated_field(fields: Mapping[str, str], results: Sequence[Json]) -> str:
    """Return the name of the string that was annotated, "" if that is not plain.

    That is the one that all results name, or the only one, or that of the name "text", or the only
    one with the words of all results.
    """
    named = {own for each in results if (own := _field_of(each, fields))}
    if len(named) == 1:
        return named.pop()
    if len(fields) == 1 or "text" in fields:
        return "text" if "text" in fields else next(iter(fields))
    spans = [span for each in results if isinstance(span := _span_of(each), dict)]
    words = [span["text"] for span in spans if isinstance(span.get("text"), str)]
    found = [key for key, text in fields.items() if words and all(w in text for w in words)]
    return found[0] if len(found) == 1 else ""


def _field_of(result: Json, fields: Mapping[str, str]) -> str | None:
    """Return the name of the string that a result is of, None if it does not say."""
    name = result.get("to_name") if isinstance(result, dict) else None
    return name if isinstance(name, str) and name in fields else None


def _span_of(result: Json) -> Json:
    """Return the span of a result; in hypertext, its offsets in the whole text if it has them."""
    value = result.get("value", result) if isinstance(result, dict) else result
    if isinstance(value, dict) and isinstance(value.get("globalOffsets"), dict):
        return {**value, **value["globalOffsets"]}
    return value


def _add_entities(
    draft: Draft, span: Json, line: int, place: Callable[[int, int], tuple[int, int]]
) -> None:
    """Add the entities of a span: one for each of its labels."""
    surface = ""
    start = end = labels = None
    if isinstance(span, dict):
        start, end, labels = (_first(span, keys) for keys in (_STARTS, _ENDS, _LABELS))
        surface = span["text"] if isinstance(span.get("text"), str) else ""
        if "\\n" in surface:  # Label Studio's page writes so for each character of a line break
            surface = ""
    elif isinstance(span, list) and len(span) >= 3:
        start, end, labels = span[:3]
    every = labels if isinstance(labels, list) else [labels]
    places = _offset(start), _offset(end)
    for label in every or [None]:
        if isinstance(label, str) and label.strip() and None not in places:
            draft.add(label.strip(), (place(places[0] or 0, places[1] or 0),), surface, line)
        else:
            named = isinstance(label, str) and bool(label.strip())
            is_path = isinstance(start, str) and start.startswith("/")
            reason = "no label"
            if named:
                reason = _XPATH if is_path else "an offset is not a number, or below 0"
            known = label if isinstance(label, str) else ""
            draft.add_broken(line, reason, json.dumps(span, ensure_ascii=False), known)


def _first(span: Mapping[str, Json], keys: Sequence[str]) -> Json:
    return next((span[key] for key in keys if key in span), None)


def _offset(value: Json) -> int | None:
    """Return an offset; None for an invalid one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 10**18 and value == int(value) else None
