"""Read JSON Lines and JSON of annotation tools: a document is an object with a text and spans.

    {"text": "...", "spans": [{"start": 0, "end": 5, "label": "Age"}]}                  Prodigy
    {"text": "...", "ents": [{"start": 0, "end": 5, "label": "Age"}]}                   Doc.to_json
    {"text": "...", "label": [[0, 5, "Age"]]}                                           doccano
    {"text": "...", "entities": [{"start_offset": 0, "end_offset": 5, "label": "Age"}]} doccano
    ["...", {"entities": [[0, 5, "Age"]]}]                                              spaCy 2
    {"data": {"text": "..."}, "annotations": [{"result": [{"value": {"start": 0, "end": 5,
     "labels": ["Age"]}}]}]}                                                            Label Studio

The documents follow each other, or are the items of a list. A document that is no JSON costs no
other: reading goes on at the next line that starts as a document.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from ..brat import Document
from .files import DataFile, Draft, Names, Read, no_document, read_lines

Json: TypeAlias = Any
"""A value of JSON, of which nothing is known."""

SPAN_KEYS = ("spans", "entities", "ents", "label", "labels")
"""Names under which a document may have its spans; the first that holds a list counts."""

_TEXT_KEYS = ("text", "data", "content")
_STARTS = ("start", "start_offset")
_ENDS = ("end", "end_offset")
_LABELS = ("label", "labels", "type")
FIRST_DOCUMENTS = 20
"""Documents that are looked at to find out whether a file is of this format."""

_LEFT_OUT = {"reject": "rejected documents, left out", "ignore": "ignored documents, left out"}

_decoder = json.JSONDecoder()
_between = re.compile(r"[\s,]*").match


class _Item(NamedTuple):
    """A value of a file: its line, and itself or what is wrong."""

    line: int
    value: Json
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Parts:
    """The content of a document: its text, its spans (None without annotation), and its name."""

    text: str | None
    spans: Sequence[Json] | None
    name: str = ""


def looks_like_json(text: str) -> bool:
    """Return whether one of the first documents of a JSON file has text and spans.

    A document that its tool has left out counts as one.
    """
    for item in islice((item for item in _items(text) if not item.error), FIRST_DOCUMENTS):
        parts = _parts_of(item.value, Counter())
        if parts is None or (parts.text is not None and parts.spans is not None):
            return True
    return False


def read_json(files: Sequence[DataFile]) -> Read:
    """Return the documents of JSON and JSON Lines files.

    What a tool says was rejected or ignored is left out, and counted.
    """
    names = Names()
    counts: Counter[str] = Counter()
    documents: list[Document] = []
    for file in files:
        text, problems = read_lines(file)
        before = len(documents) + counts.total()
        for number, item in enumerate(_items(text or ""), 1):
            parts = None if item.error else _parts_of(item.value, counts)
            if parts is None and not item.error:
                continue
            own = (parts and parts.name) or f"{number:05}"
            draft = Draft(file, names.new(file, own), problems)
            problems = []
            documents.append(_document(draft, item, parts))
        if before == len(documents) + counts.total():
            documents.append(no_document(file, names, problems))
    return Read(documents, dict(counts))


def _document(draft: Draft, item: _Item, parts: _Parts | None) -> Document:
    """Return the document of an item."""
    if parts is None:
        draft.note(item.line, "no-text", item.error)
        return draft.finish(None)
    if parts.text is None:
        draft.note(item.line, "no-text", "no text, or several fields that could be it")
    if parts.spans is None:
        draft.note(item.line, "no-annotation", f"none of {', '.join(SPAN_KEYS)}")
    for span in parts.spans or ():
        _add_entities(draft, span, item.line)
    return draft.finish(parts.text)


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


def _parts_of(value: Json, counts: Counter[str]) -> _Parts | None:
    """Return what a document says; None for one that its tool has left out, which is counted."""
    if _is_pair(value):
        value = {"text": value[0], **value[1]}
    if not isinstance(value, dict):
        return _Parts(None, None)
    answer = value.get("answer")
    if isinstance(answer, str) and answer in _LEFT_OUT:
        counts[_LEFT_OUT[answer]] += 1
        return None
    name = next((str(value[k]) for k in ("name", "id") if isinstance(value.get(k), str | int)), "")
    if isinstance(value.get("data"), dict):
        return _of_label_studio(value, name, counts)
    text = next((value[k] for k in _TEXT_KEYS if isinstance(value.get(k), str)), None)
    spans = next((value[k] for k in SPAN_KEYS if isinstance(value.get(k), list)), None)
    if spans is None and "answer" in value:  # Prodigy leaves the key out where there is no span
        spans = []
    return _Parts(text, spans, name)


def _of_label_studio(task: Mapping[str, Json], name: str, counts: Counter[str]) -> _Parts:
    """Return what a task of Label Studio says; of several annotations the first counts."""
    fields = {key: each for key, each in task["data"].items() if isinstance(each, str)}
    text = fields.get("text", next(iter(fields.values())) if len(fields) == 1 else None)
    every = task.get("annotations", task.get("completions"))
    every = every if isinstance(every, list) else []
    done = [each for each in every if isinstance(each, dict) and not each.get("was_cancelled")]
    if not done:
        return _Parts(text, None, name)
    if len(done) > 1:
        counts["documents with several annotations, the first taken"] += 1
    result = done[0].get("result")
    spans = [
        each.get("value", each)
        for each in (result if isinstance(result, list) else [])
        if not isinstance(each, dict) or "labels" in str(each.get("type", "labels"))
    ]
    return _Parts(text, spans, name)


def _add_entities(draft: Draft, span: Json, line: int) -> None:
    """Add the entities of a span: one for each of its labels."""
    surface = ""
    start = end = labels = None
    if isinstance(span, dict):
        start, end, labels = (_first(span, keys) for keys in (_STARTS, _ENDS, _LABELS))
        surface = span["text"] if isinstance(span.get("text"), str) else ""
    elif isinstance(span, list) and len(span) >= 3:
        start, end, labels = span[:3]
    every = labels if isinstance(labels, list) else [labels]
    places = _offset(start), _offset(end)
    for label in every or [None]:
        if isinstance(label, str) and label.strip() and None not in places:
            draft.add(label.strip(), ((places[0] or 0, places[1] or 0),), surface, line)
        else:
            named = isinstance(label, str) and bool(label.strip())
            reason = "an offset is no number, or below 0" if named else "no label"
            known = label if isinstance(label, str) else ""
            draft.add_broken(line, reason, json.dumps(span, ensure_ascii=False), known)


def _first(span: Mapping[str, Json], keys: Sequence[str]) -> Json:
    return next((span[key] for key in keys if key in span), None)


def _offset(value: Json) -> int | None:
    """Return an offset; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 10**18 and value == int(value) else None
